"""Refitting codewords: the normal equations that codes make of them, and their solution.

Codewords are made of *free* ones, which a fit solves for: of a full byte they are the 256
themselves; of a later one four and four, whose sums are the 16 of the high nibble, and the 16 of
the low nibble.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import kernels
from qama.checks import Bytes, Floats
from qama.kernels.layout import CodebookLayout
from qama.quantizers.additive.units import UNIT, Int16s

_BASE_ROWS = (4.0, 64.0)  # that a codeword of a base counts for: of full bytes, of others


@dataclass(frozen=True)
class Form:
    """How a byte chooses: one codeword of 256, or one by each nibble of it.

    Attributes:
        sizes: Free codewords, of the top bits first.
        ridge: Rows: a codeword that few rows chose stays near zero.
    """

    sizes: tuple[int, ...]
    ridge: float

    @property
    def full(self) -> bool:
        """Whether the byte chooses one of 256."""
        return len(self.sizes) == 1

    @property
    def codewords(self) -> int:
        """How many codewords there are for a byte."""
        return self.layout(1).codewords

    @property
    def terms(self) -> int:
        """How many free codewords there are for a byte."""
        return sum(self.sizes)

    def layout(self, nbytes: int) -> CodebookLayout:
        """Return the codebooks of so many bytes."""
        return CodebookLayout(nbytes, nbytes if self.full else 0)

    def summed(self, free: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the codewords of bytes (256 or 32 each, d) of their free codewords."""
        return self.layout(len(free) // self.terms).summed(free)


class Equations:
    """The normal equations of free codewords of one stage: what codes say of them.

    Attributes:
        rows: How many rows' codes they hold.
    """

    def __init__(self, form: Form, nbytes: int, d: int, threads: int) -> None:
        self.rows = 0
        self._form, self._layout, self._threads = form, form.layout(nbytes), threads
        count = self._layout.codewords
        self._together = np.zeros((count, count), np.int32)  # how often each two were chosen
        self._sums = np.zeros((count, d), np.float32)  # of the rows that chose each

    def add(self, codes: Bytes, rows: Int16s) -> None:
        """Add codes uint8 (n, bytes) of rows int16 (n, d)."""
        self._tally(codes, rows, 1)

    def remove(self, codes: Bytes, rows: Int16s) -> None:
        """Take out what was added."""
        self._tally(codes, rows, -1)

    def _tally(self, codes: Bytes, rows: Int16s, sign: int) -> None:
        full = self._layout.full
        sums = kernels.codeword_sums(codes, rows, full=full, threads=self._threads)
        self._sums += (sums * (sign * UNIT)).astype(np.float32)
        kernels.count_pairs(codes, self._together, full=full, times=sign, threads=self._threads)
        self.rows += sign * len(rows)

    def solved(self, W: Floats, passes: int, prior: Floats | None = None) -> Floats:
        """Return free codewords (w, d) nearer to the solution than W: ridge regression.

        Each byte's codewords are solved for, given those of the others (block Gauss-Seidel), drawn
        to `prior`, or to zero.
        """
        A, B = self._of_free()
        W, size = W.copy(), self._form.terms
        ridge = np.float32(self._form.ridge if prior is None else _BASE_ROWS[not self._form.full])
        if prior is not None:
            B = B + ridge * prior
        for _ in range(passes):
            for byte in reversed(range(len(W) // size)):
                own = slice(byte * size, (byte + 1) * size)
                W[own] = self._own(A[own, own], B[own] - A[own] @ W, W[own], ridge)
        return W

    def _of_free(self) -> tuple[Floats, Floats]:
        """Return A and B of A W = B."""
        together = self._together.astype(np.float32)  # exact, below 2^24 rows
        if self._form.full:
            return together, self._sums
        parts = self._form.summed(np.eye(self._layout.terms, dtype=np.float32))
        return parts.T @ together @ parts, parts.T @ self._sums

    def _own(self, among: Floats, left: Floats, now: Floats, ridge: np.float32) -> Floats:
        """Return a byte's free codewords for what is left of B by all, these among them."""
        if self._form.full:  # a row chooses one of them
            counts = np.diag(among)[:, None]
            return np.asarray((left + counts * now) / (counts + ridge))
        regular = among + ridge * np.eye(len(among), dtype=np.float32)
        return np.asarray(np.linalg.solve(regular, left + among @ now))


def drawn_to(
    known: npt.NDArray[np.floating], total: npt.NDArray[np.floating], rows: int
) -> npt.NDArray[np.floating]:
    """Return the mean of so many rows, given their sum, drawn to a known one."""
    return np.asarray((total + _BASE_ROWS[0] * known) / (rows + _BASE_ROWS[0]))
