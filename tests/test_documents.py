"""Documents: against a dictionary, filters against Python, and whatever may come in between."""

from __future__ import annotations

import contextlib
import copy
import gc
import json
import os
import pickle
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from documents_model import CELL, CODEC, POOL, agree
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pyarrow import parquet

import qama
from qama import Documents, FormatError, Index, LockedError
from qama.documents import filters, fusing, transactions


def made(home, **options):
    return Documents.create(home / "docs", CODEC, **(CELL | options))


def filled(home, count=100, **options):
    docs = made(home, **options)
    docs.add(
        [f"d{i}" for i in range(count)], POOL[:count],
        [f"word{i % 5} nr {i}" for i in range(count)],
        [{"year": 2000 + i, "odd": bool(i % 2)} for i in range(count)],
    )  # fmt: skip
    return docs


def files_of(home):
    return sorted(path.name for path in (home / "docs").iterdir())


# --- adding, changing, searching ---------------------------------------------------------------


def test_what_is_added_is_found_with_its_text_and_fields(tmp_path):
    docs = filled(tmp_path)
    index = Index(CODEC, **CELL)
    index.add(POOL[:100])
    wanted = index.search(POOL[200:201], 5)
    hits = docs.search(POOL[200], 5)
    assert hits.ids == [f"d{i}" for i in wanted.ids[0]]
    assert hits.scores == wanted.scores[0].tolist()
    first = int(wanted.ids[0, 0])
    assert hits[0].text == f"word{first % 5} nr {first}"
    assert hits[0].metadata == {"year": 2000 + first, "odd": bool(first % 2)}
    assert docs.search(POOL[200:201], 5) == docs.search(POOL[200].tolist(), 5) == hits
    assert docs.search(POOL[200], 1000, scorer="hamming").ids[0] in docs.ids()
    assert len(docs.search(POOL[200], 1000)) == len(docs) == 100


def test_what_is_left_out_has_its_default(tmp_path):
    docs = made(tmp_path)
    keys = docs.add(vectors=POOL[:3])
    assert len({*keys}) == 3
    assert docs.get(keys)[1] == qama.documents.Document(keys[1], None, {})
    assert docs.add([], POOL[:0]) == docs.add(vectors=[], texts=[]) == []
    docs.upsert(["a"], POOL[:1], [None], [None])
    assert [key in docs for key in ("a", "b", "", 3, "\ud800")] == [True] + [False] * 4


def test_an_upsert_replaces_the_whole_document_and_a_delete_ignores_what_is_not_there(tmp_path):
    docs = filled(tmp_path)
    docs.upsert(["d3", "new"], POOL[300:302], ["other", None])
    assert docs.get(["new", "d3", "nowhere"]) == [
        qama.documents.Document("new"), qama.documents.Document("d3", "other"),
    ]  # fmt: skip
    assert docs.search(POOL[300], 1).ids == ["d3"]
    assert docs.ids()[-2:] == ["d3", "new"]
    assert len(docs) == 101
    assert docs.delete(["d3", "nowhere"]) == 1
    assert docs.delete(["d4"], where={"year": 1}) == 0
    assert docs.delete("d4") == 1
    assert docs.delete(where={"year": {"$lt": 2010}}) == 8
    assert docs.count({"odd": True}) == 45
    assert docs.count() == len(docs.ids()) == 91
    assert docs.get(where={"odd": True}, limit=2)[1].id == "d13"
    agree(docs)


def test_a_filtered_search_returns_k_where_k_exist(tmp_path):
    docs = filled(tmp_path)
    for where, wanted in (
        ({"year": {"$gte": 2090}}, range(90, 100)), ({"year": 2007}, [7]), ({"year": 1}, []),
        ({"$or": [{"year": 2001}, {"odd": False, "year": {"$in": [2001, 2002]}}]}, [1, 2]),
    ):  # fmt: skip
        hits = docs.search(POOL[200], 10, where=where)
        assert {*hits.ids} == {f"d{i}" for i in wanted}
        every = docs.search(POOL[200], 100)
        assert hits == tuple(hit for hit in every if hit.id in hits.ids)


@pytest.mark.parametrize("scorer", ["asymmetric", "hamming"])
@pytest.mark.parametrize("where", [None, {"odd": True}])
def test_a_batch_finds_what_each_query_finds_alone(tmp_path, scorer, where):
    docs = filled(tmp_path)
    Q, words = POOL[200:231], [f"word{i % 5} {i}" for i in range(31)]
    told = {"k": 7, "where": where, "scorer": scorer}
    assert docs.search_batch(Q, **told) == [docs.search(q, **told) for q in Q]
    assert docs.search_batch(texts=words, **told) == [docs.search(text=w, **told) for w in words]
    both = [docs.search(q, text=w, **told) for q, w in zip(Q, words, strict=True)]
    assert docs.search_batch(Q, texts=words, **told) == both
    assert docs.search_batch(Q[:0]) == docs.search_batch(texts=[]) == []


def test_unfitting_batches_are_refused(tmp_path):
    docs = filled(tmp_path)
    for given_, options, said in (
        (None, {}, "needs queries, texts, or both"),
        ("one", {}, "Q is one string"),
        (["one"], {}, "open the documents with embed="),
        (POOL[:2], {"texts": ["a"]}, "texts has 1 entries for 2"),
        (POOL[:2], {"texts": ["a", 3]}, "text is a int"),
    ):
        with pytest.raises(ValueError, match=said):
            docs.search_batch(given_, **options)


def test_results_become_frames_and_tables(tmp_path):
    docs = filled(tmp_path)
    hits = docs.search(POOL[0], 3)
    frame, table = hits.to_pandas(), hits.to_arrow()
    assert list(frame.columns) == table.column_names == ["id", "score", "text", "metadata"]
    assert frame.id.tolist() == table["id"].to_pylist() == hits.ids
    assert frame.metadata.tolist() == [json.loads(m) for m in table["metadata"].to_pylist()]
    assert repr(hits).startswith("<qama.documents.Hits: 3, best 'd0' with")
    assert repr(docs.search(text="none")) == "<qama.documents.Hits: 0>"
    empty = docs.search(text="none")
    assert empty.to_arrow().schema == table.schema
    assert len(empty.to_pandas()) == 0


def test_words_are_found_and_nothing_in_a_text_is_an_operator(tmp_path):
    docs = made(tmp_path)
    texts = ["a rose is a rose", "Été à Paris", "don't stop", 'say "NOT" AND', None, "rose garden"]
    docs.add([str(i) for i in range(6)], POOL[:6], texts)
    assert docs.search(text="rose").ids == ["0", "5"]
    assert docs.search(text="ete PARIS").ids == ["1"]
    assert docs.search(text='" OR NEAR( not -*^').ids == ["3"]
    assert docs.search(text="!?") == ()
    assert docs.search(text="rose", k=1, where={"x": None}).ids == ["0"]
    docs.upsert(["0"], POOL[:1], ["tulips"])
    docs.delete(["5"])
    assert docs.search(text="rose") == ()
    assert docs.search(text="tulips")[0].score > 0
    docs.rebuild()
    assert docs.search(text="tulips").ids == ["0"]


