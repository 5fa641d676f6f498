"""The kernels in NumPy: the meaning of every result, and the fallback.

Each native path returns exactly what these functions return. They take checked arguments (see
`qama.kernels`), ignore ``threads``, and work in chunks, so that memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from qama.kernels._arrays import CHUNK_BYTES, F32, I32, I64, U8, U64
from qama.kernels.reference_codebooks import (
    choose_codewords,
    codeword_sums,
    count_pairs,
    multiply,
    nibble_tables,
    products,
    round_tables,
    squared_norms,
)
from qama.kernels.reference_vectors import whole_units
from qama.kernels.scans import HammingScan, Probes, QueryTables, StoredCodes, TableScan

__all__ = [
    "allowed_count",
    "blocks_to_visit",
    "choose_codewords",
    "codeword_sums",
    "count_pairs",
    "from_blocks",
    "hamming_distances",
    "hamming_rows",
    "hamming_topk",
    "multiply",
    "nibble_tables",
    "round_tables",
    "squared_norms",
    "table_rows",
    "table_topk",
    "to_blocks",
    "whole_units",
]

_ROWS = 64
_HIGH, _LOW = np.uint8(0xAA), np.uint8(0x55)

Values = npt.NDArray[Any]
AnyScan = TypeVar("AnyScan", HammingScan, TableScan)


def to_blocks(codes: U8, out: U8) -> None:
    """See `qama.kernels.to_blocks`."""
    n, columns = codes.shape
    padded = np.zeros((-(-n // _ROWS) * _ROWS, columns), np.uint8)
    padded[:n] = codes
    out[:] = padded.reshape(-1, _ROWS, columns).transpose(0, 2, 1)


def from_blocks(blocks: U8, n: int) -> U8:
    """See `qama.kernels.from_blocks`."""
    return np.ascontiguousarray(blocks.transpose(0, 2, 1).reshape(-1, blocks.shape[1])[:n])


def blocks_to_visit(probes: Probes, least: int, *, threads: int = 0) -> tuple[I64, I64]:
    """See `qama.kernels.blocks_to_visit`."""
    lists, held = probes.lists, probes.held
    near = products(probes.queries, lists.centroids.units).astype(np.int64)
    order = np.argsort(-near, axis=1, kind="stable")
    enough = held[order].cumsum(axis=1) >= least
    wanted = np.where(enough.any(axis=1), enough.argmax(axis=1) + 1, len(held))
    of_list = np.split(lists.blocks, lists.ends[:-1])
    visited, until = [np.empty(0, np.int64)], np.empty(len(order), np.int64)
    for query, count in enumerate(np.maximum(wanted, probes.nprobe)):
        own = np.concatenate([of_list[number] for number in order[query, :count]])
        visited.append(np.sort(own))
        until[query] = len(own)
    return np.concatenate(visited), until.cumsum()


def _visiting(scan: AnyScan, k: int) -> AnyScan:
    """Return the scan of the blocks that its probes visit."""
    assert scan.probes is not None
    visited, ends = blocks_to_visit(scan.probes, min(k, scan.probes.rows))
    return replace(scan, visited=visited, ends=ends, probes=None)


def allowed_count(scan: HammingScan | TableScan) -> int:
    """Count the rows that may be returned: of the query that has the fewest."""
    if scan.ends is not None:
        return _least_allowed(scan)
    mask, visited = scan.mask, scan.visited
    whole, rest = divmod(scan.stored.n, _ROWS)
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


def _least_allowed(scan: HammingScan | TableScan) -> int:
    assert scan.visited is not None
    assert scan.ends is not None
    counts = np.minimum(scan.stored.n - _ROWS * scan.visited, _ROWS)
    if scan.mask is not None:
        words = scan.mask[scan.visited] & (~np.uint64(0) >> (_ROWS - counts).astype(np.uint64))
        counts = np.bitwise_count(words).astype(np.int64)
    total = np.concatenate([[0], counts.cumsum()])[scan.ends]
    return int(np.diff(total, prepend=0).min(initial=np.iinfo(np.int64).max))


def hamming_distances(queries: U8, codes: U8, *, bits: int, bit_pairs: int = 0) -> I32:
    """See `qama.kernels.hamming_distances`: the meaning of a Hamming distance."""
    stored = np.ascontiguousarray(
        _planes(codes, bits, bit_pairs).T
    )  # (words, n): sums add whole rows
    distances = np.empty((len(queries), len(codes)), np.int32)
    for query, to in zip(_planes(queries, bits, bit_pairs), distances, strict=True):
        np.bitwise_count(stored ^ query[:, None]).sum(axis=0, dtype=np.int32, out=to)
    return distances


def hamming_topk(scan: HammingScan, k: int, *, threads: int = 0) -> tuple[I64, I32]:
    """See `qama.kernels.hamming_topk`."""
    if scan.probes is not None:
        return hamming_topk(_visiting(scan, k), k)
    if scan.ends is not None:
        least = min(k, allowed_count(scan))
        found = [hamming_topk(one, least) for one in scan.each()]
        return _together(found, least, np.dtype(np.int32))
    best = [_Best(k, np.dtype(np.int32)) for _ in scan.queries]
    for rows, codes in _chunks(scan, scan.queries.shape[1]):
        distances = hamming_distances(scan.queries, codes, bits=scan.bits, bit_pairs=scan.bit_pairs)
        for kept, values in zip(best, distances, strict=True):
            kept.add(rows, values)
    return _stacked(best, min(k, allowed_count(scan)), np.dtype(np.int32))


def hamming_rows(scan: HammingScan, rows: I64, *, threads: int = 0) -> I32:
    """See `qama.kernels.hamming_rows`."""
    distances = np.empty(rows.shape, np.int32)
    for i, chosen in enumerate(rows):
        query, codes = scan.queries[i : i + 1], _codes(scan, chosen, scan.queries.shape[1])
        distances[i] = hamming_distances(query, codes, bits=scan.bits, bit_pairs=scan.bit_pairs)[0]
    return distances


def table_topk(scan: TableScan, k: int, *, threads: int = 0) -> tuple[I64, F32]:
    """See `qama.kernels.table_topk`."""
    if scan.probes is not None:
        return table_topk(_visiting(scan, k), k)
    if scan.ends is not None:
        least = min(k, allowed_count(scan))
        each = [table_topk(one, least) for one in scan.each()]
        return _together(each, least, np.dtype(np.float32))
    queries = _tables(scan)
    best = [_Best(k, np.dtype(np.float32)) for _ in range(len(queries))]
    for rows, codes in _chunks(scan, scan.layout.nbytes):
        norms, places = _inverse_norms(scan.stored, rows), list(scan.layout.places(codes))
        for query, kept in enumerate(best):
            kept.add(rows, -_scores(queries, query, places, norms))
    found, losses = _stacked(best, min(k, allowed_count(scan)), np.dtype(np.float32))
    return found, -losses * queries.scales[:, None]


def table_rows(scan: TableScan, rows: I64, *, threads: int = 0) -> F32:
    """See `qama.kernels.table_rows`."""
    scores, queries = np.empty(rows.shape, np.float32), _tables(scan)
    for query, chosen in enumerate(rows):
        places = list(scan.layout.places(_codes(scan, chosen, scan.layout.nbytes)))
        scores[query] = _scores(queries, query, places, _inverse_norms(scan.stored, chosen))
    return scores * queries.scales[:, None]


def _tables(scan: TableScan) -> QueryTables:
    queries = scan.queries
    return queries if isinstance(queries, QueryTables) else nibble_tables(queries)


def _planes(codes: U8, bits: int, bit_pairs: int) -> U64:
    """Return words whose plain Hamming distance is the distance of the codes.

    A bit pair (hi, lo) becomes the thermometer bits hi|lo, hi&lo (in its place) and hi (behind all
    columns); bits that are not compared become zero.
    """
    columns = codes.shape[1]
    of_bit_pairs, of_plain = _leading_bits(2 * bit_pairs, columns), _leading_bits(bits, columns)
    of_plain &= ~of_bit_pairs
    high, low = codes & _HIGH & of_bit_pairs, (codes & _LOW & of_bit_pairs) << 1
    width = -(-(2 * columns if bit_pairs else columns) // 8) * 8
    planes = np.zeros((len(codes), width), np.uint8)
    planes[:, :columns] = (high | low) | ((high & low) >> 1) | (codes & of_plain)
    if bit_pairs:
        planes[:, columns : 2 * columns] = high
    return planes.view(np.uint64)


def _leading_bits(count: int, columns: int) -> U8:
    """Return bytes in which the first ``count`` bits are set."""
    return np.packbits(np.arange(8 * columns) < count)


def _inverse_norms(stored: StoredCodes, rows: I64) -> F32 | None:
    """Return the inverse norms of some rows; None: 1 for each."""
    if stored.inverse_norms is None:
        return None
    norms = stored.inverse_norms[rows]
    return cast(F32, norms if stored.steps is None else stored.steps[norms])


def _scores(
    queries: QueryTables, query: int, places: list[npt.NDArray[np.intp]], norms: F32 | None
) -> Values:
    """Return the scores of rows by the lookup table of one query, but for its scale.

    ``places`` are the numbers (n,) of the codewords that the rows choose from each codebook.
    """
    sums = np.full(len(places[0]), queries.offsets[query], np.int32)
    table = queries.tables[query].astype(np.int32)
    for chosen in places:
        sums += table.take(chosen)
    scores = sums.astype(np.float32)
    return scores if norms is None else scores * norms


def _chunks(scan: HammingScan | TableScan, columns: int) -> Iterator[tuple[I64, U8]]:
    """Yield the numbers and leading bytes of the allowed rows, a bounded number at a time."""
    step = max(1, CHUNK_BYTES // (columns * _ROWS))
    every = np.arange(len(scan.stored.blocks)) if scan.visited is None else scan.visited
    for first in range(0, len(every), step):
        numbers = every[first : first + step]
        rows = (_ROWS * numbers[:, None] + np.arange(_ROWS)).reshape(-1)
        allowed = rows < scan.stored.n
        if scan.mask is not None:
            words = scan.mask[numbers].astype("<u8").view(np.uint8)
            allowed &= np.unpackbits(words, bitorder="little").astype(bool)
        stored = [part[numbers, :width] for part, width in _parts(scan, columns)]
        codes = from_blocks(np.concatenate(stored, axis=1), len(rows))
        yield rows[allowed], codes[allowed]


def _codes(scan: HammingScan | TableScan, rows: I64, columns: int) -> U8:
    """Return the leading bytes of chosen rows."""
    block, lane = np.divmod(rows, _ROWS)
    stored = [part[block, :width, lane] for part, width in _parts(scan, columns)]
    return np.concatenate(stored, axis=1)


def _parts(scan: HammingScan | TableScan, columns: int) -> list[tuple[U8, int]]:
    """Return the arrays that hold the leading columns, and how many of these each holds."""
    blocks, rest = scan.stored.blocks, scan.stored.rest
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


def _together(found: list[tuple[I64, Any]], k: int, dtype: np.dtype[Any]) -> tuple[I64, Any]:
    """Put the results of each query, of ``k`` rows, below each other."""
    rows, values = np.empty((len(found), k), np.int64), np.empty((len(found), k), dtype)
    for query, one in enumerate(found):
        rows[query], values[query] = one[0][0], one[1][0]
    return rows, values


def _stacked(best: list[_Best], k: int, dtype: np.dtype[Any]) -> tuple[I64, Values]:
    """Stack the results of all queries, each of ``k`` rows."""
    rows, values = np.empty((len(best), k), np.int64), np.empty((len(best), k), dtype)
    for i, kept in enumerate(best):
        rows[i], values[i] = kept.rows, kept.values
    return rows, values
