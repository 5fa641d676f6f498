"""Words of an additive quantizer, made ready to be chosen from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qama.kernels import _check
from qama.kernels._arrays import I16, I32
from qama.kernels.layout import NIBBLE_SIZE, CodebookLayout

_PAIRED_WORDS = 32  # that lie beside each other in Words.pairs


@dataclass(frozen=True)
class Words:
    """What `qama.kernels.choose_words` chooses from; made by `prepare_words`.

    Attributes:
        words: int16 (w s, d): w words for each of s sections.
        section_words: w, 16 or 256.
        pairs: int32 (w s / 32, d / 2, 32): the same, two entries of 32 words at a time.
        twice: int16 (w s, w s), twice the products of words, halved ``shift`` times.
        squares: int32 (w s,), their squares, halved ``shift`` times.
        shift: Times that products are halved, rounding down.
        limit: Halved products of rows and words are clamped to +-limit.
    """

    words: I16
    section_words: int
    pairs: I32
    twice: I16
    squares: I32
    shift: int
    limit: int

    @property
    def layout(self) -> CodebookLayout:
        """The codebooks, all of the same size."""
        byte = CodebookLayout.uniform(1, self.section_words).codewords
        return CodebookLayout.uniform(len(self.words) // byte, self.section_words)


def prepare_words(words: I16, reach: float, section_words: int = NIBBLE_SIZE) -> Words:
    """Multiply words with each other, and find the least shift.

    The shift is the least for which twice the products of words fit int16, and for which those of
    a word and a row up to ``reach`` long stay within the limit. A cost on the way is a sum of at
    most s (s + 2) products of words and of twice as many clamped ones as there are sections; the
    limit keeps it below 2^31 - 1.

    Args:
        words: int16 (w s, d), d even and below 2^20; s at most 64, and even where w is 16.
        reach: The norm of the longest row that must not be clamped, at least 0.
        section_words: w, 16 or 256.

    Raises:
        ValueError: words of another form.
    """
    words = _check.words(words, section_words)
    W = words.astype(np.float64)
    gram = W @ W.T  # exact: whole numbers below 2**53
    most, sections = 2 * float(np.abs(gram).max()), len(words) // section_words
    limit = (2**31 - 2 - sections * (sections + 2) * 2**15) // (2 * sections)
    longest = float(np.sqrt(np.diagonal(gram).max()))
    shift = 0
    while most / 2**shift >= 2**15 or limit < reach * longest / 2**shift:
        shift += 1
    squares = np.diagonal(gram).astype(np.int64) >> shift
    gram *= 2.0 ** (1 - shift)
    return Words(
        words,
        section_words,
        paired(words),
        np.floor(gram, out=gram).astype(np.int16),
        squares.astype(np.int32),
        shift,
        limit,
    )


def paired(words: I16) -> I32:
    """Lay words int16 (w, d) out as `Words.pairs`; zeros fill the last 32 words up."""
    filled = np.zeros((-(-len(words) // _PAIRED_WORDS) * _PAIRED_WORDS, words.shape[1]), np.int16)
    filled[: len(words)] = words
    pairs = filled.view(np.int32).reshape(-1, _PAIRED_WORDS, words.shape[1] // 2)
    return np.ascontiguousarray(pairs.swapaxes(1, 2))


def unpaired(pairs: I32) -> I16:
    """Return the words (w, d), those that filled up among them."""
    words = np.ascontiguousarray(pairs.swapaxes(1, 2)).view(np.int16)
    return words.reshape(-1, words.shape[2])
