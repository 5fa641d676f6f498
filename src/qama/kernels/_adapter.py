"""The native module behind the interface of the NumPy reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qama.kernels import _native, reference
from qama.kernels._arrays import F32, I16, I32, I64, U8
from qama.kernels.centroids import CentroidUnits
from qama.kernels.codebooks import Codebooks, NibbleCodewords
from qama.kernels.layout import CodebookLayout
from qama.kernels.reference_codebooks import scales
from qama.kernels.scans import (
    HammingScan,
    NibbleQueries,
    Probes,
    QueryTables,
    StoredCodes,
    TableScan,
)

# Distances are summed in 16 bits; filter entries of very wide codes would lose their resolution.
_MOST_BITS = 43_000
_MOST_COLUMNS = 16_384


@dataclass(frozen=True)
class Native:
    """Native kernels on one path; what they do not cover goes to the reference."""

    path: str

    def to_blocks(self, codes: U8, out: U8) -> None:
        """See `qama.kernels.to_blocks`."""
        _native.to_blocks(codes, out)

    def from_blocks(self, blocks: U8, n: int) -> U8:
        """See `qama.kernels.from_blocks`."""
        codes = np.empty((n, blocks.shape[1]), np.uint8)
        _native.from_blocks(blocks, codes)
        return codes

    def blocks_to_visit(self, probes: Probes, least: int, *, threads: int = 0) -> tuple[I64, I64]:
        """See `qama.kernels.blocks_to_visit`."""
        until = np.empty(len(probes.queries), np.int64)
        visited = _native.blocks_to_visit(self.path, _probes(probes), least, threads, until)
        return visited, until

    def hamming_topk(self, scan: HammingScan, k: int, *, threads: int = 0) -> tuple[I64, I32]:
        """See `qama.kernels.hamming_topk`."""
        if scan.bits > _MOST_BITS:
            return reference.hamming_topk(scan, k)
        shape = len(scan.queries), min(k, _allowed_count(scan))
        rows, distances = np.empty(shape, np.int64), np.empty(shape, np.int32)
        if rows.size:
            _native.hamming_topk(
                self.path, _stored(scan.stored), scan.mask, scan.visited, scan.ends,
                _optional(scan.probes), scan.queries, scan.bits, scan.bit_pairs, threads, rows,
                distances,
            )  # fmt: skip
        return rows, distances

    def hamming_rows(self, scan: HammingScan, rows: I64, *, threads: int = 0) -> I32:
        """See `qama.kernels.hamming_rows`."""
        distances = np.empty(rows.shape, np.int32)
        if rows.size:
            _native.hamming_rows(
                _stored(scan.stored), scan.queries, scan.bits, scan.bit_pairs, rows, threads,
                distances,
            )  # fmt: skip
        return distances

    def table_topk(self, scan: TableScan, k: int, *, threads: int = 0) -> tuple[I64, F32]:
        """See `qama.kernels.table_topk`."""
        if scan.layout.nbytes > _MOST_COLUMNS:
            return reference.table_topk(scan, k)
        shape = len(scan.queries), min(k, _allowed_count(scan))
        rows, scores = np.empty(shape, np.int64), np.empty(shape, np.float32)
        if not rows.size:
            return rows, scores
        stored, queries, probes = _stored(scan.stored), scan.queries, _optional(scan.probes)
        if isinstance(queries, NibbleQueries):
            _native.nibble_topk(
                self.path, stored, scan.mask, scan.visited, scan.ends, probes, queries.queries,
                _codewords(queries.codewords), queries.layout.nbytes, queries.layout.full, threads,
                rows, scores,
            )  # fmt: skip
        else:
            _native.table_topk(
                self.path, stored, scan.mask, scan.visited, scan.ends, probes, queries.tables,
                queries.offsets, queries.scales, queries.full, threads, rows, scores,
            )  # fmt: skip
        return rows, scores

    def table_rows(self, scan: TableScan, rows: I64, *, threads: int = 0) -> F32:
        """See `qama.kernels.table_rows`."""
        scores, queries = np.empty(rows.shape, np.float32), scan.queries
        if isinstance(queries, NibbleQueries):
            queries = self.nibble_tables(queries, threads=threads)
        if rows.size:
            _native.table_rows(
                _stored(scan.stored), queries.tables, queries.offsets, queries.scales,
                queries.full, rows, threads, scores,
            )  # fmt: skip
        return scores

    def choose_codewords(
        self, rows: I16, codebooks: Codebooks, *, beam: int, sweeps: int, threads: int = 0
    ) -> tuple[U8, I16]:
        """See `qama.kernels.choose_codewords`."""
        shape = len(rows), codebooks.layout.nbytes
        codes, residuals = np.empty(shape, np.uint8), np.empty_like(rows)
        _native.choose_codewords(
            self.path, rows, codebooks.codewords, codebooks.panels, codebooks.twice,
            codebooks.squares, codebooks.size, beam, sweeps, codebooks.shift, codebooks.limit,
            threads, codes, residuals,
        )  # fmt: skip
        return codes, residuals

    def multiply(self, rows: I16, panels: I32, *, threads: int = 0) -> I32:
        """See `qama.kernels.multiply`."""
        products = np.empty((len(rows), len(panels) * panels.shape[2]), np.int32)
        _native.multiply(self.path, rows, panels, threads, products)
        return products

    def whole_units(self, X: F32) -> I16:
        """See `qama.kernels.whole_units`."""
        units = np.empty(X.shape, np.int16)
        return units if _native.whole_units(X, units) else reference.whole_units(X)

    def nibble_tables(self, queries: NibbleQueries, *, threads: int = 0) -> QueryTables:
        """See `qama.kernels.nibble_tables`."""
        layout = queries.layout
        tables, offsets, powers = _empty_tables(len(queries), layout)
        _native.nibble_tables(
            self.path, queries.queries, _codewords(queries.codewords), layout.full, threads, tables,
            offsets, powers,
        )  # fmt: skip
        return QueryTables(tables, offsets, scales(powers), layout.full)

    def round_tables(
        self, terms: I32, offsets: I64, layout: CodebookLayout, *, threads: int = 0
    ) -> QueryTables:
        """See `qama.kernels.round_tables`."""
        tables, rounded, powers = _empty_tables(len(terms), layout)
        _native.round_tables(
            self.path, terms, offsets, layout.full, threads, tables, rounded, powers
        )
        return QueryTables(tables, rounded, scales(powers), layout.full)

    def codeword_sums(self, codes: U8, rows: I16, *, full: int = 0, threads: int = 0) -> I64:
        """See `qama.kernels.codeword_sums`."""
        width = CodebookLayout(codes.shape[1], full).codewords
        sums = np.zeros((width, rows.shape[1]), np.int64)
        _native.codeword_sums(codes, rows, full, threads, sums)
        return sums

    def count_pairs(
        self, codes: U8, counts: I32, *, full: int = 0, times: int = 1, threads: int = 0
    ) -> None:
        """See `qama.kernels.count_pairs`."""
        _native.count_pairs(codes, counts, full, times, threads)

    def squared_norms(
        self, codes: U8, codewords: I16, start: I16, *, full: int = 0, threads: int = 0
    ) -> I64:
        """See `qama.kernels.squared_norms`."""
        norms = np.empty(len(codes), np.int64)
        _native.squared_norms(self.path, codes, codewords, start, full, threads, norms)
        return norms


def _allowed_count(scan: HammingScan | TableScan) -> int:
    """Count the rows that may be returned: to the query that has the fewest."""
    if scan.probes is not None:
        return scan.probes.rows
    if scan.mask is None and scan.visited is None:
        return scan.stored.n
    return _native.allowed_count(
        _stored(scan.stored), scan.mask, scan.visited, scan.ends, len(scan.queries)
    )


def _stored(codes: StoredCodes) -> _native.StoredCodes:
    """Return what the native module makes of stored codes, once."""
    made: _native.StoredCodes | None = codes.native
    if made is None:
        made = _native.StoredCodes(
            codes.blocks, codes.n, codes.rest, codes.inverse_norms, codes.steps
        )
        object.__setattr__(codes, "native", made)
    return made


def _optional(probes: Probes | None) -> _native.Probes | None:
    return None if probes is None else _probes(probes)


def _probes(probes: Probes) -> _native.Probes:
    """Return what the native module makes of probes; of their lists, once."""
    lists = probes.lists
    made: _native.InvertedLists | None = lists.native
    if made is None:
        made = _native.InvertedLists(_centroids(lists.centroids), lists.blocks, lists.ends)
        object.__setattr__(lists, "native", made)
    return _native.Probes(made, probes.queries, probes.held, probes.nprobe)


def _centroids(centroids: CentroidUnits) -> _native.CentroidUnits:
    """Return what the native module makes of centroids, once."""
    made: _native.CentroidUnits | None = centroids.native
    if made is None:
        rough = _codewords(centroids.rough)
        made = _native.CentroidUnits(centroids.units, rough, centroids.lengths, centroids.left)
        object.__setattr__(centroids, "native", made)
    return made


def _codewords(codewords: NibbleCodewords) -> _native.NibbleCodewords:
    """Return what the native module makes of codewords, once."""
    made: _native.NibbleCodewords | None = codewords.native
    if made is None:
        made = _native.NibbleCodewords(codewords.mean, codewords.panels, codewords.steps)
        object.__setattr__(codewords, "native", made)
    return made


def _empty_tables(queries: int, layout: CodebookLayout) -> tuple[I16, I32, I32]:
    tables = np.empty((queries, layout.codewords), np.int16)
    return tables, np.empty(queries, np.int32), np.empty(queries, np.int32)
