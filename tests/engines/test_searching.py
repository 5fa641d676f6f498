"""What comes of candidates, whatever an engine does in ties, and when it finds too few."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import CODE, nearest, rescored, some_ids

from qama import Index, engines
from qama.engines.label import Label
from qama.engines.table import Candidates, Table
from qama.errors import EngineError, FormatError


class Fake(Table):
    """An engine of arrays that cuts ties at random, and finds all rows but those it misses."""

    engine = "fake"
    indexes = ("", "some")

    def __init__(self, seed=0, most=10**6, missing=0.0):
        super().__init__("nowhere")
        self.random, self.most, self.missing = np.random.default_rng(seed), most, missing
        self.asked, self.text = [], None

    def label(self):
        return None if self.text is None else Label.from_json(self.text, str(self))

    def create(self, label):
        self.text, self.ids, self.codes = label.to_json(), [], []

    def put(self, ids, codes):
        self.ids += [*ids]
        self.codes += [*codes]

    def nearest(self, queries, count, label, where):
        assert count <= self.most
        self.asked.append((len(queries), count))
        found = []
        for query in queries:
            rows = self.random.permutation(len(self.ids))
            rows = rows[self.random.random(len(rows)) >= self.missing]
            codes = np.array(self.codes)[rows]
            distances = np.bitwise_count(codes ^ query).sum(axis=1)
            order = np.argsort(distances, kind="stable")[:count]
            own = [(self.ids[rows[i]], distances[i], codes[i]) for i in order]
            found.append(own)
        return Candidates.of_rows(found, label.nbytes)


@pytest.fixture(scope="module")
def codes(rows, codec):
    return codec.encode(rows, **CODE)


@settings(max_examples=30)
@given(
    copies=st.integers(1, 60),
    k=st.integers(1, 40),
    oversample=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_ties_are_closed(codec, queries, codes, copies, k, oversample, seed):
    many = np.tile(codes[: 300 // copies], (copies, 1))
    ids = some_ids(len(many))
    table = Fake(seed)
    engines.write(table, many, ids, codec, **CODE)
    found = engines.search(table, queries, k, codec=codec, oversample=oversample)
    if oversample == 1:
        np.testing.assert_array_equal(found.ids, nearest(codec, queries, many, ids, k)[0])
    else:
        wanted, scores = rescored(codec, queries, many, ids, k, k * oversample)
        np.testing.assert_array_equal(found.ids, wanted)
        np.testing.assert_array_equal(found.scores, scores)


def test_without_ties_one_row_more_is_asked_for_and_with_them_more_for_some(codec, queries, codes):
    table = Fake()
    unique = np.unique(codes, axis=0)[:100]
    engines.write(table, unique, np.arange(len(unique)), codec, **CODE)
    engines.search(table, queries, 100, codec=codec, oversample=1)
    assert table.asked == [(20, 101)]
    engines.search(table, queries, 3, codec=codec, oversample=1)
    assert table.asked[1] == (20, 4)
    assert all(queries < 20 for queries, _ in table.asked[2:])


def test_an_index_that_finds_too_few_leaves_minus_one(codec, queries, codes):
    table = Fake(missing=0.95)
    engines.write(table, codes, np.arange(300), codec, index="some", **CODE)
    for oversample in (1, 3):
        found = engines.search(table, queries, 20, codec=codec, oversample=oversample)
        none = found.ids == -1
        assert none.any()
        assert not none.all(axis=1).any()
        assert (found.scores[none] == -np.inf).all()
        assert np.isfinite(found.scores[~none]).all()
        assert (none[:, 1:] >= none[:, :-1]).all()  # they come last


def test_many_queries_are_searched_batch_by_batch(codec, rows, codes):
    """As many as qama's own index weighs together: the same integers, the same ids and scores."""
    queries = np.concatenate([rows + np.float32(0.1), rows - np.float32(0.1)])
    table = Fake()
    engines.write(table, codes, np.arange(300), codec, **CODE)
    index = Index(codec, **CODE)
    index.add_codes(codes, compact=False)
    for oversample, scorer in ((1, "hamming"), (30, "asymmetric")):
        found = engines.search(table, queries, 10, codec=codec, oversample=oversample)
        wanted = index.search(queries, 10, scorer=scorer)
        np.testing.assert_array_equal(found.ids, wanted.ids)
        np.testing.assert_array_equal(found.scores, wanted.scores)
    assert max(queries for queries, _ in table.asked) == 256


