"""Tasks over codes: each against a brute-force count over scores or decoded vectors."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import mixture

from qama import Index
from qama.quantizers.vectors import unit
from qama.tasks import Bridge, CodeSet, classify, groups, join, kmeans, near_duplicates, similarity

REQUESTS = [{"nbytes": 9}, {"dims": 32, "level": "2"}, {"dims": 16, "level": "hybrid"}]


@pytest.fixture(params=REQUESTS, ids=lambda r: "-".join(map(str, r.values())))
def request_(request):
    return request.param


def cosine(A, B):
    return unit(A) @ unit(B).T


# --- decoding ---------------------------------------------------------------------------------


def test_decoding_gives_what_scores_are_the_cosine_with(byte_codec, rows, queries, request_):
    """The asymmetric score is defined on the decoded vector: both must agree."""
    codes = byte_codec.encode(rows, **request_)
    decoded = byte_codec.decode(codes, **request_)
    floats = queries if "nbytes" in request_ else byte_codec.transform(queries, request_["dims"])
    scale = 1.0 if "nbytes" in request_ else byte_codec.code(**request_).calibration_scale
    scores = byte_codec.score(queries, codes, **request_)
    assert decoded.dtype == np.float32
    # inverse norms have steps of .5 %
    assert scores == pytest.approx(scale * cosine(floats, decoded), abs=6e-3 * scale)


def test_compact_and_thermometer_codes_decode_alike(codec, rows):
    for level in codec.levels:
        both = [codec.decode(codec.encode(rows, level=level, compact=c), level=level, compact=c)
                for c in (False, True)]  # fmt: skip
        assert (both[0] == both[1]).all()


def test_longer_byte_codes_decode_closer(byte_codec, rows):
    errors = [
        np.square(unit(rows) - byte_codec.decode(byte_codec.encode(rows, nbytes=n), nbytes=n)).sum()
        for n in (4, 8, 16)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_codes_of_another_length_are_refused(byte_codec, rows):
    with pytest.raises(ValueError, match="codes has 4 bytes a row; this code has 8"):
        byte_codec.decode(byte_codec.encode(rows, nbytes=4), nbytes=8)
    with pytest.raises(ValueError, match="codes has no rows"):
        CodeSet(byte_codec, np.empty((0, 4), np.uint8), nbytes=4)


@pytest.mark.parametrize("level", ["0.5", "1", "1.5", "2", "hybrid"])
def test_no_codes_are_no_vectors(codec, byte_codec, level):
    code = codec.code(16, level)
    for width, compact in ((code.nbytes, False), (code.stored_bytes, True)):
        none = codec.decode(np.empty((0, width), np.uint8), compact=compact, **code.request)
        assert (none.shape, none.dtype) == ((0, 16), np.float32)
    assert byte_codec.decode(np.empty((0, 4), np.uint8), nbytes=4).shape == (0, 32)


# --- similarity -------------------------------------------------------------------------------


def test_similarity_of_floats_is_the_score_of_a_search(byte_codec, rows, request_):
    codes = CodeSet.encode(byte_codec, rows[:40], **request_)
    wanted = byte_codec.score(rows[40:80], codes.stored, compact=True, **request_)
    assert (similarity(rows[40:80], codes) == np.diagonal(wanted)).all()


def test_similarity_of_codes_is_symmetric(byte_codec, rows, request_):
    a, b = (CodeSet.encode(byte_codec, part, **request_) for part in (rows[:50], rows[50:100]))
    there, back = similarity(a, b), similarity(b, a)
    assert there == pytest.approx(back, abs=6e-3)
    assert similarity(a, a) == pytest.approx(1, abs=3e-3)
    if "nbytes" in request_:
        assert there == pytest.approx(np.diagonal(cosine(a.vectors(), b.vectors())), abs=6e-3)
    else:
        bits = [np.unpackbits(byte_codec.encode(part, **request_), axis=1)
                for part in (rows[:50], rows[50:100])]  # fmt: skip
        distance = (bits[0] != bits[1]).sum(axis=1)
        assert there == pytest.approx(1 - distance / a.code.similarity_bits)


def test_similarity_refuses_what_does_not_pair(byte_codec, paper_codec, rows):
    codes = CodeSet.encode(byte_codec, rows, nbytes=8)
    with pytest.raises(ValueError, match="a has 299 rows and b has 300"):
        similarity(rows[1:], codes)
    with pytest.raises(ValueError, match=r"two kinds: 4 bytes .* and 8 bytes"):
        similarity(CodeSet.encode(byte_codec, rows, nbytes=4), codes)
    grid = [CodeSet.encode(c, rows, dims=16, level="1") for c in (paper_codec, byte_codec)]
    with pytest.raises(ValueError, match="two kinds"):
        similarity(*grid)
    with pytest.raises(ValueError, match="a has 31 columns"):
        similarity(rows[:, 1:], codes)
    with pytest.raises(ValueError, match="a has 0 rows and b has 300"):
        similarity(rows[:0], codes)


def test_what_is_no_codes_and_no_score_is_refused_by_name(byte_codec, rows):
    codes = CodeSet.encode(byte_codec, rows, nbytes=8)
    for name, call in {
        "b": lambda: similarity(rows, rows), "b ": lambda: join(rows, rows, 0.9),
        "codes": lambda: near_duplicates(rows, 0.9),
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=f"^{name.strip()} is a ndarray; give a CodeSet"):
            call()
    with pytest.raises(ValueError, match="threshold is 'x'; give a score"):
        near_duplicates(codes, "x")


def test_unfitting_floats_are_named_by_their_row(byte_codec, rows):
    many = np.tile(rows, (4, 1))
    many[1100, 3] = np.nan
    codes = CodeSet.encode(byte_codec, np.tile(rows, (4, 1)), nbytes=8)
    for call in (lambda: similarity(many, codes), lambda: join(many, codes, 0.9)):
        with pytest.raises(ValueError, match=r"^a\[1100, 3\] is nan"):
            call()


# --- duplicates -------------------------------------------------------------------------------


@pytest.fixture
def repeated(rows):
    """300 rows; the first of them 40 times more, hardly moved: more than are asked for at first."""
    random = np.random.default_rng(5)
    return np.concatenate([rows, rows[:1] + 1e-3 * random.standard_normal((40, 32))]).astype("f4")


def test_near_duplicates_are_all_pairs_above_the_score(byte_codec, repeated, request_):
    codes = CodeSet.encode(byte_codec, repeated, **request_)
    if "nbytes" in request_:
        scores = byte_codec.score(codes.vectors(), codes.stored, compact=True, **request_)
    else:
        scores = byte_codec.score(repeated, codes.stored, compact=True, scorer="hamming",
                                  **request_)  # fmt: skip
    threshold = float(np.quantile(scores, 0.97))
    found = near_duplicates(codes, threshold, threads=1)
    wanted = {(i, j) for i, j in np.argwhere(scores >= threshold) if i < j}
    assert set(map(tuple, found.rows.tolist())) == wanted
    assert len(found.rows) == len(wanted) > 40 * 41 // 2
    assert (found.scores == scores[found.rows[:, 0], found.rows[:, 1]]).all()
    assert (np.diff(found.rows[:, 0]) >= 0).all()


def test_join_of_floats_with_codes(byte_codec, rows, queries):
    codes = CodeSet.encode(byte_codec, rows, nbytes=16)
    scores = byte_codec.score(queries, codes.stored, nbytes=16)
    found = join(queries, codes, 0.8)
    assert set(map(tuple, found.rows.tolist())) == set(map(tuple, np.argwhere(scores >= 0.8)))
    assert len(join(queries, codes, 1.5).rows) == 0
    none = join(queries[:0], codes, 0.8)
    assert (none.rows.shape, none.rows.dtype) == ((0, 2), np.int64)
    assert (none.scores.shape, none.scores.dtype) == ((0,), np.float32)
    with pytest.raises(ValueError, match="a has 31 columns"):
        join(queries[:0, 1:], codes, 0.8)
    with pytest.raises(ValueError, match="a has 31 columns"):
        join(queries[:, 1:], codes, 0.8)
    with pytest.raises(ValueError, match="threshold is nan"):
        join(queries, codes, float("nan"))


def test_groups_follow_chains():
    pairs = np.array([[4, 5], [1, 3], [5, 7], [3, 0], [8, 8]])
    assert groups(pairs, 9).tolist() == [0, 0, 2, 0, 4, 4, 6, 4, 8]
    assert groups(np.empty((0, 2), np.int64), 3).tolist() == [0, 1, 2]
    for bad, message in ((pairs - 1, "from -1 to 7"), (pairs[0], "give whole numbers")):
        with pytest.raises(ValueError, match=message):
            groups(bad, 9)


def test_groups_equal_connected_components_by_powers():
    random = np.random.default_rng(1)
    pairs = random.integers(60, size=(40, 2))
    reach = np.eye(60, dtype=bool)
    reach[pairs[:, 0], pairs[:, 1]] = reach[pairs[:, 1], pairs[:, 0]] = True
    for _ in range(6):
        reach = reach @ reach
    assert groups(pairs, 60).tolist() == reach.argmax(axis=1).tolist()


# --- clusters ---------------------------------------------------------------------------------


def blobs(n, seed=0):
    random = np.random.default_rng(seed)
    truth = random.integers(4, size=n)
    return (np.eye(32)[truth] + 0.05 * random.standard_normal((n, 32))).astype(np.float32), truth


@pytest.mark.parametrize("request_", REQUESTS[:2], ids=["bytes", "grid"])
def test_kmeans_finds_what_is_apart(byte_codec, request_):
    X, truth = blobs(400)
    found = kmeans(CodeSet.encode(byte_codec, X, **request_), 4)
    table = np.zeros((4, 4), int)
    np.add.at(table, (truth, found.labels), 1)
    assert (table.max(axis=1) == table.sum(axis=1)).all()
    assert np.linalg.norm(found.centroids, axis=1) == pytest.approx(1, abs=1e-5)


def test_kmeans_ends_where_no_row_and_no_centroid_moves(byte_codec, rows):
    codes = CodeSet.encode(byte_codec, rows, nbytes=8)
    found = kmeans(codes, 6, iterations=200)
    U = unit(codes.vectors())
    assert (found.labels == (U @ found.centroids.T).argmax(axis=1)).all()
    for cluster in range(6):
        mean = U[found.labels == cluster].sum(axis=0)
        assert found.centroids[cluster] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
    own = (U * found.centroids[found.labels]).sum(axis=1)
    assert found.cosine == pytest.approx(own.mean(), abs=1e-5)
    assert found.cosine >= kmeans(codes, 6, starts=1).cosine - 1e-6


def test_kmeans_in_chunks_is_kmeans(byte_codec, rows, monkeypatch):
    codes = CodeSet.encode(byte_codec, rows, nbytes=8)
    whole = kmeans(codes, 5, seed=2)
    monkeypatch.setattr("qama.checks.CHUNK_ROWS", 70)
    assert (kmeans(codes, 5, seed=2).labels == whole.labels).all()


def test_more_centroids_than_distinct_rows_take_rows_twice():
    X = np.repeat(np.eye(8, dtype=np.float32)[:2], 5, axis=0)
    found = kmeans(X, 4, seed=0)
    assert found.centroids.shape == (4, 8)
    assert found.cosine == pytest.approx(1)
    assert {tuple(centroid) for centroid in found.centroids.round(6)} == {tuple(X[0]), tuple(X[9])}


def test_kmeans_of_few_or_equal_rows():
    same = np.ones((5, 8), np.float32)
    assert kmeans(same, 3).cosine == pytest.approx(1)
    assert sorted(kmeans(np.eye(5, 8, dtype=np.float32), 5).labels) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="k is 6"):
        kmeans(same, 6)


# --- classification ---------------------------------------------------------------------------


def test_one_neighbour_gives_its_own_label(byte_codec, rows):
    index = Index(byte_codec, nbytes=16)
    index.add(rows, ids=np.arange(300)[::-1] * 7)  # neither row numbers nor ascending
    labels = np.array([f"class {i % 13}" for i in range(300)])
    found = classify(index, labels, rows, k=1)
    nearest = index.search(rows, 1).ids[:, 0]
    assert (found.labels == labels[299 - nearest // 7]).all()
    assert found.known.all()


def test_votes_weigh_scores_above_the_next(byte_codec, rows, queries):
    index = Index(byte_codec, nbytes=16)
    index.add(rows)
    labels = np.random.default_rng(0).integers(3, size=300)
    found = classify(index, labels, queries, k=7, threshold=0.5)
    hits = index.search(queries, 8)
    for i in range(len(queries)):
        votes = [0.0] * 3
        for row, score in zip(hits.ids[i, :7], hits.scores[i, :7], strict=True):
            votes[labels[row]] += score - hits.scores[i, 7] + 1e-6
        assert found.labels[i] == int(np.argmax(votes))
    assert (found.scores == hits.scores[:, 0]).all()
    assert (found.known == (found.scores >= 0.5)).all()


def test_classification_after_a_delete_and_of_few(byte_codec, rows):
    index = Index(byte_codec, nbytes=8)
    index.add(rows[:3])
    index.delete([1])
    assert classify(index, ["a", "b"], rows[[0, 2]], k=1).labels.tolist() == ["a", "b"]
    assert classify(index, ["a", "b"], rows[:1], k=10).labels.tolist() == ["a"]
    with pytest.raises(ValueError, match=r"labels has shape \(3,\); the index has 2"):
        classify(index, ["a", "b", "c"], rows)
    with pytest.raises(ValueError, match="k is 0"):
        classify(index, ["a", "b"], rows, k=0)
    with pytest.raises(ValueError, match="index is empty"):
        classify(Index(byte_codec, nbytes=8), [], rows)


# --- bridge -----------------------------------------------------------------------------------


def test_a_bridge_finds_a_linear_map():
    there = unit(mixture(600, 24))
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((24, 24)))[0].astype(np.float32)
    here = there @ turn
    bridge = Bridge.fit(here[:500], there[:500])
    assert bridge.found > 0.95
    assert bridge(here[500:]) == pytest.approx(there[500:], abs=0.02)
    assert np.linalg.norm(bridge(here), axis=1) == pytest.approx(1, abs=1e-5)


def test_a_bridge_leads_queries_into_an_index(byte_codec):
    there = mixture(600, 32)
    here = np.tanh(there[:, :24]) + 0.01
    bridge = Bridge.fit(here[:500], there[:500])
    index = Index(byte_codec, nbytes=16)
    index.add(there)
    by_bridge = index.search(bridge(here[500:]), 10).ids
    own = np.arange(500, 600)[:, None]
    assert (by_bridge == own).any(axis=1).mean() > 0.5


def test_a_bridge_refuses_what_is_not_paired():
    X = mixture(20, 8)
    with pytest.raises(ValueError, match="here has 20 rows and there 19"):
        Bridge.fit(X, X[1:])
    with pytest.raises(ValueError, match="at least 16"):
        Bridge.fit(X[:15], X[:15])
    with pytest.raises(ValueError, match="X has 7 columns"):
        Bridge.fit(X, X)(X[:, 1:])
