"""Disks that are really full, folders that may not be written; test_store has injected faults."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from qama import Codec, Documents, Index
from qama.search.storage.verify import verify

CELL = {"dims": 8, "level": "2"}
GOLDEN = Path(__file__).parent / "golden" / "codec.qama"
NOBODY = 65534
X = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)


@contextmanager
def unprivileged():
    """Root may write anywhere: be nobody meanwhile."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder():
    """A folder that everyone may enter, unlike those of pytest."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    made.chmod(0o755)
    shutil.rmtree(made)


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def filled(codec):
    """What can be saved."""
    index = Index(codec, **CELL)
    index.add(X[:100])
    lists = Index(codec, **CELL, nlist=2)
    lists.add(X[:100])
    return {"index": index, "lists": lists, "codec": codec}


def test_a_folder_that_may_not_be_written_is_only_read(folder):
    things = filled(Codec.load(GOLDEN))
    for name, thing in things.items():
        thing.save(folder / name)
    with Index.open(folder / "index", mode="a") as index:
        index.add(X[100:110])
    before = contents(folder)
    folder.chmod(0o555)
    with unprivileged():
        assert Index.open(folder / "index", verify=True).search(X[:2], 5).ids.shape == (2, 5)
        writer = Index.open(folder / "index", mode="a")
        for change in (
            lambda: writer.add(X[:1]), lambda: writer.delete([1], durable=True), writer.compact,
        ):  # fmt: skip
            with pytest.raises(PermissionError, match=str(folder)):
                change()
            assert writer.ids.tolist() == list(range(110))
        writer.close()
        for name, thing in things.items():
            for target in (name, "new"):
                with pytest.raises(PermissionError, match=str(folder)):
                    thing.save(folder / target)
    assert contents(folder) == before


def test_documents_that_may_not_be_written_are_only_read(folder):
    with Documents.create(folder / "docs", Codec.load(GOLDEN), **CELL) as docs:
        docs.add([str(i) for i in range(100)], X[:100])
    before = contents(folder / "docs")
    (folder / "docs").chmod(0o555)
    with unprivileged():
        with Documents.open(folder / "docs") as docs:
            assert len(docs.search(X[0], 200)) == 100
        with pytest.raises(PermissionError):
            Documents.open(folder / "docs", "a")
        with pytest.raises(PermissionError):
            Documents.create(folder / "docs" / "new", Codec.load(GOLDEN))
    assert contents(folder / "docs") == before
    with unprivileged():
        reader = Documents.open(folder / "docs")
    (folder / "docs").chmod(0o755)
    with Documents.open(folder / "docs", "a") as writer:  # someone may write, after all
        writer.add(["more"], X[:1])
    (folder / "docs").chmod(0o555)
    with unprivileged(), reader:
        assert len(reader.search(X[0], 200)) == len(reader) == 101


FULL = """
import sys, errno, numpy as np, qama
path, X = sys.argv[1], np.random.default_rng(0).standard_normal((700, 8)).astype(np.float32)
index = qama.Index.open(path, mode="a")
def fails(change):
    kept = index.ids.tolist()
    try:
        for _ in range(1000):
            change()
            kept = index.ids.tolist()
    except OSError as error:
        print(error.errno, error.filename)
    assert index.ids.tolist() == kept == qama.Index.open(path).ids.tolist()
fails(lambda: index.add(X))
fails(lambda: index.add(X[:1], durable=True))
fails(lambda: index.save(path + ".copy"))
fails(lambda: index.compact())
print(len(index))
"""


def on_a_small_disk(folder, *words):
    """Run a command with a file system of 300 KB of its own at the folder."""
    mount = f"mount -t tmpfs -o size=300k small {folder} && cp -a {folder}.files/. {folder}"
    after = f"code=$?; cp -a {folder}/. {folder}.files; exit $code"
    script = f'{mount} && "$@"; {after}'
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_disk_that_is_really_full_keeps_the_earlier_state(tmp_path):
    small, kept = tmp_path / "small", tmp_path / "small.files"
    small.mkdir()
    kept.mkdir()
    if not shutil.which("unshare") or on_a_small_disk(small, "true").returncode:
        pytest.skip("this system lets no one mount a small file system")
    filled(Codec.load(GOLDEN))["index"].save(kept / "index")
    done = on_a_small_disk(small, sys.executable, "-c", FULL, str(small / "index"))
    assert done.returncode == 0, done.stderr
    *refused, length = done.stdout.splitlines()
    path = small / "index"
    assert [line.split()[0] for line in refused] == [str(errno.ENOSPC)] * 4
    added, lasting, copied, compacted = (line.split()[1] for line in refused)
    assert added == lasting == f"{path}.qama-log"
    assert copied in (f"{path}.copy", f"{path}.copy.qama-lock")
    assert compacted == str(path)
    findings = verify(kept / "index")
    assert findings.problems == []
    assert len(Index.open(kept / "index", verify=True)) == int(length) > 700
    assert not [file for file in kept.iterdir() if file.name.startswith(".")]