def test_batches_that_find_differently_many_are_as_wide_as_the_widest(codec, rows, codes):
    table = Fake(missing=0.97)
    engines.write(table, codes, np.arange(300), codec, index="some", **CODE)
    found = engines.search(table, np.concatenate([rows, rows]), 20, codec=codec, oversample=1)
    assert found.ids.shape == found.scores.shape
    assert found.ids.shape[0] == 600
    np.testing.assert_array_equal(found.ids == -1, found.scores == -np.inf)


def test_more_than_an_engine_returns_is_refused(codec, queries, codes):
    table = Fake(most=50)
    engines.write(table, codes, np.arange(300), codec, **CODE)
    with pytest.raises(ValueError, match=r"k \* oversample is 60, and fake returns at most 50"):
        engines.search(table, queries, 20, codec=codec, oversample=3)
    assert engines.search(table, queries, 50, codec=codec, oversample=1).ids.shape == (20, 50)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"k": 0}, "k is 0"),
        ({"oversample": 0}, "oversample is 0"),
        ({"where": "id > 3"}, "fake has no filters"),
        ({"Q": np.zeros((2, 31), np.float32)}, "31 columns"),
        ({"codec": "codec.qama"}, "codec is the path"),
    ],
)
def test_wrong_arguments_are_refused(codec, queries, codes, wrong, said):
    table = Fake()
    engines.write(table, codes, np.arange(300), codec, **CODE)
    with pytest.raises(ValueError, match=said):
        engines.search(table, **{"Q": queries, "k": 3, "codec": codec, **wrong})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"qama": 2}, "label of version 2; this is 1"),
        ({"more": 1}, "label of version 1"),
        ({"code": {"dims": 31, "level": "2"}}, "of no code: dims is 31"),
        ({"code": {"cells": 3}}, "of no code"),
        ({"bits": 80}, "says 80 bits; 32 dims at level 2 have 96"),
        ({"codec": "0" * 16}, "holds codes of codec 0000"),
    ],
)
def test_a_label_that_cannot_be_is_refused(codec, queries, codes, change, said):
    table = Fake()
    engines.write(table, codes, np.arange(300), codec, **CODE)
    table.text = json.dumps(json.loads(table.text) | change)
    with pytest.raises(FormatError, match=said):
        engines.search(table, queries, 3, codec=codec)


@pytest.mark.parametrize("text", ["", "a table of ours", "[1]", "{}", "null"])
def test_what_is_no_label_is_refused(codec, queries, codes, text):
    table = Fake()
    table.text = text
    with pytest.raises(FormatError, match="was not written by qama"):
        engines.search(table, queries, 3, codec=codec)


def test_an_engine_that_fails_is_named_with_what_is_written(codec, codes, monkeypatch):
    class Failing(Fake):
        def put(self, ids, codes):
            if len(self.ids) >= 100:
                raise RuntimeError("the disk is full\nand more of it")
            super().put(ids, codes)

    monkeypatch.setattr("qama.engines.writing._BATCH_BYTES", 50 * 12)
    said = "failed at rows 100 to 150: the disk is full; the 100 rows before are written; run the"
    with pytest.raises(EngineError, match=f"fake:nowhere {said} same again"):
        engines.write(Failing(), codes, np.arange(300), codec, **CODE)


def test_unfitting_codes_make_no_table(codec, codes):
    for wrong in (codes[:, :5], codes.astype(np.int8), codes.ravel()[:300]):
        table = Fake()
        with pytest.raises(ValueError, match="codes"):
            engines.write(table, wrong, np.arange(300), codec, **CODE)
        assert table.text is None