def test_a_rank_fusion_known_by_hand(tmp_path):
    assert fusing.fused([[1, 2, 3], [3, 4]], 3) == [(3, 1 / 63 + 1 / 61), (1, 1 / 61), (2, 1 / 62)]
    assert fusing.fused([[7], [8]], 5) == [(7, 1 / 61), (8, 1 / 61)]
    docs = filled(tmp_path)
    q = POOL[200]
    hits = docs.search(q, 10, text="word3 17")
    words = docs.search(text="word3 17", k=100).ids
    vectors = docs.search(q, 100).ids
    scores = dict.fromkeys(vectors, 0.0)
    for ranking in (vectors, words):
        for rank, key in enumerate(ranking):
            scores[key] += 1 / (61 + rank)
    best = sorted(vectors, key=lambda key: -scores[key])[:10]
    assert hits.ids == best
    assert hits.scores == pytest.approx([scores[key] for key in best])
    some = docs.search(q, 3, text="word3", where={"odd": True})
    assert all(hit.metadata["odd"] for hit in some)


class Model:
    """As SentenceTransformer is: callable, though not with texts."""

    def __call__(self, texts):
        raise AssertionError

    def encode_document(self, texts):
        assert type(texts) is list
        return POOL[[len(text) for text in texts]]

    def encode(self, texts):
        return self.encode_document(texts)


@pytest.mark.parametrize("embed", [Model(), Model().encode])
def test_an_embedder_makes_vectors_of_texts_and_questions(tmp_path, embed):
    docs = made(tmp_path, embed=embed)
    docs.add(texts=["a", "bb", "ccc"])
    docs.upsert(["x"], texts=["dddd"])
    assert docs.search("zz", 1)[0].text == "bb"
    assert [hits[0].text for hits in docs.search_batch(["y", "zz"], 1)] == ["a", "bb"]
    assert docs.add(texts=[]) == []
    with pytest.raises(ValueError, match=r"texts\[1\] is None"):
        docs.add(texts=["a", None])
    docs.close()
    plain = Documents.open(tmp_path / "docs", "a")
    with pytest.raises(ValueError, match="embed="):
        plain.add(texts=["a"])
    with pytest.raises(ValueError, match="q is a string; open the documents with embed="):
        plain.search("zz")
    plain.close()
    short = Documents.open(tmp_path / "docs", "a", embed=lambda texts: POOL[:1])
    with pytest.raises(ValueError, match="embed made 1 vectors of 2 texts"):
        short.add(texts=["a", "b"])
    with pytest.raises(ValueError, match="embed made 1 vectors of 2 texts"):
        short.search_batch(["a", "b"])
    with pytest.raises(ValueError, match="embed is 3"):
        Documents.open(tmp_path / "docs", embed=3)


def test_the_name_of_a_model_makes_no_vectors(byte_codec, tmp_path):
    with pytest.raises(ValueError, match="embed is 'some-model'; give a model, an object with"):
        Documents.create(tmp_path / "new", byte_codec, embed="some-model")
    assert not (tmp_path / "new").exists()


# --- filters -----------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.integers(-3, 3), st.sampled_from([0.5, -1.5, 2.0, 2**53, -(2**63), 2**63 - 1, 1e300]),
    st.booleans(), st.sampled_from(["", "a", "b", "ä", "1", "[1]", '{"b":1}', "a'b", "\U0001f600"]),
)  # fmt: skip
KEYS = st.sampled_from(["a", "b", "c d", "ü", "a'b", "$x", "0"])
VALUES = st.recursive(
    st.none() | SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.lists(KEYS, min_size=1, max_size=2).map(".".join).filter(lambda f: f[0] != "$")
ORDERS = {
    "$gt": lambda a, b: a > b, "$gte": lambda a, b: a >= b,
    "$lt": lambda a, b: a < b, "$lte": lambda a, b: a <= b,
}  # fmt: skip
OPERANDS = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne"]), st.none() | SCALARS),
    st.tuples(st.sampled_from(list(ORDERS)), SCALARS),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(st.none() | SCALARS, max_size=3)),
    st.tuples(st.just("$exists"), st.booleans()),
    st.tuples(st.just("$contains"), SCALARS),
    st.tuples(st.just("$eq"), st.just([])),
)
OPERATORS = st.recursive(
    st.lists(OPERANDS, min_size=1, max_size=2).map(dict),
    lambda inner: inner.map(lambda within: {"$not": within}),
    max_leaves=2,
)
FILTERS = st.recursive(
    st.dictionaries(FIELDS, st.none() | SCALARS | OPERATORS, max_size=2),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["$and", "$or"]), st.lists(inner, max_size=3)).map(
            lambda pair: dict([pair])
        ),
        inner.map(lambda within: {"$not": within}),
    ),
    max_leaves=4,
)
MISSING = object()


def field_of(document, field):
    for key in field.split("."):
        document = document.get(key, MISSING) if isinstance(document, dict) else MISSING
    return document


def comparable(one, other):
    kinds = [str if isinstance(v, str) else float for v in (one, other)]
    scalars = all(isinstance(v, str | int | float) for v in (one, other))
    return scalars and kinds[0] is kinds[1]


def equal(held, value):
    if value == []:
        return held == []
    return held in (None, MISSING) if value is None else comparable(held, value) and held == value


def contains(held, value):
    if isinstance(held, list):
        return any(comparable(element, value) and element == value for element in held)
    return isinstance(held, str) and isinstance(value, str) and value in held


def holds(document, field, value):
    """What docs/documents.md says of one field."""
    held = field_of(document, field)
    if not isinstance(value, dict):
        return equal(held, value)
    answers = []
    for name, operand in value.items():
        if name in ORDERS:
            answers.append(comparable(held, operand) and ORDERS[name](held, operand))
        elif name in ("$in", "$nin"):
            answers.append(any(equal(held, v) for v in operand) == (name == "$in"))
        elif name == "$exists":
            answers.append((held is not MISSING) == operand)
        elif name == "$contains":
            answers.append(contains(held, operand))
        elif name == "$not":
            answers.append(not holds(document, field, operand))
        else:
            answers.append(equal(held, operand) == (name == "$eq"))
    return all(answers)


def passes(document, where):
    answers = []
    for key, value in where.items():
        if key == "$not":
            answers.append(not passes(document, value))
        elif key in ("$and", "$or"):
            within = [passes(document, part) for part in value]
            answers.append(all(within) if key == "$and" else any(within))
        else:
            answers.append(holds(document, key, value))
    return all(answers)


