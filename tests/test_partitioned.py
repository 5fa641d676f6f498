"""Partitions against the flat index and against brute force over the lists that are read."""

from __future__ import annotations

import copy
import pickle
import sys
import tempfile
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from conftest import mixture
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import qama
from qama import Codec, FormatError, Index, PartitionedIndex, container
from qama.search import kmeans, partitioned
from qama.search.verify import verify

CELL = {"dims": 32, "level": "2"}
LISTS = 13


@pytest.fixture(scope="module")
def vectors():
    return mixture(2000, 32, seed=3)


@pytest.fixture
def index(codec, vectors):
    made = PartitionedIndex(codec, **CELL, nlist=LISTS)
    made.train(vectors)
    for part in np.array_split(vectors, [1, 2, 70, 900, 901]):
        made.add(part)
    return made


@pytest.fixture
def flat(codec, vectors):
    made = Index(codec, **CELL)
    made.add(vectors)
    return made


def as_sets(found):
    """Scores with the ids of equal scores in any order: ties differ between the indexes."""
    return [sorted(zip(-s, i, strict=True)) for i, s in zip(found.ids, found.scores, strict=True)]


@pytest.mark.parametrize("scorer", ["asymmetric", "hamming"])
@pytest.mark.parametrize("threads", [1, 2])
def test_all_lists_are_the_flat_search(index, flat, queries, scorer, threads):
    found = index.search(queries, 50, nprobe=LISTS, scorer=scorer, threads=threads)
    expected = flat.search(queries, 50, scorer=scorer)
    np.testing.assert_array_equal(found.scores, expected.scores)
    below = expected.scores > expected.scores[:, -1:]  # the last score may be shared with others
    for i in range(len(queries)):
        assert set(found.ids[i, below[i]]) == set(expected.ids[i, below[i]])
    every = index.search(queries, 5000, nprobe=LISTS, scorer=scorer)
    assert as_sets(every) == as_sets(flat.search(queries, 5000, scorer=scorer))


@pytest.mark.parametrize("nprobe", [1, 3])
def test_some_lists_are_the_flat_search_of_their_vectors(index, flat, vectors, queries, nprobe):
    found = index.search(queries, 10, nprobe=nprobe)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    owners = (unit @ index.centres.T).argmax(axis=1)
    order = np.argsort(-(queries @ index.centres.T), axis=1)
    for i, query in enumerate(queries):
        held = np.flatnonzero(np.isin(owners, order[i, :nprobe]))
        expected = flat.search(query[None], 10, filter=held)
        np.testing.assert_array_equal(found.scores[i], expected.scores[0])


def test_fewer_than_k_in_the_nearest_lists_reads_further_ones(index, queries):
    chosen = np.arange(0, 2000, 101)
    found = index.search(queries, 15, nprobe=1, filter=[*chosen, 10**6])
    assert found.ids.shape == (20, 15)
    assert np.isin(found.ids, chosen).all()
    assert index.search(queries, 50, nprobe=1, filter=chosen).ids.shape == (20, len(chosen))
    assert index.search(queries, 5, nprobe=1, filter=[10**6]).ids.shape == (20, 0)


def test_lists_grow_without_moving_a_row(index, codec, vectors, queries):
    before = index.search(queries, 2000, nprobe=LISTS)
    more = mixture(333, 32, seed=9)
    assert index.add(more, ids=np.arange(333) + 5000)[0] == 5000
    assert len(index) == 2333
    after = index.search(queries, 2333, nprobe=LISTS)
    for i in range(len(queries)):
        old = after.ids[i] < 5000
        np.testing.assert_array_equal(after.scores[i, old], before.scores[i])
    assert index.add(more[:2]).tolist() == [5333, 5334]
    every = Index(codec, **CELL)
    every.add(np.concatenate([vectors, more, more[:2]]))
    np.testing.assert_array_equal(
        index.search(queries, 99, nprobe=LISTS).scores, every.search(queries, 99).scores
    )


