"""What a scan reads: stored codes, the queries, and which rows may be returned.

These objects are checked when they are made. The NumPy reference takes them whole; the native
module keeps a view of its own of what many searches share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from qama.kernels import _check
from qama.kernels._arrays import F32, I16, I32, I64, U8, U64, InverseNorms
from qama.kernels.centroids import CentroidUnits
from qama.kernels.codebooks import NibbleCodewords
from qama.kernels.layout import CodebookLayout


@dataclass(frozen=True, eq=False)
class StoredCodes:
    """Stored codes. Made once, they serve any number of scans.

    Attributes:
        blocks: uint8 ``(ceil(n / 64), nbytes, 64)``, C-contiguous.
        n: Number of rows.
        rest: uint8 ``(ceil(n / 64), more, 64)``, C-contiguous: the bytes after those in ``blocks``,
            where the leading ones are stored apart. None: there are no more.
        inverse_norms: float32 ``(n,)``, positive and finite (not checked), or None for 1. With
            ``steps``, uint8 ``(n,)``: which of the steps is the row's inverse norm.
        steps: float32 ``(256,)``, positive and finite.
        native: What the native module made of them, when first needed.

    Raises:
        ValueError: an argument that does not fit; the message names it.
    """

    blocks: U8
    n: int
    rest: U8 | None = None
    inverse_norms: InverseNorms | None = None
    steps: F32 | None = None
    native: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        _check.blocks(self.blocks, self.n)
        _check.rest(self.rest, len(self.blocks))
        norms, steps = _check.inverse_norms(self.inverse_norms, self.steps, self.n)
        object.__setattr__(self, "inverse_norms", norms)
        object.__setattr__(self, "steps", steps)

    @property
    def nbytes(self) -> int:
        """Bytes of a code."""
        return int(self.blocks.shape[1] + (0 if self.rest is None else self.rest.shape[1]))


@dataclass(frozen=True, eq=False)
class InvertedLists:
    """Where inverted lists lie, and which blocks are whose. Made once, they serve any search.

    Attributes:
        centroids: Those of the lists.
        blocks: int64 ``(b,)``: blocks by list, ascending for each.
        ends: int64 ``(nlist,)``: where the blocks of each list end among them.
        native: What the native module made of them, when first needed.

    Raises:
        ValueError: an argument that does not fit; the message names it.
    """

    centroids: CentroidUnits
    blocks: I64
    ends: I64
    native: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        _check.lists(len(self.centroids), self.blocks, self.ends)

    def __len__(self) -> int:
        """How many lists."""
        return len(self.ends)


@dataclass(frozen=True, eq=False)
class Probes:
    """Which inverted lists each query reads.

    These are the ``nprobe`` lists of greatest product of query and centroid, ties to the lower
    list, and further ones in that order until they hold as many rows as are wanted.

    Attributes:
        lists: The lists.
        queries: int16 ``(m, w)``.
        held: int64 ``(nlist,)``: how many rows of each list may be returned.
        nprobe: From 1 to ``nlist``.
        rows: How many rows may be returned at most.

    Raises:
        ValueError: an argument that does not fit; the message names it.
    """

    lists: InvertedLists
    queries: I16
    held: I64
    nprobe: int
    rows: int = field(init=False)

    def __post_init__(self) -> None:
        dims = self.lists.centroids.units.shape[1]
        queries = _check.array("queries", self.queries, np.int16, (None, dims))
        object.__setattr__(self, "queries", queries)
        _check.array("held", self.held, np.int64, (len(self.lists),))
        _check.at_least("nprobe", self.nprobe, 1)
        if self.nprobe > len(self.lists):
            raise ValueError(f"nprobe is {self.nprobe}; there are {len(self.lists)} lists")
        object.__setattr__(self, "rows", int(np.add.reduce(self.held)))


@dataclass(frozen=True, eq=False)
class HammingScan:
    """Stored codes and the queries whose Hamming distances to them are wanted.

    Attributes:
        stored: The codes; those of ``rest`` do not matter.
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
        probes: Instead, which inverted lists each query reads.

    Raises:
        ValueError: an argument that does not fit; the message names it.
    """

    stored: StoredCodes
    queries: U8
    bits: int
    bit_pairs: int = 0
    mask: U64 | None = None
    visited: I64 | None = None
    ends: I64 | None = None
    probes: Probes | None = None

    def __post_init__(self) -> None:
        blocks = self.stored.blocks
        queries = _check.queries(self.queries, blocks, self.bits, self.bit_pairs)
        object.__setattr__(self, "queries", queries)
        _allow(self, len(queries))

    def each(self) -> Iterator[HammingScan]:
        """Yield the scan of each query, of the blocks that are its own."""
        for query, visited in _visited_by_each(self):
            queries = self.queries[query : query + 1]
            yield replace(self, queries=queries, visited=visited, ends=None)


@dataclass(frozen=True, eq=False)
class QueryTables:
    """Queries made ready for asymmetric scoring.

    Attributes:
        tables: int16 ``(m, e)``: one lookup table per query, for one or more leading bytes; its
            ``e`` entries lie in the order of `CodebookLayout`.
        offsets: int32 ``(m,)``; no sum may leave int32.
        scales: float32 ``(m,)``, powers of two.
        full: Leading bytes that choose one codeword of 256.

    Raises:
        ValueError: an argument that does not fit; the message names it.
    """

    tables: I16
    offsets: I32
    scales: F32
    full: int = 0

    def __post_init__(self) -> None:
        tables = _check.tables(self.tables, self.full)
        offsets = _check.offsets(self.offsets, len(tables), self.layout.codebooks)
        object.__setattr__(self, "tables", tables)
        object.__setattr__(self, "offsets", offsets)
        _check.array("scales", self.scales, np.float32, (len(tables),))

    def __len__(self) -> int:
        """How many queries."""
        return len(self.tables)

    @cached_property
    def layout(self) -> CodebookLayout:
        """The codebooks that the lookup tables have entries for."""
        return CodebookLayout.with_full(self.tables.shape[1], self.full)

    def leading(self, columns: int) -> QueryTables:
        """The tables of the first bytes alone, for codes whose prefixes have the same offset."""
        layout = self.layout.leading(columns)
        tables = self.tables[:, : layout.codewords]
        return QueryTables(tables, self.offsets, self.scales, layout.full)

    def __getitem__(self, some: slice) -> QueryTables:
        """Some of the queries."""
        return QueryTables(self.tables[some], self.offsets[some], self.scales[some], self.full)


@dataclass(frozen=True, eq=False)
class NibbleQueries:
    """Queries, and the codewords of 4-bit entries that make lookup tables of them.

    Attributes:
        queries: int16 ``(m, d)``, within +-2^14.
        codewords: The terms that the codewords are sums of, in the order of `round_tables`.
        layout: The codebooks of a prefix of the codes.

    Raises:
        ValueError: an argument that does not fit; the message names it.
    """

    queries: I16
    codewords: NibbleCodewords
    layout: CodebookLayout

    def __post_init__(self) -> None:
        queries = _check.array("queries", self.queries, np.int16, (None, self.codewords.dims))
        object.__setattr__(self, "queries", queries)
        if self.layout.terms > self.codewords.count:
            raise ValueError(
                f"{self.layout} needs {self.layout.terms} terms; there are {self.codewords.count}"
            )

    def __len__(self) -> int:
        """How many queries."""
        return len(self.queries)

    def __getitem__(self, some: slice) -> NibbleQueries:
        """Some of the queries."""
        return replace(self, queries=self.queries[some])


@dataclass(frozen=True, eq=False)
class TableScan:
    """Stored codes and the queries whose asymmetric scores with them are wanted.

    The score of a row is ``(float32(S) * inverse norm) * scale`` where ``S`` is the query's offset
    plus one entry of its lookup table for each codeword that the row's code chooses.

    Attributes:
        stored: The codes.
        queries: The lookup tables of one or more leading bytes, or what makes them.
        mask: As for `HammingScan`.
        visited: As for `HammingScan`.
        ends: As for `HammingScan`.
        probes: As for `HammingScan`.

    Raises:
        ValueError: an argument that does not fit; the message names it.
    """

    stored: StoredCodes
    queries: QueryTables | NibbleQueries
    mask: U64 | None = None
    visited: I64 | None = None
    ends: I64 | None = None
    probes: Probes | None = None

    def __post_init__(self) -> None:
        wanted, stored = self.layout.nbytes, self.stored.nbytes
        if wanted > stored:
            raise ValueError(f"queries are for codes of {wanted} columns; {stored} are stored")
        _allow(self, len(self.queries))

    @property
    def layout(self) -> CodebookLayout:
        """The codebooks that the queries are for."""
        return self.queries.layout

    def each(self) -> Iterator[TableScan]:
        """Yield the scan of each query, of the blocks that are its own."""
        for query, visited in _visited_by_each(self):
            one = self.queries[query : query + 1]
            yield replace(self, queries=one, visited=visited, ends=None)


def _allow(scan: HammingScan | TableScan, queries: int) -> None:
    """Check which rows a scan may return."""
    if scan.mask is not None:
        object.__setattr__(scan, "mask", _check.mask(scan.mask, scan.stored.blocks))
    if scan.visited is not None or scan.ends is not None:
        visited, ends = _check.visited(scan.visited, scan.ends, scan.stored.blocks, queries)
        object.__setattr__(scan, "visited", visited)
        object.__setattr__(scan, "ends", ends)
    if scan.probes is not None:
        if scan.visited is not None:
            raise ValueError("probes and visited are given; give one of them")
        if len(scan.probes.queries) != queries:
            raise ValueError(f"probes are of {len(scan.probes.queries)} queries, not of {queries}")


def _visited_by_each(scan: HammingScan | TableScan) -> Iterator[tuple[int, I64]]:
    assert scan.visited is not None
    assert scan.ends is not None
    begin = 0
    for query, end in enumerate(scan.ends.tolist()):
        yield query, scan.visited[begin:end]
        begin = end
