"""LlamaIndex, which publishes no suite: one in its spirit, every method sync and async."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

pytest.importorskip(
    "llama_index.core", reason="LlamaIndex is not installed: make test-integrations"
)

from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.simple import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from qama import Documents
from qama.integrations.llamaindex import QamaVectorStore


class Sync:
    """The methods of a store, under one name for both ways of calling them."""

    def __init__(self, store):
        self.store = store

    def __getattr__(self, name):
        return getattr(self.store, name)


class Async(Sync):
    def __getattr__(self, name):
        method = getattr(self.store, {"add": "async_add"}.get(name, f"a{name}"))
        return lambda *given, **options: asyncio.run(method(*given, **options))


FIELDS = [
    {"n": 0, "kind": "a", "tags": ["x"]}, {"n": 1, "kind": "a", "tags": ["x", "y"]},
    {"n": 2, "kind": "b", "tags": []}, {"n": 3, "kind": "bc", "tags": ["z"]},
    {"n": 4, "kind": "", "tags": ["y", "z"]}, {"n": 5.5, "tags": ["x", "y", "z"]},
]  # fmt: skip


def nodes_of(rows):
    nodes = []
    for i, fields in enumerate(FIELDS):
        node = TextNode(id_=f"n{i}", text=f"text of node {i}", metadata=dict(fields),
                        embedding=rows[i].tolist())  # fmt: skip
        source = RelatedNodeInfo(node_id=f"doc{i // 2}")
        node.relationships[NodeRelationship.SOURCE] = source
        nodes.append(node)
    return nodes


@pytest.fixture
def store(tmp_path, bytes_codec):
    with Documents.create(tmp_path / "docs", bytes_codec, nbytes=16) as docs:
        yield QamaVectorStore(docs)


@pytest.fixture(params=[Sync, Async])
def filled(request, store, rows):
    use = request.param(store)
    assert use.add(nodes_of(rows)) == [f"n{i}" for i in range(6)]
    return use


def ask(rows, row, k=3, **options):
    return VectorStoreQuery(query_embedding=rows[row].tolist(), similarity_top_k=k, **options)


def test_nodes_come_back_as_they_were(filled, rows):
    found = filled.query(ask(rows, 2))
    assert found.ids[0] == "n2"
    assert found.similarities == sorted(found.similarities, reverse=True)
    assert found.similarities[0] == pytest.approx(1, abs=0.05)
    node = found.nodes[0]
    assert (node.node_id, node.text, node.metadata, node.ref_doc_id) == (
        "n2", "text of node 2", FIELDS[2], "doc1")  # fmt: skip
    assert [n.node_id for n in filled.get_nodes(["n4", "n1", "gone"])] == ["n4", "n1"]
    assert len(filled.get_nodes()) == 6


def test_the_same_ids_replace(filled, rows):
    (node, *_) = nodes_of(rows)
    node.set_content("rewritten")
    filled.add([node])
    assert len(filled.get_nodes()) == 6
    assert filled.get_nodes(["n0"])[0].text == "rewritten"
    assert filled.add([]) == []


def test_deleting(filled, rows):
    filled.delete("doc0")
    assert [n.node_id for n in filled.get_nodes()] == ["n2", "n3", "n4", "n5"]
    filled.delete("gone")
    filled.delete_nodes(["n2", "gone"])
    by_n = MetadataFilters(filters=[MetadataFilter(key="n", value=4)])
    filled.delete_nodes(["n3"], by_n)
    assert [n.node_id for n in filled.get_nodes()] == ["n3", "n4", "n5"]
    filled.delete_nodes(filters=by_n)
    assert [n.node_id for n in filled.get_nodes()] == ["n3", "n5"]
    assert filled.query(ask(rows, 4)).ids[0] in ("n3", "n5")
    filled.clear()
    assert filled.query(ask(rows, 4)).ids == []
    with pytest.raises(ValueError, match="ids or where"):
        filled.delete_nodes()


FILTERS = [
    ("n", 1, "=="), ("n", 1, "!="), ("n", 2, ">"), ("n", 2, ">="), ("n", 2, "<"), ("n", 2, "<="),
    ("kind", ["a", "bc"], "in"), ("kind", ["a", "bc"], "nin"), ("kind", "a", "!="),
    ("tags", "x", "contains"), ("tags", ["x", "z"], "any"), ("tags", ["y", "z"], "all"),
    ("kind", "b", "text_match"), ("kind", None, "is_empty"), ("tags", None, "is_empty"),
    ("gone", None, "is_empty"), ("n", 5.5, "=="), ("gone", 1, "!="), ("gone", 1, "=="),
]  # fmt: skip


def agree(store, rows, filters):
    """What LlamaIndex's own store in memory finds, this one finds, too."""
    known = SimpleVectorStore()
    known.add(nodes_of(rows))
    query = ask(rows, 0, k=6, filters=filters)
    assert sorted(store.query(query).ids) == sorted(known.query(query).ids)
    return sorted(store.query(query).ids)