def test_deleted_vectors_are_not_found(index, queries):
    best = index.search(queries[:1], 10, nprobe=LISTS).ids[0]
    assert index.delete([*best[:4], 10**6]) == 4
    assert len(index) == 1996
    assert index.search(queries[:1], 6, nprobe=LISTS).ids[0].tolist() == best[4:].tolist()
    assert index.delete(best[:4]) == 0


@pytest.mark.parametrize("filter_", [None, np.arange(0, 2400, 2)])
def test_a_search_answers_from_the_state_at_its_start(index, queries, monkeypatch, filter_):
    def search():
        return index.search(queries, 40, nprobe=LISTS, filter=filter_, threads=1)

    def changed(*args):
        index.delete(np.unique(before.ids[:, :3]))
        index.add(queries)  # into the room that blocks have
        index.add(mixture(1500, 32, seed=9))  # and into new ones
        return order(*args)

    before, order = search(), index._order
    monkeypatch.setattr(index, "_order", changed)
    during = search()
    np.testing.assert_array_equal(during.ids, before.ids)
    np.testing.assert_array_equal(during.scores, before.scores)
    monkeypatch.undo()
    after = search()
    assert not np.isin(after.ids, before.ids[:, :3]).any()
    assert (after.ids >= 2000).any()


def test_writers_wait_for_each_other(index):
    with ThreadPoolExecutor(4) as threads:
        given = list(threads.map(lambda seed: index.add(mixture(100, 32, seed)), range(8)))
    assert sorted(np.concatenate(given)) == list(range(2000, 2800))
    assert len(index) == 2800


def test_a_recall_reads_as_many_lists_as_it_needs(index, queries):
    curve = index.calibrate(mixture(200, 32, seed=4), k=10)
    assert curve.shape == (LISTS,)
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] == 1
    nprobe = int(np.searchsorted(curve, 0.9)) + 1
    for found in (index.search(queries, 10, recall=0.9), index.search(queries, 10, nprobe=nprobe)):
        np.testing.assert_array_equal(found.ids, index.search(queries, 10, nprobe=nprobe).ids)
    truth = index.search(mixture(200, 32, seed=4), 10, nprobe=LISTS).ids
    found = index.search(mixture(200, 32, seed=4), 10, nprobe=nprobe).ids
    hits = [len(set(a) & set(b)) for a, b in zip(truth, found, strict=True)]
    assert np.mean(hits) / 10 == pytest.approx(curve[nprobe - 1], abs=0.005)


def test_a_saved_index_is_the_same_and_can_grow(index, queries, tmp_path):
    index.calibrate(queries)
    index.delete([3, 4])
    index.save(tmp_path / "partitions")
    opened = PartitionedIndex.open(tmp_path / "partitions")
    assert repr(opened) == repr(index)
    for options in ({"nprobe": 2}, {"recall": 0.8}):
        one, two = (i.search(queries, 20, **options) for i in (opened, index))
        np.testing.assert_array_equal(one.ids, two.ids)
        np.testing.assert_array_equal(one.scores, two.scores)
    more = mixture(50, 32, seed=11)
    assert opened.add(more).tolist() == index.add(more).tolist()
    one, two = (i.search(queries, 2048, nprobe=LISTS) for i in (opened, index))
    assert as_sets(one) == as_sets(two)


def test_a_flat_index_file_is_not_a_partitioned_one(flat, tmp_path):
    flat.save(tmp_path / "flat")
    with pytest.raises(FormatError):
        PartitionedIndex.open(tmp_path / "flat")


def test_the_largest_id_can_be_saved(index, vectors, queries, tmp_path):
    largest = 2**63 - 1
    index.add(vectors[:1], ids=[largest])
    index.save(tmp_path / "lists")
    opened = PartitionedIndex.open(tmp_path / "lists")
    assert verify(tmp_path / "lists").problems == []
    with pytest.raises(ValueError, match=f"the next default id would be {largest}; give ids"):
        opened.add(vectors[:1])
    assert opened.delete([largest]) == 1


