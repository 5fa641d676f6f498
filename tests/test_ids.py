"""Ids as users hold them: the one door of ids, and every verb behind it."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from qama import Index, checks
from qama.search.rows import ids as idmap

CELL = {"dims": 32, "level": "2"}
HELD = {
    "list": lambda ids: ids,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "generator": lambda ids: (i for i in ids),
    "map": lambda ids: map(int, ids),
    "dict's keys": lambda ids: dict.fromkeys(ids).keys(),
    "list of NumPy's numbers": lambda ids: [np.int32(i) for i in ids],
    "list of tensors": lambda ids: [torch.tensor(i) for i in ids],
    "array": np.array,
    "unsigned": lambda ids: np.array(ids, np.uint64),
    "big-endian": lambda ids: np.array(ids, ">i4"),
    "objects": lambda ids: np.array(ids, object),
    "tensor": torch.tensor,
    "pandas column": pd.Series,
    "pandas index": pd.Index,
    "nullable": lambda ids: pd.Series(ids, dtype="Int64"),
    "objects of pandas": lambda ids: pd.Series(ids, dtype=object),
    "polars": pl.Series,
    "Arrow": pa.array,
    "Arrow, chunked": lambda ids: pa.chunked_array([ids[:1], ids[1:]]),
}


@pytest.fixture(params=HELD.values(), ids=HELD)
def held(request):
    return request.param


@pytest.fixture(params=[None, 2], ids=["flat", "lists"])
def index(request, codec, rows):
    index = Index(codec, **CELL, nlist=request.param)
    index.add(rows)
    return index


def search(index, Q, **options):
    probes = {"nprobe": 2} if index.nlist else {}
    return index.search(Q, 9, **options, **probes).ids


def test_they_are_read_as_the_same_numbers(held):
    read = idmap.whole(held([7, 3, 11]), "ids")
    assert sorted(read.tolist()) == [3, 7, 11]
    assert read.dtype == np.int64


@pytest.mark.parametrize("one", [3, np.int8(3), np.array(3), torch.tensor(3), [3]])
def test_one_number_is_an_id(index, queries, one):
    assert (search(index, queries, filter=one) == 3).all()
    assert index.delete(one) == 1
    assert 3 not in search(index, queries, filter=range(9))


@pytest.mark.parametrize("none", [[], (), set(), range(0), iter([]), np.array([]), pd.Series([])])
def test_no_id_is_no_error(index, queries, none):
    assert search(index, queries, filter=none).shape == (20, 0)
    assert index.delete(none) == 0


def test_every_door_takes_them(index, rows, queries, held):
    """Sets where no order is told by them: see below."""
    ids = [7, 3, 11]
    assert set(search(index, queries, filter=held(ids)).flat) == set(ids)
    index.delete(held(ids))
    assert len(index) == 297
    index.add(rows[ids], ids)
    if isinstance(index, Index):
        assert not set(search(index, queries, exclude=held(ids)).flat) & set(ids)
        assert len(index.filter(held(ids), exclude=held([3]))) == 2


def test_every_door_takes_them_in_their_order(index, rows, held):
    ids = [7, 3, 11]
    if held in (set, frozenset):
        return
    index.delete(ids)
    assert index.add(rows[ids], held(ids)).tolist() == ids
    if isinstance(index, Index):
        assert index.upsert(held(ids), rows[ids]).tolist() == ids
        index.delete(ids)
        index.add_codes(index.codec.encode(rows[ids], **CELL), held(ids), compact=False)
        index.delete(ids)
        assert index.add_from(rows[ids], held(ids)) == 3
        index.delete(ids)
        assert index.add_from([rows[ids], rows[:0]], [held(ids), []]) == 3
        assert len(index) == 300


def test_a_range_costs_no_list():
    assert idmap.whole(range(9, 0, -3), "ids").tolist() == [9, 6, 3]
    read = idmap.whole(range(0, 2**62, 2**40), "ids")
    assert (len(read), read[-1]) == (2**22, 2**62 - 2**40)


REFUSED = {
    "None": ([1, None], "holds None; ids are whole numbers"),
    "bool": ([1, True], "holds True; ids are"),
    "one bool": (True, "is bool and holds True"),
    "NumPy's bool": ([np.True_, 1], r"holds np\.True_"),
    "float": ([1, 2.5], r"holds 2\.5"),
    "whole float": ([1.0], r"holds 1\.0"),
    "floats": (np.array([1.0, 2.5, 3.0]), r"is float64 and holds 2\.5"),
    "nan": (pd.Series([1, None]), "is float64 and holds nan"),
    "NA": (pd.Series([1, None], dtype="Int64").astype(object), "holds <NA>"),
    "null": (pl.Series([1, None]), "is float64 and holds nan"),
    "Arrow null": (pa.array([1, None]), "is float64 and holds nan"),
    "text": ("3", "is '3'; give whole numbers"),
    "texts": (["3"], "holds '3'"),
    "array of texts": (np.array(["3"]), "is <U1 and holds '3'"),
    "negative": ([3, -1], "holds -1"),
    "negative range": (range(-1, 3), "holds -1"),
    "large": ([2**63], "holds 9223372036854775808"),
    "larger": (2**70, "holds 1180591620717411303424"),
    "large unsigned": (np.array([2**63], np.uint64), "holds 9223372036854775808"),
    "a range too far": (range(2**63 - 1, 2**63 + 1), "holds 9223372036854775808"),
    "an object": (object(), "holds <object objec"),
    "axes": (np.ones((2, 2), int), "is int64 with 2 axes; give whole numbers on one axis"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_id_is_named(index, rows, queries, given, message):
    with pytest.raises(ValueError, match="ids " + message):
        index.delete(given)
    with pytest.raises(ValueError, match="ids " + message):
        index.add(rows[:2], given)
    if not (isinstance(given, bool) and isinstance(index, Index)):
        with pytest.raises(ValueError, match="filter " + message):
            search(index, queries, filter=given)
    if isinstance(index, Index):
        with pytest.raises(ValueError, match="exclude " + message):
            search(index, queries, exclude=given)
        with pytest.raises(ValueError, match="ids " + message):
            index.upsert(given, rows[:2])
    assert len(index) == 300


# --- masks and filters per query --------------------------------------------------------------

MASKS = {
    "array": np.asarray,
    "bytes": lambda mask: np.asarray(mask, np.uint8),
    "list": lambda mask: np.asarray(mask).tolist(),
    "tensor": torch.tensor,
    "pandas": pd.Series,
    "polars": pl.Series,
    "Arrow": pa.array,
}


@pytest.mark.parametrize("held", MASKS.values(), ids=MASKS)
def test_a_mask_of_whole_numbers_is_not_taken_for_ids(index, queries, held):
    for mask in (np.arange(300) > 150, np.ones(300, int), np.zeros(300, int)):
        given = held(mask.astype(int))
        with pytest.raises(ValueError, match="300 zeros and ones, one for each vector"):
            search(index, queries, filter=given)
        if isinstance(index, Index):
            with pytest.raises(ValueError, match="300 zeros and ones, one for each vector"):
                search(index, queries, exclude=given)


@pytest.mark.parametrize("held", MASKS.values(), ids=MASKS)
def test_what_is_advised_for_a_mask_is_taken(codec, rows, queries, held):
    index = Index(codec, **CELL)
    index.add(rows)
    mask = np.arange(300) > 150
    expected = search(index, queries, filter=mask)
    given = held(mask.astype(int))
    np.testing.assert_array_equal(
        search(index, queries, filter=np.asarray(given).astype(bool)), expected
    )
    np.testing.assert_array_equal(
        search(index, queries, filter=np.asarray(held((~mask).astype(int))) == 0), expected
    )
    if held is not MASKS["bytes"]:  # of bools itself
        np.testing.assert_array_equal(search(index, queries, filter=held(mask)), expected)


def test_a_mask_as_long_as_all_rows_ever_added_is_refused_too(index, queries):
    if isinstance(index, Index):
        index.delete(range(10))
        for length in (290, 300):
            with pytest.raises(ValueError, match=f"{length} zeros and ones"):
                search(index, queries, filter=np.arange(length) % 2)


def test_ids_that_cannot_be_a_mask_are_ids(codec, rows, queries):
    index = Index(codec, **CELL)
    index.add(rows[:2])
    assert set(search(index, queries, filter=[0, 1]).flat) == {0, 1}  # each once
    assert set(search(index, queries, filter=np.array([1])).flat) == {1}
    index.add(rows[2:300])
    assert set(search(index, queries, filter=[0, 1, 1]).flat) == {0, 1}  # of another length
    assert set(search(index, queries, filter={0, 1}).flat) == {0, 1}


@pytest.mark.parametrize(
    "choices",
    [
        [[10, 11], [20, 21]],
        [[10], [20, 21]],
        ([10], [20]),
        [{10}, {20}],
        [np.array([10]), np.array([20, 21])],
        [np.ones(300, bool), np.zeros(300, bool)],
        [pd.Series([10]), pl.Series([20])],
        [None, [20]],
        [lambda ids: ids > 5] * 2,
    ],
    ids=lambda choices: type(choices[-1]).__name__,
)
def test_a_choice_for_each_query_is_refused_by_name(index, queries, choices):
    names = ("filter", "exclude") if isinstance(index, Index) else ("filter",)
    for name in names:
        with pytest.raises(ValueError, match=rf"one choice for each query.*{name}=choices\[i\]"):
            search(index, queries[:2], **{name: choices})


def test_a_compiled_filter_for_each_query_is_refused_by_name(codec, rows, queries):
    index = Index(codec, **CELL)
    index.add(rows)
    choices = [index.filter([1]), index.filter([2])]
    with pytest.raises(ValueError, match="one choice for each query"):
        index.search(queries[:2], filter=choices)
    for i, choice in enumerate(choices):  # what is advised
        assert index.search(queries[i : i + 1], filter=choice).ids.tolist() == [[i + 1]]


def test_a_filters_function_may_answer_with_a_column(codec, rows, queries):
    index = Index(codec, **CELL)
    index.add(rows)
    for answer in (pd.Series, pl.Series, torch.tensor, pa.array, np.ndarray.tolist):
        found = search(index, queries, filter=lambda ids, answer=answer: answer(ids < 2))
        assert set(found.flat) == {0, 1}


@pytest.mark.parametrize("held", [list, lambda ids: np.array(ids, dtype=np.uint64)])
def test_the_largest_id_is_one_and_the_next_is_none(held):
    assert idmap.whole(held([0, 2**63 - 1]), "ids").tolist() == [0, 2**63 - 1]
    with pytest.raises(ValueError, match=f"ids holds {2**63}; ids are whole numbers from 0 to"):
        idmap.whole(held([0, 2**63]), "ids")


# --- columns of ids ---------------------------------------------------------------------------


def test_ids_that_descend_where_two_chunks_meet_are_found():
    chunk = checks.CHUNK_ROWS
    given = np.concatenate([np.arange(chunk) + 10**6, np.arange(chunk)])
    column = idmap.IdColumn.of(2 * chunk, given)
    asked = np.array([10**6, 10**6 + chunk - 1, 0, chunk - 1, chunk])
    assert column.rows_of(asked).tolist() == [0, chunk - 1, chunk, 2 * chunk - 1, -1]


def test_each_run_of_ids_is_at_least_twice_as_long_as_the_next():
    column, dice = idmap.IdColumn.of(3, np.array([5, 1, 9])), np.random.default_rng(0)
    most = 0
    for first in range(100, 3000, 30):
        column = column.appended(dice.permutation(np.arange(first, first + 30)))
        lengths = [len(run) for run in column.runs]
        assert sum(lengths) == column.count
        assert all(a >= 2 * b for a, b in pairwise(lengths))
        most = max(most, len(lengths))
    assert most == 6  # they are joined no sooner


@pytest.mark.parametrize(("ids", "told"), [
    (np.array([0, 2**63], dtype=np.uint64), "holds 9223372036854775808"),
    (np.array([3, -4, 5]), "holds -4"),
    (np.array([1 + 2j]), "complex128"),
    ("abc", "ids is 'abc'; give whole numbers"),
    (None, "ids is None; give whole numbers"),
])  # fmt: skip
def test_what_is_refused_is_what_is_wrong(ids, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        idmap.whole(ids, "ids")


def test_a_set_has_no_order_to_give_vectors_by(index, rows):
    for change in (index.add, lambda X, ids: index.upsert(ids, X)):
        with pytest.raises(ValueError, match="ids is a set, whose order is nobody's choice"):
            change(rows[:2], ids={5_000_000, 5_000_001})
    with pytest.raises(ValueError, match="ids is a set"):
        index.vectors({1, 2})
    assert index.delete(set(index.ids[:2].tolist())) == 2