@pytest.fixture(scope="module")
def table():
    """A database of metadata alone, as the store keeps it."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE documents (number INTEGER PRIMARY KEY, metadata TEXT)")
        for field in ("a", "b", "a.b"):
            connection.execute(f'CREATE INDEX "by {field}" ON documents ({filters.scalar(field)})')
        yield connection


@settings(max_examples=300)
@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=3), max_size=8), FILTERS)
def test_filters_say_what_python_says(table, documents, where):
    held = [(i, json.dumps(d, ensure_ascii=False)) for i, d in enumerate(documents)]
    table.execute("DELETE FROM documents")
    table.executemany("INSERT INTO documents VALUES (?, ?)", held)
    condition = filters.compiled(where)
    sql = f"SELECT number FROM documents WHERE {condition.sql} ORDER BY number"
    found = [number for (number,) in table.execute(sql, condition.values)]
    assert found == [i for i, document in enumerate(documents) if passes(document, where)]


@pytest.mark.parametrize("where", [
    {"year": 2007}, {"year": {"$gte": 2007, "$lt": 2050}}, {"year": {"$in": [1, 2007]}},
    {"odd": True, "year": {"$gt": 2090}},
])  # fmt: skip
def test_an_index_of_a_field_is_used_and_changes_nothing(tmp_path, where):
    docs = filled(tmp_path)
    before = docs.search(POOL[200], 100, where=where)
    docs.create_index("year")
    docs.create_index("year")
    assert docs.search(POOL[200], 100, where=where) == before
    condition = filters.compiled(where)
    sql = f"EXPLAIN QUERY PLAN SELECT number FROM documents WHERE {condition.sql}"
    with docs._store.reading() as view:
        plan = str(view._rows(sql, *condition.values))
    assert "SEARCH documents USING" in plan
    assert "by year" in plan


@pytest.mark.parametrize(("where", "message"), [
    ("year", "a filter is 'year'; give a dict"),
    ({"$xor": []}, "unknown operator '$xor'; a filter has fields, $and, $or and $not"),
    ({"year": {"$like": "a"}}, "unknown operator '$like' of 'year'; give $eq, $ne"),
    ({"year": {}}, "the filter of 'year' is empty"),
    ({"year": {"$gt": [1]}}, "'year' is compared with [1]; give a string"),
    ({"year": {"$gt": None}}, "'year' is compared with None, which has no order"),
    ({"year": float("nan")}, "'year' is compared with nan"),
    ({"year": 2**63}, "whole ones of 64 bits"),
    ({"year": "\ud800"}, "'year' is compared with"),
    ({"year": {"$in": "ab"}}, "$in is 'ab'; give a list"),
    ({"$and": {"a": 1}}, "$and is {'a': 1}; give a list"),
    ({"year": {"$exists": 1}}, "$exists of 'year' is 1; give True or False"),
    ({"": 1}, "a filter names the field ''"), ({"a..b": 1}, "a filter names the field 'a..b'"),
    ({'a"b': 1}, "a filter names the field"), ({3: 1}, "a filter names the field 3"),
])  # fmt: skip
def test_a_filter_that_is_none_is_refused_by_name(tmp_path, where, message):
    docs = filled(tmp_path, 3)
    for use in (lambda: docs.search(POOL[0], where=where), lambda: docs.count(where),
                lambda: docs.delete(where=where), lambda: docs.ids(where)):  # fmt: skip
        with pytest.raises(ValueError, match=re.escape(message)):
            use()
    assert len(docs) == 3


def test_ids_and_texts_are_fields_of_their_own(tmp_path):
    docs = filled(tmp_path, 20)
    docs.add(["none"], POOL[20:21])
    assert docs.ids({"$id": {"$in": ["d7", "none", "gone"]}}) == ["d7", "none"]
    assert docs.search(POOL[3], 5, where={"$id": "d4"}).ids == ["d4"]
    assert docs.ids({"$text": {"$contains": "nr 7"}}) == ["d7"]
    assert docs.ids({"$text": {"$contains": 7}}) == []
    assert docs.ids({"$text": None}) == docs.ids({"$text": {"$exists": False}}) == ["none"]
    assert docs.count({"$not": {"$text": {"$gte": "word3"}}}) == 13
    assert docs.count({"a.$id": None}) == 21  # within a field it is a key like others


def test_vectors_are_those_kept_or_those_that_codes_stand_for(tmp_path, byte_codec):
    docs = filled(tmp_path, 10)
    codes = CODEC.encode(POOL[:10], compact=True, **CELL)
    decoded = CODEC.decode(codes, compact=True, **CELL)
    found = docs.vectors(["d7", "d2"])
    assert found.dtype == np.float32
    assert np.array_equal(found, decoded[[7, 2]])
    assert docs.vectors([]).shape == (0, decoded.shape[1])
    with pytest.raises(ValueError, match="there is no document 'gone'"):
        docs.vectors(["d1", "gone"])
    kept = Documents.create(tmp_path / "kept", byte_codec, nbytes=2, keep_vectors="float16")
    X = POOL[:9] / np.linalg.norm(POOL[:9], axis=1, keepdims=True)
    kept.add([f"d{i}" for i in range(9)], POOL[:9])
    assert np.abs(kept.vectors(["d8", "d0"]) - X[[8, 0]]).max() < 1e-3
    assert kept.vectors([]).shape == (0, X.shape[1])


def test_filters_within_filters_have_an_end(table):
    table.execute("DELETE FROM documents")
    table.execute("INSERT INTO documents VALUES (1, '{\"a\": 1}')")
    many = [{"a": 1, "b": {"$nin": [3, None]}}, {"a": {"$gte": "x"}}] * 60
    for leaf in ({"a": 1}, {"$or": many}, {"$and": many}):
        for wrap in (lambda f: {"$not": f}, lambda f: {"$or": [{"x": 1}, f]}):
            where = leaf
            for _ in range(10 - ("a" not in leaf)):
                where = wrap(where)
                condition = filters.compiled(where)
                sql = f"SELECT count(*) FROM documents WHERE {condition.sql}"
                ((found,),) = table.execute(sql, condition.values)
                assert found == passes({"a": 1}, where)
            with pytest.raises(ValueError, match="more than 10 filters within each other"):
                filters.compiled(wrap(where))
    condition = filters.compiled({"$or": [{"a": 2}] * 1500 + [{"a": 1}]})
    sql = f"SELECT count(*) FROM documents WHERE {condition.sql}"
    assert table.execute(sql, condition.values).fetchall() == [(1,)]
    value = 1
    for _ in range(12):
        value = {"$not": value}
    with pytest.raises(ValueError, match="more than 10 filters within each other"):
        filters.compiled({"a": value})
    with pytest.raises(ValueError, match=r"too many conditions; .*, give \$in"):
        filters.compiled({"$or": [{"a": i} for i in range(20_000)]})


def test_a_filter_is_compiled_once_for_one_moment(tmp_path):
    docs = filled(tmp_path)
    where = {"year": {"$gte": 2095}}
    (kept,) = (docs.search(POOL[200], where=where), docs._allowed._kept.values())[1]
    assert len(docs.search(POOL[200], where=where)) == 5
    assert [*docs._allowed._kept.values()] == [kept]
    docs.delete(["d99"])
    assert len(docs.search(POOL[200], where=where)) == 4
    for year in range(2000, 2050):
        assert docs.search(POOL[200], where={"year": year}).ids == [f"d{year - 2000}"]
    assert len(docs._allowed._kept) == 32


def test_numbers_of_numpy_are_numbers(tmp_path):
    docs = filled(tmp_path)
    assert docs.count({"year": np.int64(2007)}) == 1
    assert docs.count({"year": {"$in": np.arange(2003, 2006)}}) == 3


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "message"), [
    ({"ids": ["d1"]}, "id 'd1' is in the documents already; upsert replaces"),
    ({"ids": ["x", "x"], "vectors": POOL[:2]}, "ids holds 'x' more than once"),
    ({"ids": [""]}, "an id is ''; give one or more characters"),
    ({"ids": ["a\0"]}, "none of them NUL"), ({"ids": ["\udce9"]}, "is no text in UTF-8"),
    ({"ids": [3]}, "an id is 3; give a string"), ({"ids": "x"}, "ids is 'x'; give a list"),
    ({"ids": ["x", "y"]}, "ids has 2 entries for 1 documents"),
    ({"texts": ["x", "y"]}, "texts has 2 entries for 1 documents"),
    ({"texts": [3]}, "texts[0] is 3; give a string"), ({"texts": ["\ud800"]}, "no text in UTF-8"),
    ({"metadata": {"a": 1}}, "metadata is one dict"),
    ({"metadata": [{}, {}]}, "metadata has 2 entries for 1 documents"),
    ({"metadata": [[1]]}, "metadata[0] is [1]; give a dict"),
    ({"metadata": [{"a": float("nan")}]}, "metadata[0] is no JSON"),
    ({"metadata": [{"a": {1, 2}}]}, "metadata[0] is no JSON"),
    ({"metadata": [{"a": "\ud800"}]}, "metadata[0] is no JSON"),
    ({"metadata": [{"a": ["x\0y"]}]}, "with a NUL, at which SQLite would end the string"),
    ({"metadata": [{"a": {"x\0": 1}}]}, "with a NUL"),
    ({"ids": {"a"}}, "ids is a set"),
    ({"texts": {"a"}}, "texts is a set"),
    ({"metadata": [{1: 2}]}, "give strings for keys"),
    ({"metadata": [{"a": (1, 2)}]}, "lists instead of tuples"),
    ({"vectors": POOL[:1, :7]}, "vectors has 7 columns; this codec was fitted on 8"),
    ({"vectors": POOL[:1] * np.nan}, "every value must be finite"),
    ({"vectors": None}, "give vectors, or texts and open the documents with embed="),
    ({"threads": -1}, "threads is -1"),
])  # fmt: skip
def test_an_unfitting_change_is_refused_and_changes_nothing(tmp_path, given, message):
    docs = filled(tmp_path, 3)
    with pytest.raises(ValueError, match=re.escape(message)):
        docs.add(**({"ids": ["x"], "vectors": POOL[:1]} | given))
    assert docs.ids() == ["d0", "d1", "d2"]
    assert len(docs.search(POOL[0])) == 3
    agree(docs)


def test_metadata_deeper_than_sqlite_reads_is_refused(tmp_path):
    docs = made(tmp_path)
    deep = {}
    for _ in range(900):
        deep = {"a": deep}
    with contextlib.suppress(ValueError):  # which SQLite takes up to 1000 or 2000
        docs.add(["deep"], POOL[:1], None, [deep])
    assert docs.count({"a.b": None}) == len(docs)
    rows = transactions.Rows(
        ["x"], [None], ["[" * 5000 + "]" * 5000], np.zeros((1, 2), np.uint8), None
    )
    with docs._store.writing() as change, pytest.raises(ValueError, match="nested deeper"):
        change.insert(rows)


def test_searches_that_ask_for_nothing_are_refused(tmp_path):
    docs = filled(tmp_path, 3, fulltext=False)
    for use, message in (
        (lambda: docs.search(), "needs a query, a text, or both"),
        (lambda: docs.search(POOL[:2]), "q has 2 rows; search takes one query"),
        (lambda: docs.search(POOL[0, :7]), "has 7 columns"),
        (lambda: docs.search(POOL[0], 0), "k is 0"),
        (lambda: docs.search(POOL[0], scorer="x"), "scorer is 'x'"),
        (lambda: docs.search(text="a"), "created with fulltext=False"),
        (lambda: docs.search(text=3), "text is a int; give a string"),
        (lambda: docs.delete(), "delete needs ids or where"),
        (lambda: docs.upsert(None, POOL[:1]), "upsert needs ids"),
        (lambda: docs.create_index('"'), "names the field"),
        (lambda: docs.get(limit=-1), "limit is -1"),
    ):
        with pytest.raises(ValueError, match=message):
            use()
    assert len(docs) == 3


@pytest.mark.parametrize(("option", "value"), [
    ("scorer", "zzz"), ("nbytes", 9), ("rescore", -3), ("rescore", 5), ("threads", -1),
    ("funnel", "x"), ("funnel", 0),
])  # fmt: skip
def test_options_are_refused_by_words_alone_as_by_a_vector(byte_codec, tmp_path, option, value):
    docs = Documents.create(tmp_path / "docs", byte_codec)
    docs.add(["a", "b"], POOL[:2], ["alpha", "beta"])
    assert docs.search(text="alpha", nbytes=docs.lengths[0], threads=1).ids == ["a"]
    with pytest.raises(ValueError, match=option) as by_vector:
        docs.search(POOL[0], **{option: value})
    with pytest.raises(ValueError, match=option) as by_words:
        docs.search(text="alpha", **{option: value})
    assert str(by_words.value) == str(by_vector.value)


def test_one_string_is_no_list_of_them(tmp_path):
    docs = filled(tmp_path, 3)
    with pytest.raises(ValueError, match="texts is one string; give a list"):
        docs.search_batch(texts="ab")
    with pytest.raises(ValueError, match="metadata is 'year'; give a list of columns"):
        docs.add_parquet("any.parquet", metadata="year")


def test_who_opened_to_read_changes_nothing(tmp_path):
    filled(tmp_path).close()
    docs = Documents.open(tmp_path / "docs")
    for verb, change in {
        "add": lambda: docs.add(["x"], POOL[:1]), "upsert": lambda: docs.upsert(["x"], POOL[:1]),
        "delete": lambda: docs.delete(["d1"]), "create_index": lambda: docs.create_index("year"),
        "rebuild": docs.rebuild,
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=f'read-only; to {verb}, open them with mode="a"'):
            change()
    assert len(docs) == 100
    docs.close()


def test_a_folder_may_have_any_name_and_lie_behind_a_link(tmp_path):
    folder = tmp_path / "a?b#c %20 'é"
    filled(folder, 3).close()
    (tmp_path / "link").symlink_to(folder)
    with Documents.open(tmp_path / "link" / "docs", "a") as docs:
        with pytest.raises(LockedError):
            Documents.open(folder / "docs", "a")
        docs.add(["x"], POOL[:1])
    assert len(Documents.open(folder / "docs")) == 4


def test_one_writer_at_a_time(tmp_path):
    docs = filled(tmp_path)
    with pytest.raises(LockedError, match=f"open for writing in process {os.getpid()}"):
        Documents.open(tmp_path / "docs", "a")
    with pytest.raises(LockedError):
        made(tmp_path)
    with Documents.open(tmp_path / "docs") as reader:
        assert len(reader) == 100
    docs.close()
    docs.close()
    with pytest.raises(ValueError, match="are closed; open them again"):
        docs.search(POOL[0])
    assert "closed" in repr(docs)
    with Documents.open(tmp_path / "docs", "a") as again:
        assert repr(again).startswith(f"<qama.Documents in {tmp_path / 'docs'}: 100 documents, 8 d")
        (tmp_path / "docs" / "documents.sqlite.qama-lock").unlink()
        with pytest.raises(OSError, match="was removed or replaced"):
            again.add(["x"], POOL[:1])
        assert len(again) == 100


def test_folders_that_hold_no_documents(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no documents in .*Documents\.create"):
        Documents.open(tmp_path)
    with pytest.raises(ValueError, match="mode is 'w'"):
        Documents.open(tmp_path, "w")
    with pytest.raises(ValueError, match="keep_vectors is 'float32'"):
        made(tmp_path, keep_vectors="float32")
    filled(tmp_path, 3).close()
    with pytest.raises(FileExistsError, match=r"documents in .* already; open them"):
        made(tmp_path)
    database = tmp_path / "docs" / "documents.sqlite"
    for content, message in ((b"no database" * 99, "not a database"), (b"", "not finished")):
        database.write_bytes(content)
        for mode in ("r", "a"):
            with pytest.raises(FormatError, match=message):
                Documents.open(tmp_path / "docs", mode)
    assert made(tmp_path).add(["a"], POOL[:1]) == ["a"]  # goes on where another stopped
    with contextlib.closing(sqlite3.connect(database)) as other:
        other.execute("UPDATE about SET code = 'x'")
        other.commit()
    with pytest.raises(FormatError, match="does not say what it holds"):
        Documents.open(tmp_path / "docs")
    for pragma, message in (("user_version = 2", "version 2, this qama reads 1"),
                            ("application_id = 1", "not a database of documents")):  # fmt: skip
        with contextlib.closing(sqlite3.connect(database)) as other:
            other.execute(f"PRAGMA {pragma}")
        with pytest.raises(FormatError, match=message):
            Documents.open(tmp_path / "docs")


def test_documents_are_neither_copied_nor_pickled(tmp_path):
    docs = made(tmp_path)
    for use in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="neither copied nor pickled; open their folder again"):
            use(docs)


def test_another_codec_in_the_folder_is_refused(tmp_path, rows):
    filled(tmp_path, 3).close()
    (codec,) = (tmp_path / "docs").glob("codec-*")
    for index in (tmp_path / "docs").glob("index-*"):
        index.unlink()
    qama.fit(rows, max_bytes=16, threads=1).save(codec)
    with pytest.raises(FormatError, match="and the documents were encoded with"):
        Documents.open(tmp_path / "docs")
    codec.unlink()
    with pytest.raises(FileNotFoundError):
        Documents.open(tmp_path / "docs")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_has_to_open_them_itself(tmp_path):
    docs = filled(tmp_path, 3)
    child = os.fork()
    if not child:
        status = 1
        with contextlib.suppress(BaseException):
            for use in (lambda: docs.search(POOL[0]), lambda: docs.add(["x"], POOL[:1])):
                try:
                    use()
                except OSError as error:
                    status = 0 if f"was opened in process {os.getppid()}" in str(error) else 1
                else:
                    status = 1
                    break
            del docs
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    docs.add(["x"], POOL[:1])
    assert len(docs) == 4


# --- the index follows the database ------------------------------------------------------------


@pytest.mark.parametrize("lag", range(6))
def test_an_index_catches_up_from_whatever_it_lags(tmp_path, lag):
    """Files of the index after every change, each put back after the last one."""
    docs = made(tmp_path)
    kept = []
    changes = (
        lambda: docs.add(["a", "b", "c"], POOL[:3]), lambda: docs.upsert(["b", "d"], POOL[3:5]),
        lambda: docs.delete(["a"]), lambda: docs.add(["a"], POOL[5:6]),
        lambda: docs.upsert(["a", "b", "c", "d"], POOL[6:10]),
    )  # fmt: skip
    for change in (lambda: None, *changes):
        change()
        docs.search(POOL[0])
        docs._derived.write()
        (path,) = (tmp_path / "docs").glob("index-*")
        kept.append((path.name, path.read_bytes()))
    wanted = docs.search(POOL[50], 10)
    docs.close()
    for path in (tmp_path / "docs").glob("index-*"):
        path.unlink()
    name, content = kept[lag]
    (tmp_path / "docs" / name).write_bytes(content)
    for mode in ("r", "a"):
        with Documents.open(tmp_path / "docs", mode) as again:
            assert again.search(POOL[50], 10) == wanted
            assert again._derived._held.saved == int(name.split("-")[2].removesuffix(".qama"))
            agree(again)


@pytest.mark.parametrize("fault", ["gone", "damaged", "ahead", "another codec", "a lie"])
def test_a_file_of_the_index_that_does_not_fit_is_not_used(tmp_path, fault):
    docs = filled(tmp_path)
    wanted = docs.search(POOL[200])
    docs._derived.write()
    docs.close()
    (path,) = (tmp_path / "docs").glob("index-*")
    if fault == "gone":
        path.unlink()
    elif fault == "damaged":
        path.write_bytes(path.read_bytes()[:300])
    elif fault == "ahead":
        path.rename(path.with_name("index-0-101.qama"))
    elif fault == "another codec":
        other = Index(CODEC, dims=8, level="1")
        other.add(POOL[:100], np.arange(1, 101))
        other.save(path)
    else:
        index = Index(CODEC, **CELL)
        index.add(POOL[:7], np.arange(1, 8))
        index.save(path)
    for mode in ("r", "a"):
        with Documents.open(tmp_path / "docs", mode) as again:
            assert again.search(POOL[200]) == wanted
            agree(again)


def test_the_index_is_written_now_and_then_and_deletions_are_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr("qama.documents.documents._BEHIND", 50)
    docs = made(tmp_path)
    reader = Documents.open(tmp_path / "docs")
    for i in range(20):
        docs.upsert([str(j) for j in range(10)], POOL[i : i + 10])
        assert reader.search(POOL[3], 10) == docs.search(POOL[3], 10)
        agree(reader)
    with docs._store.reading() as view:
        assert view.about.trimmed > 200
        assert len(view.deleted_after(0)) < 60
    assert len([name for name in files_of(tmp_path) if name.startswith("index-")]) == 1
    late = Documents.open(tmp_path / "docs")
    assert late.search(POOL[3], 10) == docs.search(POOL[3], 10)


def test_a_reader_sees_what_a_writer_does_and_a_database_put_back(tmp_path):
    docs = filled(tmp_path)
    docs.close()
    shutil.copytree(tmp_path / "docs", tmp_path / "before")
    docs = Documents.open(tmp_path / "docs", "a")
    reader = Documents.open(tmp_path / "docs")
    docs.upsert(["d1"], POOL[300:301], ["new"])
    assert reader.search(POOL[300], 1)[0].text == "new"
    docs.delete(where={})
    assert reader.search(POOL[300]) == docs.search(POOL[300]) == ()
    docs.add(["d1"], POOL[1:2])
    docs._derived.write()
    docs.close()
    reader.close()
    for name in ("documents.sqlite", "documents.sqlite-wal"):  # a backup; the index is ahead of it
        (tmp_path / "docs" / name).unlink(missing_ok=True)
        if (tmp_path / "before" / name).exists():
            shutil.copy(tmp_path / "before" / name, tmp_path / "docs")
    with Documents.open(tmp_path / "docs") as again:
        assert len(again.search(POOL[300], 1000)) == len(again) == 100
    with Documents.open(tmp_path / "docs", "a") as again:
        again.upsert([str(i) for i in range(200)], POOL[200:400])  # other changes, as many numbers
        agree(again)
    with Documents.open(tmp_path / "docs", "a") as again:
        agree(again)


def test_a_full_disk_under_the_index_stops_no_change(tmp_path, monkeypatch):
    monkeypatch.setattr("qama.documents.documents._BEHIND", 1)
    docs = made(tmp_path)

    def full(self, path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Index, "save", full)
        docs.add(["a", "b", "c"], POOL[:3])
        assert docs.search(POOL[0], 1).ids == ["a"]
        with pytest.raises(OSError, match="No space"):
            docs._derived.write()
    docs.add(["d", "e"], POOL[3:5])
    assert len([name for name in files_of(tmp_path) if name.startswith("index-")]) == 1
    agree(docs)


# --- rebuilding --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def byte_codec():
    return qama.fit(POOL, max_bytes=8, threads=1)


def test_a_rebuild_changes_nothing_that_is_found(tmp_path):
    docs = filled(tmp_path)
    wanted = docs.search(POOL[200], 100, text="word1")
    for path in (tmp_path / "docs").glob("index-*"):
        path.write_bytes(b"")
    docs.rebuild()
    assert docs.search(POOL[200], 100, text="word1") == wanted
    agree(docs)


def test_a_shorter_code_follows_from_the_codes(tmp_path, byte_codec):
    docs = Documents.create(tmp_path / "docs", byte_codec, nbytes=8)
    docs.add([str(i) for i in range(200)], POOL[:200])
    reader = Documents.open(tmp_path / "docs")
    assert len(reader.search(POOL[0])) == 10
    docs.rebuild(nbytes=5)
    assert docs.code_size == reader.code_size == 5
    index = Index(byte_codec, nbytes=5)
    index.add(POOL[:200])
    found = index.search(POOL[300:301])
    assert docs.search(POOL[300]).scores == found.scores[0].tolist()
    assert reader.search(POOL[300]) == docs.search(POOL[300])
    with pytest.raises(ValueError, match="need the vectors, which were not kept"):
        docs.rebuild(nbytes=8)
    docs.rebuild(nbytes=8, vectors=POOL[:200])
    assert docs.search(POOL[300], 3).scores[0] > 0
    assert docs.code_size == 8
    agree(docs)


def test_kept_vectors_are_encoded_anew_with_another_codec(tmp_path, byte_codec):
    docs = filled(tmp_path, keep_vectors="float16")
    docs.upsert(["d7"], POOL[107:108])
    docs.delete(["d8"])
    docs.rebuild(byte_codec, nbytes=6)
    assert docs.codec.fingerprint == byte_codec.fingerprint
    X = POOL[[*range(7), *range(9, 100), 107]]
    index = Index(byte_codec, nbytes=6)
    index.add((X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float16))
    wanted = index.search(POOL[300:301])
    assert docs.search(POOL[300]).ids == [docs.ids()[i] for i in wanted.ids[0]]
    assert docs.search(POOL[300]).scores == wanted.scores[0].tolist()
    docs.close()
    with Documents.open(tmp_path / "docs") as again:
        assert again.search(POOL[300]).scores == wanted.scores[0].tolist()


def test_given_vectors_replace_those_kept(tmp_path, byte_codec):
    docs = filled(tmp_path, 20, keep_vectors="float16")
    for wrong, message in ((POOL[:19], "19 rows for 20 documents"), (POOL[:20, :5], "5 columns")):
        with pytest.raises(ValueError, match=message):
            docs.rebuild(vectors=wrong)
    docs.rebuild(vectors=POOL[100:120])
    found = docs.search(POOL[100], 1)
    assert found.ids == ["d0"]
    docs.rebuild(byte_codec, nbytes=8)
    assert docs.search(POOL[100], 1).ids == ["d0"]
    agree(docs)


# --- Parquet -----------------------------------------------------------------------------------


def test_a_parquet_file_is_added_and_what_was_interrupted_completed(tmp_path, monkeypatch):
    monkeypatch.setattr("qama.documents.tables._PIECE", 30)
    path = tmp_path / "x.parquet"
    columns = {
        "id": [f"p{i}" for i in range(100)], "embedding": POOL[:100].tolist(),
        "body": ["text"] * 100, "year": list(range(100)), "number": list(range(100)),
    }  # fmt: skip
    parquet.write_table(pa.table(columns), path, row_group_size=40)
    docs = made(tmp_path, embed=lambda texts: POOL[: len(texts)])
    add, calls = docs.add, []

    def fails(*given, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return add(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(docs, "add", fails)
        with pytest.raises(KeyboardInterrupt):
            docs.add_parquet(path, text="body", metadata=["year"])
    assert 0 < len(docs) < 100
    had = len(docs)
    assert docs.add_parquet(path, text="body", metadata=["year"]) == 100 - had
    assert docs.add_parquet(path, text="body", metadata=["year"]) == 0
    assert docs.ids() == columns["id"]
    assert docs.get(["p7"])[0] == qama.documents.Document("p7", "text", {"year": 7})
    docs.delete(where={})
    assert docs.add_parquet(path, id="number", vector=None, text="body") == 100
    assert docs.ids()[:3] == ["0", "1", "2"]
    with pytest.raises(ValueError, match=r"no column 'vec'; it has id, embedding"):
        docs.add_parquet(path, vector="vec")
    with pytest.raises(FileNotFoundError, match="no such file"):
        docs.add_parquet(tmp_path / "y.parquet")
    path.write_bytes(b"PAR1" * 9)
    with pytest.raises(ValueError, match="cannot be read as Parquet"):
        docs.add_parquet(path)


# --- against a dictionary ----------------------------------------------------------------------


class Against(RuleBasedStateMachine):
    """Any changes, opened and closed at any time, beside a reader."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.docs = made(self.folder)
        self.reader = Documents.open(self.folder / "docs")
        self.held = {}

    def teardown(self):
        self.docs.close()
        self.reader.close()
        shutil.rmtree(self.folder)

    def rows_of(self, keys, place):
        places = [(place + i) % len(POOL) for i in range(len(keys))]
        fields = [{"n": p % 7, "key": key} for p, key in zip(places, keys, strict=True)]
        texts = [f"w{p % 3}" for p in places]
        return places, (keys, POOL[places], texts, fields)

    def note(self, keys, places):
        for key in keys:
            self.held.pop(key, None)
        self.held |= dict(zip(keys, places, strict=True))

    keys = st.lists(st.sampled_from([f"k{i}" for i in range(12)]), max_size=5, unique=True)
    places = st.integers(0, len(POOL) - 1)

    @rule(keys=keys, place=places)
    def add(self, keys, place):
        places, rows = self.rows_of(keys, place)
        if self.held.keys() & {*keys}:
            with pytest.raises(ValueError, match="is in the documents already"):
                self.docs.add(*rows)
        else:
            assert self.docs.add(*rows) == keys
            self.note(keys, places)

    @rule(keys=keys, place=places)
    def upsert(self, keys, place):
        places, rows = self.rows_of(keys, place)
        self.docs.upsert(*rows)
        self.note(keys, places)

    @rule(keys=keys)
    def delete(self, keys):
        assert self.docs.delete(keys) == len(self.held.keys() & {*keys})
        for key in keys:
            self.held.pop(key, None)

    @rule(n=st.integers(0, 6))
    def delete_where(self, n):
        gone = [key for key, place in self.held.items() if place % 7 < n]
        assert self.docs.delete(where={"n": {"$lt": n}}) == len(gone)
        for key in gone:
            del self.held[key]

    @rule()
    def write(self):
        self.docs._save_index(-1)

    @rule()
    def rebuild(self):
        self.docs.rebuild()

    @rule(reader=st.booleans())
    def open_again(self, reader):
        if reader:
            self.reader.close()
            self.reader = Documents.open(self.folder / "docs")
        else:
            self.docs.close()
            self.docs = Documents.open(self.folder / "docs", "a")

    @invariant()
    def the_same(self):
        keys = list(self.held)
        scores = CODEC.score(POOL[9:10], CODEC.encode(POOL, **CELL), **CELL)[0]
        for docs in (self.docs, self.reader):
            assert docs.ids() == keys
            assert len(docs) == len(keys)
            hits = docs.search(POOL[9], 20)
            assert {*hits.ids} == {*keys}
            assert hits.scores == [scores[self.held[key]] for key in hits.ids]
            assert hits.scores == sorted(hits.scores, reverse=True)
            some = docs.search(POOL[9], 3, where={"n": {"$gte": 3}})
            allowed = [hit for hit in hits if self.held[hit.id] % 7 >= 3]
            assert [(hit.id, hit.score) for hit in some] == [(h.id, h.score) for h in allowed[:3]]
            assert {*docs.search(text="w1", k=20).ids} == {k for k in keys if self.held[k] % 3 == 1}
        agree(self.docs)