def test_what_does_not_fit_is_refused(codec, index, vectors, queries):
    fresh = PartitionedIndex(codec, **CELL, nlist=LISTS)
    for call, message in [
        (lambda: PartitionedIndex(codec, **CELL, nlist=0), "nlist is 0"),
        (lambda: fresh.add(vectors), "call train before add"),
        (lambda: fresh.search(queries, nprobe=1), "call train before search"),
        (lambda: fresh.train(vectors[:5]), "X has 5 rows; 13 lists need at least as many"),
        (lambda: fresh.calibrate(queries), "the index is empty"),
        (lambda: index.calibrate(queries, k=0), "k is 0"),
        (lambda: index.calibrate(queries, scorer="hamming "), "scorer is 'hamming '"),
        (lambda: index.train(vectors), "holds vectors already"),
        (lambda: index.search(queries, nprobe=LISTS + 1), "nprobe is 14"),
        (lambda: index.search(queries), "a recall needs calibrate"),
        (lambda: index.search(queries, nprobe=1, recall=0.5), "nprobe excludes recall"),
        (lambda: index.search(queries, 0, nprobe=1), "k is 0"),
        (lambda: index.search(queries * np.nan, nprobe=1), "every value must be finite"),
        (lambda: index.add(vectors[:2], ids=[5, 9000]), "id 5 is in the index already"),
        (lambda: index.add(vectors[:2], ids=[9000]), "ids has 1 entries for 2 vectors"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    assert len(index) == 2000
    index.calibrate(queries)
    with pytest.raises(ValueError, match=r"recall is 1\.5"):
        index.search(queries, recall=1.5)


def test_centres_of_separate_groups_are_their_means():
    random = np.random.default_rng(0)
    groups = np.eye(5, 20, dtype=np.float32) * 3
    X = np.repeat(groups, 40, axis=0) + 0.05 * random.standard_normal((200, 20)).astype(np.float32)
    best = 0.0
    for seed in range(5):
        centres = kmeans.centres(X, 5, seed)
        np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-5)
        best = max(best, float((groups / 3 @ centres.T).max(axis=1).min()))
    assert best > 0.99


def test_a_centre_that_loses_everything_starts_again():
    X = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)  # three different vectors only
    owners, cosines = kmeans.nearest(X, kmeans.centres(X, 3, seed=2))
    assert owners.shape == cosines.shape == (12,)
    assert kmeans.centres(X, 12).shape == (12, 3)


