"""Words of an additive quantizer, made ready to be chosen from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qama.kernels import _check
from qama.kernels._arrays import I16, I32


@dataclass(frozen=True)
class Words:
    """What `qama.kernels.choose_words` chooses from; made by `prepare_words`.

    Attributes:
        words: int16 (16 s, d): 16 words for each of s sections.
        twice: int32 (16 s, 16 s), twice the products of words, halved ``shift`` times.
        squares: int32 (16 s,), their squares, halved ``shift`` times.
        shift: Times that products are halved, rounding down, so that costs stay within int32.
        limit: Halved products of rows and words are clamped to +-limit.
    """

    words: I16
    twice: I32
    squares: I32
    shift: int
    limit: int


def prepare_words(words: I16, reach: float) -> Words:
    """Multiply words with each other, and find the least shift.

    A cost on the way is a sum of words' products, at most four times the square of S, the sum over
    sections of their greatest norm, and of at most twice as many clamped products as there are
    sections; rounding adds at most one for each product of words. The shift is the least that
    keeps this below 2^31 - 1 and leaves the products of rows up to ``reach`` long unclamped.

    Args:
        words: int16 (16 s, d), s even and at most 64, d even and below 2^20.
        reach: The norm of the longest row that must not be clamped, at least 0.

    Raises:
        ValueError: words of another form.
    """
    words = _check.words(words)
    W = words.astype(np.float64)
    gram = (W @ W.T).astype(np.int64)  # exact: whole numbers below 2**53
    norms = np.ceil(np.sqrt(np.diagonal(gram)))
    most, sections = int(norms.reshape(-1, 16).max(axis=1).sum()), len(words) // 16
    shift = 0
    while _limit(most, sections, shift) < reach * norms.max() / 2**shift:
        shift += 1
    return Words(
        words,
        ((2 * gram) >> shift).astype(np.int32),
        (np.diagonal(gram) >> shift).astype(np.int32),
        shift,
        _limit(most, sections, shift),
    )


def _limit(most: int, sections: int, shift: int) -> int:
    return (2**31 - 2 - (4 * most**2 >> shift) - sections**2) // (2 * sections)