TestAgainst = Against.TestCase
TestAgainst.settings = settings(max_examples=15, stateful_step_count=15)


# --- what comes in between ---------------------------------------------------------------------


class Interrupted:
    """Raises at the n-th line of this package that is passed within the context.

    Attributes:
        reached: Whether there was an n-th line.
    """

    HOME = str(Path(qama.documents.__file__).parent)

    def __init__(self, number, error):
        self.left, self.error, self.reached = number, error, False

    def __enter__(self):
        sys.settrace(self.trace)
        return self

    def __exit__(self, kind, error, trace):
        sys.settrace(None)
        return kind is self.error

    def trace(self, frame, event, arg):
        if not frame.f_code.co_filename.startswith(self.HOME):
            return None
        self.left -= event == "line"
        if self.left == 0 and not self.reached:
            self.reached = True
            raise self.error
        return self.trace


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("verb", ["add", "upsert", "delete", "rebuild", "write"])
def test_an_exception_at_any_line_leaves_the_state_before_or_after(tmp_path, verb, error):
    gc.collect()  # what other tests left is closed by lines of this package, too
    docs = filled(tmp_path, 10)
    first = docs.get()
    changes = {  # and what undoes it
        "add": (lambda: docs.add(["x"], POOL[:1]), lambda: docs.delete(["x"])),
        "upsert": (lambda: docs.upsert(["d9", "x"], POOL[:2]), lambda: (
            docs.delete(["x"]), docs.upsert(["d9"], POOL[9:10], [first[9].text],
                                            [first[9].metadata]))),
        "delete": (lambda: docs.delete(["d9"]), lambda: docs.upsert(
            ["d9"], POOL[9:10], [first[9].text], [first[9].metadata])),
        "rebuild": (docs.rebuild, lambda: None),
        "write": (lambda: docs._save_index(-1), lambda: None),
    }  # fmt: skip
    change, undo = changes[verb]
    change()
    second = docs.get()
    undo()
    for number in range(1, 1000, 3):
        assert docs.get() == first
        with Interrupted(number, error) as interrupted:
            change()
        assert docs.get() in (first, second)
        agree(docs)
        undo()
        if not interrupted.reached:
            break
    assert number > 20
    assert not interrupted.reached
    docs.close()
    with Documents.open(tmp_path / "docs", "a") as again:
        assert again.get() == first
        agree(again)


