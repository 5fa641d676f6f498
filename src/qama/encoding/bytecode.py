"""Byte codes: words in order of worth, so that every byte prefix of a code is itself a code.

A code of p bytes stands for the vector

    x_hat = c + sum over j < 2 p of W_j[n_j]

n_j the j-th nibble of the code, W_j a codebook of 16 free words: an additive quantizer (Babenko and
Lempitsky, CVPR 2014). The nibbles come in blocks; each block's words are chosen together, given the
blocks before, so as to minimise |x - x_hat|^2 (`qama.kernels.choose_words`). A document's score is
the cosine of the float query with x_hat.

Vectors, centre and words are whole numbers of 2^-14, and so is all that is computed of them: a code
depends on its vector alone, not on batches, threads or machines.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import kernels
from qama.checks import Bytes, Floats
from qama.encoding import scoring
from qama.encoding.transform import unit

BUDGETS = (12, 24, 32, 48, 64, 96, 128, 192, 256)  # standard lengths in bytes
# Bytes at which a block ends. An index keeps one more byte per row, so both a standard length and
# one byte less are ends; no block is longer than 16 bytes, since its cost grows with its square.
BLOCK_ENDS = (
    *(11, 12, 23, 24, 31, 32, 47, 48, 63, 64, 80, 95, 96, 112, 127, 128),
    *(144, 160, 176, 191, 192, 208, 224, 240, 255, 256),
)
DEFAULT_BYTES = 48
BEAM, SWEEPS = 4, 4  # of the search for a block's words
UNIT = 2.0**-14

Doubles = npt.NDArray[np.float64]
Int16s = npt.NDArray[np.int16]


def whole(V: npt.NDArray[np.floating]) -> Int16s:
    """Return floats as whole numbers of UNIT, int16, clamped to +-2."""
    return np.asarray(np.clip(np.rint(V / UNIT), -(2**15), 2**15 - 1), dtype=np.int16)


def prepared(words: Int16s) -> kernels.Words:
    """Prepare a block's words (16 sections, d): a unit vector lies within 2 of the centre."""
    return kernels.prepare_words(words, reach=2 / UNIT)


