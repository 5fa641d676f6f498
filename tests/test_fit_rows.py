"""What a fit learns from: which rows count, what it says of lengths, and where it can run."""

from __future__ import annotations

import multiprocessing
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import mixture

import qama
from qama import FewRowsWarning, NormWarning, sources
from qama.distinct import distinct
from qama.norms import spread
from qama.quantizers.vectors import unit

GRID = {"codes": "grid", "steps": 4, "epochs": 0, "threads": 1, "device": "cpu"}
QUICK = {**GRID, "codes": "all", "max_bytes": 2}
JOIN = 60  # seconds after which a child is held to hang


# --- zero rows and copies ----------------------------------------------------------------------


def test_the_first_of_equal_rows_is_kept_in_order():
    X = np.array([[0, 0], [1, 2], [-0.0, 0], [3, 4], [1, 2], [0.0, 5], [-0.0, 5]], np.float32)
    X = np.concatenate([X, np.arange(8, 40).reshape(16, 2).astype(np.float32)])
    found = distinct(X)
    np.testing.assert_array_equal(found.rows[:3], [[1, 2], [3, 4], [0, 5]])
    assert (len(found.rows), found.zeros, found.copies) == (19, 2, 2)


def test_rows_that_all_count_are_not_copied():
    X = mixture(50, 8)
    found = distinct(X)
    assert found.rows is X
    assert (found.zeros, found.copies) == (0, 0)


def blurred(rows):
    """The same rows with zero rows and copies among them, none before its first."""
    zeros = np.zeros((40, rows.shape[1]), rows.dtype)
    return np.concatenate([zeros, rows, np.tile(rows[:1], (90, 1)), rows[100:150]])


@pytest.mark.parametrize("given", [lambda X: X, lambda X: iter(np.array_split(X, 7))],
                         ids=["array", "stream"])  # fmt: skip
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_zero_rows_and_copies_change_nothing_in_a_fit(rows, preset, given):
    options = QUICK if preset == "default" else GRID
    clean = qama.fit(given(rows), preset=preset, **options)
    other = qama.fit(given(blurred(rows)), preset=preset, **options)
    assert other.fingerprint == clean.fingerprint
    differ = {name for name in clean.facts if clean.facts[name] != other.facts[name]}
    assert differ - {"seconds"} == {"rows", "zero_rows", "copies"}
    assert (clean.facts["zero_rows"], clean.facts["copies"]) == (0, 0)
    assert (other.facts["zero_rows"], other.facts["copies"]) == (40, 140)
    assert other.facts["rows_used"] == 300


@pytest.mark.parametrize("few", [
    np.zeros((400, 16), np.float32), np.ones((400, 16), np.float32),
    np.tile(mixture(15, 16), (20, 1)),
], ids=["zeros", "one text", "15 texts"])  # fmt: skip
def test_too_few_distinct_rows_are_refused(few):
    with pytest.raises(ValueError, match=r"distinct rows beside .* a fit needs at least 16"):
        qama.fit(few, **QUICK)


# --- how many rows ------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [lambda X: X, lambda X: iter(np.array_split(X, 7))],
                         ids=["array", "stream"])  # fmt: skip
def test_a_fit_holds_as_many_rows_as_fit_its_memory(rows, monkeypatch, given):
    monkeypatch.setattr(sources, "MAX_VALUES", 100 * rows.shape[1] + 5)
    held, total = sources.load(given(rows), None, seed=0)
    assert (held.shape, total) == ((100, rows.shape[1]), len(rows))
    whole, _ = sources.load(given(rows), len(rows), seed=0)
    np.testing.assert_array_equal(whole, rows)


def test_codes_are_measured_on_rows_that_the_fit_saw_and_on_others(rows):
    codec = qama.fit(rows, max_bytes=8, threads=1)
    found = codec.facts["error"]
    seen = np.square(unit(rows) - codec.decode(codec.encode(rows, nbytes=8), nbytes=8)).sum()
    seen /= np.square(unit(rows) - unit(rows).mean(axis=0)).sum()
    # 285 of the 300 were fitted on, 15 held out
    assert 0.95 * found["fitted"] + 0.05 * found["held_out"] == pytest.approx(seen, rel=0.1)
    assert found["nbytes"] == 8
    assert found["fitted"] < found["held_out"] < 1


def test_a_fit_is_the_same_for_any_number_of_threads():
    X = mixture(1100, 64)
    one, two = (qama.fit(X, max_bytes=11, threads=count) for count in (1, 2))
    assert one.fingerprint == two.fingerprint


