"""Partitions against the flat index and against brute force over the lists that are read."""

from __future__ import annotations

import copy
import pickle
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import numpy as np
import pytest
from conftest import mixture

import qama
from qama import FormatError, Index, container, kmeans
from qama.quantizers.vectors import unit
from qama.search.rows import partitioning
from qama.search.scan import probing
from qama.search.storage import base
from qama.search.storage.verify import verify

CELL = {"dims": 32, "level": "2"}
LISTS = 13


@pytest.fixture(scope="module")
def vectors():
    return mixture(2000, 32, seed=3)


@pytest.fixture
def index(codec, vectors):
    made = Index(codec, **CELL, nlist=LISTS)
    for part in np.array_split(vectors, [400, 401, 470, 900, 901]):
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
def test_some_lists_are_the_flat_search_of_their_vectors(
    codec, index, flat, vectors, queries, nprobe
):
    found = index.search(queries, 10, nprobe=nprobe)
    code = flat.code
    owners = partitioning.numbers(
        code, codec.encode(vectors, compact=True, **CELL), index._now.lists.centroids
    )
    order = np.argsort(-(unit(code.coordinates(queries)) @ index.centroids.T), axis=1)
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
        return index.search(queries, 40, nprobe=LISTS - 1, filter=filter_, threads=1)

    def changed(*args):
        index.delete(np.unique(before.ids[:, :3]))
        index.add(queries)  # into the room that blocks have
        index.add(mixture(1500, 32, seed=9))  # and into new ones
        return units(*args)

    before, units = search(), partitioning.units
    monkeypatch.setattr(partitioning, "units", changed)
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
    opened = Index.open(tmp_path / "partitions", mode="a")
    assert repr(opened) == repr(index)
    for options in ({"nprobe": 2}, {"recall": 0.8}):
        one, two = (i.search(queries, 20, **options) for i in (opened, index))
        np.testing.assert_array_equal(one.ids, two.ids)
        np.testing.assert_array_equal(one.scores, two.scores)
    more = mixture(50, 32, seed=11)
    assert opened.add(more).tolist() == index.add(more).tolist()
    one, two = (i.search(queries, 2048, nprobe=LISTS) for i in (opened, index))
    assert as_sets(one) == as_sets(two)


def test_the_largest_id_can_be_saved(index, vectors, queries, tmp_path):
    largest = 2**63 - 1
    index.add(vectors[:1], ids=[largest])
    index.save(tmp_path / "lists")
    opened = Index.open(tmp_path / "lists", mode="a")
    assert verify(tmp_path / "lists").problems == []
    with pytest.raises(ValueError, match=f"the next default id would be {largest}; give ids"):
        opened.add(vectors[:1])
    assert opened.delete([largest]) == 1


def test_what_does_not_fit_is_refused(codec, index, flat, vectors, queries):
    fresh = Index(codec, **CELL, nlist=LISTS)
    for call, message in [
        (lambda: Index(codec, **CELL, nlist=0), "nlist is 0"),
        (lambda: fresh.add(vectors[:5]), "13 lists need at least as many vectors"),
        (lambda: fresh.calibrate(queries), "needs an index with inverted lists and vectors"),
        (lambda: flat.calibrate(queries), "needs an index with inverted lists and vectors"),
        (lambda: fresh.save("x"), "the index has no centroids yet; add vectors before save"),
        (lambda: flat.search(queries, nprobe=1), "this one has none"),
        (lambda: flat.search(queries, recall=0.5), "this one has none"),
        (lambda: flat.partition(0), "nlist is 0"),
        (lambda: flat.partition(2001), "2001 lists need at least as many vectors"),
        (lambda: index.calibrate(queries, k=0), "k is 0"),
        (lambda: index.calibrate(queries, scorer="hamming "), "scorer is 'hamming '"),
        (lambda: index.search(queries, nprobe=LISTS + 1), "nprobe is 14"),
        (lambda: index.search(queries, recall=0.9), "a recall needs calibrate"),
        (lambda: index.search(queries, nprobe=1, recall=0.5), "nprobe excludes recall"),
        (lambda: index.search(queries, funnel=True), "funnel is for an index without"),
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


def centroids(X, count, seed=0):
    start = np.random.default_rng(seed).choice(len(X), count, replace=False)
    U = unit(X)
    return kmeans.lloyd(lambda rows: U[rows], len(U), U[start], 10).centroids


def test_centroids_of_separate_groups_are_their_means():
    random = np.random.default_rng(0)
    groups = np.eye(5, 20, dtype=np.float32) * 3
    X = np.repeat(groups, 40, axis=0) + 0.05 * random.standard_normal((200, 20)).astype(np.float32)
    best = 0.0
    for seed in range(5):
        found = centroids(X, 5, seed)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        best = max(best, float((groups / 3 @ found.T).max(axis=1).min()))
    assert best > 0.99


def test_a_centroid_that_loses_everything_starts_again():
    X = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)  # three different vectors only
    owners, cosines = kmeans.nearest(X, centroids(X, 3, seed=2))
    assert owners.shape == cosines.shape == (12,)
    assert centroids(X, 12).shape == (12, 3)


