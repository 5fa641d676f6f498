"""Byte codes: words in order of worth, so that every byte prefix of a code is itself a code.

A code of p bytes stands for the vector

    x_hat = c + the sum of the words that its bytes choose,

an additive quantizer (Babenko and Lempitsky, CVPR 2014). Each of the leading bytes, the *full*
ones, chooses one word of 256. Each later byte chooses two, one of 16 by each nibble, and the 16 of
its high nibble are sums A_i + B_j of four by four: that is coarser, and scans twice as fast
(docs/kernels.md). Bytes come in blocks; each block's words are chosen together, given the blocks
before, so as to minimise |x - x_hat|^2 (`qama.kernels.choose_codewords`). A document's score is the
cosine of the float query with x_hat.

Vectors, centre and words are whole numbers of 2^-14, and so is all that is computed of them: codes
and scores depend on their vectors alone, not on batches, threads or machines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks, kernels
from qama.checks import Bytes, Floats
from qama.encoding import scoring
from qama.encoding.transform import unit
from qama.kernels.layout import BYTE_SIZE, NIBBLE_SIZE, CodebookLayout, split_sums, split_terms

BUDGETS = (12, 24, 32, 48, 64, 96, 128, 192, 256)  # standard lengths in bytes
# Bytes at which a block ends. An index keeps one more byte per row, so both a standard length and
# one byte less are ends; no block is longer than 16 bytes, since its cost grows with its square.
BLOCK_ENDS = (
    *(11, 12, 23, 24, 31, 32, 47, 48, 63, 64, 80, 95, 96, 112, 127, 128),
    *(144, 160, 176, 191, 192, 208, 224, 240, 255, 256),
)
FULL = 23  # leading bytes that choose one word of 256, the end of a block
DEFAULT_BYTES = 48
BEAM, SWEEPS = 2, 4  # of the search for a block's words
UNIT = 2.0**-14
_QUERIES = 16  # whose tables are rounded together, in the cache
_ROWS = 128  # that are brought to whole numbers together, in the cache

Doubles = npt.NDArray[np.float64]
Int16s = npt.NDArray[np.int16]


def whole(V: npt.NDArray[np.floating]) -> Int16s:
    """Return floats as whole numbers of UNIT, int16, clamped to +-2."""
    return np.asarray(np.clip(np.rint(V / UNIT), -(2**15), 2**15 - 1), dtype=np.int16)


def prepared(words: Int16s, full: bool) -> kernels.Codebooks:
    """Prepare a block's words, all of full or all of later bytes.

    A unit vector lies within 2 of the centre.
    """
    return kernels.prepare_codebooks(words, 2 / UNIT, BYTE_SIZE if full else NIBBLE_SIZE)


@dataclass(frozen=True)
class ByteCoder:
    """What one fit holds for all its byte codes.

    Attributes:
        center: int16 (d,), c in units of 2^-14.
        words: int16 (words, d), in order of worth, in units of 2^-14, in the order of `layout`.
        lengths: float32 (bytes,), the mean |x_hat| of each byte prefix over the fitted rows.
    """

    center: Int16s
    words: Int16s
    lengths: Floats

    @property
    def dims(self) -> int:
        """Width of the vectors."""
        return int(self.words.shape[1])

    @property
    def max_bytes(self) -> int:
        """Length of the longest code."""
        return len(self.lengths)

    @cached_property
    def layout(self) -> CodebookLayout:
        """The codebooks of the longest code."""
        return CodebookLayout.with_bytes(len(self.words), self.max_bytes)

    @property
    def full(self) -> int:
        """Number of full bytes."""
        return self.layout.full

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
        if self.words.dtype != np.int16 or self.words.ndim != 2 or self.lengths.ndim != 1:
            raise ValueError(f"words are {self.words.dtype} of shape {self.words.shape}")
        (count, d), longest = self.words.shape, self.max_bytes
        if not 1 <= longest <= 256 or self.full not in (0, longest, *BLOCK_ENDS):
            raise ValueError(f"{count} words and lengths of shape {self.lengths.shape} misfit")
        if self.center.shape != (d,):
            raise ValueError(f"center {self.center.shape} and words of {d} dims misfit")
        if self.center.dtype != np.int16 or not (self.lengths > 0).all():
            raise ValueError("center or lengths are out of range")

    def encode(self, X: Floats, nbytes: int, threads: int = 0) -> Bytes:
        """Encode finite float32 (n, d) into uint8 (n, nbytes)."""
        rest, parts = self._centered(X), []
        for block in blocks(self.max_bytes):
            if block[0] >= nbytes:
                break
            words = self._block(*block)
            codes, rest = kernels.choose_codewords(
                rest, words, beam=BEAM, sweeps=SWEEPS, threads=threads
            )
            parts.append(codes)
        return np.ascontiguousarray(np.concatenate(parts, axis=1)[:, :nbytes])

    def _centered(self, X: Floats) -> Int16s:
        """Return X at length 1 less the center, in units of 2^-14."""
        rest, center = np.empty(X.shape, np.int16), self.center * UNIT
        for rows in checks.chunks(X, _ROWS):
            rest[rows] = whole(unit(X[rows]).astype(np.float64) - center)
        return rest

    def _block(self, start: int, stop: int) -> kernels.Codebooks:
        if start not in self._prepared:
            words = self.words[self.layout.of_bytes(start, stop)]
            self._prepared[start] = prepared(words, full=start < self.full)
        return self._prepared[start]

    @cached_property
    def _prepared(self) -> dict[int, kernels.Codebooks]:
        return {}  # by the block's first byte, made when first needed

    def decode(self, codes: Bytes) -> Floats:
        """Return x_hat of codes uint8 (n, bytes) as float32 (n, d), exact but for the rounding."""
        *_, total = self._totals(codes)
        return np.asarray(total * UNIT, dtype=np.float32)

    def prefix_lengths(self, codes: Bytes) -> Doubles:
        """Return |x_hat| of every byte prefix of codes uint8 (n, bytes) as float64 (bytes, n)."""
        lengths = np.empty(codes.shape[::-1])
        for rows in checks.chunks(codes, _ROWS):
            for last, total in enumerate(self._totals(codes[rows])):
                lengths[last, rows] = np.sqrt(np.square(total, dtype=np.float64).sum(axis=1)) * UNIT
        return lengths

    def _totals(self, codes: Bytes) -> Iterator[npt.NDArray[np.int32]]:
        """Yield the center and the words of a byte more each time, in one array (n, d)."""
        total = np.tile(self.center.astype(np.int32), (len(codes), 1))
        for byte in self.layout.leading(codes.shape[1]).places_of_bytes(codes):
            for places in byte:
                total += self.words[places]
            yield total

    # -- scoring ----------------------------------------------------------------------------

    def query_tables(self, Q: Floats, nbytes: int, threads: int = 0) -> scoring.QueryTables:
        """Weigh queries float32 (m, d): per byte or nibble and value, what it adds to q . x_hat."""
        queries, layout = whole(unit(Q)), self.layout.leading(nbytes)
        count = layout.codewords
        offsets = queries.astype(np.float64) @ self.center * UNIT**2
        products = kernels.multiply(queries, self._paired[: -(-count // 32)], threads=threads)
        few = [slice(first, first + _QUERIES) for first in range(0, len(Q), _QUERIES)]

        def rounded(some: slice) -> scoring.QueryTables:
            entries = products[some, :count] * UNIT**2
            return scoring.integer_tables(entries, offsets[some], layout.full, self.splits)

        return scoring.joined(rounded(some) for some in few or [slice(0)])

    @cached_property
    def _paired(self) -> npt.NDArray[np.int32]:
        return kernels.paired(self.words)

    @cached_property
    def splits(self) -> bool:
        """Whether all words of high nibbles are sums A_i + B_j: those of version 1 are not."""
        high = self.layout.later(self.words)[:, 0].astype(np.int32)
        return bool((high == split_sums(*split_terms(high, axis=1), axis=1)).all())

    def squared_lengths(self, codes: Bytes) -> Doubles:
        """Return |x_hat|^2 of codes uint8 (n, bytes) as float64 (n,)."""
        layout = self.layout.leading(codes.shape[1])
        words = self.words[: layout.codewords]
        norms = kernels.squared_norms(codes, words, self.center, full=layout.full)
        return norms.astype(np.float64) * UNIT**2

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays to store, by name; words without full bytes are (nibbles, 16, d)."""
        words = self.words if self.full else self.words.reshape(-1, NIBBLE_SIZE, self.dims)
        return {"center": self.center, "words": words, "lengths": self.lengths}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> ByteCoder:
        """Make a coder of what `arrays` returned, checked.

        Raises:
            ValueError: the part that does not fit, and its shape.
        """
        words = arrays["words"]
        if words.ndim == 3 and words.shape[1] == NIBBLE_SIZE:
            words = words.reshape(-1, words.shape[2])
        coder = cls(arrays["center"], words, arrays["lengths"])
        coder.check()
        return coder


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

    def query_tables(self, Q: Floats, threads: int = 0) -> scoring.QueryTables:
        """Weigh queries float32 (m, d), see `ByteCoder.query_tables`."""
        return self.coder.query_tables(Q, self.nbytes, threads)

    @property
    def factor_steps(self) -> Floats:
        """The 256 factors that codes of this length can have."""
        return scoring.factor_steps(1 / float(self.coder.lengths[self.nbytes - 1]))

    def factor_indices(self, stored: Bytes) -> Bytes:
        """Return uint8 (n,): the step of one over each code's |x_hat|."""
        square = self.coder.squared_lengths(stored)
        return scoring.nearest_step(1 / np.sqrt(np.maximum(square, 1e-12)), self.factor_steps)
