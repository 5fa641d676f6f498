"""A LangChain vector store over `qama.Documents`.

    store = QamaVectorStore(documents, embedding)
    store = QamaVectorStore.from_texts(texts, embedding, folder="library", nbytes=48)

Searches take LangChain's ``filter`` as a filter of `qama.documents.filters`, and all other options
of `Documents.search`: ``text="words"`` searches words beside vectors. Methods that begin with ``a``
are LangChain's own: they run these in a thread.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import numpy as np

from qama.codec import Codec
from qama.documents import Documents, Hit
from qama.documents.filters import Filter
from qama.errors import MissingExtraError
from qama.fitting import fit
from qama.integrations.diversity import diverse

try:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import VectorStore
except ImportError as error:
    raise MissingExtraError("qama.integrations.langchain", "langchain-core", "langchain") from error

__all__ = ["QamaVectorStore"]


class QamaVectorStore(VectorStore):
    """Documents that LangChain embeds, writes and searches.

    Args:
        documents: Open documents; with ``mode="a"`` to add and to delete. They stay the caller's to
            close.
        embedding: What makes vectors of texts, the same whose vectors the codec was fitted on.
    """

    def __init__(self, documents: Documents, embedding: Embeddings) -> None:
        self.documents = documents
        self._embedding = embedding

    @property
    def embeddings(self) -> Embeddings:
        """What makes vectors of texts."""
        return self._embedding

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        folder: str | os.PathLike[str] = "qama-documents",
        codec: Codec | None = None,
        nbytes: int = 48,
        **options: Any,
    ) -> Self:
        """Make a folder of documents and add texts.

        Args:
            texts: n texts.
            embedding: What makes vectors of texts.
            metadatas: n dicts of JSON values.
            ids: n ids; default: random ones.
            folder: A folder in which there are no documents yet.
            codec: A codec; default: one fitted on the vectors of these texts, which takes
                some hundreds of texts to be good, and 16 to be possible.
            nbytes: Bytes of a code.
            **options: See `Documents.create`.

        Raises:
            ValueError: something does not fit, or too few texts to fit a codec.
            FileExistsError: there are documents in the folder.
            OSError: the folder cannot be written.
        """
        vectors = _vectors(embedding, texts)
        codec = codec or fit(vectors, max_bytes=nbytes)
        store = cls(Documents.create(folder, codec, nbytes=nbytes, **options), embedding)
        store._add(texts, vectors, metadatas, ids)
        return store

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **_: Any,
    ) -> list[str]:
        """Add texts, or replace those whose ids are there, all of them or none.

        Args:
            texts: n texts.
            metadatas: n dicts of JSON values.
            ids: n ids; None for a random one.
            **_: What others' stores know, such as ``batch_size``.

        Returns:
            The ids.

        Raises:
            ValueError, OSError: see `Documents.upsert`.
        """
        listed = list(texts)
        return self._add(listed, _vectors(self._embedding, listed), metadatas, ids)

    def _add(
        self,
        texts: list[str],
        vectors: Any,
        metadatas: list[dict[str, Any]] | None,
        ids: Sequence[str | None] | None,
    ) -> list[str]:
        keys = [key or uuid.uuid4().hex for key in ids or [None] * len(texts)]
        return self.documents.upsert(keys, vectors, texts, metadatas or None)

    def delete(self, ids: list[str] | None = None, **_: Any) -> bool:
        """Delete documents; ids that are not there are ignored, None deletes all."""
        self.documents.delete(ids, where={} if ids is None else None)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the documents of ids, without those that are not there."""
        found = self.documents.get(dict.fromkeys(ids))
        return [_document(document) for document in found]

    def similarity_search(
        self, query: str, k: int = 4, filter: Filter | None = None, **options: Any
    ) -> list[Document]:
        """Return the k documents nearest to a question.

        Args:
            query: The question.
            k: How many.
            filter: Which documents may be found: see `qama.documents.filters`.
            **options: Of `Documents.search`.

        Raises:
            ValueError: unfitting options, or an unfitting filter.
        """
        found = self.similarity_search_with_score(query, k, filter, **options)
        return [document for document, _ in found]

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Filter | None = None, **options: Any
    ) -> list[Document]:
        """Return the k documents nearest to a vector; see `similarity_search`."""
        return [_document(hit) for hit in self._hits(embedding, k, filter, **options)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **options: Any
    ) -> list[tuple[Document, float]]:
        """Return documents with their scores, larger is better; see `similarity_search`."""
        hits = self._hits(self._embedding.embed_query(query), k, filter, **options)
        return [(_document(hit), hit.score) for hit in hits]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **options: Any,
    ) -> list[Document]:
        """Return k of the ``fetch_k`` nearest documents, unlike each other.

        Args:
            query: The question.
            k: How many.
            fetch_k: Of how many.
            lambda_mult: From 0, most unlike, to 1, the nearest ones.
            filter: See `similarity_search`.
            **options: See `similarity_search`.
        """
        vector = self._embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(
            vector, k, fetch_k, lambda_mult, filter=filter, **options
        )

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **options: Any,
    ) -> list[Document]:
        """Return k of the ``fetch_k`` nearest documents; see `max_marginal_relevance_search`."""
        hits = self._hits(embedding, max(k, fetch_k), filter, **options)
        return [_document(hit) for hit in diverse(self.documents, hits, k, lambda_mult)]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """Return what LangChain asks for: 0 to 1 of a cosine."""
        return lambda cosine: min(1.0, max(0.0, cosine))

    def _hits(
        self, vector: list[float], k: int, where: Filter | None, **options: Any
    ) -> Sequence[Hit]:
        return self.documents.search(np.asarray(vector, np.float32), k, where=where, **options)


def _vectors(embedding: Embeddings, texts: list[str]) -> Any:
    return np.asarray(embedding.embed_documents(texts) if texts else [], dtype=np.float32)


def _document(found: Any) -> Document:
    """Return a document of LangChain: of a Hit or a Document of qama."""
    return Document(id=found.id, page_content=found.text or "", metadata=found.metadata)
