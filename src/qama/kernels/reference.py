"""The kernels in NumPy: the meaning of every result, and the fallback.

Each native path returns exactly what these functions return. They take checked arguments (see
`qama.kernels`), ignore ``threads``, and work in chunks, so that memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from qama.kernels._arrays import CHUNK_BYTES, F32, I16, I32, I64, U8, U64, Factors
from qama.kernels.layout import CodebookLayout
from qama.kernels.reference_words import choose_words, multiply, squared_norms, word_sums

__all__ = [
    "allowed_count",
    "choose_words",
    "from_blocks",
    "hamming_rows",
    "hamming_topk",
    "multiply",
    "squared_norms",
    "table_rows",
    "table_topk",
    "to_blocks",
    "word_sums",
]

_ROWS = 64
_HIGH, _LOW = np.uint8(0xAA), np.uint8(0x55)

Values = npt.NDArray[Any]


def to_blocks(codes: U8, out: U8) -> None:
    """See `qama.kernels.to_blocks`."""
    n, columns = codes.shape
    padded = np.zeros((-(-n // _ROWS) * _ROWS, columns), np.uint8)
    padded[:n] = codes
    out[:] = padded.reshape(-1, _ROWS, columns).transpose(0, 2, 1)


def from_blocks(blocks: U8, n: int) -> U8:
    """See `qama.kernels.from_blocks`."""
    return np.ascontiguousarray(blocks.transpose(0, 2, 1).reshape(-1, blocks.shape[1])[:n])


def allowed_count(n: int, mask: U64 | None, visited: I64 | None = None) -> int:
    """Count the rows that may be returned."""
    whole, rest = divmod(n, _ROWS)
    last = (
        rest if mask is None else (int(mask[whole]) & ((1 << rest) - 1)).bit_count() if rest else 0
    )
    if visited is None:
        words = None if mask is None else mask[:whole]
        seen, ends = whole, True
    else:
        inner = visited[visited < whole]
        words = None if mask is None else mask[inner]
        seen, ends = len(inner), len(inner) < len(visited)
    count = seen * _ROWS if words is None else int(np.bitwise_count(words).sum(dtype=np.int64))
    return count + (last if ends else 0)


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
) -> tuple[I64, I32]:
    """See `qama.kernels.hamming_topk`."""
    planes = _planes(queries, bits, pairs)
    best = [_Best(k, np.dtype(np.int32)) for _ in planes]
    for rows, codes in _chunks(blocks, n, queries.shape[1], mask, visited):
        stored = _planes(codes, bits, pairs)
        for query, kept in zip(planes, best, strict=True):
            kept.add(rows, _distances(stored, query))
    return _stacked(best, min(k, allowed_count(n, mask, visited)), np.dtype(np.int32))


def hamming_rows(
    blocks: U8, rows: I64, queries: U8, *, bits: int, pairs: int = 0, threads: int = 0
) -> I32:
    """See `qama.kernels.hamming_rows`."""
    planes = _planes(queries, bits, pairs)

    def distances(query: int, codes: U8) -> Values:
        return _distances(_planes(codes, bits, pairs), planes[query])

    return _of_rows(blocks, rows, queries.shape[1], np.dtype(np.int32), distances)


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
) -> tuple[I64, F32]:
    """See `qama.kernels.table_topk`."""
    best = [_Best(k, np.dtype(np.float32)) for _ in tables]
    layout = CodebookLayout.with_full(tables.shape[1], full)
    for rows, codes in _chunks(blocks, n, layout.nbytes, mask, visited, rest):
        weights = _weights(factors, steps, rows)
        for table, offset, kept in zip(tables, offsets, best, strict=True):
            kept.add(rows, -_scores(codes, table, offset, layout, weights))
    found, losses = _stacked(best, min(k, allowed_count(n, mask, visited)), np.dtype(np.float32))
    return found, -losses


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
) -> F32:
    """See `qama.kernels.table_rows`."""
    layout = CodebookLayout.with_full(tables.shape[1], full)

    def scores(query: int, codes: U8) -> Values:
        weights = _weights(factors, steps, rows[query])
        return _scores(codes, tables[query], offsets[query], layout, weights)

    return _of_rows(blocks, rows, layout.nbytes, np.dtype(np.float32), scores, rest)


def _planes(codes: U8, bits: int, pairs: int) -> U64:
    """Return words whose plain Hamming distance is the distance of the codes.

    A pair (hi, lo) becomes the thermometer bits hi|lo, hi&lo (in its place) and hi (behind all
    columns); bits that are not compared become zero.
    """
    columns = codes.shape[1]
    of_pairs, of_plain = _leading_bits(2 * pairs, columns), _leading_bits(bits, columns)
    of_plain &= ~of_pairs
    high, low = codes & _HIGH & of_pairs, (codes & _LOW & of_pairs) << 1
    width = -(-(2 * columns if pairs else columns) // 8) * 8
    planes = np.zeros((len(codes), width), np.uint8)
    planes[:, :columns] = (high | low) | ((high & low) >> 1) | (codes & of_plain)
    if pairs:
        planes[:, columns : 2 * columns] = high
    return planes.view(np.uint64)


def _leading_bits(count: int, columns: int) -> U8:
    """Return bytes in which the first ``count`` bits are set."""
    return np.packbits(np.arange(8 * columns) < count)


def _distances(stored: U64, query: U64) -> Values:
    counts = np.bitwise_count(stored ^ query)
    return np.asarray(counts.sum(axis=1, dtype=np.int32))


def _weights(factors: Factors | None, steps: F32 | None, rows: I64) -> F32 | None:
    """Return the factors of some rows."""
    if factors is None:
        return None
    return cast(F32, factors[rows] if steps is None else steps[factors[rows]])


def _scores(
    codes: U8, table: I16, offset: np.int32, layout: CodebookLayout, weights: F32 | None
) -> Values:
    sums = np.full(len(codes), offset, np.int32)
    for places in layout.places(codes):
        sums += table[places]
    scores = sums.astype(np.float32)
    return scores if weights is None else scores * weights


def _chunks(
    blocks: U8, n: int, columns: int, mask: U64 | None, visited: I64 | None, rest: U8 | None = None
) -> Iterator[tuple[I64, U8]]:
    """Yield the numbers and leading bytes of the allowed rows, a bounded number at a time."""
    step = max(1, CHUNK_BYTES // (columns * _ROWS))
    for first in range(0, len(blocks) if visited is None else len(visited), step):
        numbers = np.arange(first, min(first + step, len(blocks)))
        if visited is not None:
            numbers = visited[first : first + step]
        rows = (_ROWS * numbers[:, None] + np.arange(_ROWS)).reshape(-1)
        allowed = rows < n
        if mask is not None:
            words = mask[numbers].astype("<u8").view(np.uint8)
            allowed &= np.unpackbits(words, bitorder="little").astype(bool)
        stored = [part[numbers, :width] for part, width in _parts(blocks, rest, columns)]
        codes = from_blocks(np.concatenate(stored, axis=1), len(rows))
        yield rows[allowed], codes[allowed]


def _of_rows(
    blocks: U8,
    rows: I64,
    columns: int,
    dtype: np.dtype[Any],
    values: Callable[[int, U8], Values],
    rest: U8 | None = None,
) -> Values:
    """Compute ``values(query, codes)`` of each query's rows."""
    out = np.empty(rows.shape, dtype)
    for query, chosen in enumerate(rows):
        block, lane = np.divmod(chosen, _ROWS)
        stored = [part[block, :width, lane] for part, width in _parts(blocks, rest, columns)]
        out[query] = values(query, np.concatenate(stored, axis=1))
    return out