def test_it_is_public():
    assert "PartitionedIndex" in qama.__all__


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"owners": np.zeros(3, np.int64)}, " not "),
        ({"centres": np.zeros((LISTS, 31), np.float32)}, "centres: float32"),
        ({"live": np.zeros(1, np.uint64)}, "live: uint64"),
        ({"ids": np.zeros(64, np.int64)}, "ids: int64"),
        ({"recall": np.zeros(LISTS - 1, np.float32)}, "recall: float32"),
        ({"centres": np.zeros((LISTS, 32))}, "centres: float64"),
        ({"owners": -1}, "owners name lists that do not exist"),
        ({"owners": LISTS}, "owners name lists that do not exist"),
        ({"following": -1}, "following is -1"),
        ({"following": None}, "following is None"),
        ({"nlist": LISTS + 1}, "nlist is 14"),
        ({"nlist": LISTS - 1}, " not "),
        ({"following": 2**63}, "following is 9223372036854775808"),
        ({"code": {}, "nlist": "x"}, "inconsistent"),
        ({"codec": None}, "inconsistent"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_file_that_does_not_fit_itself_is_refused(index, queries, tmp_path, changes, message):
    index.calibrate(queries)
    index.save(tmp_path / "whole")
    whole = container.read(tmp_path / "whole", partitioned.KIND, partitioned.FORMAT)
    meta, arrays = dict(whole.meta), dict(whole.arrays)
    for name, value in changes.items():
        if name == "owners" and isinstance(value, int):
            arrays[name] = np.full_like(arrays[name], value)
        elif name in arrays:
            arrays[name] = value
        else:
            meta[name] = value
    container.write(tmp_path / "x", partitioned.KIND, partitioned.FORMAT, meta, arrays)
    with pytest.raises(FormatError, match=message):
        PartitionedIndex.open(tmp_path / "x")


def test_an_index_that_was_not_calibrated_is_saved_without_a_curve(index, queries, tmp_path):
    index.save(tmp_path / "x")
    opened = PartitionedIndex.open(tmp_path / "x")
    with pytest.raises(ValueError, match="a recall needs calibrate"):
        opened.search(queries)


# --- any sequence of changes ------------------------------------------------------------------

POOL = mixture(64, 8, seed=5)
CODEC = Codec.load(Path(__file__).parent / "golden" / "codec.qama")
CODE = {"dims": 8, "level": "2"}


class Changes(RuleBasedStateMachine):
    """A partitioned index beside a dictionary from id to vector."""

    def __init__(self):
        super().__init__()
        self.index = PartitionedIndex(CODEC, **CODE, nlist=3)
        self.index.train(POOL)
        self.model = {}
        self.following = 0
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self):
        self.folder.cleanup()

    @rule(count=st.integers(1, 150), first=st.integers(0, 63))
    def add(self, count, first):
        X = np.take(POOL, range(first, first + count), axis=0, mode="wrap")
        ids = self.index.add(X).tolist()
        assert ids == list(range(self.following, self.following + count))
        self.model |= zip(ids, X, strict=True)
        self.following += count

    @rule(ids=st.lists(st.integers(0, 300), min_size=1, max_size=6))
    def add_with_ids(self, ids):
        X = POOL[: len(ids)]
        if len(set(ids)) < len(ids) or set(ids) & set(self.model):
            with pytest.raises(ValueError, match=r"more than once|already"):
                self.index.add(X, ids)
            return
        self.index.add(X, ids)
        self.model |= zip(ids, X, strict=True)
        self.following = max(self.following, *(key + 1 for key in ids))

    @rule(ids=st.lists(st.integers(0, 300), max_size=60, unique=True))
    def delete(self, ids):
        assert self.index.delete(ids) == len(set(ids) & set(self.model))
        self.model = {key: x for key, x in self.model.items() if key not in ids}

    @rule()
    def save_and_open(self):
        path = Path(self.folder.name) / "index"
        self.index.save(path)
        assert verify(path).problems == []
        self.index = PartitionedIndex.open(path, verify=True)

    @precondition(lambda self: self.model)
    @rule(wanted=st.none() | st.lists(st.integers(0, 300), min_size=1, max_size=40))
    def search(self, wanted):
        found = self.index.search(POOL[:2], 10**6, nprobe=3, filter=wanted)
        keys = [key for key in self.model if wanted is None or key in wanted]
        X = np.array([self.model[key] for key in keys], dtype=np.float32).reshape(-1, 8)
        scores = (
            CODEC.score(POOL[:2], CODEC.encode(X, **CODE), **CODE) if keys else np.empty((2, 0))
        )
        for ids, got, expected in zip(found.ids, found.scores, scores, strict=True):
            assert dict(zip(ids, got, strict=True)) == dict(zip(keys, expected, strict=True))
            assert (np.diff(got) <= 0).all()

    @invariant()
    def holds_what_the_model_holds(self):
        assert len(self.index) == len(self.model)


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)


# --- exceptions, ties, memory, copies --------------------------------------------------------


class Interrupted(BaseException):
    """What a signal handler may raise, anywhere."""


def interrupted(change, at):
    """Run a change that is interrupted at its at-th line in search/; whether it came so far."""
    left = at

    def trace(frame, event, _):
        nonlocal left
        if "/qama/search/" not in frame.f_code.co_filename.replace("\\", "/"):
            return None
        if event == "line":
            left -= 1
            if left < 0:
                raise Interrupted
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        change()
    except Interrupted:
        return True
    finally:
        sys.settrace(before)
    return False


def assert_holds(index, codec, expected):
    """The index holds the codes and factors of just these vectors by id."""
    ids, stored, factors = index._pool.view.rows()
    assert sorted(ids) == sorted(expected)
    wanted = codec.encode(np.stack([expected[i] for i in ids.tolist()]), compact=True, **CELL)
    np.testing.assert_array_equal(stored, wanted)
    np.testing.assert_array_equal(factors, index.code.factor_indices(wanted))


