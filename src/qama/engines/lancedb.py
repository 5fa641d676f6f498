"""LanceDB: a column of bytes, scanned, or by inverted lists."""

from __future__ import annotations

from typing import Any

import numpy as np

from qama.checks import Bytes, Ids
from qama.engines.label import Label
from qama.engines.table import Candidates, Table, client, reaching

_SHARE_PROBED = 8  # one in so many inverted lists is read, and at least 16


class LanceDB(Table):
    """A table (id int64, code FixedSizeList<uint8>) of a folder, its label in the schema."""

    engine = "lancedb"
    extra = "lancedb"
    makes_place = True
    indexes = ("", "ivf")
    filters = "an SQL condition"

    def __init__(self, place: str, table: str) -> None:
        super().__init__(place, table)
        self._arrow, lancedb = client(type(self), "pyarrow"), client(type(self), "lancedb")
        with reaching(self):
            self._database = lancedb.connect(place)

    def label(self) -> Label | None:
        """See `Store`."""
        if self.table not in self._database.list_tables().tables:
            return None
        metadata = self._rows().schema.metadata or {}
        return Label.from_json(metadata.get(b"qama"), str(self))

    def create(self, label: Label) -> None:
        """See `Store`."""
        schema = self._schema(label.nbytes, {b"qama": label.to_json()})
        self._database.create_table(self.table, schema=schema)

    def put(self, ids: Ids, codes: Bytes) -> None:
        """See `Store`."""
        pa = self._arrow
        flat = pa.array(np.ascontiguousarray(codes).reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(flat, codes.shape[1])
        made = pa.table([pa.array(ids), column], schema=self._schema(codes.shape[1]))
        merge = self._rows().merge_insert("id").when_matched_update_all()
        merge.when_not_matched_insert_all().execute(made)

    def finish(self, label: Label) -> None:
        """Build the index, if one was asked for, or take new rows into it."""
        rows = self._rows()
        if not label.index or not rows.count_rows():
            return
        if rows.list_indices():
            rows.optimize()
            return
        index = client(type(self), "lancedb.index")
        lists = max(1, int(np.sqrt(rows.count_rows())))
        rows.create_index(
            "code", config=index.IvfFlat(distance_type="hamming", num_partitions=lists)
        )

    def nearest(self, queries: Bytes, count: int, label: Label, where: Any) -> Candidates:
        """See `Table`."""
        rows = self._rows()
        found = Candidates.none(len(queries), min(count, rows.count_rows()), label.nbytes)
        for query, code in enumerate(queries):
            search = rows.search(code, vector_column_name="code").distance_type("hamming")
            if where is not None:
                search = search.where(where, prefilter=True)
            if label.index:
                search = search.nprobes(max(16, int(np.sqrt(rows.count_rows())) // _SHARE_PROBED))
            made = search.limit(count).to_arrow()
            many = made.num_rows
            found.ids[query, :many] = made.column("id").to_numpy()
            found.distances[query, :many] = made.column("_distance").to_numpy()
            flat = made.column("code").combine_chunks().flatten().to_numpy()
            found.codes[query, :many] = flat.reshape(many, label.nbytes)
        return found

    def _rows(self) -> Any:
        return self._database.open_table(self.table)

    def _schema(self, nbytes: int, metadata: Any = None) -> Any:
        pa = self._arrow
        column = pa.list_(pa.uint8(), nbytes)
        fields = [pa.field("id", pa.int64(), False), pa.field("code", column, False)]
        return pa.schema(fields, metadata)