def _parts(blocks: U8, rest: U8 | None, columns: int) -> list[tuple[U8, int]]:
    """Return what holds the leading columns, and how many of each."""
    here = min(columns, blocks.shape[1])
    return [(blocks, here)] if rest is None else [(blocks, here), (rest, columns - here)]


class _Best:
    """The k rows of least value among those added so far, ties by lower row."""

    def __init__(self, k: int, dtype: np.dtype[Any]) -> None:
        self.k = k
        self.rows: I64 = np.empty(0, np.int64)
        self.values: Values = np.empty(0, dtype)

    def add(self, rows: I64, values: Values) -> None:
        """Add rows in ascending order, all of them above those added before."""
        rows, values = np.append(self.rows, rows), np.append(self.values, values)
        if len(values) > self.k:
            near = values <= np.partition(values, self.k - 1)[self.k - 1]
            rows, values = rows[near], values[near]
        order = np.argsort(values, kind="stable")[: self.k]
        self.rows, self.values = rows[order], values[order]


def _stacked(best: list[_Best], k: int, dtype: np.dtype[Any]) -> tuple[I64, Values]:
    """Stack the results of all queries, each of ``k`` rows."""
    rows, values = np.empty((len(best), k), np.int64), np.empty((len(best), k), dtype)
    for i, kept in enumerate(best):
        rows[i], values[i] = kept.rows, kept.values
    return rows, values
