"""The index against brute force, and against a dictionary."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from conftest import mixture
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from qama import Codec, FormatError, Index, SearchResult, container, kernels
from qama.quantizers.kept import FORMS, Form
from qama.quantizers.thermometer import levels
from qama.search.scan import topk

CELL = {"dims": 32, "level": "2"}


def oracle(codec, X, Q, k, scorer, cell, allowed=None):
    """Rows and scores of the k best, by `codec.score` of every allowed row, ties by lower row."""
    scores = codec.score(Q, codec.encode(X, **cell), scorer=scorer, **cell)
    rows = np.arange(len(X)) if allowed is None else np.flatnonzero(allowed)
    order = np.argsort(-scores[:, rows], axis=1, kind="stable")[:, :k]
    return rows[order], np.take_along_axis(scores[:, rows], order, axis=1)


def check(found, rows, scores):
    np.testing.assert_array_equal(found.scores, scores)
    np.testing.assert_array_equal(found.ids, rows)
    assert found.ids.dtype == np.int64
    assert found.scores.dtype == np.float32


@pytest.fixture
def index(codec, rows):
    made = Index(codec, **CELL)
    made.add(rows)
    return made


# --- searching --------------------------------------------------------------------------------


@pytest.mark.parametrize("level", levels.LEVEL_NAMES)
@pytest.mark.parametrize("dims", [32, 16, 8])
@pytest.mark.parametrize("scorer", ["asymmetric", "hamming"])
def test_a_search_is_brute_force_by_score(any_codec, rows, queries, dims, level, scorer):
    cell = {"dims": dims, "level": level}
    index = Index(any_codec, **cell)
    index.add(rows)
    allowed = np.random.default_rng(0).random(300) < 0.3
    for k in (1, 10, 300):
        check(
            index.search(queries, k, scorer=scorer),
            *oracle(any_codec, rows, queries, k, scorer, cell),
        )
        check(
            index.search(queries, k, scorer=scorer, filter=allowed),
            *oracle(any_codec, rows, queries, k, scorer, cell, allowed),
        )


def test_ids_are_row_numbers_from_0(codec, rows):
    index = Index(codec, **CELL)
    assert index.add(rows[:10]).tolist() == list(range(10))
    assert index.add(rows[10:15]).tolist() == [10, 11, 12, 13, 14]
    assert index.ids.tolist() == list(range(15))
    assert len(index) == 15


def test_a_result_is_a_named_pair(index, queries):
    found = index.search(queries, 3)
    assert isinstance(found, SearchResult)
    ids, scores = found
    assert ids is found.ids
    assert scores is found.scores


def test_what_is_given_by_name(index, queries):
    assert index.search(queries).ids.shape == (20, 10)
    named = index.search(Q=queries, k=3, scorer="asymmetric", threads=1)
    np.testing.assert_array_equal(named.ids, index.search(queries, 3).ids)
    assert len(index.filter(choice=[5], exclude=[6])) == 1
    assert len(Index.merge(indexes=[index], renumber=True)) == len(index)
    for call in (lambda: index.search(queries, 3, "hamming"), lambda: index.filter([5], [6]),
                 lambda: Index.merge([index], True),
                 lambda: index.range_search(queries, 0.5, "hamming")):  # fmt: skip
        with pytest.raises(TypeError, match="positional argument"):
            call()


def test_a_state_that_is_searched_cannot_be_changed(index):
    for name in ("rows", "blocks", "live", "ids"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(index._now, name, None)


def test_the_id_of_the_first_row_is_in_use(index, rows):
    with pytest.raises(ValueError, match="id 0 is in the index already"):
        index.add(rows[:1], ids=[0])


def test_k_beyond_the_rows_returns_all_rows(index, queries):
    found = index.search(queries, 1000)
    assert found.ids.shape == (20, 300)
    assert all(sorted(line) == list(range(300)) for line in found.ids.tolist())


def test_queries_are_answered_one_by_one_as_together_on_any_threads(index, queries):
    together = index.search(queries, 7)
    for threads in (1, 2, 10_000):
        check(index.search(queries, 7, threads=threads), *together)
    ids = np.concatenate([index.search(q[None], 7).ids for q in queries])
    assert (ids == together.ids).mean() > 0.99  # single rows may round otherwise


def test_a_search_asks_for_no_more_threads_than_it_was_given(
    byte_codec, rows, queries, monkeypatch
):
    asked = {}

    def watch(name):
        kernel = getattr(kernels, name)

        def watched(*given, **named):
            asked[name] = named["threads"]
            return kernel(*given, **named)

        monkeypatch.setattr(kernels, name, watched)

    for name in ("multiply", "table_topk", "table_rows"):
        watch(name)
    index = Index(byte_codec, nbytes=16)
    index.add(rows)
    index.search(queries, 3, threads=1, funnel=40)
    assert asked == {"multiply": 1, "table_topk": 1, "table_rows": 1}


def test_more_queries_than_a_batch_holds(index):
    Q = mixture(300, 32, seed=2)
    check(index.search(Q, 5), *oracle(index.codec, mixture(300, 32), Q, 5, "asymmetric", CELL))


def test_a_zero_query_and_a_zero_document(codec, rows):
    X = rows[:6].copy()
    X[4] = 0
    index = Index(codec, **CELL)
    index.add(X)
    for scorer in ("asymmetric", "hamming"):
        found = index.search(X[4:5], 6, scorer=scorer)
        assert sorted(found.ids[0].tolist()) == list(range(6))
        assert np.isfinite(found.scores).all()
    assert index.search(X[4:5], 6).ids.tolist() == [list(range(6))]  # all scores are 0: row order
    assert index.search(X[4:5], 1, scorer="hamming").ids.tolist() == [[4]]


@pytest.mark.parametrize("scorer", ["asymmetric", "hamming"])
def test_equal_codes_come_in_insertion_order(codec, rows, scorer):
    index = Index(codec, **CELL)
    index.add(np.repeat(rows[:3], 50, axis=0), ids=np.arange(150)[::-1])
    ids = index.search(rows[:1], 50, scorer=scorer).ids[0]
    assert ids.tolist() == list(range(149, 99, -1))


def test_an_empty_index_finds_nothing(codec, queries):
    index = Index(codec, **CELL)
    for scorer in ("asymmetric", "hamming"):
        found = index.search(queries, 5, scorer=scorer)
        assert found.ids.shape == found.scores.shape == (20, 0)
    assert len(index) == 0


def test_both_sizes_are_shown(index):
    assert index.code_size == 8
    assert index.code.nbytes == 12
    assert repr(index) == "<qama.Index: 300 vectors, 32 dims at level 2, 8 B each>"


# --- coarse-to-fine search --------------------------------------------------------------------


@pytest.mark.parametrize("level", ["0.5", "1", "1.5", "2"])
@pytest.mark.parametrize("scorer", ["asymmetric", "hamming"])
def test_coarse_to_fine_search_with_all_candidates_is_the_flat_one(
    any_codec, rows, queries, level, scorer
):
    index = Index(any_codec, dims=32, level=level)
    index.add(rows)
    allowed = np.arange(300) % 3 == 0
    for options in ({}, {"filter": allowed}):
        flat = index.search(queries, 10, scorer=scorer, **options)
        check(index.search(queries, 10, scorer=scorer, funnel=300, **options), *flat)
        check(index.search(queries, 10, scorer=scorer, funnel=True, **options), *flat)


@pytest.mark.parametrize("scorer", ["asymmetric", "hamming"])
def test_coarse_to_fine_search_rescores_the_coarse_candidates(codec, rows, queries, scorer):
    index = Index(codec, **CELL)
    index.add(rows)
    narrow = {"dims": 8, "level": "2"}
    scores = codec.score(queries, codec.encode(rows, **CELL), scorer=scorer, **CELL)
    if scorer == "hamming":
        survivors, _ = oracle(codec, rows, queries, 40, scorer, narrow)
        for line, kept, found in zip(
            scores, survivors, index.search(queries, 10, scorer=scorer, funnel=40).ids, strict=True
        ):
            kept = np.sort(kept)
            assert found.tolist() == kept[np.argsort(-line[kept], kind="stable")[:10]].tolist()
    found = index.search(queries, 10, scorer=scorer, funnel=40)
    np.testing.assert_array_equal(np.take_along_axis(scores, found.ids, axis=1), found.scores)
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_a_funnel_that_says_no_number_scans_few_rows_flat(index):
    assert topk.candidates(index.code, True, 10, 999_999) == 0
    assert topk.candidates(index.code, True, 10, 10**6) >= 1000
    assert topk.candidates(index.code, 40, 10, 100) == 40


def test_fewer_candidates_than_k_are_raised_to_k(index, queries):
    assert index.search(queries, 50, funnel=1).ids.shape == (20, 50)


def test_hybrid_and_the_fewest_dims_refuse_coarse_to_fine_search(codec, rows, queries):
    for cell in ({"dims": 32, "level": "hybrid"}, {"dims": 8, "level": "2"}):
        index = Index(codec, **cell)
        index.add(rows[:20])
        with pytest.raises(ValueError, match="funnel needs a code with a shorter prefix"):
            index.search(queries, funnel=True)


# --- changing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 63, 64, 65, 100])
def test_adding_in_pieces_is_adding_at_once(codec, queries, piece):
    X = mixture(700 if piece > 1 else 130, 32, seed=3)
    index = Index(codec, **CELL)
    for start in range(0, len(X), piece):
        index.add(X[start : start + piece])
        if start % (3 * piece) == 0:  # searches between make the cached inverse norms grow too
            index.search(queries[:1], 1)
            index.search(queries[:1], 1, scorer="hamming", filter=np.array([0]))
    once = Index(codec, **CELL)
    once.add(X)
    for scorer in ("asymmetric", "hamming"):
        check(index.search(queries, 20, scorer=scorer), *once.search(queries, 20, scorer=scorer))


def test_given_ids_are_returned_and_found(codec, rows, queries):
    ids = np.random.default_rng(0).permutation(10_000)[:300] + 2**40
    index = Index(codec, **CELL)
    np.testing.assert_array_equal(index.add(rows, ids=ids.tolist()), ids)
    expected, scores = oracle(codec, rows, queries, 10, "asymmetric", CELL)
    check(index.search(queries, 10), ids[expected], scores)
    np.testing.assert_array_equal(index.ids, ids)


@pytest.mark.parametrize("nlist", [None, 4])
def test_codes_lie_beside_ids(codec, rows, nlist):
    index = Index(codec, **CELL, nlist=nlist)
    assert index.codes.shape == (0, index.code_size)
    index.add(rows[:200])
    index.upsert([150, 3], rows[200:202])
    index.delete([7, 8])
    held = np.concatenate([rows[:200], rows[200:202]])
    held[150], held[3] = rows[200], rows[201]
    wanted = codec.encode(held, compact=True, **CELL)[index.ids]
    np.testing.assert_array_equal(index.codes, wanted)


def test_ids_may_begin_after_row_numbers(codec, rows):
    index = Index(codec, **CELL)
    index.add(rows[:3])
    index.add(rows[3:5], ids=[100, 50])
    assert index.ids.tolist() == [0, 1, 2, 100, 50]
    assert index.add(rows[5:6]).tolist() == [101]


def test_no_default_id_is_given_twice(codec, rows):
    index = Index(codec, **CELL)
    index.add(rows[:1], ids=[5])
    index.delete([5])
    assert index.add(rows[:2]).tolist() == [6, 7]
    index.upsert([20, 6], rows[:2])
    assert index.add(rows[:1]).tolist() == [21]
    index.delete([21])
    merged = Index.merge([index])
    assert merged.ids.tolist() == [7, 20, 6]
    assert merged.add(rows[:1]).tolist() == [22]
    assert Index.merge([index], renumber=True).add(rows[:1]).tolist() == [3]


def test_many_ids_settle_into_the_sorted_part(codec, rows):
    index = Index(codec, dims=8, level="1")
    random = np.random.default_rng(0)
    ids = random.permutation(12_000)
    X = np.resize(rows, (12_000, 32))
    for start in range(0, 12_000, 1500):
        index.add(X[start : start + 1500], ids=ids[start : start + 1500])
    with pytest.raises(ValueError, match="is in the index already"):
        index.add(rows[:1], ids=[int(ids[5])])
    assert index.delete(ids[:6000]) == 6000
    np.testing.assert_array_equal(index.ids, ids[6000:])


def test_an_id_that_was_replaced_often_means_its_newest_vector(codec, rows):
    index = Index(codec, dims=8, level="1")
    ids = np.arange(5000)  # so many that older rows settle each time
    X = np.resize(rows, (5000, 32))
    for turn in range(4):
        index.upsert(ids, np.roll(X, turn, axis=0))
        assert len(index) == 5000
    newest = np.roll(X, 3, axis=0)
    for key in (0, 700, 4999):
        found = index.search(newest[key : key + 1], 1, filter=[key], scorer="hamming")
        assert (found.ids[0, 0], found.scores[0, 0]) == (key, 1)
    assert index.delete(ids) == 5000
    assert len(index) == 0


def test_deleted_vectors_are_not_found(index, codec, rows, queries):
    assert index.delete(np.arange(0, 300, 2)) == 150
    assert len(index) == 150
    odd = np.arange(300) % 2 == 1
    np.testing.assert_array_equal(index.ids, np.flatnonzero(odd))
    check(index.search(queries, 10), *oracle(codec, rows, queries, 10, "asymmetric", CELL, odd))
    assert index.search(queries, 300).ids.shape == (20, 150)


def test_deleting_what_is_not_there_is_ignored(index):
    assert index.delete([5, 9000]) == 1
    assert index.delete([5]) == 0
    assert index.delete([]) == 0
    assert len(index) == 299


def test_a_deleted_id_may_come_back(codec, rows):
    index = Index(codec, **CELL)
    index.add(rows[:5])
    index.delete([2])
    index.add(rows[7:8], ids=[2])
    assert index.ids.tolist() == [0, 1, 3, 4, 2]
    assert index.search(rows[7:8], 1, scorer="hamming").ids.tolist() == [[2]]


def test_everything_can_be_deleted(index, queries, rows, tmp_path):
    index.delete(index.ids)
    assert len(index) == 0
    assert index.search(queries, 5).ids.shape == (20, 0)
    index.save(tmp_path / "x")
    opened = Index.open(tmp_path / "x", mode="a")
    assert opened.search(queries, 5).ids.shape == (20, 0)
    assert opened.add(rows[:2]).tolist() == [300, 301]  # ids are not given twice


def test_upsert_replaces_and_adds(codec, rows):
    index = Index(codec, **CELL)
    index.add(rows[:4], ids=[10, 20, 30, 40])
    assert index.upsert([20, 50], rows[10:12]).tolist() == [20, 50]
    assert len(index) == 5
    assert index.ids.tolist() == [10, 30, 40, 20, 50]
    fresh = Index(codec, **CELL)
    fresh.add(rows[[0, 2, 3, 10, 11]], ids=[10, 30, 40, 20, 50])
    check(index.search(rows[:20], 5), *fresh.search(rows[:20], 5))


@pytest.mark.parametrize("compact", [True, False])
def test_codes_are_upserted_as_their_vectors_are(codec, rows, compact):
    by_codes, by_vectors = Index(codec, **CELL), Index(codec, **CELL)
    for ids, some in (([5, 2, 9], rows[:3]), ([9, 1], rows[3:5]), ([], rows[:0])):
        codes = codec.encode(some, compact=compact, **CELL)
        assert by_codes.upsert_codes(ids, codes).tolist() == by_vectors.upsert(ids, some).tolist()
    assert by_codes.ids.tolist() == by_vectors.ids.tolist() == [5, 2, 9, 1]
    np.testing.assert_array_equal(by_codes._now.live_codes(), by_vectors._now.live_codes())
    for ids, message in (([1, 1], "more than once"), ([1], "1 entries for 2 vectors")):
        with pytest.raises(ValueError, match=message):
            by_codes.upsert_codes(ids, codec.encode(rows[:2], compact=compact, **CELL))


def test_upsert_over_row_numbers(codec, rows):
    index = Index(codec, **CELL)
    index.add(rows[:3])
    index.upsert([1, 7], rows[5:7])
    assert index.ids.tolist() == [0, 2, 1, 7]


# --- filters ----------------------------------------------------------------------------------


def test_the_three_filters_say_the_same(index, queries):
    index.delete([3, 4, 5])
    wanted = index.ids % 7 == 0
    by_mask = index.search(queries, 10, filter=wanted)
    assert set(by_mask.ids.ravel()) <= set(range(0, 300, 7))
    check(index.search(queries, 10, filter=index.ids[wanted]), *by_mask)
    check(index.search(queries, 10, filter=lambda ids: ids % 7 == 0), *by_mask)


def test_a_filter_function_returns_bools(index, queries):
    with pytest.raises(ValueError, match="function returned uint8; it takes ids"):
        index.search(queries, 3, filter=lambda ids: (ids % 2).astype(np.uint8))


def test_unknown_and_deleted_ids_in_a_filter_are_ignored(index, queries):
    index.delete([4])
    found = index.search(queries, 10, filter=[3, 4, 5, 4000, 3])
    assert found.ids.shape == (20, 2)
    assert set(found.ids.ravel()) == {3, 5}


def test_a_filter_that_allows_nothing(index, queries):
    for nothing in ([], np.zeros(300, dtype=bool), [9999], lambda ids: ids < 0):
        assert index.search(queries, 5, filter=nothing).ids.shape == (20, 0)


@pytest.mark.parametrize(
    ("filter_", "message"),
    [
        (np.ones(299, bool), r"filter has shape \(299,\); .* each of the 300 vectors"),
        (np.ones((300, 1), bool), r"filter has shape \(300, 1\)"),
        ([-1], "filter holds -1; ids are whole numbers"),
        ([1.5], r"filter holds 1\.5; ids are whole numbers"),
        (["a"], "filter holds 'a'"),
    ],
)
def test_unfitting_filters_are_refused(index, queries, filter_, message):
    with pytest.raises(ValueError, match=message):
        index.search(queries, 5, filter=filter_)


# --- refusals ---------------------------------------------------------------------------------


def state(index, queries):
    found = index.search(queries, 1000)
    return index.ids.tolist(), found.ids.tolist(), found.scores.tolist()


def poisoned(rows):
    X = rows[:3].copy()
    X[1, 7] = np.nan
    return X


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([400, 401, 400], "ids holds 400 more than once"),
        ([400, 5, 401], "id 5 is in the index already; upsert replaces"),
        ([400, -1, 401], "ids holds -1; ids are whole numbers from 0"),
        ([400, 401], "ids has 2 entries for 3 vectors"),
        ([1.0, 2.0, 3.0], r"ids holds 1\.0; ids are"),
        (["a", "b", "c"], "ids holds 'a'"),
        (np.array([[400, 401, 402]]), "ids is int64 with 2 axes"),
        (np.array([1, 2, 2**63], dtype=np.uint64), r"ids holds 9223372036854775808"),
    ],
)
def test_unfitting_ids_are_refused_and_nothing_changes(index, rows, queries, ids, message):
    before = state(index, queries)
    with pytest.raises(ValueError, match=message):
        index.add(rows[:3], ids=ids)
    if "upsert" not in message:
        with pytest.raises(ValueError, match=message):
            index.upsert(ids, rows[:3])
    assert state(index, queries) == before


def test_unfitting_vectors_are_refused_and_nothing_changes(index, rows, queries):
    before = state(index, queries)
    bad = [(poisoned(rows), r"X\[1, 7\] is nan"), (rows[:3, :24], "X has 24 columns"),
           (rows[0], "X has one axis"),
           (rows[:3].astype(int), "X has dtype int64")]  # fmt: skip
    for X, message in bad:
        with pytest.raises(ValueError, match=message):
            index.add(X, ids=[400, 401, 402][: len(X)])
        with pytest.raises(ValueError, match=message):
            index.upsert([0, 401, 402][: len(X)], X)
    assert state(index, queries) == before


def test_unfitting_deletes_are_refused_and_nothing_changes(index, queries):
    before = state(index, queries)
    for ids, message in (([1, 1], "more than once"), ([-3], "holds -3"), ([0.5], r"holds 0\.5")):
        with pytest.raises(ValueError, match=message):
            index.delete(ids)
    assert state(index, queries) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k is 0; give a whole number >= 1"),
        ({"k": -3}, "k is -3"),
        ({"k": 2.0}, r"k is 2\.0"),
        ({"k": True}, "k is True"),
        ({"threads": -1}, "threads is -1; give a whole number >= 0"),
        ({"threads": 1.5}, r"threads is 1\.5"),
        ({"scorer": "l2"}, "scorer is 'l2'; choose one of 'hamming', 'asymmetric'"),
        ({"funnel": 0}, "funnel is 0"),
        ({"funnel": -5}, "funnel is -5"),
        ({"funnel": "yes"}, "funnel is 'yes'"),
    ],
)
def test_unfitting_searches_are_refused(index, queries, options, message):
    with pytest.raises(ValueError, match=message):
        index.search(queries, **options)


def test_unfitting_queries_are_refused(index, rows):
    for Q, message in ((rows[0], "Q has one axis"),
                       (rows[:, :8], "Q has 8 columns"), (poisoned(rows), r"Q\[1, 7\] is nan"),
                       ([[1] * 32], "Q has dtype int64")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            index.search(Q)


def test_a_code_that_the_codec_lacks_is_refused(paper_codec):
    refusals = [
        ({"dims": 12}, "dims is 12; choose one of 32, 16, 8"),
        ({"level": "3"}, "level is '3'"),
        ({"nbytes": 8}, "nbytes is 8"),
    ]
    for cell, message in refusals:
        with pytest.raises(ValueError, match=message):
            Index(paper_codec, **cell)


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell", [CELL, {"dims": 16, "level": "hybrid"}, {"dims": 8, "level": "0.5"}]
)
@pytest.mark.parametrize("given", [False, True])
def test_a_saved_index_opens_as_it_was(any_codec, rows, queries, tmp_path, cell, given):
    index = Index(any_codec, **cell)
    index.add(rows, ids=np.arange(1000, 1300) if given else None)
    index.save(tmp_path / "x")
    for mode in ("r", "a"):
        opened = Index.open(str(tmp_path / "x"), mode=mode)
        assert len(opened) == 300
        assert opened.codec.fingerprint == any_codec.fingerprint
        assert repr(opened) == repr(index)
        for scorer in ("asymmetric", "hamming"):
            check(
                opened.search(queries, 9, scorer=scorer), *index.search(queries, 9, scorer=scorer)
            )


def test_deleted_rows_are_left_out_of_the_file(index, queries, tmp_path):
    index.save(tmp_path / "full")
    index.delete(np.arange(250))
    index.save(tmp_path / "less")
    assert (tmp_path / "less").stat().st_size < (tmp_path / "full").stat().st_size
    opened = Index.open(tmp_path / "less")
    assert opened.ids.tolist() == list(range(250, 300))
    check(opened.search(queries, 9), *index.search(queries, 9))


def test_read_only_refuses_changes(index, rows, queries, tmp_path):
    index.save(tmp_path / "x")
    opened = Index.open(tmp_path / "x")
    before = state(opened, queries)
    for change, verb in ((lambda: opened.add(rows[:1]), "add"),
                         (lambda: opened.upsert([1], rows[:1]), "upsert"),
                         (lambda: opened.delete([1]), "delete")):  # fmt: skip
        with pytest.raises(ValueError, match=f'opened read-only; to {verb}, open it with mode="a"'):
            change()
    assert state(opened, queries) == before


def test_changes_of_an_opened_index_are_logged_and_the_file_stays_as_it_is(index, rows, tmp_path):
    path = tmp_path / "x"
    index.save(path)
    raw = path.read_bytes()
    opened = Index.open(path, mode="a")
    opened.add(rows[:70])
    opened.delete([0, 299])
    opened.upsert([7], rows[:1])
    assert path.read_bytes() == raw
    for _ in range(2):
        again = Index.open(path)
        np.testing.assert_array_equal(again.ids, opened.ids)
        check(again.search(rows[:9], 5), *opened.search(rows[:9], 5))
        opened.save(path)  # over the file that is mapped
    assert path.read_bytes() != raw
    opened.close()
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_an_unknown_mode_is_refused(index, tmp_path):
    index.save(tmp_path / "x")
    with pytest.raises(ValueError, match="mode is 'w'; choose one of 'r', 'a'"):
        Index.open(tmp_path / "x", mode="w")


def test_a_codec_is_not_an_index(codec, tmp_path):
    codec.save(tmp_path / "x")
    with pytest.raises(FormatError, match="holds a qama 'codec'; this needs a 'index'"):
        Index.open(tmp_path / "x")


def golden_codec():
    return Codec.load(Path(__file__).parent / "golden" / "codec.qama")


def test_truncated_anywhere(tmp_path):
    path = tmp_path / "x"
    index = Index(golden_codec(), dims=8, level="2")
    index.add(np.eye(8, dtype=np.float32), ids=range(10, 18))
    index.save(path)
    raw = path.read_bytes()
    for length in range(0, len(raw), 7):
        path.write_bytes(raw[:length])
        with pytest.raises(FormatError):
            Index.open(path)
    path.write_bytes(raw)
    assert len(Index.open(path)) == 8


@pytest.mark.parametrize(
    ("meta", "arrays", "drop"),
    [
        ({"rows": 9}, {}, []), ({"rows": 65}, {}, []), ({"rows": -1}, {}, []),
        ({"rows": 2**62}, {}, []),
        ({"rows": "8"}, {}, []), ({"rows": 8.0}, {}, []), ({"rows": None}, {}, []),
        ({"code": {"dims": 16, "level": "2"}}, {}, []),
        ({"code": {"dims": 8, "level": "1"}}, {}, []),
        ({"code": {"width": 8}}, {}, []), ({"code": [8]}, {}, []), ({"code": None}, {}, []),
        ({"codec": None}, {}, []), ({"codec": {}}, {}, []), ({"codec": "codec"}, {}, []),
        ({}, {"blocks": np.zeros((1, 2, 63), np.uint8)}, []),
        ({}, {"blocks": np.zeros((2, 2, 64), np.uint8)}, []),
        ({}, {"blocks": np.zeros((1, 2, 64), np.int32)}, []),
        ({}, {"ids": np.zeros(7, np.int64)}, []), ({}, {"ids": np.zeros(8, np.int32)}, []),
        ({}, {"ids": np.zeros((8, 1), np.int64)}, []),
        ({}, {}, ["rows"]), ({}, {}, ["code"]), ({}, {}, ["codec"]), ({}, {}, ["blocks"]),
        ({}, {}, ["codec.transform.w"]),
    ],
    ids=repr,
)  # fmt: skip
def test_parts_that_do_not_fit_each_other(tmp_path, meta, arrays, drop):
    codec_meta, codec_arrays = golden_codec().parts()
    all_arrays = {f"codec.{name}": array for name, array in codec_arrays.items()}
    all_arrays |= {"blocks": np.zeros((1, 2, 64), np.uint8), "ids": np.arange(8)} | arrays
    all_meta = {"codec": codec_meta, "code": {"dims": 8, "level": "2"}, "rows": 8} | meta
    if not (meta or arrays or drop):
        raise AssertionError("nothing is broken")
    container.write(
        tmp_path / "x", "index", 1,
        {k: v for k, v in all_meta.items() if k not in drop},
        {k: v for k, v in all_arrays.items() if k not in drop},
    )  # fmt: skip
    with pytest.raises(FormatError):
        Index.open(tmp_path / "x")


# --- any sequence of changes ------------------------------------------------------------------

POOL = mixture(64, 8, seed=5)
SMALL_IDS = st.integers(0, 40)


class Changes(RuleBasedStateMachine):
    """An index beside a list of (id, vector) in insertion order."""

    def __init__(self):
        super().__init__()
        self.codec = golden_codec()
        self.model = []
        self.following = 0  # the next default id: behind all that were ever given
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "index"
        self.kept = False  # in a file

    @initialize(keep=st.sampled_from([None, *FORMS]))
    def begin(self, keep):
        self.index = Index(self.codec, dims=8, level="2", keep=keep)

    def teardown(self):
        self.index.close()
        self.folder.cleanup()

    def keys(self):
        return [key for key, _ in self.model]

    @rule(ids=st.lists(SMALL_IDS, min_size=1, max_size=6), first=st.integers(0, 50))
    def add(self, ids, first):
        X = POOL[first : first + len(ids)]
        if len(set(ids)) < len(ids) or set(ids) & set(self.keys()):
            with pytest.raises(ValueError, match=r"more than once|already"):
                self.index.add(X, ids=ids)
            return
        assert self.index.add(X, ids=ids).tolist() == ids
        self.model += zip(ids, X, strict=True)
        self.following = max(self.following, *(key + 1 for key in ids))

    @rule(count=st.integers(1, 70))
    def add_by_default_ids(self, count):
        X = np.resize(POOL, (count, 8))
        ids = list(range(self.following, self.following + count))
        assert self.index.add(X).tolist() == ids
        self.model += zip(ids, X, strict=True)
        self.following += count

    @rule(ids=st.lists(SMALL_IDS, min_size=1, max_size=6, unique=True), first=st.integers(0, 50))
    def upsert(self, ids, first):
        X = POOL[first : first + len(ids)]
        assert self.index.upsert(ids, X).tolist() == ids
        self.model = [(key, x) for key, x in self.model if key not in ids]
        self.model += zip(ids, X, strict=True)
        self.following = max(self.following, *(key + 1 for key in ids))

    @rule(ids=st.lists(SMALL_IDS, max_size=12, unique=True))
    def delete(self, ids):
        assert self.index.delete(ids) == len(set(ids) & set(self.keys()))
        self.model = [(key, x) for key, x in self.model if key not in ids]

    @rule()
    def save_and_open(self):
        self.index.save(self.path)
        self.index.close()
        self.index = Index.open(self.path, mode="a")
        self.kept = True

    @precondition(lambda self: self.kept)
    @rule(flush=st.booleans())
    def open_again(self, flush):
        if flush:
            self.index.flush()
        reader = Index.open(self.path)
        assert reader.ids.tolist() == self.keys()
        self.index.close()
        self.index = Index.open(self.path, mode="a")

    @rule()
    def compact(self):
        self.index.compact()

    @rule(nlist=st.integers(1, 5))
    def partition(self, nlist):
        if len(self.model) < nlist:
            with pytest.raises(ValueError, match="lists need at least as many vectors"):
                self.index.partition(nlist)
            return
        self.index.partition(nlist)
        assert self.index.nlist == nlist

    @precondition(lambda self: self.model)
    @rule(
        k=st.integers(1, 30),
        scorer=st.sampled_from(["asymmetric", "hamming"]),
        wanted=st.none() | st.lists(SMALL_IDS, max_size=8),
    )
    def search(self, k, scorer, wanted):
        X = np.stack([x for _, x in self.model])
        cell = {"dims": 8, "level": "2"}
        keys = np.array(self.keys())
        allowed = None if wanted is None else np.isin(keys, wanted)
        rows, scores = oracle(self.codec, X, POOL[:3], k, scorer, cell, allowed)
        lists = self.index.nlist
        found = self.index.search(POOL[:3], k, scorer=scorer, filter=wanted, nprobe=lists)
        if lists is None:
            check(found, keys[rows], scores)
        else:  # ties go to the lower place there
            np.testing.assert_array_equal(found.scores, scores)
            own = self.codec.score(POOL[:3], self.codec.encode(X, **cell), scorer=scorer, **cell)
            for ids, got, known in zip(found.ids, found.scores, own, strict=True):
                held = dict(zip(keys.tolist(), known, strict=True))
                assert [held[key] for key in ids.tolist()] == got.tolist()
                assert len(set(ids.tolist())) == len(ids)
                assert wanted is None or set(ids.tolist()) <= set(wanted)

    @precondition(lambda self: self.model and self.index.keep)
    @rule(k=st.integers(1, 30), wanted=st.none() | st.lists(SMALL_IDS, max_size=8))
    def rescore(self, k, wanted):
        X, keys = np.stack([x for _, x in self.model]), np.array(self.keys())
        form = Form.of(self.index.keep, 8)
        cosines = form.cosines(POOL[:3], np.stack([form.packed(X)] * 3))
        allowed = np.flatnonzero(np.isin(keys, keys if wanted is None else wanted))
        order = allowed[np.argsort(-cosines[:, allowed], axis=1, kind="stable")[:, :k]]
        found = self.index.search(
            POOL[:3], k, filter=wanted, nprobe=self.index.nlist, rescore=len(keys)
        )
        check(found, keys[order], np.take_along_axis(cosines, order, axis=1).astype(np.float32))

    @invariant()
    def holds_what_the_model_holds(self):
        assert self.index.ids.tolist() == self.keys()
        assert len(self.index) == len(self.model)


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


@pytest.mark.parametrize("copy_of", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("opened", [False, True], ids=["in memory", "opened"])
def test_an_index_is_not_copied_in_memory(codec, rows, tmp_path, copy_of, opened):
    index = Index(codec, dims=16, level="2")
    index.add(rows)
    if opened:
        index.save(tmp_path / "index")
        index = Index.open(tmp_path / "index")
    with pytest.raises(TypeError, match="an Index can be neither copied nor pickled; save it"):
        copy_of(index)
    merged = Index.merge([index])  # a copy in memory that shares nothing
    merged.add(rows[:3])
    assert (len(index), len(merged)) == (len(rows), len(rows) + 3)