def test_adding_vectors_is_adding_their_codes(codec, index, vectors, queries):
    given = Index(codec, **CELL, nlist=LISTS)
    for part in np.array_split(vectors, [400, 401, 470, 900, 901]):
        given.add_codes(codec.encode(part, compact=True, **CELL))
    for nprobe in (1, LISTS):
        one, two = (i.search(queries, 20, nprobe=nprobe) for i in (index, given))
        np.testing.assert_array_equal(one.ids, two.ids)
        np.testing.assert_array_equal(one.scores, two.scores)


@pytest.mark.parametrize("nlist", [None, LISTS])
def test_an_index_is_partitioned_whether_it_was_or_not(codec, index, flat, queries, nlist):
    made = index if nlist else flat
    made.delete(range(0, 2000, 3))
    before = flat.search(queries, 20) if nlist is None else index.search(queries, 20, nprobe=LISTS)
    ids = made.ids
    made.partition(7, seed=3)
    assert (made.nlist, made.centroids.shape) == (7, (7, 32))
    np.testing.assert_array_equal(made.ids, ids)
    np.testing.assert_array_equal(made.search(queries, 20, nprobe=7).scores, before.scores)
    assert made.add(queries)[0] == 2000


def test_a_search_that_says_nothing_reads_some_lists(codec, vectors, queries):
    index = Index(codec, **CELL, nlist=400)
    index.add(vectors)
    for told in ({"nprobe": 25}, {}):  # a sixteenth, which is more than 16
        found = index.search(queries, 10, **told)
        np.testing.assert_array_equal(found.ids, index.search(queries, 10, nprobe=25).ids)
    index.calibrate(queries)
    curve = index._now.lists.centroids.recall
    nprobe = int(np.searchsorted(curve, np.float32(0.95))) + 1
    np.testing.assert_array_equal(
        index.search(queries, 10).ids, index.search(queries, 10, nprobe=nprobe).ids
    )


def test_merged_indexes_have_the_lists_of_the_first(index, flat, queries):
    merged = Index.merge([index, flat], renumber=True)
    assert merged.nlist == LISTS
    np.testing.assert_array_equal(merged.centroids, index.centroids)
    both = Index.merge([flat, index], renumber=True)
    assert both.nlist is None
    np.testing.assert_array_equal(
        merged.search(queries, 50, nprobe=LISTS).scores, both.search(queries, 50).scores
    )


