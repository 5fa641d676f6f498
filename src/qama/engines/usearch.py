"""USearch: an index of single bits in a file; scanned whole, or by its graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from qama.checks import Bytes
from qama.engines.infile import FileTable
from qama.engines.label import Label
from qama.engines.table import Candidates, Rows, client


class USearch(FileTable):
    """A file that `usearch.index.Index.restore` reads; the graph is in it either way."""

    engine = "usearch"
    extra = "usearch"
    indexes = ("", "hnsw")

    def __init__(self, place: str, table: str = "") -> None:
        super().__init__(place, table)
        self._usearch = client(type(self), "usearch.index")

    def nearest(self, queries: Bytes, count: int, label: Label, where: Any) -> Candidates:
        """See `Table`."""
        if not self.path.exists():
            return Candidates.none(len(queries), 0, label.nbytes)
        index: Any = self.opened
        self.check_bits(index.ndim, label)
        count = min(count, len(index))
        matches = index.search(queries, count, exact=not label.index)
        found = Candidates.none(len(queries), count, label.nbytes)
        one = len(queries) == 1  # which has a type of its own
        counts = [len(matches)] if one else matches.counts
        keys, distances = np.atleast_2d(matches.keys), np.atleast_2d(matches.distances)
        for query, many in enumerate(counts):
            found.ids[query, :many] = keys[query, :many].astype(np.int64)
            found.distances[query, :many] = distances[query, :many].astype(np.int64)
            found.codes[query, :many] = self._codes_of(keys[query, :many])
        return found

    def _packed(self, rows: Rows, label: Label) -> bytes:
        index = self._usearch.Index(
            ndim=label.bits,
            dtype=self._usearch.ScalarKind.B1,
            metric=self._usearch.MetricKind.Hamming,
        )
        index.add(rows.ids.astype(np.uint64), rows.codes)
        return bytes(index.save())

    def _unpacked(self, data: Bytes) -> Any:
        return self._usearch.Index.restore(data.tobytes())

    def _rows(self, label: Label) -> Rows:
        index: Any = self.opened
        self.check_bits(index.ndim, label)
        keys = np.array(index.keys[:], dtype=np.uint64)
        return Rows(keys.astype(np.int64), self._codes_of(keys))

    def _codes_of(self, keys: Any) -> Bytes:
        index: Any = self.opened
        return np.stack(index.get(keys)) if len(keys) else np.empty((0, index.ndim // 8), np.uint8)
