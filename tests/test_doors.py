"""What every public verb has in common: nothing is no error, a caller's error state no matter."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

import qama
from qama import Codec, Index, SearchResult, drift, search_many, tasks

CODES = {
    "bytes": ("byte_codec", {"nbytes": 16}),
    "grid": ("codec", {"dims": 32, "level": "2"}),
    "halves": ("codec", {"dims": 16, "level": "0.5"}),
    "hybrid": ("codec", {"dims": 32, "level": "hybrid"}),
    "paper": ("paper_codec", {"dims": 32, "level": "1.5"}),
}


@pytest.fixture(params=CODES.values(), ids=CODES)
def kind(request):
    """A codec and a request for one of its codes."""
    name, cell = request.param
    return request.getfixturevalue(name), cell


def filled(codec, cell, X):
    index = Index(codec, **cell)
    index.add(X)
    return index


def partitions(codec, cell, X):
    index = Index(codec, **cell, nlist=3)
    index.add(X)
    return index


# --- nothing ----------------------------------------------------------------------------------


def test_nothing_is_encoded_to_nothing(kind, rows):
    codec, cell = kind
    for none in (rows[:0], [], rows[:0].tolist(), rows[:0].astype(np.float64)):
        for compact in (False, True):
            codes = codec.encode(none, compact=compact, **cell)
            some = codec.encode(rows, compact=compact, **cell)
            assert (codes.shape, codes.dtype) == ((0, some.shape[1]), np.uint8)
            wide = codec.decode(some, compact=compact, **cell).shape[1]
            assert codec.decode(codes, compact=compact, **cell).shape == (0, wide)
            assert codec.score(none, some, compact=compact, **cell).shape == (0, 300)
            assert codec.score(rows, codes, compact=compact, **cell).shape == (300, 0)
            assert codec.score(none, codes, compact=compact, **cell).shape == (0, 0)
        assert codec.transform(none).shape == (0, 32)


def test_nothing_is_added_without_a_trace(kind, rows, tmp_path):
    codec, cell = kind
    filled(codec, cell, rows[:9]).save(tmp_path / "index")
    before = (tmp_path / "index").read_bytes()
    codes = codec.encode(rows[:0], compact=True, **cell)
    with Index.open(tmp_path / "index", mode="a") as index:
        for none in ([], rows[:0]):
            for ids in (None, [], np.array([], dtype=np.int64)):
                assert index.add(none, ids).tolist() == []
                assert index.add_codes(codes, ids, compact=True).tolist() == []
            assert index.upsert([], none).tolist() == []
            assert index.add(none, durable=True).tolist() == []
            assert index.add_from(none) == 0
        assert index.add(rows[:1]).tolist() == [9]
    log = Path(f"{tmp_path / 'index'}.log")
    if log.exists():
        with Index.open(tmp_path / "index") as again:
            assert again.ids.tolist() == list(range(10))
    assert (tmp_path / "index").read_bytes() == before
    parts = partitions(codec, cell, rows)
    assert parts.add(rows[:0]).tolist() == []
    assert parts.add([], []).tolist() == []
    assert len(parts) == 300


def options(index):
    """Searches that differ in how they go about it, and what each query can find by them."""
    yield {}, len(index)
    yield {"filter": [3, 5, 10**9]}, 2
    yield {"filter": []}, 0
    yield {"exclude": range(290)}, 10
    yield from (({"scorer": scorer}, len(index)) for scorer in index.code.scorers)
    if index.nlist is None and index.code.prefixes():
        yield {"funnel": True}, len(index)


@pytest.mark.parametrize("none", [np.zeros((0, 32)), [], np.zeros((0, 32), np.float32)], ids=repr)
def test_no_queries_find_nothing_in_as_many_columns_as_queries_would(kind, rows, none):
    codec, cell = kind
    for index in (filled(codec, cell, rows), partitions(codec, cell, rows)):
        probes = {"nprobe": 3} if index.nlist else {}
        for how, most in options(index):
            for k in (1, 7, 500):
                found = index.search(none, k, **how, **probes)
                shape = index.search(rows[:2], k, **how, **probes).ids.shape
                assert found.ids.shape == found.scores.shape == (0, shape[1]) == (0, min(k, most))
                assert (found.ids.dtype, found.scores.dtype) == (np.int64, np.float32)
    flat = filled(codec, cell, rows)
    assert flat.range_search(none, 0.5) == []
    assert flat.range_search(none, np.zeros(0)) == []
    assert search_many([flat, flat], none, 7).ids.shape == (0, 7)
    assert tasks.classify(flat, np.zeros(300), none).labels.shape == (0,)
    assert len(tasks.join(none, tasks.CodeSet.encode(codec, rows, **cell), 0.5).rows) == 0
    for empty in (Index(codec, **cell), Index(codec, **cell)):
        assert empty.search(none).ids.shape == (0, 0)
    assert tasks.Bridge.fit(rows, rows)(none).shape == (0, 32)


def test_where_rows_are_needed_their_lack_is_named(codec, rows):
    parts = partitions(codec, {"dims": 32, "level": "2"}, rows)
    for refused, name in (
        (lambda: qama.fit(rows[:0]), "X"),
        (lambda: qama.fit([]), "X"),
        (lambda: parts.calibrate(rows[:0]), "Q"),
        (lambda: tasks.Bridge.fit(rows[:0], rows[:0]), "here"),
    ):
        with pytest.raises(ValueError, match=f"{name} has no rows; give at least one"):
            refused()


# --- a codec that is none ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "made",
    [
        Index,
        lambda codec: tasks.CodeSet(codec, np.zeros((1, 8), np.uint8)),
        lambda codec: qama.Documents.create("never made", codec),
    ],
)
def test_what_is_no_codec_is_refused_by_name(made):
    for path in ("my.index", Path("my.index")):
        with pytest.raises(ValueError, match=r"codec is the path 'my\.index'") as refused:
            made(path)
        assert "Index.open('my.index')" in str(refused.value)
        assert "Codec.load('my.index')" in str(refused.value)
    for other in (None, 3, np.zeros(3), Index):
        with pytest.raises(ValueError, match=f"codec is a {type(other).__name__}; give a Codec"):
            made(other)


# --- the caller's error state -----------------------------------------------------------------


def hostile(rows):
    """Vectors whose squares, products and conversions leave float32 on either side, or are zero."""
    X = rows.astype(np.float64)
    scales = np.array([1, 0, 1e-44, 1e-38, 1e-30, 1e-20, 1e20, 1e36])
    X *= scales[np.arange(len(X)) % len(scales)][:, None]
    X[::11, 1::3] *= 1e-60
    X[::7, ::5] = 1e-42
    X[3] = 0
    X[3, 0] = 1e-45
    return X


def answers(codec, cell, X):
    """What every public verb that computes says of some vectors."""
    codes = codec.encode(X, **cell)
    yield codes
    yield codec.encode(X, compact=True, **cell)
    yield codec.transform(X)
    yield codec.decode(codes, **cell)
    for scorer in codec.code(**cell).scorers:
        yield codec.score(X[:20], codes, scorer=scorer, **cell)
    index = Index(codec, **cell)
    index.add(X[:100])
    index.add_codes(codes[100:200], compact=False)
    index.upsert(range(150, 250), X[150:250])
    index.upsert_codes(range(160, 170), codes[160:170], compact=False)
    index.add_from(X[250:])
    index.add_from(iter([X[:9], X[9:20]]))
    index.delete([5])
    for scorer in index.code.scorers:
        yield from index.search(X[:20], 9, scorer=scorer)
        yield from index.search(X[:20], 9, scorer=scorer, filter=index.filter(exclude=[2]))
        yield np.concatenate([f.ids for f in index.range_search(X[:20], 0.7, scorer=scorer)])
    if index.code.prefixes():
        yield from index.search(X[:20], 9, funnel=40)
    yield from search_many([index, index], X[:20], 9)
    index.compact()
    yield from Index.merge([index]).search(X[:20], 9)
    parts = Index(codec, **cell, nlist=3)
    parts.add(X)
    parts.delete({5})
    parts.partition(2)
    yield parts.calibrate(X[:20])
    yield from parts.search(X[:20], 9, recall=0.9)
    given = tasks.CodeSet.encode(codec, X, **cell)
    yield given.vectors()
    yield from tasks.join(X[:20], given, 0.7)
    yield from tasks.near_duplicates(given, 0.9)
    yield tasks.similarity(X, given)
    yield tasks.similarity(given, given)
    yield tasks.kmeans(given, 3).labels
    yield tasks.kmeans(X, 3).labels
    yield from tasks.classify(index, np.arange(len(index)) % 3, X[:20])
    bridge = tasks.Bridge.fit(X, X[:, ::-1])
    yield bridge(X)
    yield drift.measure(codec, X)


@pytest.mark.filterwarnings("ignore::qama.errors.DriftWarning")
def test_a_callers_error_state_changes_nothing(kind, rows):
    codec, cell = kind
    X = hostile(rows)
    expected = list(answers(codec, cell, X))
    for state in ("raise", "warn", "ignore"):
        with np.errstate(all=state):
            given = list(answers(codec, cell, X))
            assert np.geterr() == dict.fromkeys(("divide", "over", "under", "invalid"), state)
        assert len(given) == len(expected)
        for one, other in zip(given, expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore::qama.NormWarning")  # such rows are not alike
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_callers_error_state_changes_no_fit(rows, preset):
    options = {"steps": 3, "epochs": 0, "threads": 1, "device": "cpu", "bytes": preset == "default"}
    X = hostile(rows)
    expected = qama.fit(X, preset=preset, **options).fingerprint
    with np.errstate(all="raise"):
        assert qama.fit(X, preset=preset, **options).fingerprint == expected
        assert qama.fit(iter([X[:100], X[100:]]), preset=preset, **options).fingerprint == expected


def test_every_verb_that_computes_is_shown_above():
    shown = inspect.getsource(answers)
    verbs = {
        name
        for kind in (Codec, Index)
        for name, value in inspect.getmembers(kind, callable)
        if not name.startswith("_")
    }
    others = {
        "check_model", "code", "load", "parts", "from_parts", "save",  # of a codec
        "close", "flush", "open", "refresh",  # of an index: files and their state
    }  # fmt: skip
    assert {verb for verb in verbs - others if f".{verb}(" not in shown} == set()
    functions = {name for name in tasks.__all__ if name[0].islower()} - {"groups"}  # of integers
    assert {name for name in functions if f"tasks.{name}(" not in shown} == set()


def test_signatures_and_documentation_stay_those_of_the_verbs():
    for verb in (Codec.encode, Index.search, search_many, qama.fit):
        assert verb.__doc__
        assert next(iter(inspect.signature(verb).parameters)) in ("self", "indexes", "X")
    assert SearchResult.empty(3).ids.shape == (0, 3)