def test_codes_that_remember_their_rows_are_named():
    random = np.random.default_rng(0)
    noise = random.standard_normal((60, 32)).astype(np.float32)  # nothing but rows to remember
    with pytest.warns(FewRowsWarning, match="times as much. 57 rows are few .*base=") as told:
        qama.fit(noise, max_bytes=16, threads=1)
    assert [str(w.filename) for w in told if w.category is FewRowsWarning] == [__file__]


def test_codes_that_do_not_are_not():
    random = np.random.default_rng(0)
    plain = random.standard_normal((2000, 8)) @ random.standard_normal((8, 16))
    with warnings.catch_warnings():
        warnings.simplefilter("error", FewRowsWarning)
        qama.fit(plain.astype(np.float32), max_bytes=2, threads=1)


# --- lengths -----------------------------------------------------------------------------------


def test_lengths_that_vary_are_named_once(rows):
    pytest.importorskip("torch")
    X = rows * np.random.default_rng(0).lognormal(0, 1, (len(rows), 1)).astype(np.float32)
    with pytest.warns(NormWarning, match="vary by a factor of .*cosine.*inner product") as told:
        qama.fit(X, **QUICK)
    assert [str(w.filename) for w in told if w.category is NormWarning] == [__file__]


@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e20, "a tenth each way", "one in a hundred"])
def test_lengths_as_models_have_them_are_not_named(rows, scale):
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    if scale == "a tenth each way":
        scale = np.random.default_rng(0).uniform(0.9, 1.1, (len(rows), 1))
    elif scale == "one in a hundred":
        scale = np.where(np.arange(len(rows)) % 100 == 0, 1e4, 1)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error", NormWarning)
        qama.fit((unit * scale).astype(np.float32), **QUICK)


def test_the_spread_is_of_percentiles():
    lengths = np.linspace(1, 3, 1001)
    X = (lengths[:, None] * [0.6, 0.8]).astype(np.float32)
    assert spread(X) == pytest.approx(2.9 / 1.1, rel=1e-5)


def test_the_recipe_of_the_docs_ranks_by_inner_product():
    text = (Path(__file__).parent.parent / "docs" / "inner_product.md").read_text()
    random = np.random.default_rng(0)
    X = random.standard_normal((300, 16)) * random.lognormal(0, 0.5, (300, 1))
    Q = random.standard_normal((20, 16))
    found = {"X": X, "Q": Q}
    exec(text.split("```python\n")[1].split("```")[0], found)
    D, A = found["documents"], found["queries"]
    assert D.shape[1] % 8 == A.shape[1] % 8 == 0
    cosines = (A / np.linalg.norm(A, axis=1)[:, None]) @ (D / np.linalg.norm(D, axis=1)[:, None]).T
    products = Q @ X.T
    scaled = cosines * found["length"] * np.linalg.norm(Q, axis=1)[:, None]
    np.testing.assert_allclose(scaled, products, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(np.argmax(cosines, axis=1), np.argmax(products, axis=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error", NormWarning)
        codec = qama.fit(D, **{**QUICK, "max_bytes": 24})
    index = qama.Index(codec, nbytes=24)
    index.add(D)
    ids = index.search(A, 10).ids
    best = np.argsort(-products, axis=1)[:, :10]
    kept = np.mean([len(set(a) & set(b)) for a, b in zip(ids, best, strict=True)])
    assert kept >= 8


# --- forks -------------------------------------------------------------------------------------


def in_fork(work, *arguments):
    """Return what work(*arguments) returns in a forked child; a child that hangs is ended."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def run():
        try:
            theirs.send_bytes(pickle.dumps(work(*arguments)))
        except Exception as error:
            theirs.send_bytes(pickle.dumps(error))

    child = context.Process(target=run)
    child.start()
    try:
        assert ours.poll(JOIN), "the child hangs"
        return pickle.loads(ours.recv_bytes())
    finally:
        child.kill()
        child.join()


needs_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork here"
)


@needs_fork
def test_a_fit_on_threads_in_a_forked_child_is_refused_by_name(rows, codec, monkeypatch):
    monkeypatch.setattr("qama.checks.os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    found = in_fork(lambda: qama.fit(rows, **{**QUICK, "threads": 2}))
    assert isinstance(found, RuntimeError)
    assert "spawn" in str(found)
    assert "threads=1" in str(found)


@needs_fork
def test_a_fit_on_one_thread_in_a_forked_child_is_the_parents(rows):
    fitted = qama.fit(rows, **QUICK)
    found = in_fork(lambda: qama.fit(rows, **QUICK).fingerprint)
    assert found == fitted.fingerprint


@needs_fork
def test_encoding_and_searching_on_threads_work_in_a_forked_child(rows, byte_codec):
    def found():
        index = qama.Index(byte_codec, nbytes=16)
        index.add(rows)
        return index.search(rows[:20], 5, threads=2).ids

    np.testing.assert_array_equal(in_fork(found), found())
