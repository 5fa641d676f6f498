"""Qdrant: floats of -1 and +1 ranked by their product, which is bits - 2 Hamming distance."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks
from qama.checks import Bytes, Ids
from qama.engines.label import Label
from qama.engines.table import Candidates, Table, client, reaching

_AT_ONCE = 1000  # points of a request


class Qdrant(Table):
    """A collection, its label in the collection's metadata.

    It has no type for bits: a code takes 4 bytes for each of them. The place is a server's
    address, a folder, or ":memory:"; the last two are for trying things out.
    """

    engine = "qdrant"
    extra = "qdrant"
    makes_place = True
    filters = "a qdrant_client.models.Filter"

    def __init__(self, place: str, table: str) -> None:
        super().__init__(place, table)
        package = client(type(self), "qdrant_client")
        self._models = package.models
        remote = place.startswith(("http://", "https://"))
        # a local one is always exact, and warns where that is asked for
        self._exact = self._models.SearchParams(exact=True) if remote else None
        server = {"url": place, "check_compatibility": False}  # it would warn, and go on
        local = {"location": place} if place == ":memory:" else {"path": place}
        with reaching(self):
            self._client = package.QdrantClient(**(server if remote else local))
            self._client.collection_exists(table)

    def label(self) -> Label | None:
        """See `Store`."""
        if not self._client.collection_exists(self.table):
            return None
        metadata = self._client.get_collection(self.table).config.metadata or {}
        return Label.from_json(metadata.get("qama"), str(self))

    def create(self, label: Label) -> None:
        """See `Store`."""
        models = self._models
        self._client.create_collection(
            self.table,
            vectors_config=models.VectorParams(size=label.bits, distance=models.Distance.DOT),
            metadata={"qama": label.to_json()},
        )

    def put(self, ids: Ids, codes: Bytes) -> None:
        """See `Store`; each row wholly, some at a time."""
        for some in checks.chunks(ids, _AT_ONCE):
            points = self._models.Batch(
                ids=ids[some].tolist(), vectors=_signs(codes[some]).tolist()
            )
            self._client.upsert(self.table, points, wait=True)

    def nearest(self, queries: Bytes, count: int, label: Label, where: Any) -> Candidates:
        """See `Table`."""
        found = []
        for query in _signs(queries):
            points = self._client.query_points(
                self.table, query=query.tolist(), limit=count, with_vectors=True,
                with_payload=False, search_params=self._exact, query_filter=where,
            ).points  # fmt: skip
            codes = [np.packbits(np.asarray(point.vector) > 0) for point in points]
            distances = [round(label.bits - point.score) // 2 for point in points]
            keys = [point.id for point in points]
            found.append(list(zip(keys, distances, codes, strict=True)))
        return Candidates.of_rows(found, label.nbytes)

    def close(self) -> None:
        """See `Store`."""
        self._client.close()


def _signs(codes: Bytes) -> npt.NDArray[np.float32]:
    """Return bits as floats: 0 is -1, 1 is +1."""
    return np.unpackbits(codes, axis=1).astype(np.float32) * 2 - 1