@dataclass(frozen=True)
class ByteCoder:
    """What one fit holds for all its byte codes.

    Attributes:
        center: int16 (d,), c in units of 2^-14.
        words: int16 (nibbles, 16, d), W in order of worth, in units of 2^-14.
        lengths: float32 (bytes,), the mean |x_hat| of each byte prefix over the fitted rows.
    """

    center: Int16s
    words: Int16s
    lengths: Floats

    @property
    def dims(self) -> int:
        """Width of the vectors."""
        return int(self.words.shape[2])

    @property
    def max_bytes(self) -> int:
        """Length of the longest code."""
        return len(self.words) // 2

    @property
    def budgets(self) -> tuple[int, ...]:
        """The standard lengths up to the longest."""
        return (*(length for length in BUDGETS if length < self.max_bytes), self.max_bytes)

    def code(self, nbytes: int) -> ByteCode:
        """Return the code of that length.

        Raises:
            ValueError: not a whole number from 1 to the longest code's length.
        """
        integral = isinstance(nbytes, int | np.integer) and not isinstance(nbytes, bool)
        if not integral or not 1 <= nbytes <= self.max_bytes:
            near = [b for b in self.budgets if integral and abs(b - nbytes) < 48] or self.budgets
            raise ValueError(
                f"nbytes is {nbytes!r}; byte codes of this codec have 1 to {self.max_bytes} whole "
                f"bytes, for instance {', '.join(map(str, near))}"
            )
        return ByteCode(self, int(nbytes))

    def check(self) -> None:
        """Refuse parts that do not fit each other, as a damaged or foreign file may hold.

        Raises:
            ValueError: the part that does not fit, and its shape.
        """
        if self.words.dtype != np.int16 or self.words.ndim != 3 or self.words.shape[1] != 16:
            raise ValueError(f"words are {self.words.dtype} of shape {self.words.shape}")
        nibbles, _, d = self.words.shape
        if nibbles == 0 or nibbles % 2 or nibbles > 2 * BLOCK_ENDS[-1]:
            raise ValueError(f"words have shape {self.words.shape}")
        if self.center.shape != (d,) or self.lengths.shape != (nibbles // 2,):
            raise ValueError(f"center {self.center.shape} or lengths {self.lengths.shape} misfit")
        if self.center.dtype != np.int16 or not (self.lengths > 0).all():
            raise ValueError("center or lengths are out of range")

    def encode(self, X: Floats, nbytes: int) -> Bytes:
        """Encode finite float32 (n, d) into uint8 (n, nbytes)."""
        rest = whole(unit(X).astype(np.float64) - self.center * UNIT)
        parts = []
        for block, (start, stop) in enumerate(blocks(self.max_bytes)):
            if start >= nbytes:
                break
            if block not in self._prepared:
                self._prepared[block] = prepared(self._flat[32 * start : 32 * stop])
            words = self._prepared[block]
            codes, rest = kernels.choose_words(rest, words, beam=BEAM, sweeps=SWEEPS)
            parts.append(codes)
        return np.ascontiguousarray(np.concatenate(parts, axis=1)[:, :nbytes])

    @cached_property
    def _prepared(self) -> dict[int, kernels.Words]:
        return {}  # by block, made when first needed

    @cached_property
    def _flat(self) -> Int16s:
        return self.words.reshape(-1, self.dims)

    # -- scoring ----------------------------------------------------------------------------

    def query_tables(self, Q: Floats, nbytes: int) -> scoring.QueryTables:
        """Weigh queries float32 (m, d): per nibble and value, what its word adds to q . x_hat."""
        queries = unit(Q).astype(np.float64)
        products = queries @ self._doubles[: 32 * nbytes].T
        offsets = queries @ (self.center * UNIT)
        return scoring.integer_tables(products, offsets)

    @cached_property
    def _doubles(self) -> Doubles:
        return self._flat.astype(np.float64) * UNIT

    def squared_lengths(self, codes: Bytes) -> Doubles:
        """Return |x_hat|^2 of codes uint8 (n, bytes) as float64 (n,)."""
        words = self._flat[: 32 * codes.shape[1]]
        norms = kernels.squared_norms(codes, words, self.center)
        return norms.astype(np.float64) * UNIT**2

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays to store, by name."""
        return {"center": self.center, "words": self.words, "lengths": self.lengths}


def blocks(max_bytes: int) -> list[tuple[int, int]]:
    """Return the first and the last but one byte of each block of codes of max_bytes."""
    return list(pairwise((0, *(end for end in BLOCK_ENDS if end < max_bytes), max_bytes)))


@dataclass(frozen=True)
class ByteCode:
    """A byte code of one length: encodes vectors, weighs queries."""

    coder: ByteCoder
    nbytes: int

    family = "bytes"
    scorers = ("asymmetric",)
    pairs = 0

    @property
    def label(self) -> str:
        """What a person calls this code."""
        return f"{self.nbytes} bytes"

    @property
    def request(self) -> dict[str, Any]:
        """The arguments that ask a codec for this code."""
        return {"nbytes": self.nbytes}

    @property
    def stored_bytes(self) -> int:
        """Bytes that an index stores of a code."""
        return self.nbytes

    @property
    def stored_bits(self) -> int:
        """True bits of a code."""
        return 8 * self.nbytes

    def prefixes(self) -> list[ByteCode]:
        """Shorter standard codes, shortest first."""
        return [ByteCode(self.coder, n) for n in self.coder.budgets if n < self.nbytes]

    def stored_form(self, codes: Bytes) -> Bytes:
        """Return the codes: byte codes have one form."""
        return codes

    def encode(self, X: Floats, compact: bool = False) -> Bytes:
        """Encode finite float32 (n, d) into uint8 (n, nbytes); compact changes nothing."""
        return self.coder.encode(X, self.nbytes)

    def query_tables(self, Q: Floats) -> scoring.QueryTables:
        """Weigh queries float32 (m, d), see `ByteCoder.query_tables`."""
        return self.coder.query_tables(Q, self.nbytes)

    @property
    def factor_steps(self) -> Floats:
        """The 256 factors that codes of this length can have."""
        return scoring.factor_steps(1 / float(self.coder.lengths[self.nbytes - 1]))

    def factor_indices(self, stored: Bytes) -> Bytes:
        """Return uint8 (n,): the step of one over each code's |x_hat|."""
        square = self.coder.squared_lengths(stored)
        return scoring.nearest_step(1 / np.sqrt(np.maximum(square, 1e-12)), self.factor_steps)
