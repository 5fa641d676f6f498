"""LangChain: its own suite, and what it does not ask."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

pytest.importorskip("langchain_tests", reason="LangChain is not installed: make test-integrations")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_tests.integration_tests.vectorstores import (
    EMBEDDING_SIZE,
    VectorStoreIntegrationTests,
)

import qama
from qama import Documents
from qama.integrations.langchain import QamaVectorStore

TEXTS = [f"text {i}" for i in range(40)]
EMBEDDING = DeterministicFakeEmbedding(size=EMBEDDING_SIZE)


@pytest.fixture(scope="module")
def small_codec():
    return qama.fit(np.random.default_rng(0).standard_normal((300, EMBEDDING_SIZE)), threads=1)


class TestSuite(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path, small_codec):
        with Documents.create(tmp_path / "docs", small_codec, nbytes=6) as docs:
            yield QamaVectorStore(docs, self.get_embeddings())


@pytest.fixture
def store(tmp_path):
    fields = [{"n": i, "odd": bool(i % 2)} for i in range(40)]
    folder = tmp_path / "docs"
    store = QamaVectorStore.from_texts(TEXTS, EMBEDDING, fields, folder=folder, nbytes=6)
    yield store
    store.documents.close()


def test_a_codec_is_fitted_on_the_texts_and_the_folder_opens_again(store, tmp_path):
    assert [d.page_content for d in store.similarity_search("text 7", k=1)] == ["text 7"]
    store.documents.close()
    with Documents.open(tmp_path / "docs") as docs:
        again = QamaVectorStore(docs, EMBEDDING)
        assert again.similarity_search("text 9", k=1)[0].metadata == {"n": 9, "odd": True}
        assert again.embeddings is EMBEDDING
        with pytest.raises(ValueError, match='open them with mode="a"'):
            again.add_texts(["more"])


def test_filters_words_and_scores(store):
    found = store.similarity_search_with_score("text 7", 3, filter={"odd": False})
    assert all(not d.metadata["odd"] for d, _ in found)
    assert [s for _, s in found] == sorted((s for _, s in found), reverse=True)
    assert store.similarity_search("text 7", 1, text="33", filter={"n": 33})[0].metadata["n"] == 33
    ((_, relevance),) = store.similarity_search_with_relevance_scores("text 7", 1)
    assert 0.9 < relevance <= 1
    with pytest.raises(TypeError, match="nonsense"):
        store.similarity_search("text 7", nonsense=1)


def test_a_retriever_and_marginal_relevance(store):
    nearest = [d.metadata["n"] for d in store.similarity_search("text 7", k=3)]
    near = store.max_marginal_relevance_search("text 7", 3, fetch_k=10, lambda_mult=1)
    assert [d.metadata["n"] for d in near] == nearest
    apart = store.max_marginal_relevance_search("text 7", 3, fetch_k=40, lambda_mult=0)
    first, second = (np.array(EMBEDDING.embed_query(d.page_content)) for d in apart[:2])
    every = np.array(EMBEDDING.embed_documents(TEXTS))
    cosines = every @ first / np.linalg.norm(every, axis=1) / np.linalg.norm(first)
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert apart[0].metadata["n"] == 7
    assert cosine < np.sort(cosines)[4]
    retriever = store.as_retriever(search_type="mmr", search_kwargs={"k": 2, "filter": {"n": 3}})
    assert [d.metadata["n"] for d in asyncio.run(retriever.ainvoke("text 7"))] == [3]


def test_langchains_indexing_writes_what_changed_and_deletes_what_is_gone(store):
    records = InMemoryRecordManager(namespace="qama")
    records.create_schema()
    given = [Document(page_content=t, metadata={"source": t}) for t in ("one", "two")]
    options = {"cleanup": "full", "source_id_key": "source", "key_encoder": "sha256"}
    assert index(given, records, store, **options)["num_added"] == 2
    done = index(given[:1], records, store, **options)
    assert (done["num_skipped"], done["num_deleted"]) == (1, 1)
    assert store.documents.count({"source": {"$exists": True}}) == 1
    assert store.delete() is True
    assert store.similarity_search("one") == []