def test_ranges_masks_and_exclusions_are_those_of_the_flat_index(index, flat, queries):
    for made in (index, flat):
        made.delete([3, 4, 700])
        made.upsert([9, 2500], queries[:2])
    allowed = np.arange(len(flat)) % 3 == 0  # in insertion order
    for options in ({"filter": allowed}, {"exclude": range(500)}, {"filter": lambda ids: ids > 99}):
        one = index.search(queries, 30, nprobe=LISTS, **options)
        np.testing.assert_array_equal(one.scores, flat.search(queries, 30, **options).scores)
        found = index.range_search(queries, 0.6, **options)
        for a, b in zip(found, flat.range_search(queries, 0.6, **options), strict=True):
            assert sorted(zip(a.scores, a.ids, strict=True)) == sorted(
                zip(b.scores, b.ids, strict=True)
            )
    compiled = index.filter(allowed)
    index.add(queries)  # into free lanes of blocks that the filter has
    np.testing.assert_array_equal(
        index.search(queries, 30, nprobe=LISTS, filter=compiled).scores,
        flat.search(queries, 30, filter=allowed).scores,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"owners": np.zeros(3, np.int32)}, " not "),
        ({"centroids": np.zeros((LISTS, 31), np.float32)}, "centroids: float32"),
        ({"centroids": np.zeros((0, 32), np.float32)}, "recall: float32"),
        ({"live": np.zeros(1, np.uint64)}, "live: uint64"),
        ({"live": 0}, "lists hold 0 rows of 2000"),
        ({"rows@": np.zeros(64, np.int32)}, "rows: int32"),
        ({"recall": np.zeros(LISTS - 1, np.float32)}, "recall: float32"),
        ({"centroids": np.zeros((LISTS, 32))}, "centroids: float64"),
        ({"owners": -1}, "owners name lists that do not exist"),
        ({"owners": LISTS}, "owners name lists that do not exist"),
        ({"following": -1}, "following is -1"),
        ({"following": None}, "following is None"),
        ({"rows": 1999}, "lists hold 2000 rows of 1999"),
        ({"following": 2**63}, "following is 9223372036854775808"),
        ({"codec": None}, "inconsistent"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_file_that_does_not_fit_itself_is_refused(index, queries, tmp_path, changes, message):
    index.calibrate(queries)
    index.save(tmp_path / "whole")
    rewrite(tmp_path / "whole", tmp_path / "x", changes)
    with pytest.raises(FormatError, match=message):
        Index.open(tmp_path / "x")


def rewrite(path, other, changes):
    """Write an index file again with other values, its checksums right."""
    whole = container.read(path, base.KIND, base.LISTS)
    meta, arrays = dict(whole.meta), dict(whole.arrays)
    for name, value in changes.items():
        section = name.removesuffix("@")
        if name in ("owners", "live") and isinstance(value, int):
            arrays[name] = np.full_like(arrays[name], value)
        elif section in arrays and isinstance(value, np.ndarray):
            arrays[section] = value
        else:
            meta[name] = value
    container.write(other, base.KIND, base.LISTS, meta, arrays)


@pytest.mark.parametrize("rows_at", ["twice", "none", "beyond"])
def test_rows_without_a_place_are_noticed_when_they_are_needed(index, queries, tmp_path, rows_at):
    index.save(tmp_path / "whole")
    rows = np.array(container.read(tmp_path / "whole", base.KIND, base.LISTS).arrays["rows"])
    at = np.flatnonzero(rows >= 0)
    rows[at[0]] = {"twice": rows[at[1]], "none": -1, "beyond": 10**6}[rows_at]
    rewrite(tmp_path / "whole", tmp_path / "x", {"rows@": rows})
    opened = Index.open(tmp_path / "x")
    with pytest.raises(FormatError, match="rows without a place"):
        opened.filter([3])
    if rows_at != "twice":
        with pytest.raises(FormatError, match="places without a row"):
            opened.search(queries, 2000, nprobe=LISTS)
    assert not verify(tmp_path / "x").whole


def test_an_index_that_was_not_calibrated_is_saved_without_a_curve(index, queries, tmp_path):
    index.save(tmp_path / "x")
    opened = Index.open(tmp_path / "x")
    with pytest.raises(ValueError, match="a recall needs calibrate"):
        opened.search(queries, recall=0.9)


@pytest.mark.parametrize("nprobe", [1, 3, LISTS])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("scorer", ["asymmetric", "hamming"])
def test_ties_go_to_the_lower_row_as_stored(codec, vectors, queries, nprobe, threads, scorer):
    index = Index(codec, **CELL)
    index.add(vectors)
    index.partition(LISTS)
    index.delete(index.ids)
    random = np.random.default_rng(0)
    for _ in range(4):  # 40 vectors again and again, in any order, under ids in no order
        few = vectors[random.integers(0, 40, size=250)]
        index.add(few, random.choice(2**40, 250, replace=False))
    every = index.search(queries, 1000, nprobe=LISTS, scorer=scorer)
    now = index._now
    lists, rows = now.lists, now.live_rows()
    places = dict(zip(now.ids.of_rows(rows).tolist(), now.places(rows).tolist(), strict=True))
    sizes, owner = (
        lists.sizes(now.live),
        {key: lists.owners[at // 64] for key, at in places.items()},
    )
    found = {
        k: index.search(queries, k, nprobe=nprobe, scorer=scorer, threads=threads)
        for k in (1, 7, 300)
    }
    for i, query in enumerate(queries):
        score = dict(zip(every.ids[i], every.scores[i], strict=True))
        ranked = sorted(places, key=lambda key, s=score: (-s[key], places[key]))
        units = partitioning.units(index.code, query[None])
        centroids = np.pad(lists.centroids.vectors, ((0, 0), (0, units.shape[1] - query.size)))
        products = np.rint(centroids * 2**14).astype(np.int64) @ units[0]
        order = np.argsort(-products, kind="stable")
        held = sizes[order].cumsum()
        for k, answer in found.items():
            first = set(order[: max(nprobe, int(np.argmax(held >= min(k, 1000))) + 1)].tolist())
            expected = [key for key in ranked if owner[key] in first][:k]
            np.testing.assert_array_equal(answer.ids[i], expected)


@pytest.mark.parametrize("call", ["search", "calibrate"])
def test_memory_does_not_grow_with_the_number_of_queries(codec, vectors, call):
    index = Index(codec, **CELL, nlist=500)
    index.add(vectors)
    peaks = []
    for count in (2 * probing.BATCH, 16 * probing.BATCH):
        Q = mixture(count, 32, seed=5)
        tracemalloc.start()
        if call == "search":
            index.search(Q, 2, nprobe=1, threads=1)
        else:
            index.calibrate(Q, 2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    results_and_queries = 16 * probing.BATCH * (32 * 4 * 2 + 2 * 12 * 2)
    assert peaks[1] < peaks[0] + results_and_queries


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_are_refused_by_name(index, copied):
    with pytest.raises(TypeError, match="an Index can be neither copied nor pickled; save"):
        copied(index)


def test_a_warning_that_is_an_error_leaves_nothing_added(codec, vectors):
    index = Index(codec, **CELL, nlist=2)
    other = np.random.default_rng(1).standard_normal((2000, 32)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(qama.DriftWarning):
            index.add(other, np.arange(2000))
        assert len(index) == 0
        index.add(other, np.arange(2000))  # it warns once
    assert len(index) == 2000


# --- what a reviewer found --------------------------------------------------------------------


def test_a_merged_index_is_calibrated_apart_from_its_parts(index, queries):
    index.calibrate(queries, 50)
    before = index.search(queries, 50, recall=0.9).ids
    merged = Index.merge([index])
    with pytest.raises(ValueError, match="a recall needs calibrate"):
        merged.search(queries, recall=0.9)
    merged.delete(merged.ids[1:])
    merged.calibrate(queries[:1], 1)
    np.testing.assert_array_equal(index.search(queries, 50, recall=0.9).ids, before)


def test_what_was_calibrated_holds_over_a_refresh_and_another_writer(index, queries, tmp_path):
    index.save(tmp_path / "x")
    reader, writer = Index.open(tmp_path / "x"), Index.open(tmp_path / "x", mode="a")
    for opened in (reader, writer):
        opened.calibrate(queries)
    wanted = reader.search(queries, 10, recall=0.8).ids
    reader.refresh()
    with Index.open(tmp_path / "x", mode="a") as other:
        other.delete([10**9])
        other.add(queries)
        other.delete(other.ids[-20:])
    reader.refresh()
    writer.delete([10**9])
    writer.delete(writer.ids[:0])
    writer.add(queries[:1], [10**6])
    writer.delete([10**6])
    for opened in (reader, writer):
        np.testing.assert_array_equal(opened.search(queries, 10, recall=0.8).ids, wanted)
    writer.close()
    reader.calibrate(queries)
    Index.open(tmp_path / "x", mode="a").partition(5)
    reader.refresh()
    with pytest.raises(ValueError, match="a recall needs calibrate"):
        reader.search(queries, recall=0.8)


def test_what_is_shown_of_an_index_cannot_change_it(index, queries):
    for shown in (index.centroids, index.calibrate(queries)):
        with pytest.raises(ValueError, match="read-only"):
            shown[:] = 0


def test_an_index_without_vectors_has_its_lists_already(codec, flat, vectors, queries):
    index = Index(codec, **CELL, nlist=5)
    assert index.search(queries, 3, nprobe=2).ids.shape == (20, 0)
    with pytest.raises(ValueError, match="nprobe is 6"):
        index.search(queries, 3, nprobe=6)
    compiled = index.filter()
    assert Index.merge([index, flat]).nlist == 5
    index.add(vectors)
    assert index.search(queries, 3, nprobe=5, filter=compiled).ids.shape == (20, 0)


@pytest.mark.parametrize("recall", ["0.9", [0.9], True, 0, 1.1, np.nan, 1j])
def test_a_recall_is_a_share(index, queries, recall):
    with pytest.raises(ValueError, match="give a share above 0 and at most 1"):
        index.search(queries, recall=recall)


@pytest.mark.parametrize("seed", ["a", 2.5, -1, None])
def test_a_seed_of_lists_is_a_whole_number(index, seed):
    with pytest.raises(ValueError, match="seed is"):
        index.partition(3, seed=seed)


@pytest.mark.parametrize("threads", ["x", -1])
def test_threads_are_checked_where_codes_are_added(index, flat, vectors, threads):
    for made in (index, flat):
        with pytest.raises(ValueError, match="threads is"):
            made.add_codes(np.zeros((0, made.code_size), np.uint8), threads=threads)


def test_centroids_come_from_more_than_the_first_batch(codec, vectors):
    index = Index(codec, **CELL, nlist=40)
    parts = np.array_split(vectors, 100)
    ids = np.array_split(np.arange(2000)[::-1] * 7, 100)
    assert index.add_from(iter(parts), iter(ids)) == 2000
    assert index.ids.tolist() == [i for some in ids for i in some.tolist()]
    whole = Index(codec, **CELL, nlist=40)
    whole.add(vectors)
    np.testing.assert_array_equal(index.centroids, whole.centroids)
    with pytest.raises(ValueError, match="40 lists need at least as many vectors"):
        Index(codec, **CELL, nlist=40).add_from(iter(parts[:1]))


@pytest.mark.parametrize(("name", "value"), [("centroids", np.nan), ("recall", np.nan),
                                             ("recall", 2), ("recall", "falls")])  # fmt: skip
def test_values_that_no_list_has_are_refused(index, queries, tmp_path, name, value):
    index.calibrate(queries)
    index.save(tmp_path / "whole")
    array = np.array(container.read(tmp_path / "whole", base.KIND, base.LISTS).arrays[name])
    array[...] = np.linspace(1, 0, len(array)) if value == "falls" else value
    rewrite(tmp_path / "whole", tmp_path / "x", {f"{name}@": array})
    with pytest.raises(FormatError, match=name):
        Index.open(tmp_path / "x")


@pytest.mark.parametrize("call", ["search", "calibrate"])
@pytest.mark.parametrize("fill", [0, 1_000_000, -1])
def test_a_file_that_changes_in_place_is_told_by_the_next_search(
    index, queries, tmp_path, call, fill
):
    index.save(tmp_path / "x")
    opened = Index.open(tmp_path / "x")
    size = (tmp_path / "x").stat().st_size
    with (tmp_path / "x").open("r+b") as file:
        file.write(np.full(size // 4 + 1, fill, np.int32).tobytes()[:size])
    with pytest.raises(OSError, match="was changed in place"):
        getattr(opened, call)(queries)


def test_a_compact_index_is_written_as_it_is(codec, vectors, queries, tmp_path):
    index = Index(codec, **CELL)
    index.add(vectors)
    index.partition(LISTS)
    assert index._now.lists.is_compact
    index.save(tmp_path / "x")
    opened = Index.open(tmp_path / "x", mode="a")
    assert opened._now.lists.is_compact
    opened.add(queries)
    assert not opened._now.lists.is_compact
    opened.compact()
    assert opened._now.lists.is_compact
    opened.delete([3])
    opened.compact()
    assert opened._now.lists.is_compact
    assert verify(tmp_path / "x").whole


def test_a_change_waits_for_a_save(codec, vectors, queries, tmp_path, monkeypatch):
    """Else it could write into lanes of blocks that are being written to the file."""
    index, seen = Index(codec, **CELL, nlist=LISTS), []
    index.add(vectors)
    write = base.write
    monkeypatch.setattr(base, "write", lambda *args: hold(index, queries, seen, write, args))
    index.save(tmp_path / "x")
    assert seen == [True]
    assert len(Index.open(tmp_path / "x", verify=True)) == 2000


def hold(index, queries, seen, write, args):
    adding = Thread(target=index.add, args=(queries,))
    adding.start()
    adding.join(0.2)
    seen.append(adding.is_alive())
    write(*args)


def test_an_index_chooses_its_lists_by_itself(codec, vectors, queries, monkeypatch):
    assert [partitioning.lists_for(n) for n in (131_071, 131_072, 10**6, 10**7)] == [
        None, 1024, 4096, 8192,
    ]  # fmt: skip
    monkeypatch.setattr(partitioning, "lists_for", lambda n: None if n < 600 else n // 100)
    index = Index(codec, **CELL, nlist="auto")
    flat = Index(codec, **CELL)
    for begin, wanted in ((0, None), (300, 6), (600, 6), (900, 6)):
        index.add(vectors[begin : begin + 300])
        flat.add(vectors[begin : begin + 300])
        assert index.nlist == wanted
        assert (wanted is None) == ("lists" not in repr(index))
    index.add(vectors[:1200], np.arange(5000, 6200))
    flat.add(vectors[:1200], np.arange(5000, 6200))
    assert index.nlist == 24
    np.testing.assert_array_equal(index.ids, flat.ids)
    found = index.search(queries, 10, nprobe=24)
    np.testing.assert_array_equal(found.scores, flat.search(queries, 10).scores)


def test_without_lists_an_index_that_chooses_them_scans_all(codec, vectors, queries):
    index = Index(codec, **CELL, nlist="auto")
    index.add(vectors[:500])
    wanted = index.search(queries, 5)
    for options in ({"nprobe": 3}, {"recall": 0.9}, {"funnel": True}):
        np.testing.assert_array_equal(index.search(queries, 5, **options).ids, wanted.ids)
    with pytest.raises(ValueError, match="nlist is 'many'; give a whole number >= 1, or \"auto\""):
        Index(codec, **CELL, nlist="many")


def test_a_failed_choice_of_lists_adds_nothing(codec, vectors, monkeypatch):
    index = Index(codec, **CELL, nlist="auto")
    index.add(vectors[:100])
    monkeypatch.setattr(partitioning, "lists_for", lambda n: n + 1)
    with pytest.raises(ValueError, match="lists need at least as many vectors"):
        index.add(vectors[100:200])
    assert len(index) == 100