@pytest.mark.parametrize("given", FILTERS, ids=str)
def test_filters_say_what_llamaindex_says(store, rows, given):
    store.add(nodes_of(rows))
    part = MetadataFilter(**dict(zip(("key", "value", "operator"), given, strict=True)))
    agree(store, rows, MetadataFilters(filters=[part]))
    agree(store, rows, MetadataFilters(filters=[part], condition=FilterCondition.NOT))
    other = MetadataFilter(key="n", value=3)
    for condition in FilterCondition:
        agree(store, rows, MetadataFilters(filters=[part, other], condition=condition))


def test_filters_within_filters_ids_and_documents(filled, rows):
    few = MetadataFilters(filters=[MetadataFilter(key="n", value=n) for n in (0, 3)],
                          condition="or")  # fmt: skip
    not_a = MetadataFilters(filters=[MetadataFilter(key="kind", value="a")], condition="not")
    both = MetadataFilters(filters=[few, not_a])
    assert filled.query(ask(rows, 0, filters=both)).ids == ["n3"]
    assert filled.query(ask(rows, 0, node_ids=["n4", "gone"])).ids == ["n4"]
    assert sorted(filled.query(ask(rows, 0, doc_ids=["doc0", "doc1"], filters=not_a)).ids) == [
        "n2", "n3"]  # fmt: skip
    assert len(filled.query(ask(rows, 0, k=6, filters=MetadataFilters(filters=[]))).ids) == 6
    wrong = MetadataFilter(key="kind", value="A", operator="text_match_insensitive")
    with pytest.raises(ValueError, match="none that qama has"):
        filled.query(ask(rows, 0, filters=MetadataFilters(filters=[wrong])))


def test_query_modes(filled, rows, bytes_codec):
    modes = VectorStoreQueryMode
    words = VectorStoreQuery(query_str="node 4", mode=modes.TEXT_SEARCH, similarity_top_k=1)
    assert filled.query(words).ids == ["n4"]
    both = ask(rows, 2, k=1, query_str="4", mode=modes.HYBRID, hybrid_top_k=2)
    assert sorted(filled.query(both).ids) == ["n2", "n4"]
    assert filled.query(ask(rows, 2, k=2, mode=modes.MMR, mmr_threshold=1)).ids[0] == "n2"
    apart = filled.query(ask(rows, 2, k=2, mode=modes.MMR), mmr_threshold=0.0).ids
    decoded = bytes_codec.decode(bytes_codec.encode(rows[:6], nbytes=16), nbytes=16)
    decoded /= np.linalg.norm(decoded, axis=1, keepdims=True)
    assert apart == ["n2", f"n{(decoded @ decoded[2]).argmin()}"]
    with pytest.raises(ValueError, match="give default, text_search, hybrid or mmr"):
        filled.query(ask(rows, 2, mode=modes.SVM))
    with pytest.raises(ValueError, match="needs query_str"):
        filled.query(ask(rows, 2, mode=modes.HYBRID))
    with pytest.raises(ValueError, match="needs query_embedding"):
        filled.query(VectorStoreQuery(query_str="a"))


class Embedding(BaseEmbedding):
    """32 counts of letters."""

    def _get_text_embedding(self, text):
        return np.bincount([ord(c) % 32 for c in text] or [0], minlength=32).astype(float).tolist()

    def _get_query_embedding(self, query):
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query):
        return self._get_text_embedding(query)


def test_an_index_of_llamaindex_uses_it(store):
    texts = ["oxen plough", "fizzy jazz", "mummy hummed"]
    documents = [Document(text=text, id_=text, metadata={"long": len(text)}) for text in texts]
    context = StorageContext.from_defaults(vector_store=store)
    options = {"embed_model": Embedding(), "show_progress": False}
    index = VectorStoreIndex.from_documents(documents, storage_context=context, **options)
    again = VectorStoreIndex.from_vector_store(store, embed_model=Embedding())
    for retriever in (
        index.as_retriever(similarity_top_k=1),
        again.as_retriever(similarity_top_k=1),
    ):
        assert [hit.text for hit in retriever.retrieve("fizzy jazz")] == ["fizzy jazz"]
        assert [hit.text for hit in asyncio.run(retriever.aretrieve("mummy"))] == ["mummy hummed"]
    index.delete_ref_doc("fizzy jazz")
    assert sorted(node.text for node in store.get_nodes()) == ["mummy hummed", "oxen plough"]
    assert store.client.count() == 2
