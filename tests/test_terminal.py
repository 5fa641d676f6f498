"""What commands print of names, facts and paths of strangers, and which files they leave alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from rich.table import Table
from typer.testing import CliRunner

from qama import Codec, Index, console, container
from qama.cli.main import app
from qama.evaluation import page, provenance, report

GOLDEN = Path(__file__).parent / "golden" / "codec.qama"
HOSTILE = {
    "ansi": ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
    "bidi": ("a\u202eb\u2066", "a\\u202eb\\u2066"),
    "newline": ("a\nok: whole\r", "a\\nok: whole\\r"),
    "c1": ("a\x9b31m", "a\\x9b31m"),
    "surrogate": ("a\udce9b", "a\\udce9b"),
    "markup": ("[/x] [red]x[/] :smile:", "[/x] [red]x[/] :smile:"),
    "letters": ("Größe 向量", "Größe 向量"),
}
hostile = pytest.mark.parametrize(("raw", "told"), HOSTILE.values(), ids=HOSTILE)
STORABLE = {name: texts for name, texts in HOSTILE.items() if name != "surrogate"}  # no Unicode
storable = pytest.mark.parametrize(("raw", "told"), STORABLE.values(), ids=STORABLE)


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def printable(text):
    """Whether every character of a text but its line ends may reach a terminal."""
    return all(line.isprintable() for line in text.split("\n"))


@pytest.fixture(scope="module")
def golden():
    return Codec.load(GOLDEN)


@pytest.fixture
def vectors(golden):
    return np.random.default_rng(0).standard_normal((200, golden.dims_in)).astype(np.float32)


@hostile
def test_shown(raw, told):
    assert console.shown(raw) == told


@hostile
def test_strings_and_tables_show_what_they_hold(raw, told, capsys):
    table = Table(raw, title=raw, caption=raw)
    table.add_row(raw)
    console.wide.print(table)
    console.tell(raw)
    console.data.print(raw)
    out = capsys.readouterr().out
    assert out.count(told) == 6
    assert printable(out)


@hostile
def test_what_a_person_is_told(raw, told, capsys):
    @console.command
    def warn():
        warnings.simplefilter("always")
        warnings.warn(raw, stacklevel=1)
        with console.progress(raw, 1) as update:
            update(1, raw)
        console.say(raw)

    warn()
    err = capsys.readouterr().err
    assert f"warning: {told}\n" in err
    assert err.count(told) >= 3
    assert printable(err)


@hostile
@pytest.mark.parametrize(("error", "code"), [(ValueError, 2), (OSError, 2), (RuntimeError, 1)])
def test_errors_and_defects(raw, told, error, code, capsys):
    @console.command
    def fail():
        raise error(raw)

    with pytest.raises(typer.Exit) as left:
        fail()
    assert left.value.exit_code == code
    err = capsys.readouterr().err
    assert told in err
    assert printable(err)


@storable
@pytest.mark.parametrize("kind", ["codec", "index", "partitions"])
def test_inspect_shows_facts(golden, tmp_path, vectors, raw, told, kind):
    codec = replace(golden, facts={"model": raw})
    file = tmp_path / kind
    if kind == "codec":
        codec.save(file)
    elif kind == "index":
        index = Index(codec)
        index.add(vectors)
        index.save(file)
    else:
        lists = Index(codec, nlist=2)
        lists.add(vectors)
        lists.save(file)
    found = call("inspect", file)
    assert found.exit_code == 0, found.output
    assert f"model  {told}\n" in found.stdout
    assert printable(found.output)
    exact = call("inspect", file, "--json")
    assert exact.stdout.isascii()
    assert json.loads(exact.stdout)["model"] == raw


@storable
def test_a_fingerprint_in_a_file_is_shown(golden, tmp_path, raw, told):
    meta, arrays = golden.parts()
    container.write(tmp_path / "codec", "codec", 1, {**meta, "fingerprint": raw}, arrays)
    codes = {"codes": np.zeros((1, 2), np.uint8)}
    container.write(
        tmp_path / "codes", "codes", 1, {"codec": raw, "code": {}, "compact": True}, codes
    )
    for command in ("inspect", "verify"):
        for file in ("codec", "codes"):
            assert printable(call(command, tmp_path / file).output)


def commands(name):
    """Arguments of every command that reads or writes files, with a name for each of them."""
    return [
        ("fit", name, "-o", name + "2"),
        ("encode", name, name, "-o", name + "2"),
        ("index", name, name, "-o", name + "2"),
        ("search", name, name),
        ("eval", name),
        ("inspect", name),
        ("verify", name),
        ("repair", name, "-o", name + "2"),
        ("report", name),
        ("search", name, name, "-k", name),
        ("inspect", name, name),
        ("inspect", name, "--" + name),
        (name,),
        ("--" + name,),
    ]


@pytest.mark.parametrize("number", range(len(commands(""))))
@pytest.mark.parametrize("there", [False, True])
@hostile
def test_names_of_files_are_shown(tmp_path, monkeypatch, raw, told, number, there):
    name = raw.replace("/", "")
    monkeypatch.chdir(tmp_path)
    if there:
        Path(name).write_text("no file of qama", encoding="utf-8")
    result = call(*commands(name)[number])
    assert result.exit_code in (1, 2)
    assert printable(result.output)
    assert "Traceback" not in result.output


@hostile
def test_files_written_under_such_names(tmp_path, monkeypatch, vectors, raw, told):
    name, told = raw.replace("/", ""), told.replace("/", "")
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", vectors)
    for arguments in [
        ("encode", GOLDEN, "X.npy", "-o", name),
        ("index", GOLDEN, "X.npy", "-o", name + "2"),
        ("verify", name + "2"),
        ("repair", name + "2", "-o", name),
    ]:
        result = call(*arguments)
        assert result.exit_code == 0, result.output
        assert told in result.output
        assert printable(result.output)


@hostile
def test_eval_of_a_folder_with_such_a_name(tmp_path, monkeypatch, vectors, raw, told):
    pytest.importorskip("pytrec_eval")
    name = raw.replace("/", "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / name / "qrels").mkdir(parents=True)
    docs = "".join(json.dumps({"_id": str(i), "text": "t"}) + "\n" for i in range(len(vectors)))
    Path(name, "corpus.jsonl").write_text(docs, encoding="utf-8")
    Path(name, "queries.jsonl").write_text('{"_id": "q", "text": "z"}\n', encoding="utf-8")
    Path(name, "qrels", "test.tsv").write_text("q\t1\t1\n", encoding="utf-8")
    np.save(f"{name}.docs.npy", vectors)
    np.save(f"{name}.queries.npy", vectors[:1])
    given = ("eval", name, "--embeddings", ".", "--codec", GOLDEN, "--no-baselines")
    result = call(*given)
    assert result.exit_code == 0, result.output
    assert told.replace("/", "") in result.output
    assert printable(result.output)
    assert name in json.loads(call(*given, "--json").stdout)


def test_a_page_escapes_names():
    evil = "<script>&\"'"
    section = page.Section(
        evil, evil, [[evil], [evil]],
        page.Plot([page.Line(evil, [(0, 0)])] * 2, evil, evil, [0, 1], [0, 1]),
        evil,
    )  # fmt: skip
    assert "<script>" not in page.page(evil, [section])


def test_a_table_of_records_keeps_markup(capsys):
    console.wide.print(report.rich_table([], "[/x]"))
    assert "[/x]" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="names of files that are no UTF-8")
def test_bytes_that_are_no_utf8_in_a_name(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9"
    result = subprocess.run(
        [sys.executable, "-m", "qama", "inspect", name], capture_output=True, check=False
    )
    assert result.returncode == 2
    assert b"caf\\udce9" in result.stderr


def test_letters_that_stdout_cannot_encode(golden, tmp_path):
    replace(golden, facts={"model": "Größe 向量"}).save(tmp_path / "codec")
    command = [sys.executable, "-m", "qama", "inspect", tmp_path / "codec"]
    surroundings = os.environ | {"PYTHONIOENCODING": "ascii"}
    result = subprocess.run(command, capture_output=True, check=False, env=surroundings)
    assert result.returncode == 0
    assert b"model  Gr\\xf6\\xdfe \\u5411\\u91cf\n" in result.stdout.replace(b"\r", b"")


# --- files of others --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit", "X.npy", "-o", "Q.npy", "--queries", "Q.npy"),
        ("fit", "X.npy", "-o", "Q.npy", "--pairs", "Q.npy", "X.npy"),
        ("fit", "X.npy", "-o", "c", "--checkpoint", "X.npy"),
        ("encode", "codec", "X.npy", "-o", "X.npy"),
        ("index", "codec", "X.npy", "-o", "codec"),
        ("report", "X.npy", "-o", "X.npy", "--codec", "codec"),
        ("report", "X.npy", "-o", "codec", "--codec", "codec"),
        ("eval", ".", "-o", "codec", "--codec", "codec"),
        ("eval", ".", "-o", "corpus.jsonl"),
    ],
    ids=" ".join,
)
def test_no_input_is_an_output(golden, tmp_path, monkeypatch, vectors, arguments):
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", vectors)
    np.save("Q.npy", vectors[:70])
    golden.save("codec")
    Path("corpus.jsonl").write_text("mine", encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert "an input too" in result.stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("command", ["encode", "index", "repair", "eval"])
def test_files_beside_an_output_stay(golden, tmp_path, monkeypatch, vectors, command):
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", vectors)
    index = Index(golden)
    index.add(vectors)
    index.save("index")
    others = [f"out.{suffix}" for suffix in ("part", "log", "lock", "tmp", "bak", "npy", "new")]
    for name in others:
        Path(name).write_text("mine", encoding="utf-8")
    if command == "eval":
        provenance.write(Path("out"), {})
    else:
        inputs = ("index",) if command == "repair" else (GOLDEN, "X.npy")
        assert call(command, *inputs, "-o", "out").exit_code == 0
    assert [Path(name).read_text(encoding="utf-8") for name in others] == ["mine"] * len(others)
