"""What a scan reads: stored codes, the queries, and which rows may be returned.

These objects are checked when they are made. The NumPy reference and the native module take them
whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from qama.kernels import _check
from qama.kernels._arrays import F32, I16, I32, I64, U8, U64, InverseNorms
from qama.kernels.layout import CodebookLayout


@dataclass(frozen=True, eq=False)
class HammingScan:
    """Stored codes and the queries whose Hamming distances to them are wanted.

    Attributes:
        blocks: uint8 ``(ceil(n / 64), nbytes, 64)``, C-contiguous.
        n: Number of rows.
        queries: uint8 ``(m, b)`` with ``b <= nbytes``: the leading columns to compare.
        bits: Bits to compare, at most ``8 * b``; later ones are ignored.
        bit_pairs: The first ``2 * bit_pairs`` bits are levels 0 to 3 in natural binary, high bit
            first; each bit pair adds ``|q - q'|``, the distance of its three thermometer bits.
        mask: uint64 ``(ceil(n / 64),)``; only rows ``64 * word + bit`` (value ``1 << bit``) whose
            bit is set are returned. None allows all.
        visited: int64 ``(v,)``, ascending numbers of the only blocks to scan. None scans all.
        ends: int64 ``(m,)``: each query scans blocks of its own, the i-th one those from
            ``visited[ends[i - 1]]`` (the first one from the start) to before ``visited[ends[i]]``,
            ascending. None: all queries scan the same.

    Raises:
        ValueError: an argument that does not fit; the message names it.
    """

    blocks: U8
    n: int
    queries: U8
    bits: int
    bit_pairs: int = 0
    mask: U64 | None = None
    visited: I64 | None = None
    ends: I64 | None = None

    def __post_init__(self) -> None:
        _check.blocks(self.blocks, self.n)
        queries = _check.queries(self.queries, self.blocks, self.bits, self.bit_pairs)
        object.__setattr__(self, "queries", queries)
        object.__setattr__(self, "mask", _check.mask(self.mask, self.blocks))
        visited, ends = _check.visited(self.visited, self.ends, self.blocks, len(queries))
        object.__setattr__(self, "visited", visited)
        object.__setattr__(self, "ends", ends)

    def each(self) -> Iterator[HammingScan]:
        """Yield the scan of each query, of the blocks that are its own."""
        for query, visited in _visited_by_each(self):
            queries = self.queries[query : query + 1]
            yield replace(self, queries=queries, visited=visited, ends=None)


@dataclass(frozen=True, eq=False)
class TableScan:
    """Stored codes and the queries whose asymmetric scores with them are wanted.

    The score of a row is ``float32(S) * inverse norm`` where ``S`` is the query's offset plus one
    entry of its lookup table for each codeword that the row's code chooses.

    Attributes:
        blocks: uint8 ``(ceil(n / 64), nbytes, 64)``, C-contiguous.
        n: Number of rows.
        tables: int16 ``(m, e)``: one lookup table per query, for one or more leading bytes; its
            ``e`` entries lie in the order of `CodebookLayout`.
        offsets: int32 ``(m,)``; no ``S`` may leave int32.
        full: Leading bytes that choose one codeword of 256.
        rest: uint8 ``(ceil(n / 64), more, 64)``, C-contiguous: the bytes after those in ``blocks``,
            where the leading ones are stored apart. None: there are no more.
        inverse_norms: float32 ``(n,)``, positive and finite (not checked), or None for 1. With
            ``steps``, uint8 ``(n,)``: which of the steps is the row's inverse norm.
        steps: float32 ``(256,)``, positive and finite.
        mask: As for `HammingScan`.
        visited: As for `HammingScan`.
        ends: As for `HammingScan`.
        layout: The codebooks that the lookup tables have entries for.

    Raises:
        ValueError: an argument that does not fit; the message names it.
    """

    blocks: U8
    n: int
    tables: I16
    offsets: I32
    full: int = 0
    rest: U8 | None = None
    inverse_norms: InverseNorms | None = None
    steps: F32 | None = None
    mask: U64 | None = None
    visited: I64 | None = None
    ends: I64 | None = None
    layout: CodebookLayout = field(init=False)

    def __post_init__(self) -> None:
        _check.blocks(self.blocks, self.n)
        stored = self.blocks.shape[1] + _check.rest(self.rest, len(self.blocks))
        tables, layout = _check.tables(self.tables, stored, self.full)
        norms, steps = _check.inverse_norms(self.inverse_norms, self.steps, self.n)
        offsets = _check.offsets(self.offsets, len(tables), layout.codebooks)
        object.__setattr__(self, "layout", layout)
        object.__setattr__(self, "tables", tables)
        object.__setattr__(self, "offsets", offsets)
        object.__setattr__(self, "inverse_norms", norms)
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "mask", _check.mask(self.mask, self.blocks))
        visited, ends = _check.visited(self.visited, self.ends, self.blocks, len(tables))
        object.__setattr__(self, "visited", visited)
        object.__setattr__(self, "ends", ends)

    def each(self) -> Iterator[TableScan]:
        """Yield the scan of each query, of the blocks that are its own."""
        for query, visited in _visited_by_each(self):
            one = slice(query, query + 1)
            tables, offsets = self.tables[one], self.offsets[one]
            yield replace(self, tables=tables, offsets=offsets, visited=visited, ends=None)


def _visited_by_each(scan: HammingScan | TableScan) -> Iterator[tuple[int, I64]]:
    assert scan.visited is not None
    assert scan.ends is not None
    begin = 0
    for query, end in enumerate(scan.ends.tolist()):
        yield query, scan.visited[begin:end]
        begin = end
