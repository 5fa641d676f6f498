"""Search kernels: the narrow seam between Python and the native scans.

Scans work on *blocks*: uint8 ``(ceil(n / 64), nbytes, 64)``, 64 rows per block, one
byte column at a time, rows past ``n`` zero (see ``docs/kernels.md``). Bits run from the most
significant one down, as in `numpy.packbits`. Results are ordered best first, ties by lower row,
and are the same, bit for bit, for every path and number of threads.

Every function checks its arguments and raises `ValueError` naming the one that does not fit.
``threads=0`` means all cores, fewer for little work. ``path`` forces one path for one call
(`info` lists them); otherwise the environment variable ``QAMA_KERNEL`` decides, or else the best
path of this CPU.
"""

from __future__ import annotations

import numpy as np

from qama.kernels import _check
from qama.kernels._arrays import F32, I16, I32, I64, U8, U64, Factors, zero_blocks
from qama.kernels._dispatch import backend, chosen_path, native_paths
from qama.kernels.choosing import choose_words, multiply, squared_norms, word_sums
from qama.kernels.words import Words, paired, prepare_words

__all__ = [
    "Words",
    "choose_words",
    "from_blocks",
    "hamming_rows",
    "hamming_topk",
    "info",
    "multiply",
    "paired",
    "prepare_words",
    "squared_norms",
    "table_rows",
    "table_topk",
    "to_blocks",
    "word_sums",
    "zero_blocks",
]


def info() -> dict[str, object]:
    """Say which kernels run: ``native``, the ``path`` in use and the ``available`` paths.

    Raises:
        ValueError: ``QAMA_KERNEL`` names no path, or one that this machine lacks.
    """
    path = chosen_path()
    return {"native": path != "numpy", "path": path, "available": [*native_paths(), "numpy"]}


