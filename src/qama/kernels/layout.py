"""Where the codewords of an additive code lie: the one home of that arithmetic in Python.

A code of an additive quantizer chooses one codeword of each codebook. Each of its leading bytes,
the *full* ones, is a choice among 256 codewords. Each later byte makes two choices among 16, one
by its high nibble and one by its low nibble. Whatever has an entry per codeword (the codewords
themselves, the lookup table of a query, counts) holds the entries in this order: 256 for each
full byte, then, for each later byte, 16 for its high nibble and 16 for its low nibble.

The 16 codewords of a high nibble can be *split*: at ``4 i + j`` lies the sum of the i-th of four
vectors and the j-th of four others (`split_sums`). `csrc/codebooks.h` says the same in C++.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from qama.kernels._arrays import U8

BYTE_SIZE = 256  # codewords that a full byte chooses from
NIBBLE_SIZE = 16  # codewords that a nibble chooses from
_HALF = 4  # terms of each of the two sets whose sums fill a split codebook
BYTE_TERMS = 2 * _HALF + NIBBLE_SIZE  # of a later byte with a split codebook

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class CodebookLayout:
    """The codebooks of a code and the order of their codewords.

    Attributes:
        nbytes: Bytes of a code.
        full: Leading bytes that choose one codeword of 256, at most ``nbytes``.

    Raises:
        ValueError: ``full`` is below 0 or above ``nbytes``.
    """

    nbytes: int
    full: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.full <= self.nbytes:
            raise ValueError(f"full is {self.full}; 0 to {self.nbytes} of the bytes can be full")

    @classmethod
    def with_bytes(cls, codewords: int, nbytes: int) -> CodebookLayout:
        """Return the layout of that many codewords for codes of ``nbytes`` bytes.

        Raises:
            ValueError: no number of full bytes makes that many codewords.
        """
        full, left = divmod(codewords - 2 * NIBBLE_SIZE * nbytes, BYTE_SIZE - 2 * NIBBLE_SIZE)
        if left or not 0 <= full <= nbytes:
            raise ValueError(f"{codewords} codewords do not fill the codebooks of {nbytes} bytes")
        return cls(nbytes, full)

    @classmethod
    def with_full(cls, codewords: int, full: int) -> CodebookLayout:
        """Return the layout of that many codewords with ``full`` full bytes.

        Raises:
            ValueError: no number of later bytes makes that many codewords.
        """
        later, left = divmod(codewords - BYTE_SIZE * full, 2 * NIBBLE_SIZE)
        if left or later < 0:
            raise ValueError(f"{codewords} codewords do not fill codebooks with {full} full bytes")
        return cls(full + later, full)

    @classmethod
    def with_terms(cls, terms: int, nbytes: int) -> CodebookLayout:
        """Return the layout of that many terms for codes of ``nbytes`` bytes: see `summed`.

        Raises:
            ValueError: no number of full bytes makes that many terms.
        """
        full, left = divmod(terms - BYTE_TERMS * nbytes, BYTE_SIZE - BYTE_TERMS)
        if left or not 0 <= full <= nbytes:
            raise ValueError(f"{terms} terms do not fill the codebooks of {nbytes} bytes")
        return cls(nbytes, full)

    @classmethod
    def uniform(cls, nbytes: int, size: int) -> CodebookLayout:
        """Return the layout whose codebooks all hold ``size`` codewords, 16 or 256."""
        return cls(nbytes, nbytes if size == BYTE_SIZE else 0)

    @property
    def codewords(self) -> int:
        """How many codewords there are, all codebooks together."""
        return BYTE_SIZE * self.full + 2 * NIBBLE_SIZE * (self.nbytes - self.full)

    @property
    def terms(self) -> int:
        """How many terms the codewords are made of where high nibbles are split: see `summed`."""
        return BYTE_SIZE * self.full + BYTE_TERMS * (self.nbytes - self.full)

    @property
    def bits(self) -> tuple[int, ...]:
        """How many bits of a code choose from each codebook: 8 or 4."""
        return (8,) * self.full + (4, 4) * (self.nbytes - self.full)

    @property
    def codebooks(self) -> int:
        """How many codebooks there are."""
        return 2 * self.nbytes - self.full

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """The number of each codebook's first codeword."""
        return tuple(accumulate((1 << bits for bits in self.bits), initial=0))[:-1]

    def leading(self, nbytes: int) -> CodebookLayout:
        """Return the layout of the first ``nbytes`` bytes alone; its codewords come first here."""
        return CodebookLayout(nbytes, min(self.full, nbytes))

    def of_bytes(self, start: int, stop: int) -> slice:
        """Return which codewords belong to the bytes from ``start`` up to ``stop``."""
        return slice(self.leading(start).codewords, self.leading(stop).codewords)

    def chosen(self, codes: U8) -> U8:
        """Return which codeword of each codebook codes (n, nbytes) choose, (n, codebooks)."""
        return np.concatenate([codes[:, : self.full], _nibbles(codes[:, self.full :])], axis=1)

    def packed(self, chosen: U8) -> U8:
        """Return the codes (n, nbytes) that make these choices; inverts `chosen`."""
        later = chosen[:, self.full :]
        joined = later[:, ::2] << 4 | later[:, 1::2]
        return np.concatenate([chosen[:, : self.full], joined], axis=1)

    def places(self, codes: U8) -> Iterator[npt.NDArray[np.intp]]:
        """Yield, for each codebook, the numbers intp (n,) of the codewords that codes choose."""
        for first, chosen in zip(self.offsets, self.chosen(codes).T, strict=True):
            yield first + chosen.astype(np.intp)

    def places_of_bytes(self, codes: U8) -> Iterator[tuple[npt.NDArray[np.intp], ...]]:
        """Yield, for each byte, the numbers of its codewords: one if it is full, else two."""
        places = self.places(codes)
        for byte in range(self.nbytes):
            yield (next(places),) if byte < self.full else (next(places), next(places))

    def later(self, entries: Array, axis: int = 0) -> Array:
        """View the entries of the later bytes, one per codeword along ``axis``, by nibble.

        Returns:
            A view with ``(later bytes, 2, 16)`` in the place of that axis: the entries of the high
            nibble, then those of the low one.
        """
        first = self.leading(self.full).codewords
        entries = entries[(slice(None),) * axis + (slice(first, None),)]
        before, after = entries.shape[:axis], entries.shape[axis + 1 :]
        return entries.reshape(*before, self.nbytes - self.full, 2, NIBBLE_SIZE, *after)

    def summed(self, terms: Array, axis: int = 0) -> Array:
        """Return one entry for each codeword along ``axis``, of the terms that they are sums of.

        Terms are 256 for each full byte and, for each later byte, four and four whose sums are the
        16 of its high nibble, and the 16 of its low nibble.
        """
        whole, parts = np.split(terms, [BYTE_SIZE * self.full], axis=axis)
        before, after, count = terms.shape[:axis], terms.shape[axis + 1 :], self.nbytes - self.full
        parts = parts.reshape(*before, count, BYTE_TERMS, *after)
        first, second, low = np.split(parts, [_HALF, 2 * _HALF], axis=axis + 1)
        later = np.concatenate([split_sums(first, second, axis + 1), low], axis=axis + 1)
        later = later.reshape(*before, 2 * NIBBLE_SIZE * count, *after)
        return np.concatenate([whole, later], axis=axis)

    def parted(self, entries: Array, axis: int = 0) -> Array:
        """Return terms of which `summed` makes these entries, if any do: see `split_terms`."""
        whole = np.split(entries, [BYTE_SIZE * self.full], axis=axis)[0]
        later = self.later(entries, axis)
        high, low = (np.take(later, i, axis=axis + 1) for i in (0, 1))
        parts = np.concatenate([*split_terms(high, axis + 1), low], axis=axis + 1)
        before, after, count = parts.shape[:axis], parts.shape[axis + 2 :], parts.shape[axis]
        parts = parts.reshape(*before, BYTE_TERMS * count, *after)
        return np.concatenate([whole, parts], axis=axis)


def _nibbles(codes: U8) -> U8:
    """Return the nibbles (n, 2 b) of codes uint8 (n, b), the high one of a byte first."""
    return np.stack([codes >> 4, codes & 15], axis=2).reshape(len(codes), 2 * codes.shape[1])


def split_sums(first: Array, second: Array, axis: int) -> Array:
    """Return the 16 sums of four terms and four others along an axis, at ``4 i + j``."""
    sums: Array = np.expand_dims(first, axis + 1) + np.expand_dims(second, axis)
    return sums.reshape(*sums.shape[:axis], NIBBLE_SIZE, *sums.shape[axis + 2 :])


def split_terms(codewords: Array, axis: int) -> tuple[Array, Array]:
    """Return four and four terms whose `split_sums` are the 16 codewords, if any have these sums.

    The first of the second four is 0. Of other codewords, only those at ``4 i`` and those below 4
    are the sums of these terms.
    """
    before = (slice(None),) * axis
    first = codewords[(*before, slice(0, NIBBLE_SIZE, _HALF))]
    start = codewords[(*before, slice(0, 1))]
    return first, codewords[(*before, slice(0, _HALF))] - start
