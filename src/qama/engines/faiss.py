"""FAISS: a binary index in a file; flat (exact), IVF or HNSW."""

from __future__ import annotations

from typing import Any

import numpy as np

from qama.checks import Bytes
from qama.engines.infile import FileTable
from qama.engines.label import Label
from qama.engines.table import Candidates, Rows, client

_CONNECTIONS = 32  # of a node of HNSW
_BUILD_EFFORT, _SEARCH_EFFORT = 80, 128
_SHARE_PROBED = 8  # one in so many inverted lists is read, and at least 16


class Faiss(FileTable):
    """A file that `faiss.read_index_binary` reads: an IndexBinaryIDMap over the index."""

    engine = "faiss"
    extra = "faiss"
    indexes = ("", "ivf", "hnsw")
    ties_by_id = True  # rows lie in the order of their ids, and the lower row wins

    def __init__(self, place: str, table: str = "") -> None:
        super().__init__(place, table)
        self._faiss = client(type(self), "faiss")
        self._held: tuple[object, Rows] | None = None

    def nearest(self, queries: Bytes, count: int, label: Label, where: Any) -> Candidates:
        """See `Table`."""
        if not self.path.exists():
            return Candidates.none(len(queries), 0, label.nbytes)
        inner, (ids, codes) = self._inner(), self._rows(label)
        count = min(count, len(ids))
        if label.index == "hnsw":
            inner.hnsw.efSearch = max(_SEARCH_EFFORT, count)
        distances, rows = inner.search(queries, count)
        found = Candidates.none(len(queries), count, label.nbytes)
        real = rows >= 0
        found.ids[real] = ids[rows[real]]
        found.distances[real] = distances[real]
        found.codes[real] = codes[rows[real]]
        return found

    def _packed(self, rows: Rows, label: Label) -> Bytes:
        inner = self._empty(label, len(rows.ids))
        if not inner.is_trained:
            inner.train(rows.codes)
        whole = self._faiss.IndexBinaryIDMap(inner)
        whole.add_with_ids(rows.codes, rows.ids)
        packed: Bytes = self._faiss.serialize_index_binary(whole)
        return packed

    def _empty(self, label: Label, rows: int) -> Any:
        """Return an empty index for so many rows."""
        if label.index == "ivf":
            lists = int(max(1, min(4 * np.sqrt(rows), rows / 39)))
            made = self._faiss.index_binary_factory(label.bits, f"BIVF{lists}")
            made.nprobe = min(lists, max(16, lists // _SHARE_PROBED))
            return made
        if label.index == "hnsw":
            made = self._faiss.index_binary_factory(label.bits, f"BHNSW{_CONNECTIONS}")
            made.hnsw.efConstruction = _BUILD_EFFORT
            return made
        return self._faiss.IndexBinaryFlat(label.bits)

    def _unpacked(self, data: Bytes) -> Any:
        return self._faiss.deserialize_index_binary(data)

    def _inner(self) -> Any:
        return self._faiss.downcast_IndexBinary(self.opened.index)  # type: ignore[attr-defined]

    def _rows(self, label: Label) -> Rows:
        if self._held is None or self._held[0] is not self.opened:
            whole: Any = self.opened
            self.check_bits(whole.d, label)
            codes = self._inner().reconstruct_n(0, whole.ntotal)
            self._held = whole, Rows(self._faiss.vector_to_array(whole.id_map), codes)
        return self._held[1]
