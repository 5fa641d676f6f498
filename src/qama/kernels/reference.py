"""The kernels in NumPy: the meaning of every result, and the fallback.

Each native path returns exactly what these functions return. They take checked arguments (see
`qama.kernels`), ignore ``threads``, and work in chunks, so that memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from qama.kernels._arrays import F32, I16, I32, I64, U8, U64, Factors

_ROWS = 64
_CHUNK_BYTES = 1 << 22  # of codes at a time
_SEED = 12345  # where the pseudo-random numbers of choose_bits start
_NEVER = np.int32(2**31 - 1)  # above every gain
_HIGH, _LOW = np.uint8(0xAA), np.uint8(0x55)

Values = npt.NDArray[Any]


def to_blocks(codes: U8) -> U8:
    """See `qama.kernels.to_blocks`."""
    n, columns = codes.shape
    padded = np.zeros((-(-n // _ROWS) * _ROWS, columns), np.uint8)
    padded[:n] = codes
    return np.ascontiguousarray(padded.reshape(-1, _ROWS, columns).transpose(0, 2, 1))


def from_blocks(blocks: U8, n: int) -> U8:
    """See `qama.kernels.from_blocks`."""
    return np.ascontiguousarray(blocks.transpose(0, 2, 1).reshape(-1, blocks.shape[1])[:n])


def allowed_count(n: int, mask: U64 | None) -> int:
    """Count the rows that may be returned."""
    if mask is None:
        return n
    whole, rest = divmod(n, _ROWS)
    count = int(np.bitwise_count(mask[:whole]).sum(dtype=np.int64))
    if rest:
        count += (int(mask[whole]) & ((1 << rest) - 1)).bit_count()
    return count


def hamming_topk(
    blocks: U8,
    n: int,
    queries: U8,
    k: int,
    *,
    bits: int,
    pairs: int = 0,
    mask: U64 | None = None,
    threads: int = 0,
) -> tuple[I64, I32]:
    """See `qama.kernels.hamming_topk`."""
    planes = _planes(queries, bits, pairs)
    best = [_Best(k, np.dtype(np.int32)) for _ in planes]
    for rows, codes in _chunks(blocks, n, queries.shape[1], mask):
        stored = _planes(codes, bits, pairs)
        for query, kept in zip(planes, best, strict=True):
            kept.add(rows, _distances(stored, query))
    return _stacked(best, min(k, allowed_count(n, mask)), np.dtype(np.int32))


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
    factors: Factors | None = None,
    steps: F32 | None = None,
    mask: U64 | None = None,
    threads: int = 0,
) -> tuple[I64, F32]:
    """See `qama.kernels.table_topk`."""
    best = [_Best(k, np.dtype(np.float32)) for _ in tables]
    for rows, codes in _chunks(blocks, n, tables.shape[1] // 2, mask):
        weights = _weights(factors, steps, rows)
        for table, offset, kept in zip(tables, offsets, best, strict=True):
            kept.add(rows, -_scores(codes, table, offset, weights))
    found, losses = _stacked(best, min(k, allowed_count(n, mask)), np.dtype(np.float32))
    return found, -losses


def table_rows(
    blocks: U8,
    rows: I64,
    tables: I16,
    offsets: I32,
    *,
    factors: Factors | None = None,
    steps: F32 | None = None,
    threads: int = 0,
) -> F32:
    """See `qama.kernels.table_rows`."""

    def scores(query: int, codes: U8) -> Values:
        weights = _weights(factors, steps, rows[query])
        return _scores(codes, tables[query], offsets[query], weights)

    return _of_rows(blocks, rows, tables.shape[1] // 2, np.dtype(np.float32), scores)


def choose_bits(linear: I32, gram: I32, *, steps: int, tenure: int, threads: int = 0) -> U8:
    """See `qama.kernels.choose_bits`."""
    others = gram * ~np.eye(len(gram), dtype=bool)  # the diagonal adds the same to every b
    step = max(1, _CHUNK_BYTES // (4 * len(gram)))
    codes = np.empty((len(linear), len(gram) // 8), np.uint8)
    for first in range(0, len(linear), step):
        rows = slice(first, first + step)
        codes[rows] = _chosen(linear[rows], others, _rests(steps, tenure))
    return codes


def _rests(steps: int, tenure: int) -> Iterator[int]:
    """Yield how many steps the bit that each step flips must rest: the same for every row."""
    state = _SEED
    for _ in range(steps):
        state = (state * 1664525 + 1013904223) % 2**32
        yield tenure + ((state >> 8) * (tenure + 1) >> 24)


def _chosen(linear: I32, gram: I32, rests: Iterator[int]) -> U8:
    """Choose the bits of a few rows; ``gram`` has no diagonal."""
    signs = np.where(linear >= 0, np.int32(1), np.int32(-1))
    sums = signs.astype(np.float64) @ gram.astype(np.float64)  # exact: integers below 2**53
    gains = signs * (linear - sums.astype(np.int32))  # a quarter of the change if a bit flips
    held = np.full(signs.shape, -1, np.int64)
    best, least = np.packbits(signs > 0, axis=1), np.zeros(len(signs), np.int64)
    cost, rows = least.copy(), np.arange(len(signs))
    for t, rest in enumerate(rests):
        bits = np.where(held < t, gains, _NEVER).argmin(axis=1)
        gain, sign = gains[rows, bits], signs[rows, bits]
        gains += 2 * gram[bits] * signs * sign[:, None]
        gains[rows, bits], signs[rows, bits] = -gain, -sign
        held[rows, bits] = t + rest
        cost += gain
        better = cost < least
        least[better] = cost[better]
        best[better] = np.packbits(signs[better] > 0, axis=1)
    return best


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


def _scores(codes: U8, table: I16, offset: np.int32, weights: F32 | None) -> Values:
    sums = np.full(len(codes), offset, np.int32)
    for column in range(codes.shape[1]):
        sums += table[2 * column][codes[:, column] >> 4]
        sums += table[2 * column + 1][codes[:, column] & 15]
    scores = sums.astype(np.float32)
    return scores if weights is None else scores * weights


def _chunks(blocks: U8, n: int, columns: int, mask: U64 | None) -> Iterator[tuple[I64, U8]]:
    """Yield the numbers and leading bytes of the allowed rows, a bounded number at a time."""
    step = max(1, _CHUNK_BYTES // (columns * _ROWS))
    for first in range(0, len(blocks), step):
        some = blocks[first : first + step, :columns]
        rows = np.arange(_ROWS * first, min(n, _ROWS * (first + len(some))))
        codes = from_blocks(some, len(rows))
        if mask is not None:
            words = mask[first : first + step].astype("<u8").view(np.uint8)
            allowed = np.unpackbits(words, bitorder="little")[: len(rows)].astype(bool)
            rows, codes = rows[allowed], codes[allowed]
        yield rows, codes


def _of_rows(
    blocks: U8,
    rows: I64,
    columns: int,
    dtype: np.dtype[Any],
    values: Callable[[int, U8], Values],
) -> Values:
    """Compute ``values(query, codes)`` of each query's rows."""
    out = np.empty(rows.shape, dtype)
    for query, chosen in enumerate(rows):
        block, lane = np.divmod(chosen, _ROWS)
        out[query] = values(query, blocks[block, :columns, lane])
    return out


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