def to_blocks(codes: U8, *, out: U8 | None = None, path: str | None = None) -> U8:
    """Rearrange rows of bytes into blocks.

    Args:
        codes: uint8 ``(n, nbytes)``; may be some columns of a longer array, which is not copied.
        out: Where to write, C-contiguous and of the shape below; None: a new array.
        path: Force one path; None chooses.

    Returns:
        uint8 ``(ceil(n / 64), nbytes, 64)``; rows past ``n`` are zero.
    """
    codes = _check.columns("codes", codes)
    _check.at_least("codes.shape[1]", codes.shape[1], 1)
    if out is None:
        out = zero_blocks(-(-len(codes) // 64), codes.shape[1])
    _check.blocks(out, len(codes))
    _check.array("out", out, np.uint8, (None, codes.shape[1], 64))
    backend(path).to_blocks(codes, out)
    return out


def from_blocks(blocks: U8, n: int, *, path: str | None = None) -> U8:
    """Rearrange blocks into rows of bytes: the inverse of `to_blocks`.

    Args:
        blocks: uint8 ``(ceil(n / 64), nbytes, 64)``, C-contiguous.
        n: Number of rows.
        path: Force one path; None chooses.

    Returns:
        uint8 ``(n, nbytes)``.
    """
    _check.blocks(blocks, n)
    return backend(path).from_blocks(blocks, n)


def hamming_topk(
    blocks: U8,
    n: int,
    queries: U8,
    k: int,
    *,
    bits: int,
    pairs: int = 0,
    mask: U64 | None = None,
    visited: I64 | None = None,
    threads: int = 0,
    path: str | None = None,
) -> tuple[I64, I32]:
    """Find the ``k`` rows of least Hamming distance for each query.

    Args:
        blocks: uint8 ``(ceil(n / 64), nbytes, 64)``, C-contiguous.
        n: Number of rows.
        queries: uint8 ``(m, b)`` with ``b <= nbytes``: the leading columns to compare.
        k: Rows to return for each query, at least 1.
        bits: Bits to compare, at most ``8 * b``; later ones are ignored.
        pairs: The first ``2 * pairs`` bits are levels 0 to 3 in natural binary, high bit first;
            each pair adds ``|q - q'|``, the distance of its three thermometer bits.
        mask: uint64 ``(ceil(n / 64),)``; only rows ``64 * word + bit`` (value ``1 << bit``) whose
            bit is set are returned. None allows all.
        visited: int64 ``(v,)``, ascending numbers of the only blocks to scan. None scans all.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        Rows, int64 ``(m, k')``, and distances, int32 ``(m, k')``, with
        ``k' = min(k, number of allowed rows that are visited)``.
    """
    _check.blocks(blocks, n)
    queries = _check.queries(queries, blocks, bits, pairs)
    mask = _check.mask(mask, blocks)
    visited = _check.visited(visited, blocks)
    _check.at_least("k", k, 1)
    _check.at_least("threads", threads, 0)
    return backend(path).hamming_topk(
        blocks, n, queries, k,
        bits=bits, pairs=pairs, mask=mask, visited=visited, threads=threads,
    )  # fmt: skip


def hamming_rows(
    blocks: U8,
    rows: I64,
    queries: U8,
    *,
    bits: int,
    pairs: int = 0,
    threads: int = 0,
    path: str | None = None,
) -> I32:
    """Compute the Hamming distances of chosen rows.

    Args:
        blocks: uint8 ``(nblocks, nbytes, 64)``, C-contiguous.
        rows: int64 ``(m, c)``, each in ``0 .. 64 * nblocks - 1``: the rows for each query.
        queries: uint8 ``(m, b)``, as for `hamming_topk`.
        bits: As for `hamming_topk`.
        pairs: As for `hamming_topk`.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        int32 ``(m, c)``.
    """
    _check.blocks(blocks)
    queries = _check.queries(queries, blocks, bits, pairs)
    rows = _check.rows(rows, len(queries), 64 * len(blocks))
    _check.at_least("threads", threads, 0)
    return backend(path).hamming_rows(
        blocks, rows, queries, bits=bits, pairs=pairs, threads=threads
    )


def table_topk(
    blocks: U8,
    n: int,
    tables: I16,
    offsets: I32,
    k: int,
    *,
    full: int = 0,
    rest: U8 | None = None,
    factors: Factors | None = None,
    steps: F32 | None = None,
    mask: U64 | None = None,
    visited: I64 | None = None,
    threads: int = 0,
    path: str | None = None,
) -> tuple[I64, F32]:
    """Find the ``k`` rows of highest asymmetric score for each query.

    The score of a row is ``float32(S) * factor`` where ``S`` is the query's offset plus one table
    entry for each of the first ``full`` bytes of the row's code and for each nibble of the others.

    Args:
        blocks: uint8 ``(ceil(n / 64), nbytes, 64)``, C-contiguous.
        n: Number of rows.
        tables: int16 ``(m, e)``, ``e = 256 * full + 32 * (b - full)`` for the ``b >= 1`` leading
            bytes:
            256 entries for each of the first ``full`` bytes, then for each further byte 16 for its
            high nibble and 16 for its low one.
        offsets: int32 ``(m,)``; no ``S`` may leave int32.
        k: Rows to return for each query, at least 1.
        full: Leading bytes that have one table of 256 entries each.
        rest: uint8 ``(ceil(n / 64), more, 64)``, C-contiguous: the bytes after those in ``blocks``,
            where the leading ones are stored apart. None: there are no more.
        factors: float32 ``(n,)``, positive and finite (not checked), or None for 1. With
            ``steps``, uint8 ``(n,)``: which of the steps is the row's factor.
        steps: float32 ``(256,)``, positive and finite.
        mask: As for `hamming_topk`.
        visited: As for `hamming_topk`.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        Rows, int64 ``(m, k')``, and scores, float32 ``(m, k')``, with
        ``k' = min(k, number of allowed rows that are visited)``.
    """
    _check.blocks(blocks, n)
    stored = blocks.shape[1] + _check.rest(rest, len(blocks))
    tables, offsets = _check.tables(tables, offsets, stored, full)
    factors, steps = _check.factors(factors, steps, n)
    mask = _check.mask(mask, blocks)
    visited = _check.visited(visited, blocks)
    _check.at_least("k", k, 1)
    _check.at_least("threads", threads, 0)
    return backend(path).table_topk(
        blocks, n, tables, offsets, k,
        full=full, rest=rest, factors=factors, steps=steps, mask=mask, visited=visited,
        threads=threads,
    )  # fmt: skip


def table_rows(
    blocks: U8,
    rows: I64,
    tables: I16,
    offsets: I32,
    *,
    full: int = 0,
    rest: U8 | None = None,
    factors: Factors | None = None,
    steps: F32 | None = None,
    threads: int = 0,
    path: str | None = None,
) -> F32:
    """Compute the asymmetric scores of chosen rows.

    Args:
        blocks: uint8 ``(nblocks, nbytes, 64)``, C-contiguous.
        rows: int64 ``(m, c)``: the rows for each query, each a row of ``factors`` where these are
            given, else of ``blocks``.
        tables: As for `table_topk`.
        offsets: As for `table_topk`.
        full: As for `table_topk`.
        rest: As for `table_topk`.
        factors: As for `table_topk`.
        steps: As for `table_topk`.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        float32 ``(m, c)``.
    """
    _check.blocks(blocks)
    stored = blocks.shape[1] + _check.rest(rest, len(blocks))
    tables, offsets = _check.tables(tables, offsets, stored, full)
    count = 64 * len(blocks)
    if factors is not None:
        count = np.size(factors)
    factors, steps = _check.factors(factors, steps, count)
    rows = _check.rows(rows, len(tables), min(count, 64 * len(blocks)))
    _check.at_least("threads", threads, 0)
    return backend(path).table_rows(
        blocks, rows, tables, offsets,
        full=full, rest=rest, factors=factors, steps=steps, threads=threads,
    )  # fmt: skip
