"""What an additive quantizer asks of the kernels: to choose, multiply and add up codewords.

Arguments are checked, paths and threads chosen as `qama.kernels` says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qama.kernels import _check
from qama.kernels._arrays import I16, I32, I64, U8
from qama.kernels._dispatch import backend
from qama.kernels.codebooks import Codebooks, panels
from qama.kernels.layout import NIBBLE_SIZE


def prepare_codebooks(
    codewords: I16,
    reach: float,
    size: int = NIBBLE_SIZE,
    *,
    threads: int = 0,
    path: str | None = None,
) -> Codebooks:
    """Multiply the codewords with each other, and find the smallest shift that avoids overflow.

    The shift is the smallest for which twice the products of codewords fit int16 and the products
    of a codeword and a row of norm up to ``reach`` stay within the limit. A cost during the search
    is a sum of at most s (s + 2) products of codewords and 2 s clamped products; the limit keeps
    it below 2^31 - 1.

    Args:
        codewords: int16 (w s, d), d even and below 2^20; s at most 64, and even where w is 16.
        reach: The norm of the longest row that must not be clamped, at least 0.
        size: w, 16 or 256.
        threads: Threads to use.
        path: Force one path; None chooses.

    Raises:
        ValueError: codewords of another form.
    """
    codewords = _check.codewords(codewords, size)
    W = codewords.astype(np.float64)  # products are exact: whole numbers below 2**53
    squares = np.einsum("ij,ij->i", W, W)
    most, books = float(squares.max()), len(codewords) // size  # no product is larger
    limit = (2**31 - 2 - books * (books + 2) * 2**15) // (2 * books)
    shift = 0
    while 2 * most / 2**shift >= 2**15 or limit < reach * np.sqrt(most) / 2**shift:
        shift += 1
    laid_out = panels(codewords)
    if most < 2**31:
        products: npt.NDArray[Any] = multiply(codewords, laid_out, threads=threads, path=path)
    else:  # of a damaged file
        products = (W @ W.T).astype(np.int64)
    twice = products << 1 if shift == 0 else products >> (shift - 1)
    return Codebooks(
        codewords,
        size,
        laid_out,
        twice.astype(np.int16),
        (squares.astype(np.int64) >> shift).astype(np.int32),
        shift,
        limit,
    )


def choose_codewords(
    rows: I16,
    codebooks: Codebooks,
    *,
    beam: int,
    sweeps: int,
    threads: int = 0,
    path: str | None = None,
) -> tuple[U8, I16]:
    """Choose one codeword of each codebook for each row, all codebooks together.

    Seeks codewords of low ``|r - their sum|^2`` for each row ``r``: the encoding of an additive
    quantizer (Babenko and Lempitsky, CVPR 2014). First a beam search: codebook by codebook, it
    keeps the ``beam`` cheapest choices so far, ties by the order of the choices that they extend,
    then by lower codeword. Then coordinate descent on the cheapest choice: codebook by codebook, it
    takes the cheapest codeword given all others, ties by lower codeword; ``sweeps`` times, or until
    nothing changes. Costs are whole numbers, of products halved as `Codebooks` says.

    Args:
        rows: int16 ``(n, d)``. The product of a row and a codeword is taken modulo ``2**32``,
            halved and clamped.
        codebooks: From `prepare_codebooks`.
        beam: Choices kept, 1 to 16.
        sweeps: Rounds of coordinate descent, at least 0.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        The codes, uint8 ``(n, bytes)``: one byte for a codebook of 256, one nibble for a codebook
        of 16, the earlier one in the high nibble. And the residuals, int16 ``(n, d)``: the rows
        less their codewords, clamped to int16. Both depend on their row alone.
    """
    rows = _check.choice(rows, codebooks.codewords.shape[1], beam, sweeps)
    _check.at_least("threads", threads, 0)
    return backend(path).choose_codewords(
        rows, codebooks, beam=beam, sweeps=sweeps, threads=threads
    )


def multiply(rows: I16, panels: I32, *, threads: int = 0, path: str | None = None) -> I32:
    """Multiply rows and codewords; the products are exact modulo ``2**32``.

    Args:
        rows: int16 ``(n, d)``, d even and below 2^20.
        panels: int32 ``(w / 32, d / 2, 32)``, w codewords as `qama.kernels.panels` lays them out.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        int32 ``(n, w)``.
    """
    panels = _check.array("panels", panels, np.int32, (None, None, 32))
    rows = _check.array("rows", rows, np.int16, (None, 2 * panels.shape[1]))
    _check.at_least("threads", threads, 0)
    return backend(path).multiply(rows, panels, threads=threads)


def codeword_sums(
    codes: U8, rows: I16, *, full: int = 0, threads: int = 0, path: str | None = None
) -> I64:
    """Add up, for each codeword, the rows whose codes chose it.

    Args:
        codes: uint8 ``(n, b)``.
        rows: int16 ``(n, d)``.
        full: Leading bytes that choose one codeword of 256, at most ``b``.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        int64 ``(codewords, d)``, in the order of `CodebookLayout`.
    """
    codes = _check.array("codes", codes, np.uint8, (None, None))
    rows = _check.array("rows", rows, np.int16, (len(codes), None))
    _check.layout(codes, full)
    _check.at_least("threads", threads, 0)
    return backend(path).codeword_sums(codes, rows, full=full, threads=threads)


def count_pairs(
    codes: U8,
    counts: I32,
    *,
    full: int = 0,
    times: int = 1,
    threads: int = 0,
    path: str | None = None,
) -> None:
    """Add to counts, for each two codewords, how many codes chose both.

    Args:
        codes: uint8 ``(n, b)``.
        counts: int32 ``(codewords, codewords)``, in the order of `CodebookLayout`, changed in
            place; on the diagonal how many codes chose a codeword.
        full: Leading bytes that choose one codeword of 256, at most ``b``.
        times: What each code adds: -1 takes codes out that were added.
        threads: Threads to use.
        path: Force one path; None chooses.

    Raises:
        ValueError: an argument that does not fit; the message names it.
    """
    codes = _check.array("codes", codes, np.uint8, (None, None))
    width = _check.layout(codes, full).codewords
    _check.array("counts", counts, np.int32, (width, width))
    if not counts.flags.c_contiguous:
        raise ValueError("counts is not C-contiguous; it is changed in place")
    if not counts.flags.writeable:
        raise ValueError("counts cannot be written; it is changed in place")
    _check.at_least("threads", threads, 0)
    backend(path).count_pairs(codes, counts, full=full, times=times, threads=threads)


def squared_norms(
    codes: U8,
    codewords: I16,
    start: I16,
    *,
    full: int = 0,
    threads: int = 0,
    path: str | None = None,
) -> I64:
    """Compute ``|start + the sum of a code's codewords|^2``.

    Args:
        codes: uint8 ``(n, b)``, ``b`` from 1 to 256.
        codewords: int16 ``(codewords, d)``, ``d < 2**14``, in the order of `CodebookLayout`.
        start: int16 ``(d,)``.
        full: Leading bytes that choose one codeword of 256, at most ``b``.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        int64 ``(n,)``, exact.
    """
    codes = _check.array("codes", codes, np.uint8, (None, None))
    _check.at_least("codes.shape[1]", codes.shape[1], 1)
    layout, columns = _check.layout(codes, full), codes.shape[1]
    codewords = _check.array("codewords", codewords, np.int16, (layout.codewords, None))
    start = _check.array("start", start, np.int16, (codewords.shape[1],))
    if columns > 256 or len(start) >= 2**14:
        raise ValueError(
            f"codes have {columns} columns of {len(start)} dims; at most 256 of fewer than "
            f"{2**14} are possible, or sums could leave int64"
        )
    _check.at_least("threads", threads, 0)
    return backend(path).squared_norms(codes, codewords, start, full=full, threads=threads)
