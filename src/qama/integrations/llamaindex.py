"""A LlamaIndex vector store over `qama.Documents`.

    index = VectorStoreIndex.from_vector_store(QamaVectorStore(documents), embed_model=model)

Query modes: ``default`` (vectors), ``text_search`` (words), ``hybrid`` (both, fused by rank; alpha
plays no part) and ``mmr``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np

from qama.documents import Documents, Hit
from qama.errors import MissingExtraError
from qama.integrations.diversity import diverse

try:
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.schema import BaseNode, MetadataMode
    from llama_index.core.vector_stores.types import (
        BasePydanticVectorStore,
        FilterCondition,
        FilterOperator,
        MetadataFilter,
        MetadataFilters,
        VectorStoreQuery,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
    )
    from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict
except ImportError as error:
    raise MissingExtraError(
        "qama.integrations.llamaindex", "llama-index-core", "llamaindex"
    ) from error

__all__ = ["QamaVectorStore"]

_FETCHED = 4  # hits that mmr chooses from, for each that it returns
_SAME = {  # operators that qama has, too
    FilterOperator.EQ: "$eq", FilterOperator.NE: "$ne",
    FilterOperator.GT: "$gt", FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt", FilterOperator.LTE: "$lte",
    FilterOperator.IN: "$in", FilterOperator.NIN: "$nin",
    FilterOperator.CONTAINS: "$contains", FilterOperator.TEXT_MATCH: "$contains",
}  # fmt: skip


class QamaVectorStore(BasePydanticVectorStore):
    """Nodes that LlamaIndex embeds, writes and searches.

    Args:
        documents: Open documents; with ``mode="a"`` to add and to delete. They stay the caller's to
            close.
    """

    stores_text: bool = True
    is_embedding_query: bool = True
    _documents: Documents = PrivateAttr()

    def __init__(self, documents: Documents) -> None:
        super().__init__()
        self._documents = documents

    @classmethod
    def class_name(cls) -> str:
        """Return what LlamaIndex calls this store."""
        return "QamaVectorStore"

    @property
    def client(self) -> Documents:
        """The documents."""
        return self._documents

    def add(self, nodes: Sequence[BaseNode], **_: Any) -> list[str]:
        """Add nodes, or replace those whose ids are there, all of them or none.

        Args:
            nodes: Nodes with embeddings.
            **_: What others' stores know.

        Returns:
            Their ids.

        Raises:
            ValueError, OSError: see `Documents.upsert`; or a node without embedding.
        """
        vectors = [node.get_embedding() for node in nodes]
        return self._documents.upsert(
            [node.node_id for node in nodes],
            np.asarray(vectors, dtype=np.float32),
            [node.get_content(metadata_mode=MetadataMode.NONE) for node in nodes],
            [node_to_metadata_dict(node, remove_text=True) for node in nodes],
        )

    def delete(self, ref_doc_id: str, **_: Any) -> None:
        """Delete the nodes of a document."""
        self._documents.delete(where={"ref_doc_id": ref_doc_id})

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **_: Any,
    ) -> None:
        """Delete nodes by id, by filter, or those of some ids that pass a filter.

        Raises:
            ValueError: neither ids nor filters; `clear` deletes all.
        """
        self._documents.delete(node_ids, where=None if filters is None else compiled(filters))

    def clear(self) -> None:
        """Delete all nodes."""
        self._documents.delete(where={})

    def get_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
    ) -> list[BaseNode]:
        """Return nodes by id, by filter, or all; without their embeddings."""
        where = None if filters is None else compiled(filters)
        return [_node(document) for document in self._documents.get(node_ids, where=where)]

    def query(self, query: VectorStoreQuery, **options: Any) -> VectorStoreQueryResult:
        """Search.

        Args:
            query: LlamaIndex's query. ``hybrid_top_k`` overrides ``similarity_top_k`` in mode
                ``hybrid``.
            **options: Of `Documents.search`; ``mmr_threshold``, the weight of relevance, from 0
                to 1.

        Raises:
            ValueError: another mode, a query that lacks what the mode needs, an unfitting filter.
        """
        weight = options.pop("mmr_threshold", query.mmr_threshold)
        k, modes = query.similarity_top_k, VectorStoreQueryMode
        fetched = {modes.MMR: _FETCHED * k, modes.HYBRID: query.hybrid_top_k or k}
        hits = self._hits(query, fetched.get(query.mode, k), options)
        if query.mode == modes.MMR:
            hits = diverse(self._documents, hits, k, 0.5 if weight is None else weight)
        return VectorStoreQueryResult(
            nodes=[_node(hit) for hit in hits],
            similarities=[hit.score for hit in hits],
            ids=[hit.id for hit in hits],
        )

    def _hits(self, query: VectorStoreQuery, k: int, options: dict[str, Any]) -> Sequence[Hit]:
        modes = VectorStoreQueryMode
        if query.mode not in (modes.DEFAULT, modes.TEXT_SEARCH, modes.HYBRID, modes.MMR):
            raise ValueError(f"mode is {query.mode}; give default, text_search, hybrid or mmr")
        text = vector = None
        if query.mode in (modes.TEXT_SEARCH, modes.HYBRID):
            text = _there(query.query_str, "query_str", query)
        if query.mode != modes.TEXT_SEARCH:
            vector = np.asarray(_there(query.query_embedding, "query_embedding", query), np.float32)
        return self._documents.search(vector, k, text=text, where=_where(query), **options)

    async def async_add(self, nodes: Sequence[BaseNode], **options: Any) -> list[str]:
        """Add nodes in a thread; see `add`."""
        return await asyncio.to_thread(self.add, nodes, **options)

    async def adelete(self, ref_doc_id: str, **options: Any) -> None:
        """Delete the nodes of a document in a thread."""
        await asyncio.to_thread(self.delete, ref_doc_id, **options)

    async def adelete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **options: Any,
    ) -> None:
        """Delete nodes in a thread; see `delete_nodes`."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **options)

    async def aclear(self) -> None:
        """Delete all nodes in a thread."""
        await asyncio.to_thread(self.clear)

    async def aget_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
    ) -> list[BaseNode]:
        """Return nodes, read in a thread; see `get_nodes`."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def aquery(self, query: VectorStoreQuery, **options: Any) -> VectorStoreQueryResult:
        """Search in a thread; see `query`."""
        return await asyncio.to_thread(self.query, query, **options)


def compiled(filters: MetadataFilters) -> dict[str, Any]:
    """Return the filter of `qama.documents.filters` that says what LlamaIndex's filters say.

    Raises:
        ValueError: an operator that there is not.
    """
    parts = [
        compiled(part) if isinstance(part, MetadataFilters) else _compiled(part)
        for part in filters.filters
    ]
    if filters.condition == FilterCondition.NOT and parts:  # none of them
        return {"$not": {"$or": parts}}
    return {"$or" if filters.condition == FilterCondition.OR and parts else "$and": parts}


def _compiled(part: MetadataFilter) -> dict[str, Any]:
    key, value, operator = part.key, part.value, part.operator
    if operator in _SAME:
        return {key: {_SAME[operator]: value}}
    if operator in (FilterOperator.ANY, FilterOperator.ALL):
        each = [{key: {"$contains": element}} for element in value]
        return {"$or" if operator == FilterOperator.ANY else "$and": each}
    if operator == FilterOperator.IS_EMPTY:
        return {"$or": [{key: None}, {key: ""}, {key: []}]}
    raise ValueError(f"operator {operator} of {key!r} is none that qama has; see text_match")


def _where(query: VectorStoreQuery) -> dict[str, Any] | None:
    """Return the filter of a query; no ids at all are no wish: LlamaIndex's retrievers say so."""
    parts = [] if query.filters is None else [compiled(query.filters)]
    if query.node_ids:
        parts.append({"$id": {"$in": query.node_ids}})
    if query.doc_ids:
        parts.append({"ref_doc_id": {"$in": query.doc_ids}})
    return {"$and": parts} if parts else None


def _there(value: Any, name: str, query: VectorStoreQuery) -> Any:
    if value is None:
        raise ValueError(f"mode {query.mode} needs {name}")
    return value


def _node(found: Any) -> BaseNode:
    """Return the node of a Hit or a Document of qama."""
    return metadata_dict_to_node(found.metadata, text=found.text)
