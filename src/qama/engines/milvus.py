"""Milvus: a field BINARY_VECTOR, scanned (BIN_FLAT); a server, or Milvus Lite in a file."""

from __future__ import annotations

from typing import Any

import numpy as np

from qama import checks
from qama.checks import Bytes, Ids
from qama.engines.label import Label
from qama.engines.table import NO_ID, Candidates, InParts, client, reaching

_AT_ONCE = 5000  # rows of a request
_HAMMING = {"metric_type": "HAMMING"}


class Milvus(InParts):
    """A collection (id INT64, code BINARY_VECTOR), its label in the collection's description.

    The place is a server's address, "http://host:19530", or a file NAME.db of Milvus Lite.
    """

    engine = "milvus"
    extra = "milvus"
    makes_place = True
    most = 16_384
    filters = "a Milvus expression"

    def __init__(self, place: str, table: str) -> None:
        super().__init__(place, table)
        self._package = client(type(self), "pymilvus")
        with reaching(self):
            self._client = self._package.MilvusClient(place)

    def label(self) -> Label | None:
        """See `Store`."""
        if not self._client.has_collection(self.table):
            return None
        text = self._client.describe_collection(self.table)["description"]
        return Label.from_json(text, str(self))

    def create(self, label: Label) -> None:
        """See `Store`."""
        self._create(label)

    def create_sharded(self, label: Label, shards: int | str) -> None:
        """Make a collection whose rows go to so many shards (num_shards)."""
        self._create(label, num_shards=shards)

    def _create(self, label: Label, **how: Any) -> None:
        kinds = self._package.DataType
        schema = self._client.create_schema(
            auto_id=False, enable_dynamic_field=True, description=label.to_json()
        )
        schema.add_field("id", kinds.INT64, is_primary=True)
        schema.add_field("code", kinds.BINARY_VECTOR, dim=label.bits)
        index = self._client.prepare_index_params()
        index.add_index("code", index_type="BIN_FLAT", params={}, **_HAMMING)
        self._client.create_collection(
            self.table, schema=schema, index_params=index, consistency_level="Strong", **how
        )

    def put(self, ids: Ids, codes: Bytes) -> None:
        """See `Store`; each row wholly, some at a time."""
        for some in checks.chunks(ids, _AT_ONCE):
            rows = zip(ids[some].tolist(), codes[some], strict=True)
            self._client.upsert(self.table, [{"id": i, "code": c.tobytes()} for i, c in rows])

    def nearest(self, queries: Bytes, count: int, label: Label, where: Any) -> Candidates:
        """See `Table`."""
        self._client.load_collection(self.table)
        hits = self._client.search(
            self.table, [query.tobytes() for query in queries], limit=count,
            search_params=_HAMMING, filter=where or "",
        )  # fmt: skip
        found = Candidates.none(len(queries), max(map(len, hits), default=0), label.nbytes)
        for query, own in enumerate(hits):
            found.ids[query, : len(own)] = [hit["id"] for hit in own]
            found.distances[query, : len(own)] = [round(hit["distance"]) for hit in own]
        real = found.ids != NO_ID
        found.codes[real] = self._codes_of(found.ids[real], label.nbytes)
        return found

    def _codes_of(self, ids: Ids, nbytes: int) -> Bytes:
        """Return the codes of rows by their ids: a search of Milvus Lite cannot bring them."""
        unique, where = np.unique(ids, return_inverse=True)
        codes = np.empty((len(unique), nbytes), dtype=np.uint8)
        for some in checks.chunks(unique, _AT_ONCE):
            rows = self._client.get(self.table, unique[some].tolist(), output_fields=["code"])
            for row in rows:
                codes[np.searchsorted(unique, row["id"])] = np.frombuffer(row["code"][0], np.uint8)
        return codes[where]

    def close(self) -> None:
        """See `Store`."""
        self._client.close()