def test_threads_search_while_one_writes(tmp_path):
    """Every search is of one moment: all documents have the same version."""
    docs = made(tmp_path)
    keys = [str(i) for i in range(40)]

    def put(version):
        docs.upsert(keys, POOL[version : version + 40], None, [{"v": version}] * 40)

    put(0)
    wrong, done = [], threading.Event()

    def search(documents):
        try:
            while not done.is_set():
                for where in (None, {"v": {"$gte": 0}}):
                    hits = documents.search(POOL[400], 100, where=where)
                    if len(hits) != 40 or len({hit.metadata["v"] for hit in hits}) > 1:
                        wrong.append(hits)
        except BaseException as error:
            wrong.append(error)

    reader = Documents.open(tmp_path / "docs")
    threads = [threading.Thread(target=search, args=(d,)) for d in (docs, docs, reader, reader)]
    for thread in threads:
        thread.start()
    for version in range(1, 60):
        put(version)
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    agree(docs)


READER = """
import sys, threading, numpy as np, qama
docs = qama.Documents.open(sys.argv[1])
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
searches, versions, last = 0, set(), False
while not last:
    last = ended.is_set()
    for where in (None, {"v": {"$gte": 0}}):
        hits = docs.search(np.ones(8), 100, where=where)
        seen = {hit.metadata["v"] for hit in hits}
        assert len(hits) == 40 and len(seen) == 1, (len(hits), seen)
        versions |= seen
    searches += 1
    if searches == 1:
        print("begun", flush=True)
print(len(versions), max(versions))
"""


