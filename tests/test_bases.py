"""Base codecs: made once, taken by the name of their model, started from."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import qama
from qama import bases
from qama.cli.main import app
from qama.examples import docstrings

DIMS = 24
WORDS = np.random.default_rng(0).standard_normal((997, DIMS)).astype(np.float32)


def embed(texts):
    return np.array([WORDS[[hash_of(word) for word in text.split()]].sum(axis=0) for text in texts])


def hash_of(word):
    return sum(ord(letter) * 31**i for i, letter in enumerate(word)) % len(WORDS)


def texts(count, seed=0):
    numbers = np.random.default_rng(seed).integers(300, size=(count, 6))
    return [" ".join(f"w{n}" for n in row) for row in numbers]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("QAMA_HOME", str(tmp_path))
    return tmp_path


def test_a_base_is_found_by_the_name_of_its_model(home):
    made = qama.make_base("some/model-1", embed, texts(400), max_bytes=8)
    assert bases.base_path("some/model-1") == home / "bases" / "some--model-1.qama"
    found = qama.base("some/model-1")
    assert found.fingerprint == made.fingerprint
    assert found.model == "some/model-1"
    X = embed(texts(100, 1))
    np.testing.assert_array_equal(found.encode(X, nbytes=8), made.encode(X, nbytes=8))


def test_a_fit_of_few_rows_is_better_from_a_base_than_alone():
    """Rows of the same words: what the base knows of them, a few cannot say."""
    base = qama.make_base("words", embed, texts(3000), max_bytes=8)
    few, unseen = embed(texts(60, 1)), embed(texts(500, 2))
    unit = unseen / np.linalg.norm(unseen, axis=1, keepdims=True)

    def error(codec):
        stands_for = codec.decode(codec.encode(unseen, nbytes=8), nbytes=8)
        stands_for /= np.linalg.norm(stands_for, axis=1, keepdims=True)
        return 1 - (unit * stands_for).sum(axis=1).mean()

    assert error(qama.fit(few, base=base, max_bytes=8)) < 0.95 * error(qama.fit(few, max_bytes=8))


def test_one_that_was_not_made_is_named_with_the_command_that_makes_it():
    with pytest.raises(FileNotFoundError, match=r"there is none.*: qama base words$"):
        qama.base("words")
    qama.make_base("a/b", embed, texts(400), max_bytes=4)
    with pytest.raises(FileNotFoundError, match="there are those of a/b"):
        qama.base("words")


@pytest.mark.parametrize("name", ["", "../up", "a b", "a/", 3])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="give a name such as all-MiniLM-L6-v2"):
        qama.base(name)


def test_the_command_and_a_fit_from_what_it_made(home, tmp_path, monkeypatch):
    file, rows, out = tmp_path / "texts.txt", tmp_path / "rows.npy", tmp_path / "own.codec"
    file.write_text("\n".join(texts(1200)))
    np.save(rows, embed(texts(100, 5)).astype(np.float32))
    monkeypatch.setitem(sys.modules, "own_models", sys.modules[__name__])
    command = ["base", "words", "--texts", str(file), "--embed", "own_models:embed"]
    run = CliRunner().invoke(app, [*command, "--most", "1000"])
    assert run.exit_code == 0, run.output
    assert qama.base("words").facts["rows"] == 1000
    fitted = ["fit", str(rows), "-o", str(out), "--base", "words", "--max-bytes", "8"]
    run = CliRunner().invoke(app, fitted)
    assert run.exit_code == 0, run.output
    assert qama.Codec.load(out).facts["base"] == qama.base("words").fingerprint


@pytest.mark.parametrize("given", ["my.codec", "../my.codec"])
def test_a_base_that_is_neither_file_nor_model_is_both_in_the_message(given, tmp_path):
    rows = tmp_path / "rows.npy"
    np.save(rows, embed(texts(100)).astype(np.float32))
    command = ["fit", str(rows), "-o", str(tmp_path / "own.codec"), "--base", given]
    run = CliRunner().invoke(app, command)
    assert run.exit_code == 2
    said = " ".join(run.stderr.split())
    assert f"--base is {given}, which is no file, and" in said


def test_without_texts_it_takes_docstrings(monkeypatch):
    some = [docstrings.Docstring("a", "b", text) for text in texts(500)]
    monkeypatch.setattr(docstrings, "collect", lambda count, seed: some)
    monkeypatch.setitem(sys.modules, "own_models", sys.modules[__name__])
    run = CliRunner().invoke(app, ["base", "words", "--embed", "own_models:embed"])
    assert run.exit_code == 0, run.output
    assert qama.base("words").facts["rows"] == 500
