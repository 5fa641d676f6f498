"""Vectors kept beside their codes: their bytes, and the cosine of a query with them.

A kept vector is the unit vector u in one of two forms: float16, or whole numbers of 8 bits,
round(127 u / max|u|). No factor is stored: a cosine does not depend on the vector's length.

The cosine is defined by exact sums. Entries of a kept vector v are whole multiples of 2^-24
(float16) or of 1 (int8); a query of length 1 is rounded to whole multiples of 2^-28. By Cauchy and
Schwarz every sum of some of the products q_i v_i stays within |q| |v|, which is below 2^53 such
units: float64 holds it exactly, whatever the order of additions. So neither batches nor threads nor
machines change a score.

    cosine = q . v / (sqrt(q . q) sqrt(v . v))      float64; 0 where q or v is zero
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qama import checks
from qama.checks import Bytes, Floats
from qama.quantizers.vectors import unit

Float64s = npt.NDArray[np.float64]

FORMS = ("float16", "int8")
QUERY_BITS = 28  # of the fraction of a query's entries


@dataclass(frozen=True)
class Form:
    """How vectors are kept.

    Attributes:
        name: One of FORMS.
        dims: Entries of a vector.
    """

    name: str
    dims: int

    @classmethod
    def of(cls, name: object, dims: int) -> Form:
        """Return the form of a name.

        Raises:
            ValueError: no such form.
        """
        checks.one_of(name, "keep", FORMS)
        return cls(str(name), dims)

    @property
    def width(self) -> int:
        """Bytes of a kept vector."""
        return self.dims * self._dtype.itemsize

    def packed(self, X: Floats) -> Bytes:
        """Return the bytes uint8 (n, width) of vectors, finite float32 (n, dims)."""
        U = unit(X)
        if self.name == "int8":
            largest = np.abs(U).max(axis=1, keepdims=True)
            U = np.rint(U * (np.float32(127) / np.where(largest > 0, largest, 1)))
        return U.astype(self._dtype).view(np.uint8)

    def unpacked(self, stored: Bytes) -> Float64s:
        """Return the entries float64 (..., dims) of kept vectors uint8 (..., width)."""
        return stored.view(self._dtype).astype(np.float64)

    def cosines(self, queries: Floats, stored: Bytes) -> Float64s:
        """Return the cosine float64 (m, c) of each query with its own kept vectors.

        Args:
            queries: Finite float32 (m, dims).
            stored: uint8 (m, c, width).
        """
        Q, lengths = _rounded(unit(queries))
        V = self.unpacked(stored)
        with np.errstate(all="ignore"):  # a damaged file may hold NaN and infinity
            lengths = lengths[:, None] * np.sqrt(np.einsum("mcd,mcd->mc", V, V))
            products = np.einsum("mcd,md->mc", V, Q)
            return np.asarray(products / np.where(lengths > 0, lengths, 1))

    @property
    def _dtype(self) -> np.dtype[np.float16 | np.int8]:
        return np.dtype("<f2" if self.name == "float16" else np.int8)


def _rounded(U: Floats) -> tuple[Float64s, Float64s]:
    """Return queries of length 1 as they take part in sums, and their lengths float64 (m,)."""
    whole = np.rint(U.astype(np.float64) * 2**QUERY_BITS).astype(np.int64)
    squares = np.square(whole).sum(axis=1)  # below 2^57
    return whole / 2.0**QUERY_BITS, np.sqrt(squares.astype(np.float64)) / 2.0**QUERY_BITS
