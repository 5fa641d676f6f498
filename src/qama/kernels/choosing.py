"""What additive quantizers need of the kernels: words chosen, multiplied, added up.

Arguments are checked, paths and threads chosen as `qama.kernels` says.
"""

from __future__ import annotations

import numpy as np

from qama.kernels import _check
from qama.kernels._arrays import I16, I32, I64, U8
from qama.kernels._dispatch import backend
from qama.kernels.words import Words


def choose_words(
    rows: I16,
    words: Words,
    *,
    beam: int,
    sweeps: int,
    threads: int = 0,
    path: str | None = None,
) -> tuple[U8, I16]:
    """Choose one word of each section for each row, all sections together.

    Seeks words of low ``|r - sum of the words|^2`` for each row ``r``: the encoding of an additive
    quantizer (Babenko and Lempitsky, CVPR 2014). First a beam search: section by section, the
    ``beam`` cheapest choices so far are kept, ties by the order of their parents, then by lower
    word. Then coordinate descent on the cheapest: section by section, the word of least cost given
    all others, ties by lower word; ``sweeps`` times, or until nothing changes. Costs are whole
    numbers, of products halved as `Words` says.

    Args:
        rows: int16 ``(n, d)``. The product of a row and a word is taken modulo ``2**32``, halved
            and clamped.
        words: From `prepare_words`, of ``s`` sections.
        beam: Choices kept, 1 to 16.
        sweeps: Rounds of coordinate descent, at least 0.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        uint8 ``(n, bytes)``: of sections of 16 words two a byte, the earlier section in the high
        nibble, of sections of 256 one a byte; and the rows less their words, int16 ``(n, d)``,
        clamped to int16. Each row's depend on it alone.
    """
    rows = _check.choice(rows, words.words.shape[1], beam, sweeps)
    _check.at_least("threads", threads, 0)
    return backend(path).choose_words(rows, words, beam=beam, sweeps=sweeps, threads=threads)


def multiply(rows: I16, pairs: I32, *, threads: int = 0, path: str | None = None) -> I32:
    """Multiply rows and words, exactly but for a carry out of 32 bits.

    Args:
        rows: int16 ``(n, d)``, d even and below 2^20.
        pairs: int32 ``(w / 32, d / 2, 32)``, w words as `paired` lays them out.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        int32 ``(n, w)``, products modulo ``2**32``.
    """
    pairs = _check.array("pairs", pairs, np.int32, (None, None, 32))
    rows = _check.array("rows", rows, np.int16, (None, 2 * pairs.shape[1]))
    _check.at_least("threads", threads, 0)
    return backend(path).multiply(rows, pairs, threads=threads)


def word_sums(
    codes: U8, rows: I16, *, full: int = 0, threads: int = 0, path: str | None = None
) -> I64:
    """Add up the rows that chose each word.

    Args:
        codes: uint8 ``(n, b)``, as `choose_words` returns them.
        rows: int16 ``(n, d)``.
        full: Leading bytes that choose one word of 256, at most ``b``.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        int64 ``(words, d)``, in the order of `CodebookLayout`.
    """
    codes = _check.array("codes", codes, np.uint8, (None, None))
    rows = _check.array("rows", rows, np.int16, (len(codes), None))
    _check.layout(codes, full)
    _check.at_least("threads", threads, 0)
    return backend(path).word_sums(codes, rows, full=full, threads=threads)


def squared_norms(
    codes: U8, words: I16, start: I16, *, full: int = 0, threads: int = 0, path: str | None = None
) -> I64:
    """Compute ``|start + the sum of a code's words|^2``.

    Args:
        codes: uint8 ``(n, b)``, ``b`` at most 256, as `choose_words` returns them.
        words: int16 ``(words, d)``, ``d < 2**14``, in the order of `CodebookLayout`.
        start: int16 ``(d,)``.
        full: Leading bytes that choose one word of 256, at most ``b``.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        int64 ``(n,)``, exact.
    """
    codes = _check.array("codes", codes, np.uint8, (None, None))
    _check.at_least("codes.shape[1]", codes.shape[1], 1)
    layout, columns = _check.layout(codes, full), codes.shape[1]
    words = _check.array("words", words, np.int16, (layout.codewords, None))
    start = _check.array("start", start, np.int16, (words.shape[1],))
    if columns > 256 or len(start) >= 2**14:
        raise ValueError(
            f"codes have {columns} columns of {len(start)} dims; at most 256 of fewer than "
            f"{2**14} are possible, or sums could leave int64"
        )
    _check.at_least("threads", threads, 0)
    return backend(path).squared_norms(codes, words, start, full=full, threads=threads)
