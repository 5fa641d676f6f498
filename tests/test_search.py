"""Filters, ranges, added codes, merging, several indexes, names: against brute force."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from conftest import mixture

import qama
from qama import FormatError, Index, container, search_many, sources
from qama.search.rows import filters
from qama.search.storage import names

CELL = {"dims": 32, "level": "2"}


@pytest.fixture
def index(codec, rows):
    made = Index(codec, **CELL)
    made.add(rows, ids=np.arange(300) * 3 + 1)
    made.delete(np.arange(0, 300, 9) * 3 + 1)
    return made


def same(one, two):
    np.testing.assert_array_equal(one.ids, two.ids)
    np.testing.assert_array_equal(one.scores, two.scores)


def restricted(index, queries, keep, k, **options):
    """All results of a search without a filter, then only those whose id may be returned."""
    every = index.search(queries, len(index), **options)
    ids = [row[np.isin(row, keep)][:k] for row in every.ids]
    scores = [s[np.isin(row, keep)][:k] for row, s in zip(every.ids, every.scores, strict=True)]
    return np.array(ids), np.array(scores)


# --- filters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scorer", ["asymmetric", "hamming"])
@pytest.mark.parametrize("kind", ["mask", "ids", "function", "compiled"])
def test_every_kind_of_filter_is_the_restricted_full_search(index, queries, scorer, kind):
    wanted = np.random.default_rng(0).random(len(index)) < 0.2
    keep = index.ids[wanted]
    choice = {"mask": wanted, "ids": keep, "function": lambda ids: np.isin(ids, keep)}.get(kind)
    if kind == "compiled":
        choice = index.filter(wanted)
        assert len(choice) == wanted.sum()
    exclude = keep[::4]
    for k in (1, 10, 300):  # k beyond the survivors returns all of them
        found = index.search(queries, k, scorer=scorer, filter=choice, exclude=exclude)
        ids, scores = restricted(index, queries, np.setdiff1d(keep, exclude), k, scorer=scorer)
        np.testing.assert_array_equal(found.ids, ids)
        np.testing.assert_array_equal(found.scores, scores)


def test_the_first_row_is_found_by_its_given_id(codec, rows, queries):
    index = Index(codec, **CELL)
    index.add(rows[:2], ids=[70, 80])
    assert index.search(queries[:1], 5, filter=[70]).ids.tolist() == [[70]]
    assert index.search(queries[:1], 5, exclude=[70]).ids.tolist() == [[80]]


def test_exclusion_alone_leaves_everything_else(index, queries):
    gone = index.search(queries[:1], 5).ids[0]
    found = index.search(queries[:1], len(index), exclude=[*gone, *gone, 10**9])  # unknown: ignored
    assert set(found.ids[0]) == set(index.ids) - set(gone)
    same(found, index.search(queries[:1], 300, filter=index.filter(exclude=gone)))


def test_a_compiled_filter_follows_deletions_and_ignores_newcomers(index, queries, rows):
    chosen = index.filter(lambda ids: ids % 2 == 0)
    index.delete(index.ids[:50])
    index.add(rows[:70], ids=10_000 + np.arange(70) * 2)
    found = index.search(queries, 400, filter=chosen)
    old = index.ids[(index.ids % 2 == 0) & (index.ids < 10_000)]
    assert set(found.ids[0]) == set(old)
    same(found, index.search(queries, 400, filter=index.filter(chosen)))


def test_a_compiled_filter_of_other_rows_is_refused(index, queries, codec, rows):
    chosen = index.filter(exclude=[4])
    other = Index(codec, **CELL)
    other.add(rows)
    with pytest.raises(ValueError, match="filter was compiled for other rows"):
        other.search(queries, filter=chosen)
    index.compact()
    with pytest.raises(ValueError, match="filter was compiled for other rows"):
        index.search(queries, filter=chosen)
    before = index._now
    index.add(rows[:70], ids=10_000 + np.arange(70))
    with pytest.raises(ValueError, match="filter was compiled for a later state"):
        filters.allowed(before, index.filter(exclude=[4]))


@pytest.mark.parametrize(
    ("exclude", "message"),
    [([-1], "exclude holds -1"), ([0.5], r"exclude holds 0\.5"), (["a"], "exclude holds 'a'")],
)
def test_unfitting_exclusions_are_refused(index, queries, exclude, message):
    with pytest.raises(ValueError, match=message):
        index.search(queries, exclude=exclude)


def test_the_filter_of_a_compacted_index_finds_the_same(index, queries):
    before = index.search(queries, 10, filter=lambda ids: ids % 5 == 0)
    index.compact()
    same(index.search(queries, 10, filter=index.filter(lambda ids: ids % 5 == 0)), before)


# --- ranges -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scorer", ["asymmetric", "hamming"])
@pytest.mark.parametrize("first_k", [1, 7, 1024])
def test_a_range_is_what_scores_enough(index, queries, scorer, first_k, monkeypatch):
    monkeypatch.setattr("qama.search.scan.ranges._FIRST_K", first_k)
    every = index.search(queries, len(index), scorer=scorer)
    least = np.quantile(every.scores, np.linspace(0, 1, len(queries)))
    found = index.range_search(queries, least, scorer=scorer)
    assert len(found) == len(queries)
    for i, one in enumerate(found):
        enough = every.scores[i] >= least[i]
        np.testing.assert_array_equal(one.ids, every.ids[i, enough])
        np.testing.assert_array_equal(one.scores, every.scores[i, enough])


def test_a_range_with_a_filter_and_one_score_for_all(index, queries):
    found = index.range_search(queries, -9, filter=index.ids[:40], exclude=index.ids[:10])
    assert all(set(one.ids) == set(index.ids[10:40]) for one in found)
    assert [len(one.ids) for one in index.range_search(queries, 9.0)] == [0] * len(queries)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (np.nan, "score is NaN"),
        ([0.5, 0.5], r"score is float64 of shape \(2,\)"),
        ("high", "score is <U4"),
    ],
)
def test_unfitting_scores_are_refused(index, queries, score, message):
    with pytest.raises(ValueError, match=message):
        index.range_search(queries, score)


# --- adding codes and streams -----------------------------------------------------------------


@pytest.mark.parametrize("level", ["1", "1.5", "hybrid", "2"])
@pytest.mark.parametrize("compact", [True, False])
def test_added_codes_are_added_vectors(codec, rows, queries, level, compact):
    by_vectors, by_codes = (Index(codec, dims=32, level=level) for _ in range(2))
    for part in (rows[:130], rows[130:]):
        ids = by_vectors.add(part)
        codes = codec.encode(part, dims=32, level=level, compact=compact)
        assert by_codes.add_codes(codes).tolist() == ids.tolist()
    same(by_codes.search(queries, 20), by_vectors.search(queries, 20))


@pytest.mark.parametrize("dims", [8, 32])
def test_codes_whose_two_forms_are_as_long_say_which_they_are(codec, rows, queries, dims):
    cell = {"dims": dims, "level": "hybrid"}
    by_vectors = Index(codec, **cell)
    by_vectors.add(rows)
    both = by_vectors.code.nbytes == by_vectors.code_size
    assert both == (dims == 8)
    for compact in (True, False):
        by_codes, codes = Index(codec, **cell), codec.encode(rows, compact=compact, **cell)
        by_codes.add_codes(codes, compact=compact)
        same(by_codes.search(queries, 20), by_vectors.search(queries, 20))
        if both:
            with pytest.raises(ValueError, match="say which with compact=True or compact=False"):
                by_codes.add_codes(codes)
        else:
            with pytest.raises(ValueError, match="bytes a row; this code has"):
                by_codes.add_codes(codes, compact=not compact)


def test_unfitting_codes_are_refused(index, codec, rows):
    codes = codec.encode(rows[:2], compact=True, **CELL)
    for bad, message in [
        (codes[:, :3], r"codes has 3 bytes a row; this code has 8"),
        (codes.astype(np.int16), "codes is int16"),
        (codes[0], "codes is uint8 with 1 axes"),
    ]:
        with pytest.raises(ValueError, match=message):
            index.add_codes(bad)
    with pytest.raises(ValueError, match="id 4 is in the index already"):
        index.add_codes(codes, ids=[4, 5])
    assert len(index) == 266


def test_streams_arrays_and_files_add_the_same(codec, rows, queries, tmp_path, monkeypatch):
    monkeypatch.setattr("qama.checks.CHUNK_ROWS", 64)
    np.save(tmp_path / "rows.npy", rows)
    whole = Index(codec, **CELL)
    whole.add(rows, ids=np.arange(300) + 7)
    sources = [
        (rows, np.arange(300) + 7),
        (str(tmp_path / "rows.npy"), np.arange(300) + 7),
        (iter([rows[:10], rows[10:]]), [np.arange(10) + 7, np.arange(10, 300) + 7]),
    ]
    for source, ids in sources:
        index = Index(codec, **CELL)
        assert index.add_from(source, ids) == 300
        same(index.search(queries, 10), whole.search(queries, 10))
    index = Index(codec, **CELL)
    index.add_from(iter([rows[:10], rows[10:]]))
    assert index.ids.tolist() == list(range(300))


def test_arrow_tables_and_batches_add_as_arrays_do(codec, rows, queries):
    ids = np.arange(300) + 7
    whole = Index(codec, **CELL)
    whole.add(rows, ids=ids)
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 32)
    table = pa.table({"id": ids, "vector": column})
    batches = table.to_batches(max_chunksize=100)
    empty = batches[0][:0]  # streams have such
    batches.insert(1, empty)
    for source, some in [
        (table, ids),
        (table, table["id"]),
        (iter(batches), [batch["id"] for batch in batches]),
    ]:
        index = Index(codec, **CELL)
        assert index.add_from(source, some) == 300
        same(index.search(queries, 10), whole.search(queries, 10))
    index = Index(codec, **CELL)
    with pytest.raises(ValueError, match="a batch without vectors has 2 ids; give one for each"):
        index.add_from([empty], [[1, 2]])
    assert index.add_from([empty]) == 0


def poisoned(X, row, column=3):
    X = X.copy()
    X[row, column] = np.nan
    return X


@pytest.mark.parametrize("row", [0, 63, 64, 200, 299])
def test_add_from_names_the_row_of_the_source_and_what_is_in(codec, rows, row, monkeypatch):
    monkeypatch.setattr("qama.checks.chunks.__defaults__", (64,))
    bad = poisoned(rows, row)
    cuts = [0, 10, 64, 64, 200, 300]
    batches = [bad[a:b] for a, b in pairwise(cuts)]
    for source, kept in (
        (bad, row // 64 * 64),
        (torch.tensor(bad), row // 64 * 64),
        (batches, max(cut for cut in cuts if cut <= row)),
        ((pa.table({"v": list(batch)}) for batch in batches), max(c for c in cuts if c <= row)),
    ):
        index = Index(codec, **CELL)
        with pytest.raises(ValueError, match=rf"source\[{row}, 3\] is nan") as refused:
            index.add_from(source)
        assert len(index) == kept
        told = f"; the {kept} rows before that batch were added"
        assert str(refused.value).endswith(told if kept else "or set them to zero")


def test_add_from_says_what_is_in_before_ids_that_exist(codec, rows):
    index = Index(codec, **CELL)
    with pytest.raises(ValueError, match=r"id 3 is in the index already.*; the 10 rows before"):
        index.add_from([rows[:10], rows[:2]], [range(10), [3, 4]])
    with pytest.raises(ValueError, match=r"a batch of source has 8 columns.*; the 5 rows before"):
        index.add_from(iter([rows[:5], rows[:5, :8]]))
    assert len(index) == 15


@pytest.mark.parametrize(
    "empty",
    [lambda X: X[:0], lambda X: torch.tensor(X[:0]), lambda X: [], lambda X: pd.DataFrame(X[:0]),
     lambda X: pd.DataFrame({"v": list(X)})[:0], lambda X: pd.Series(list(X))[:0],
     lambda X: pl.Series(X)[:0], lambda X: pa.table({"v": list(X)})[:0]],
)  # fmt: skip
def test_batches_without_rows_are_passed_over(codec, rows, empty):
    index = Index(codec, **CELL)
    assert index.add_from(iter([empty(rows), rows[:9], empty(rows), rows[9:], empty(rows)])) == 300
    assert index.ids.tolist() == list(range(300))
    assert index.add_from([rows[:1], empty(rows)], [[900], []]) == 1
    assert index.add_from(empty(rows)) == 0
    assert index.add_from(empty(rows), ids=[]) == 0
    assert index.add_from([]) == 0
    taken, total = sources.load(iter([empty(rows), rows, empty(rows)]), 1000, 0)
    assert (len(taken), total) == (300, 300)


@pytest.mark.parametrize(
    ("source", "ids", "message"),
    [
        (3, None, "source is int"),
        (np.array(3.0), None, r"source is the single value 3\.0; give an array \(n, d\)"),
        (np.array(3.0), [1], r"source is the single value 3\.0"),
        (np.ones((2, 32)), [1], r"ids have shape \(1,\) for 2 vectors"),
        (iter([np.ones((2, 32))]), 5, "ids is int; give one array of ids for each batch"),
        (iter(np.ones((3, 2, 32))), [[900, 901], [902, 903]], "ids end after 2 batches, before"),
        (iter(np.ones((1, 2, 32))), iter([[904, 905], [6]]), "vectors end after 1 batch, befo"),
    ],
)
def test_unfitting_streams_are_refused(index, source, ids, message):
    with pytest.raises(ValueError, match=message):
        index.add_from(source, ids)


# --- several indexes --------------------------------------------------------------------------


@pytest.fixture
def parts(codec):
    made = []
    for seed in range(3):
        one = Index(codec, **CELL)
        one.add(mixture(90 + seed, 32, seed + 5), ids=np.arange(90 + seed) + 1000 * seed)
        made.append(one)
    made[1].delete(np.arange(1000, 1040))
    return made


def test_a_merged_index_is_the_union(parts, queries, monkeypatch):
    monkeypatch.setattr("qama.search.merging._ROWS", 64)
    merged = Index.merge(parts)
    assert merged.ids.tolist() == [i for part in parts for i in part.ids.tolist()]
    many = search_many(parts, queries, 25, threads=2)
    same(merged.search(queries, 25), many)
    for found, source in zip(many.ids.ravel(), many.sources.ravel(), strict=True):
        assert found in parts[source].ids
    numbered = Index.merge(parts, renumber=True)
    assert numbered.ids.tolist() == list(range(len(merged)))
    np.testing.assert_array_equal(numbered.search(queries, 9).scores, merged.search(queries, 9)[1])


def test_what_cannot_be_merged_is_refused(parts, codec, paper_codec):
    with pytest.raises(ValueError, match="indexes is empty"):
        Index.merge([])
    with pytest.raises(ValueError, match=r"indexes\[1\] holds"):
        Index.merge([parts[0], Index(codec, dims=16, level="2")])
    with pytest.raises(ValueError, match=r"indexes\[1\] holds"):
        Index.merge([parts[0], Index(paper_codec, **CELL)])
    with pytest.raises(ValueError, match=r"id 0 is in two of .* Index.merge\("):
        Index.merge([parts[0], parts[0]])


def test_searching_several_takes_the_options_of_one(parts, queries):
    found = search_many(parts, queries, 300, scorer="hamming", exclude=[0, 1, 2])
    assert found.ids.shape == (20, sum(map(len, parts)) - 3)
    with pytest.raises(ValueError, match="indexes is empty"):
        search_many([], queries)
    with pytest.raises(ValueError, match="threads is -1"):
        search_many(parts, queries, threads=-1)
    for wrong in (parts[0], ["a.index"], 3):
        with pytest.raises(ValueError, match="give a list of open indexes"):
            search_many(wrong, queries)
    with pytest.raises(ValueError, match="filter is a mask, which counts the rows of one index"):
        search_many(parts[:1] * 2, queries, filter=np.ones(len(parts[0]), dtype=bool))


def test_every_index_reads_a_filter_that_ends(parts, queries):
    """A generator of ids is read once, and serves them all."""
    some = [int(i) for part in parts for i in part.ids[::3]]
    for name in ("filter", "exclude"):
        whole = search_many(parts, queries, 50, **{name: some})
        same(whole, search_many(iter(parts), queries, 50, **{name: iter(some)}))


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ends", "message"),
    [
        (b"\xff", [1], "the names are inconsistent"),
        (b"ab", [[1], [2]], "the names are inconsistent"),
        (b"aa", [1, 2], "a name occurs twice"),
        (b"ab", None, "inconsistent: 'ends'"),
    ],
)
def test_a_file_of_names_that_does_not_fit_itself_is_refused(tmp_path, text, ends, message):
    arrays = {"text": np.frombuffer(text, np.uint8)}
    if ends is not None:
        arrays["ends"] = np.array(ends, np.int64)
    container.write(tmp_path / "x", names.KIND, names.FORMAT, {}, arrays)
    with pytest.raises(FormatError, match=message):
        names.read(tmp_path / "x")


def test_everything_is_public():
    assert {"Documents", "Filter", "search_many"} <= set(qama.__all__)


# --- prefixes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", [{"nbytes": 16}, CELL], ids=repr)
@pytest.mark.parametrize("scorer", ["asymmetric", "hamming"])
@pytest.mark.parametrize("nlist", [None, 5])
def test_a_prefix_finds_what_an_index_of_it_finds(byte_codec, rows, queries, cell, scorer, nlist):
    index = Index(byte_codec, **cell, nlist=nlist)
    if scorer not in index.code.scorers:
        pytest.skip(f"{index.code.label} has no {scorer}")
    index.add(rows)
    index.delete([3, 77])
    every = {} if nlist is None else {"nprobe": nlist}
    assert index.lengths[-1] == index.code_size
    for code, nbytes in zip((*index.code.prefixes(), index.code), index.lengths, strict=True):
        short = Index(byte_codec, **code.request)
        short.add(rows)
        short.delete([3, 77])
        found = index.search(queries, 298, scorer=scorer, nbytes=nbytes, **every)
        same_scores(found, short.search(queries, 298, scorer=scorer), ties=nlist is not None)
    for wrong in (0, index.code_size + 1, -1):
        with pytest.raises(ValueError, match=f"nbytes is {wrong}; codes of .* first "):
            index.search(queries, 3, nbytes=wrong)


def same_scores(one, two, ties):
    """Lists order ties by place, so that ids are compared as sets of each score."""
    np.testing.assert_array_equal(one.scores, two.scores)
    if not ties:
        np.testing.assert_array_equal(one.ids, two.ids)


def test_a_prefix_in_lists_reads_the_lists_of_the_whole_code(byte_codec, rows, queries):
    index = Index(byte_codec, nbytes=16, nlist=5)
    index.add(rows)
    short, whole = index.lengths[0], index.search(queries, 300, nprobe=5)
    one = index.search(queries, 10, nprobe=1, nbytes=short)
    near = index.search(queries, 10, nprobe=1)
    assert one.ids.shape == near.ids.shape
    assert not np.array_equal(one.scores, near.scores)
    every = index.search(queries, 300, nprobe=5, nbytes=short)
    scores = [dict(zip(*row, strict=True)) for row in zip(every.ids, every.scores, strict=True)]
    for own, ids, found in zip(scores, one.ids, one.scores, strict=True):
        assert [own[key] for key in ids] == found.tolist()
    assert set(whole.ids[0]) == set(every.ids[0])


# --- vectors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("nlist", [None, 5])
def test_vectors_are_those_kept_or_those_that_codes_stand_for(bytes_codec, rows, nlist):
    index = Index(bytes_codec, nbytes=8, nlist=nlist)
    index.add(rows, ids=np.arange(300) * 2)
    index.delete([4])
    decoded = bytes_codec.decode(bytes_codec.encode(rows, nbytes=8), nbytes=8)
    np.testing.assert_array_equal(index.vectors([20, 598, 0]), decoded[[10, 299, 0]])
    kept = Index(bytes_codec, nbytes=8, keep="float16", nlist=nlist)
    kept.add(rows, ids=np.arange(300) * 2)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.abs(kept.vectors([20, 598, 0]) - unit[[10, 299, 0]]).max() < 1e-3
    for gone in (4, 5):
        with pytest.raises(ValueError, match=f"id {gone} is not in the index"):
            index.vectors([0, gone])
    assert index.vectors([]).shape == (0, 32)
