"""Drift is noticed, once, and what is like the fitted vectors is not called so."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from conftest import mixture

import qama
from qama import Codec, DriftWarning, Index, drift

CELL = {"dims": 8, "level": "1"}


@pytest.fixture(scope="module")
def fitted():
    """A codec with 50 validation rows, and its vectors."""
    X = mixture(1000, 32)
    return qama.fit(X, codes="all", steps=4, epochs=0, threads=1, model="a"), X


def foreign(n):
    return np.random.default_rng(5).standard_normal((n, 32)).astype(np.float32)


def test_a_fit_records_how_well_it_does_on_rows_that_it_did_not_see(fitted):
    codec, X = fitted
    recorded = codec.facts[drift.FACT]
    assert recorded["rows"] == 50
    inside = drift.quality(codec, X)
    assert abs(recorded["mean"] - inside.mean()) < recorded["deviation"]
    assert 0 < recorded["deviation"] < recorded["mean"] < 1


def test_quality_is_the_score_of_a_vector_with_its_own_code(fitted):
    codec, X = fitted
    scores = codec.score(X[:100], codec.encode(X[:100]))
    np.testing.assert_allclose(drift.quality(codec, X[:100]), np.diagonal(scores), rtol=0.005)


def test_a_measure_says_whether_vectors_drifted(fitted):
    codec, _ = fitted
    same = drift.measure(codec, mixture(500, 32, seed=9))
    other = drift.measure(codec, foreign(2000))
    assert (same.rows, other.rows) == (500, 1024)
    assert not same.drifted
    assert abs(same.shift) < 0.5
    assert other.drifted
    assert other.shift > 3
    assert "refit the codec" in str(other)
    assert "no drift" in str(same)


def test_few_vectors_must_lie_farther_off_than_many(fitted):
    near = drift.Drift(1000, 0.87, 1.0, 0.1, 1000)
    assert near.drifted
    assert not replace(near, rows=4).drifted
    assert not replace(near, fitted_rows=4).drifted
    assert not replace(near, mean=1.0).drifted


def add_often(index, X):
    for _ in range(3):
        index.add(X)


def test_an_index_warns_once_and_has_added_the_vectors(fitted):
    codec, X = fitted
    index = Index(codec, **CELL)
    index.add(X)
    with pytest.warns(DriftWarning, match=r"mean cosine of .* \+- .* refit") as caught:
        add_often(index, foreign(3000))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert len(index) == 10_000


def test_a_partitioned_index_warns_too(fitted):
    codec, X = fitted
    index = Index(codec, **CELL, nlist=4)
    index.add(X)
    with pytest.warns(DriftWarning) as caught:
        add_often(index, foreign(3000))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert len(index) == 10_000


def test_small_additions_are_watched_together(fitted):
    codec, _ = fitted
    index = Index(codec, **CELL)
    Y = foreign(drift.STRIDE * (drift.LOOK - 1) + 1)
    for row in range(len(Y) - 1):
        index.add(Y[row : row + 1])
    with pytest.warns(DriftWarning, match=f"^{drift.LOOK} vectors"):
        index.upsert([5], Y[-1:])


@pytest.mark.parametrize("sizes", [[1], [64], [63, 2], [7, 500, 1], [1024]])
def test_one_row_of_64_is_looked_at_however_they_come(fitted, monkeypatch, sizes):
    codec, looked = fitted[0], []
    monkeypatch.setattr(
        drift, "quality", lambda codec, Y: looked.extend(Y[:, 0]) or np.ones(len(Y))
    )
    watch, X = drift.Watch(codec), np.arange(4096, dtype=np.float32)[:, None] * np.ones(32)
    start = 0
    while start < len(X):
        for size in sizes:
            watch.look(X[start : start + size])
            start += size
    assert looked == list(range(0, 4096, drift.STRIDE))


def test_looks_are_few_and_bounded(fitted, monkeypatch):
    codec, X = fitted
    looked = []
    monkeypatch.setattr(drift, "quality", lambda codec, Y: looked.append(len(Y)) or np.ones(len(Y)))
    watch = drift.Watch(codec)
    for _ in range(6):
        watch.look(X)
    assert len(looked) <= 6 * len(X) / drift.STRIDE / drift.LOOK
    watch.look(np.broadcast_to(X[:1], (1_000_000, 32)))
    assert looked[-1] <= drift.WINDOW + drift.LOOK


def test_a_deviation_below_the_rounding_of_scores_is_no_measure(fitted):
    lossless = drift.Drift(1000, 0.9995, 0.99998, 1e-5, 1000)
    assert not lossless.drifted


UNUSABLE = [
    None, 3, {}, {"mean": "x", "deviation": 1, "rows": 1},
    {"mean": 1e999, "deviation": 1, "rows": 1}, {"mean": 0.5, "deviation": 0.1, "rows": 0},
    {"mean": None, "deviation": 0.1, "rows": 5}, {"mean": 0.5, "deviation": 0.1, "rows": 1e999},
    {"mean": 10**400, "deviation": 1, "rows": 1},
]  # fmt: skip


@pytest.mark.parametrize("recorded", UNUSABLE)
def test_a_codec_that_records_nothing_usable_is_not_watched(fitted, recorded):
    codec = replace(fitted[0], facts={drift.FACT: recorded})
    assert drift.measure(codec, foreign(10)) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index = Index(codec, **CELL)
        index.add(foreign(500))


def test_the_model_is_recorded_and_checked(fitted, tmp_path):
    codec, X = fitted
    assert codec.model == "a"
    codec.save(tmp_path / "codec")
    index = Index(codec, **CELL)
    index.add(X)
    index.save(tmp_path / "index")
    for model in ("a", None):
        Codec.load(tmp_path / "codec", model=model)
        Index.open(tmp_path / "index", model=model)
    with pytest.raises(ValueError, match=r"model is 'b', but codec \w+ was fitted .* of 'a'"):
        Codec.load(tmp_path / "codec", model="b")
    with pytest.raises(ValueError, match="model is 'b'"):
        Index.open(tmp_path / "index", model="b")
    replace(codec, facts={}).check_model("b")  # nothing is known: nothing is refused
