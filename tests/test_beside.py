"""qama bench: what is measured of each engine, on vectors small enough for a test."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
from conftest import mixture
from typer.testing import CliRunner

from qama.cli.main import app
from qama.machine import beside


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(beside, "_LEAST_SECONDS", 0)
    monkeypatch.setattr(beside, "ROUNDS", 1)


def test_every_engine_searches_the_same_rows(bytes_codec, quick):
    X, noted = mixture(400, 32), []
    found = beside.beside(X[20:], X[:20], lambda rows: bytes_codec, [4, 16], noted.append)
    by_name = {each.name: each for each in found}
    assert [*by_name][:3] == ["qama, 4 bytes", "qama, 16 bytes", "NumPy float32"]
    for package, name in (("faiss", "FAISS float32"), ("usearch", "USearch HNSW, int8")):
        assert (name in by_name) == (importlib.util.find_spec(package) is not None)
    exact = [by_name[name] for name in ("NumPy float32", "FAISS float32") if name in by_name]
    assert {each.recall for each in exact} == {1.0}
    assert {each.nbytes for each in exact} == {128}
    four, sixteen = by_name["qama, 4 bytes"], by_name["qama, 16 bytes"]
    assert four.recall < sixteen.recall < 1
    assert (four.nbytes, sixteen.nbytes) == (5, 17)
    U = X / np.linalg.norm(X, axis=1, keepdims=True)
    true = np.argsort(-(U[:20] @ U[20:].T), axis=1)[:, :10]
    codes = bytes_codec.encode(U[20:], nbytes=16)
    ours = np.argsort(-bytes_codec.score(U[:20], codes, nbytes=16), axis=1, kind="stable")[:, :10]
    assert sixteen.recall == pytest.approx(
        np.mean([len({*a} & {*b}) / 10 for a, b in zip(true, ours, strict=True)])
    )
    for each in found:
        assert min(each.ms_one, each.ms_batch) > 0
        assert each.build_seconds >= 0
        assert 0 <= each.recall <= 1
        assert f"building {each.name}" in noted


def test_a_length_that_there_is_not_is_refused_before_the_work(bytes_codec):
    X = mixture(100, 32)
    with pytest.raises(ValueError, match="nbytes is 99"):
        beside.beside(X[20:], X[:20], lambda rows: bytes_codec, [99])


def test_random_vectors_are_the_same_for_a_seed_and_lie_in_clusters():
    X = beside.random_vectors(500, 32, 7)
    assert X.shape == (500, 32)
    np.testing.assert_array_equal(X, beside.random_vectors(500, 32, 7))
    assert not np.array_equal(X, beside.random_vectors(500, 32, 8))


def test_the_command(tmp_path, bytes_codec, quick):
    np.save(tmp_path / "rows.npy", mixture(300, 32))
    bytes_codec.save(tmp_path / "codec")
    asked = ["bench", tmp_path / "rows.npy", "--codec", tmp_path / "codec", "--nbytes", 8,
             "--queries", 30]  # fmt: skip
    page = tmp_path / "b.html"
    run = CliRunner().invoke(app, [*map(str, asked), "--json", "-o", str(page)])
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert (told["rows"], told["dims"]) == (270, 32)
    assert told["engines"][0]["name"] == "qama, 8 bytes"
    assert told["context"]["versions"]["numpy"] == np.__version__
    text = page.read_text("utf-8")
    assert "rows.npy: 270 vectors of 32 dims are searched by 30 others." in text
    assert text.count("<svg") == 1
    for each in told["engines"]:
        assert f"<td>{100 * each['recall']:.1f}</td>" in text
    assert "qama, 8 bytes" in CliRunner().invoke(app, [*map(str, asked)]).stdout
    random = ["bench", "--rows", "200", "--dims", "32", "--codec", str(tmp_path / "codec")]
    run = CliRunner().invoke(app, [*random, "--nbytes", "8", "--queries", "10"])
    assert "recall says nothing of yours" in " ".join(run.stdout.split())
    run = CliRunner().invoke(app, [*random, "--nbytes", "99"])
    assert run.exit_code == 2
    assert "nbytes is 99" in run.stderr


def test_lengths_that_nobody_asked_for_follow_the_codec(tmp_path, bytes_codec, quick):
    longest = bytes_codec.additive.max_bytes
    bytes_codec.save(tmp_path / "codec")
    found = beside.beside(mixture(100, 32), mixture(9, 32), lambda rows: bytes_codec)
    assert longest < 48
    assert f"qama, {longest} bytes" in [each.name for each in found]
    np.save(tmp_path / "wide.npy", mixture(100, 48))
    asked = ["bench", str(tmp_path / "wide.npy"), "--codec", str(tmp_path / "codec")]
    run = CliRunner().invoke(app, asked)
    assert run.exit_code == 2
    assert "the vectors has 48 columns; this codec was fitted on 32" in " ".join(run.stderr.split())