@pytest.mark.parametrize("change", ["add", "delete"])
@pytest.mark.parametrize("roomy", [False, True])  # whether there is room behind the rows
def test_an_exception_at_any_line_changes_nothing_or_all(codec, vectors, tmp_path, change, roomy):
    index = PartitionedIndex(codec, **CELL, nlist=3)
    index.train(vectors[:100])
    index.add(vectors[:70])
    index.save(tmp_path / "lists")
    came, points = True, 0
    while came:  # from the same state each time, so that no line is passed over
        index = PartitionedIndex.open(tmp_path / "lists")
        first = index.add(vectors[70:200])[-1] + 1 if roomy else 70
        before = dict(enumerate(vectors[:first]))
        if change == "add":
            came = interrupted(lambda index=index: index.add(vectors[300:380]), points)
            after = before | dict(enumerate(vectors[300:380], first))
        else:
            came = interrupted(lambda index=index: index.delete([3, 5]), points)
            after = {key: before[key] for key in before if key not in (3, 5)}
        expected = before if len(index) == len(before) else after
        assert came or expected is after
        assert_holds(index, codec, expected)
        fresh = index.add(vectors[1000:1090]).tolist()  # it goes on
        expected |= dict(zip(fresh, vectors[1000:1090], strict=True))
        assert index.delete(fresh[:2]) == 2
        for key in fresh[:2]:
            del expected[key]
        assert_holds(index, codec, expected)
        points += 1
    assert points > (60 if change == "add" else 10)


@pytest.mark.parametrize("nprobe", [1, 3, LISTS])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("scorer", ["asymmetric", "hamming"])
def test_ties_go_to_the_lower_row_as_stored(codec, vectors, queries, nprobe, threads, scorer):
    index = PartitionedIndex(codec, **CELL, nlist=LISTS)
    index.train(vectors)
    random = np.random.default_rng(0)
    for _ in range(4):  # 40 vectors again and again, in any order, under ids in no order
        few = vectors[random.integers(0, 40, size=250)]
        index.add(few, random.choice(2**40, 250, replace=False))
    every = index.search(queries, 1000, nprobe=LISTS, scorer=scorer)
    view = index._pool.view
    places = {key: row for row, key in enumerate(view.ids) if view.in_use()[row]}
    for k in (1, 7, 300):
        found = index.search(queries, k, nprobe=nprobe, scorer=scorer, threads=threads)
        for i, query in enumerate(queries):
            score = dict(zip(every.ids[i], every.scores[i], strict=True))
            order = np.argsort(-(query @ index.centres.T), kind="stable")
            held = view.sizes(view.live)[order].cumsum()
            lists = order[: max(nprobe, int(np.argmax(held >= min(k, 1000))) + 1)]
            read = [key for key, row in places.items() if view.owners[row // 64] in lists]
            expected = sorted(read, key=lambda key, s=score: (-s[key], places[key]))[:k]
            np.testing.assert_array_equal(found.ids[i], expected)


@pytest.mark.parametrize("call", ["search", "calibrate"])
def test_memory_does_not_grow_with_the_number_of_queries(codec, vectors, call):
    index = PartitionedIndex(codec, **CELL, nlist=500)
    index.train(vectors)
    index.add(vectors)
    peaks = []
    for count in (2 * partitioned.BATCH, 16 * partitioned.BATCH):
        Q = mixture(count, 32, seed=5)
        tracemalloc.start()
        if call == "search":
            index.search(Q, 2, nprobe=1, threads=1)
        else:
            index.calibrate(Q, 2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    results_and_queries = 16 * partitioned.BATCH * (32 * 4 * 2 + 2 * 12 * 2)
    assert peaks[1] < peaks[0] + results_and_queries


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_are_refused_by_name(index, copied):
    with pytest.raises(TypeError, match="PartitionedIndex can be neither copied nor pickled; save"):
        copied(index)


def test_a_warning_that_is_an_error_leaves_nothing_added(codec, vectors):
    index = PartitionedIndex(codec, **CELL, nlist=2)
    index.train(vectors)
    other = np.random.default_rng(1).standard_normal((2000, 32)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(qama.DriftWarning):
            index.add(other, np.arange(2000))
        assert len(index) == 0
        index.add(other, np.arange(2000))  # it warns once
    assert len(index) == 2000
