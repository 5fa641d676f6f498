"""Haystack: its own suites, and what they do not ask."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

pytest.importorskip("haystack", reason="Haystack is not installed: make test-integrations")

from haystack import Document, Pipeline
from haystack.dataclasses import ByteStream, SparseEmbedding
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy, FilterPolicy
from haystack.errors import FilterError
from haystack.testing.document_store import DocumentStoreBaseTests
from haystack.testing.document_store_async import (
    CountDocumentsAsyncTest,
    DeleteDocumentsAsyncTest,
    FilterDocumentsAsyncTest,
    WriteDocumentsAsyncTest,
)

import qama
from qama import Documents, LockedError
from qama.integrations.haystack import QamaDocumentStore, QamaEmbeddingRetriever

DIMS = 768  # of the suite's embeddings


@pytest.fixture(scope="module")
def wide_codec():
    return qama.fit(np.random.default_rng(0).random((64, DIMS)), max_bytes=4, threads=1)


class TestSuite(
    DocumentStoreBaseTests,
    CountDocumentsAsyncTest,
    DeleteDocumentsAsyncTest,
    FilterDocumentsAsyncTest,
    WriteDocumentsAsyncTest,
):
    @pytest.fixture
    def document_store(self, tmp_path, wide_codec):
        Documents.create(tmp_path / "docs", wide_codec, nbytes=4).close()
        store = QamaDocumentStore(tmp_path / "docs")
        yield store
        store.close()

    def assert_documents_are_equal(self, received, expected):
        """As the suite's, but for embeddings, of which codes are kept: they do not come back."""
        assert received == [replace(document, embedding=None) for document in expected]

    def test_write_documents(self, document_store):
        """The suite leaves the default policy to the store, and this test to be written."""
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])
        assert document_store.count_documents() == 1

    @pytest.mark.asyncio
    async def test_write_documents_async(self, document_store):
        """As `test_write_documents`."""
        document = Document(content="test doc")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document])


@pytest.fixture
def store(tmp_path, bytes_codec, rows):
    Documents.create(tmp_path / "docs", bytes_codec, nbytes=16).close()
    store = QamaDocumentStore(tmp_path / "docs")
    store.write_documents(
        [Document(id=str(i), content=f"word{i}", meta={"n": i}, embedding=rows[i].tolist())
         for i in range(50)]
    )  # fmt: skip
    yield store
    store.close()


def test_a_retriever_is_serialised_with_its_store(store, rows):
    store.write_documents([Document(id="bare", content="no embedding")])
    pipeline = Pipeline()
    filters = {"field": "meta.n", "operator": "<", "value": 20}
    retriever = QamaEmbeddingRetriever(store, filters, 3, FilterPolicy.MERGE)
    pipeline.add_component("retriever", retriever)
    allowed = [QamaDocumentStore.__module__]
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=allowed)
    assert again.to_dict() == pipeline.to_dict()
    given = {"query_embedding": rows[30].tolist()}
    found, same = (p.run({"retriever": given})["retriever"]["documents"] for p in (pipeline, again))
    assert found == same
    assert len(found) == 3
    assert all(d.meta["n"] < 20 and d.score is not None and d.content for d in found)
    more = {"field": "id", "operator": "in", "value": ["18", "19", "30"]}
    both = again.run({"retriever": {**given, "filters": more, "top_k": 9}})
    assert sorted(d.meta["n"] for d in both["retriever"]["documents"]) == [18, 19]
    words = asyncio.run(retriever.run_async(rows[3].tolist(), text="word11"))["documents"]
    assert {"3", "11"} <= {d.id for d in words}
    everything = QamaEmbeddingRetriever(store, top_k=100).run(rows[0].tolist())["documents"]
    assert {d.id for d in everything} == {str(i) for i in range(50)}  # none without embedding
    again.get_component("retriever").document_store.close()


def test_many_stores_read_a_folder_and_one_writes(store, rows):
    other = QamaDocumentStore(store.folder)
    assert other.count_documents() == 50
    store.delete_documents(["7"])
    assert other.count_documents() == 49
    with pytest.raises(LockedError):
        other.write_documents([Document(content="late")])
    store.close()
    assert other.write_documents([Document(content="late", embedding=rows[0].tolist())]) == 1
    other.close()
    assert store.count_documents() == 50


def test_documents_keep_all_but_their_embedding(store, rows):
    document = Document(
        id="all", content=None, meta={"a": {"b": [1, None]}}, embedding=rows[0].tolist(),
        blob=ByteStream(b"\x00\xff", meta={"x": 1}, mime_type="image/png"),
        sparse_embedding=SparseEmbedding([1, 5], [0.5, 2.0]),
    )  # fmt: skip
    store.write_documents([document])
    by_id = {"field": "id", "operator": "==", "value": "all"}
    assert store.filter_documents(by_id) == [replace(document, embedding=None)]


def test_ids_given_twice_follow_the_policy(store, rows):
    twice = [Document(id="x", content=c, embedding=rows[0].tolist()) for c in ("one", "two")]
    by_id = {"field": "id", "operator": "in", "value": ["x"]}
    with pytest.raises(DuplicateDocumentError, match="'x' is there already, or given twice"):
        store.write_documents(twice)
    assert store.filter_documents(by_id) == []
    assert store.write_documents(twice, DuplicatePolicy.SKIP) == 1
    assert [d.content for d in store.filter_documents(by_id)] == ["one"]
    assert store.write_documents(twice, DuplicatePolicy.OVERWRITE) == 2
    assert [d.content for d in store.filter_documents(by_id)] == ["two"]


def test_an_embedding_of_another_width_is_refused(store):
    wrong = [Document(id="wide", content="a", embedding=[0.5] * 33), Document(content="b")]
    with pytest.raises(ValueError, match=r"'wide' has an embedding of 33 dims; this codec .* 32"):
        store.write_documents(wrong)
    assert store.count_documents() == 50


@pytest.mark.parametrize("filters", [
    {"field": "embedding", "operator": "==", "value": 1},
    {"field": "meta.n", "operator": "~", "value": 1},
    {"operator": "XOR", "conditions": []},
    {"field": "meta.n", "operator": "==", "value": {"a": 1}},
])  # fmt: skip
def test_filters_that_are_none_are_refused(store, filters):
    with pytest.raises(FilterError):
        store.filter_documents(filters)


def test_content_and_dates_can_be_filtered_by(store, rows):
    late = Document(content="late", meta={"on": "2024-05-01T00:00:00"}, embedding=rows[1].tolist())
    store.write_documents([late])
    after = {"field": "meta.on", "operator": ">", "value": datetime(2024, 1, 1)}
    named = {"field": "content", "operator": "==", "value": "late"}
    assert [d.id for d in store.filter_documents(after)] == [late.id]
    assert [d.id for d in store.filter_documents(named)] == [late.id]