def test_processes_search_while_one_writes(tmp_path, monkeypatch):
    """As the threads above, while files of the index come and go, and codes become shorter."""
    monkeypatch.setattr("qama.documents.documents._BEHIND", 200)
    codec = qama.fit(POOL, max_bytes=8, threads=1)
    docs = Documents.create(tmp_path / "docs", codec, nbytes=8)
    keys = [str(i) for i in range(40)]

    def put(version):
        docs.upsert(keys, POOL[version : version + 40], None, [{"v": version}] * 40)

    put(0)
    run = [sys.executable, "-c", READER, str(tmp_path / "docs")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    readers = [subprocess.Popen(run, **pipes) for _ in range(2)]
    try:
        assert [reader.stdout.readline() for reader in readers] == ["begun\n"] * 2
        for version in range(1, 120):
            put(version)
            if version % 40 == 0:
                docs.rebuild(nbytes=8 - version // 40)
    finally:
        said = [reader.communicate()[0].split() for reader in readers]
    assert all(len(words) == 2 and int(words[0]) > 3 for words in said)
    assert [words[1] for words in said] == ["119"] * 2
    assert [reader.returncode for reader in readers] == [0, 0]
    agree(docs)


def test_a_search_may_be_coarse_to_fine(tmp_path, bytes_codec, rows, queries):
    docs = Documents.create(tmp_path / "docs", bytes_codec, nbytes=16)
    docs.add([str(i) for i in range(300)], rows)
    assert docs.search(queries[0], 5, funnel=300) == docs.search(queries[0], 5)
    docs.rebuild(nbytes=1)
    with pytest.raises(ValueError, match="funnel needs a code with a shorter prefix"):
        docs.search(queries[0], 5, funnel=True)


def test_a_full_disk_changes_nothing(tmp_path):
    docs = filled(tmp_path, 30)
    (pages,) = docs._store._writer.execute("PRAGMA page_count").fetchone()
    docs._store._writer.execute(f"PRAGMA max_page_count = {pages}")
    before = docs.get()
    for change in (
        lambda: docs.add([str(i) for i in range(99)], POOL[:99], ["text " * 99] * 99),
        lambda: docs.upsert(["d1"], POOL[:1], ["text " * 9999]),
    ):
        with pytest.raises(OSError, match=r"documents\.sqlite: database or disk is full"):
            change()
        assert docs.get() == before
        agree(docs)
    docs.delete(["d1"])
    docs._store._writer.execute("PRAGMA max_page_count = 1000000")
    docs.add(["d1"], POOL[:1], ["text " * 9999])
    assert docs.search(text="text", k=1).ids == ["d1"]


def test_a_database_that_another_program_writes_is_told(tmp_path):
    docs = filled(tmp_path, 3)
    docs._store._writer.execute("PRAGMA busy_timeout = 1")
    with contextlib.closing(sqlite3.connect(docs._store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LockedError, match=r"documents\.sqlite: database is locked"):
            docs.add(["x"], POOL[:1])
        assert len(docs) == 3
        other.execute("ROLLBACK")
    docs.add(["x"], POOL[:1])
    assert len(docs) == 4


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_database_is_refused_or_read(tmp_path, seed):
    docs = filled(tmp_path, 200)
    docs.create_index("year")
    docs.close()
    for path in (tmp_path / "docs").glob("index-*"):
        path.unlink()
    database, dice = tmp_path / "docs" / "documents.sqlite", random.Random(seed)
    content = bytearray(database.read_bytes())
    start = dice.choice((0, dice.randrange(len(content))))
    for _ in range(dice.choice((1, 30, 3000))):
        place = dice.randrange(start, min(start + 5000, len(content)))
        content[place] = dice.randrange(256)
    database.write_bytes(content)
    for mode in ("r", "a"):
        try:
            with Documents.open(tmp_path / "docs", mode) as again:
                again.search(POOL[0], 200, text="word1", where={"year": {"$gt": 2050}})
                again.get()
                if mode == "a":
                    again.upsert([f"d{i}" for i in range(50)], POOL[:50], ["a b"] * 50)
                    again.delete(where={"odd": True})
                    again.rebuild()
        except (ValueError, OSError):  # among them FormatError
            pass


def test_a_few_kills():
    """`tests/long/documents_kills.py` does it 300 times."""
    from documents_kills import run

    kills = int(os.environ.get("QAMA_KILLS", "6"))
    counts = run(kills, kills)
    assert (counts["kills"], counts["wrong"]) == (kills, 0)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace records what SQLite writes")
def test_a_few_power_failures():
    """`tests/long/documents_power.py` does it 2000 times."""
    from documents_power import run

    assert run(30, 1)["wrong"] == 0


def test_documents_whose_making_a_power_cut_ended_are_made_anew(tmp_path):
    """While `create` turns the WAL on, SQLite still keeps a rollback journal."""
    made, left = tmp_path / "made", tmp_path / "left"
    made.mkdir()
    with contextlib.closing(sqlite3.connect(made / "documents.sqlite")) as base:
        base.executescript("PRAGMA cache_size = 1; BEGIN; CREATE TABLE t (x);")
        base.executemany("INSERT INTO t VALUES (?)", [("x" * 4000,)] * 99)  # more than it caches
        shutil.copytree(made, left)  # the journal is kept: it has not been committed
        base.execute("ROLLBACK")
    (left / "documents.sqlite-wal").touch()
    with pytest.raises(FormatError, match=r"not finished when it was made; call Documents\.create"):
        Documents.open(left)
    Documents.create(left, CODEC, **CELL).close()
    with Documents.open(left, "a") as docs:
        docs.add(["a"], POOL[:1])
        agree(docs)


def test_shorter_codes_and_kept_vectors_search_as_those_of_an_index(tmp_path, bytes_codec, rows):
    docs = Documents.create(tmp_path / "kept", bytes_codec, nbytes=16, keep_vectors="float16")
    docs.add([f"d{i}" for i in range(300)], rows, metadata=[{"odd": i % 2} for i in range(300)])
    docs.delete(["d0", "d9"])
    index = Index(bytes_codec, nbytes=16, keep="float16")
    index.add(rows)
    index.delete([0, 9])
    assert docs.lengths == index.lengths
    assert (docs.keeps_vectors, docs.fulltext) == (True, True)
    for options in ({"nbytes": index.lengths[0]}, {"rescore": 40}, {"rescore": 300}):
        wanted = index.search(rows[:5], 7, **options)
        for q, (ids, scores) in enumerate(zip(*wanted, strict=True)):
            hits = docs.search(rows[q], 7, **options)
            assert hits.ids == [f"d{i}" for i in ids]
            assert hits.scores == scores.tolist()
    odd = docs.search(rows[2], 5, rescore=50, where={"odd": 1})
    wanted = index.search(rows[2:3], 5, rescore=50, filter=lambda ids: ids % 2 == 1)
    assert odd.ids == [f"d{i}" for i in wanted.ids[0]]
    assert docs.search(rows[2], 5, rescore=50, where={"odd": 2}) == ()
    plain = filled(tmp_path)
    assert (plain.keeps_vectors, plain.lengths[-1]) == (False, plain.code_size)
    with pytest.raises(ValueError, match='keep_vectors="float16"'):
        plain.search(POOL[0], rescore=5)
    with pytest.raises(ValueError, match="rescore is -1"):
        docs.search(rows[0], rescore=-1)


def test_a_sample_is_spread_over_all_documents(tmp_path):
    docs = filled(tmp_path, 100)
    docs.delete([f"d{i}" for i in range(50)])
    assert docs.sample(3) == ["d50", "d74", "d99"]
    assert docs.sample(500) == docs.ids()
    with pytest.raises(ValueError, match="count is 0"):
        docs.sample(0)
