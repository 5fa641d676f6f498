"""qama doctor: the self-test finds a kernel that lies, and each fault of a file has its remedy."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import qama
from qama import checks, kernels
from qama.cli.main import app
from qama.machine import health, selftest

GOLDEN = Path(__file__).parent / "golden"
NATIVE = tuple(path for path in kernels.native_paths() if path != "numpy")


def call(*arguments):
    return CliRunner().invoke(app, ["doctor", "--seconds", "0", *map(str, arguments)])


def states(*paths):
    return {(f.subject, f.state): f for f in health.examined([*map(Path, paths)], 0)}


# --- the self-test -----------------------------------------------------------------------------


def test_the_native_kernels_equal_the_reference():
    count, wrong = selftest.compared(NATIVE, 0)
    assert wrong is None
    assert count == len(NATIVE) * len(selftest._WORK)


@pytest.mark.parametrize("name", ["hamming_topk", "table_topk", "nibble_tables", "to_blocks"])
def test_a_kernel_that_lies_is_found(monkeypatch, name):
    if not NATIVE:
        pytest.skip("no native kernels here")
    honest = getattr(kernels, name)

    def lying(*given, path=None, **options):
        answer = honest(*given, path=path, **options)
        if path == NATIVE[0]:
            first = answer.tables if name == "nibble_tables" else answer
            first = first[0] if isinstance(first, tuple) else first
            first.reshape(-1)[:1] += 1
        return answer

    monkeypatch.setattr(kernels, name, lying)
    _, wrong = selftest.compared(NATIVE, 0)
    assert f"on path {NATIVE[0]} differs" in wrong
    finding = health._tested(0)
    assert (finding.state, finding.said) == ("problem", wrong)
    assert "QAMA_KERNEL=numpy" in finding.remedy


# --- the installation --------------------------------------------------------------------------


def test_requirements_are_read_as_they_stand_in_metadata():
    for text, wanted in (
        ("numpy>=2", ("numpy", "2", False)),
        ('torch>=2.4; extra == "train"', ("torch", "2.4", True)),
        ("psycopg[binary]>=3.2 ; extra == 'pgvector'", ("psycopg", "3.2", True)),
        ("rich", ("rich", "", False)),
    ):
        assert health._requirement(text) == wanted


def test_packages_that_are_missing_or_old_are_problems(monkeypatch):
    monkeypatch.setattr(health, "_version", {"numpy": "1.26.4", "rich": "13.0.0"}.get)
    assert health._package("numpy", "2").remedy == 'pip install "numpy>=2"'
    assert "1.26.4; qama needs numpy 2" in health._package("numpy", "2").said
    assert health._package("rich", "13").state == "fine"
    assert health._package("typer", "0.12").state == "problem"


def test_a_forced_kernel_and_one_that_there_is_not(monkeypatch):
    monkeypatch.setattr(kernels, "info", lambda: {"path": "numpy", "available": ["avx2", "numpy"]})
    monkeypatch.setenv("QAMA_KERNEL", "numpy")
    (finding,) = health._kernels()
    assert (finding.state, finding.remedy) == ("warning", "unset QAMA_KERNEL")

    def refused():
        raise ValueError("QAMA_KERNEL is 'sse'; one of amx, avx512 is needed")

    monkeypatch.setattr(kernels, "info", refused)
    (finding,) = health._kernels()
    assert (finding.state, finding.remedy) == ("problem", "unset QAMA_KERNEL")
    monkeypatch.setattr(kernels, "info", lambda: {"path": "numpy", "available": ["numpy"]})
    (finding,) = health._kernels()
    assert "C++17 compiler" in finding.remedy


def test_threads_that_are_held_to_fewer_are_told(monkeypatch):
    for name in health._LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr(checks, "threads", lambda asked: 8)
    assert health._threads().state == "fine"
    monkeypatch.setattr(checks, "threads", lambda asked: 2)
    assert health._threads().said == "2 of 8 cores can be used"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "OMP_NUM_THREADS=1" in health._threads().said


# --- files -------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, bytes_codec, rows):
    bytes_codec.save(tmp_path / "codec.qama")
    index = qama.Index(bytes_codec, nbytes=8)
    index.add(rows)
    index.save(tmp_path / "index.qama")
    with qama.Documents.create(tmp_path / "library", bytes_codec, nbytes=8) as docs:
        docs.add([f"d{i}" for i in range(300)], rows)
        docs._save_index(0)
    (tmp_path / "notes.txt").write_text("not one of them")
    return tmp_path


def test_what_lies_in_a_folder_is_looked_at(home, monkeypatch):
    found = states(home)
    whole = {str(home / name) for name in ("codec.qama", "index.qama", "library")}
    assert {subject for subject, state in found if "/" in subject and state == "fine"} == whole
    assert not [state for _, state in found if state == "problem"]
    monkeypatch.chdir(home)
    assert {"codec.qama", "index.qama", "library"} <= {subject for subject, _ in states()}


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def test_damage_is_a_problem_with_a_remedy(home):
    for name in ("codec.qama", "index.qama"):
        flip(home / name, -100)
    (derived,) = (home / "library").glob("index-*.qama")
    flip(derived, -100)
    found = states(home)
    assert "qama repair" in found[str(home / "index.qama"), "problem"].remedy
    assert (str(home / "codec.qama"), "problem") in found
    assert f"delete {derived.name}" in found[str(home / "library"), "problem"].remedy
    derived.unlink()
    assert (str(home / "library"), "fine") in states(home / "library")
    (codec,) = (home / "library").glob("codec-*.qama")
    flip(codec, -100)
    assert "backup" in states(home / "library")[str(home / "library"), "problem"].remedy


def test_a_database_that_is_damaged(home):
    path = home / "library" / "documents.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(np.random.default_rng(0).bytes(size // 4))
    finding = states(home / "library")[str(home / "library"), "problem"]
    assert "backup" in finding.remedy


def test_what_is_none_of_ours(home, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("notes.txt", "none.qama", "empty"):
        assert (str(home / name), "problem") in states(home / name)


# --- the command -------------------------------------------------------------------------------


def test_the_command_says_it_and_exits_by_it(home, monkeypatch):
    monkeypatch.delenv("QAMA_KERNEL", raising=False)
    well = call(home)
    assert well.exit_code == 0, well.output
    assert f"ok  {home / 'library'}: 300 documents" in well.stdout.replace("\n", "")
    found = json.loads(call(home, "--json").stdout)
    assert found["well"]
    assert {*found["findings"][0]} == {"subject", "state", "said", "remedy"}
    flip(home / "index.qama", -100)
    unwell = call(home)
    assert unwell.exit_code == 1
    assert "wrong" in unwell.stdout
    assert "do: of an index: qama repair" in unwell.stdout
    assert not json.loads(call(home, "--json").stdout)["well"]


def test_documents_of_a_published_version_are_well(tmp_path):
    shutil.copytree(GOLDEN / "documents-1", tmp_path / "documents-1")
    assert (str(tmp_path / "documents-1"), "fine") in states(tmp_path / "documents-1")
