"""A Haystack document store over `qama.Documents`, and the retriever that searches it.

    store = QamaDocumentStore("library")               # what qama.Documents.create made
    pipeline.add_component("retriever", QamaEmbeddingRetriever(store, top_k=5))

Embeddings are kept as codes and do not come back. Filters follow Haystack's rules, with one limit:
dates are compared as strings, so write all dates of a field in one form.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from qama.documents import Documents
from qama.errors import MissingExtraError

try:
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.document_stores.errors import DuplicateDocumentError
    from haystack.document_stores.types import DuplicatePolicy, FilterPolicy, apply_filter_policy

    from qama.integrations.haystack_filters import compiled
except ImportError as error:
    raise MissingExtraError("qama.integrations.haystack", "haystack-ai", "haystack") from error

__all__ = ["QamaDocumentStore", "QamaEmbeddingRetriever"]

_OURS = "_qama"  # the field of what Haystack's documents have beside text and fields
_BARE = f"{_OURS}.bare"  # true of those without embedding: they are stored, and never retrieved


class QamaDocumentStore:
    """Documents that Haystack writes and retrieves.

    The folder is opened when it is needed: to read, by any number of stores and processes, and
    from the first change on to write, which one store at a time can.

    Args:
        folder: What `qama.Documents.create` made.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.fspath(folder)
        self._turn = threading.Lock()  # of changes
        self._opening = threading.Lock()
        self._reader: Documents | None = None
        self._writer: Documents | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the store as Haystack serialises it: where its folder is."""
        return dict(default_to_dict(self, folder=self.folder))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> QamaDocumentStore:
        """Return the store that `to_dict` described."""
        store: QamaDocumentStore = default_from_dict(cls, data)
        return store

    def close(self) -> None:
        """Close the folder; the next use opens it again."""
        with self._turn, self._opening:
            for opened in (self._reader, self._writer):
                if opened is not None:
                    opened.close()
            self._reader = self._writer = None

    def count_documents(self) -> int:
        """Return how many documents there are."""
        return len(self._reading())

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Return the documents that pass a filter, in insertion order, without embeddings.

        Raises:
            FilterError: an unfitting filter.
        """
        found = self._reading().get(where=compiled(filters))
        return [_document(document) for document in found]

    def write_documents(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Write documents, all of them or none.

        Args:
            documents: Documents; those without embedding are stored, and never retrieved by one.
            policy: What becomes of ids that are there: SKIP passes over, OVERWRITE replaces, FAIL
                and NONE refuse.

        Returns:
            How many were written.

        Raises:
            DuplicateDocumentError: an id is there, or given twice.
            ValueError, OSError: see `Documents.add`.
        """
        if not isinstance(documents, list) or not all(isinstance(d, Document) for d in documents):
            raise ValueError("write_documents takes a list of haystack.Document")
        with self._turn:
            docs = self._writing()
            by_id = {d.id: d for d in documents}  # of an id given twice, the later one
            if policy == DuplicatePolicy.OVERWRITE:
                docs.upsert(*_columns(list(by_id.values()), docs.codec.dims_in))
                return len(documents)
            known = set(docs.ids({"$id": {"$in": list(by_id)}}))
            if policy != DuplicatePolicy.SKIP and (known or len(by_id) < len(documents)):
                twice = sorted(known) or [d.id for d in documents if by_id[d.id] is not d]
                raise DuplicateDocumentError(f"id {twice[0]!r} is there already, or given twice")
            fresh: dict[str, Document] = {}
            for document in documents:
                if document.id not in known:
                    fresh.setdefault(document.id, document)
            docs.add(*_columns(list(fresh.values()), docs.codec.dims_in))
            return len(fresh)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents; ids that are not there are ignored."""
        with self._turn:
            self._writing().delete(document_ids)

    def retrieve(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        text: str | None = None,
    ) -> list[Document]:
        """Return the documents nearest to an embedding, with their scores.

        Args:
            query_embedding: d floats.
            filters: Which documents may be found.
            top_k: How many.
            text: Words to look for as well; the two rankings are fused.

        Raises:
            FilterError: an unfitting filter.
            ValueError: see `Documents.search`.
        """
        docs, where = self._reading(), compiled(filters)
        query = np.asarray(query_embedding, dtype=np.float32)
        hits = docs.search(query, top_k, where=where, text=text)
        if any("bare" in hit.metadata.get(_OURS, {}) for hit in hits):
            embedded = {"$and": [where, {_BARE: None}]}
            hits = docs.search(query, top_k, where=embedded, text=text)
        return [_document(hit, hit.score) for hit in hits]

    async def count_documents_async(self) -> int:
        """Count in a thread; see `count_documents`."""
        return await asyncio.to_thread(self.count_documents)

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Filter in a thread; see `filter_documents`."""
        return await asyncio.to_thread(self.filter_documents, filters)

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Write in a thread; see `write_documents`."""
        return await asyncio.to_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """Delete in a thread; see `delete_documents`."""
        await asyncio.to_thread(self.delete_documents, document_ids)

    def _reading(self) -> Documents:
        with self._opening:
            if self._writer is None and self._reader is None:
                self._reader = Documents.open(self.folder)
            opened = self._reader if self._writer is None else self._writer
        assert opened is not None
        return opened

    def _writing(self) -> Documents:
        with self._opening:
            if self._writer is None:
                self._writer = Documents.open(self.folder, "a")
            return self._writer


@component
class QamaEmbeddingRetriever:
    """Retrieve the documents nearest to an embedding.

    Args:
        document_store: The store.
        filters: Which documents may be found.
        top_k: How many.
        filter_policy: Whether filters of a run replace these or are merged with them.
    """

    def __init__(
        self,
        document_store: QamaDocumentStore,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        filter_policy: FilterPolicy = FilterPolicy.REPLACE,
    ) -> None:
        self.document_store = document_store
        self.filters = filters
        self.top_k = top_k
        self.filter_policy = FilterPolicy(filter_policy)

    def to_dict(self) -> dict[str, Any]:
        """Return the retriever as Haystack serialises it, with its store."""
        given = {"filters": self.filters, "top_k": self.top_k}
        policy, store = self.filter_policy.value, self.document_store.to_dict()
        return dict(default_to_dict(self, document_store=store, filter_policy=policy, **given))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> QamaEmbeddingRetriever:
        """Return the retriever that `to_dict` described."""
        given = dict(data["init_parameters"])
        if isinstance(given["document_store"], dict):
            given["document_store"] = QamaDocumentStore.from_dict(given["document_store"])
        return cls(**given)

    @component.output_types(documents=list[Document])
    def run(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        text: str | None = None,
    ) -> dict[str, list[Document]]:
        """Return ``documents``; see `QamaDocumentStore.retrieve`."""
        where = apply_filter_policy(self.filter_policy, self.filters, filters)
        k = self.top_k if top_k is None else top_k
        return {"documents": self.document_store.retrieve(query_embedding, where, k, text)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        text: str | None = None,
    ) -> dict[str, list[Document]]:
        """Run in a thread; see `run`."""
        return await asyncio.to_thread(self.run, query_embedding, filters, top_k, text)


def _columns(given: Sequence[Document], dims: int) -> tuple[Any, ...]:
    """Return ids, vectors, texts and metadata of Haystack's documents."""
    A = np.zeros((len(given), dims), dtype=np.float32)
    for row, document in zip(A, given, strict=True):
        if document.embedding is not None:
            if len(document.embedding) != dims:
                raise ValueError(
                    f"document {document.id!r} has an embedding of {len(document.embedding)} dims; "
                    f"this codec was fitted on {dims}"
                )
            row[:] = document.embedding
    return [d.id for d in given], A, [d.content for d in given], [_metadata(d) for d in given]


def _metadata(document: Document) -> dict[str, Any]:
    held = document.to_dict(flatten=False)
    ours = {name: held[name] for name in ("blob", "sparse_embedding") if held[name] is not None}
    if document.embedding is None:
        ours["bare"] = True
    return {**document.meta, **({_OURS: ours} if ours else {})}


def _document(found: Any, score: float | None = None) -> Document:
    """Return a document of Haystack: of a Hit or a Document of qama."""
    meta = dict(found.metadata)
    ours = {name: value for name, value in meta.pop(_OURS, {}).items() if name != "bare"}
    given = {"id": found.id, "content": found.text, "meta": meta, "score": score, **ours}
    return Document.from_dict(given)
