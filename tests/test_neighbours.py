"""What others do to the files of an index, and what lies beside them."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from qama import Codec, FormatError, Index, RecoveryWarning, locks
from qama.search.storage import base, log, store
from qama.search.storage.repair import repair
from qama.search.storage.verify import verify

CELL = {"dims": 8, "level": "2"}
GOLDEN = Path(__file__).parent / "golden" / "codec.qama"
X = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    Index(Codec.load(GOLDEN), **CELL).save(tmp_path / "index")
    return tmp_path / "index"


def written(path, changes=10, durable=False):
    """An index whose log holds so many changes of three rows; closed."""
    with Index.open(path, mode="a") as index:
        for start in range(0, 3 * changes, 3):
            index.add(X[start : start + 3], durable=durable)


def everything(path):
    """What a writer does with the files of an index."""
    with Index.open(path, mode="a") as index:
        index.add(X[:5], durable=True)
        index.delete([0])
        index.compact()
        index.add(X[:2])
    Index.open(path).save(path)


# --- what lies beside -------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["log", "lock", "tmp", "qama-tmp", "0123456789abcdef"])
@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "index"])
def test_files_of_others_beside_an_index_stay(path, suffix, kind):
    for name in (f"index.{suffix}", f".index.{suffix}"):
        other, target = path.with_name(name), path.parent / "precious"
        if kind == "file":
            other.write_text("my notes")
        elif kind == "index":
            shutil.copy(path, target)
            os.link(target, other) if name == "index.log" else other.write_text("my notes")
        else:
            other.symlink_to(target)
            if kind == "link":
                target.write_text("precious")
    before = {f.name: f.read_bytes() for f in path.parent.iterdir() if f != path and f.exists()}
    everything(path)
    kept = {f.name: f.read_bytes() for f in path.parent.iterdir() if f != path and f.exists()}
    assert kept == before
    assert path.with_name(f"index.{suffix}").is_symlink() == ("link" in kind)
    assert len(Index.open(path)) == 6


@pytest.mark.parametrize("suffix", ["qama-log", "qama-lock"])
@pytest.mark.parametrize("link", [False, True], ids=["file", "link"])
def test_a_file_of_another_at_a_name_of_ours_is_in_the_way(path, suffix, link):
    other, target = path.with_name(f"index.{suffix}"), path.with_name("precious")
    if link:
        target.write_text("precious")
        other.symlink_to(target)
    else:
        other.write_text("my notes")
    whole = path.read_bytes()
    with pytest.raises((FileExistsError, FormatError), match=rf"index\.{suffix}.* (is not|not a)"):
        everything(path)
    assert other.read_text() == ("precious" if link else "my notes")
    assert path.read_bytes() == whole


def test_an_index_may_be_called_like_the_log_of_another(path):
    other = path.with_name("index.log")
    shutil.copy(path, other)
    written(other)
    everything(path)
    everything(other)
    assert (len(Index.open(path)), len(Index.open(other))) == (6, 36)


def test_a_file_of_before_keeps_its_log_until_it_is_compacted(tmp_path):
    golden = GOLDEN.parent / "index-2.qama"
    for file in golden.parent.glob("index-2.qama*"):
        shutil.copy(file, tmp_path)
    old = tmp_path / golden.name
    before = Index.open(old).ids.tolist()
    with Index.open(old, mode="a") as index:
        first = int(index.add(np.ones((1, 16), dtype=np.float32), durable=True)[0])
        assert (tmp_path / "index-2.qama.log").stat().st_size > log.HEADER_BYTES
        assert not base.log_path(old).exists()
        index.compact()
        assert not (tmp_path / "index-2.qama.log").exists()
        index.delete(before[:1])
        assert base.log_path(old).exists()
    assert Index.open(old).ids.tolist() == [*before[1:], first]


def test_what_killed_writers_left_is_cleared_by_the_next(path):
    folder = path.parent
    left = [folder / ".index.0123456789abcdef.qama-tmp", folder / ".index.0123456789abcdef",
            folder / ".index.qama-log.0123456789abcdef.qama-tmp"]  # fmt: skip
    for file in left:
        file.write_bytes(path.read_bytes()[:100])
    foreign = folder / ".index.fedcba9876543210.qama-tmp"
    foreign.write_text("not ours")
    alive = folder / ".index.aaaaaaaaaaaaaaaa.qama-tmp"
    alive.write_bytes(path.read_bytes()[:100])
    with alive.open("rb") as held:
        locks.hold(held.fileno())
        everything(path)
    assert not any(file.exists() for file in left)
    assert foreign.read_text() == "not ours"
    assert alive.exists()


def test_a_log_that_a_base_contains_is_gone_before_the_next_base_takes_its_place(path, monkeypatch):
    """A power cut left the log that a save removes; the next save is cut off amid its work."""
    written(path)
    old = base.log_path(path).read_bytes()
    Index.open(path).save(path)
    base.log_path(path).write_bytes(old)
    assert len(Index.open(path)) == 30
    seen, write = [], base.write

    def written_and_seen(*given):
        write(*given)
        seen.append(len(Index.open(path)))  # what a power cut just now would leave

    monkeypatch.setattr(base, "write", written_and_seen)
    Index.open(path).save(path)
    assert seen == [30]


# --- what others do to them -------------------------------------------------------------------


@pytest.mark.parametrize("record", [0, 5, 9], ids=["first", "middle", "last"])
@pytest.mark.parametrize("at", [0, 5, 9, 17, 24, 33, 45, 50, 77])
def test_a_rotten_bit_of_what_was_synced_is_told(path, tmp_path, record, at):
    written(path)
    name = base.log_path(path)
    raw = bytearray(name.read_bytes())
    assert len(log.read(np.frombuffer(bytes(raw), np.uint8), name).records) == 11
    raw[log.HEADER_BYTES + record * (48 + 30) + at] ^= 4
    name.write_bytes(raw)
    for mode in ("r", "a"):
        with pytest.raises(FormatError, match=r"is damaged and whole records follow .*repair"):
            Index.open(path, mode)
    assert not verify(path).whole
    assert not verify(name).whole
    assert name.read_bytes() == raw
    salvage = repair(path, tmp_path / "new")
    assert (salvage.vectors, salvage.records, salvage.lost_records) == (27, 9, 1)


def test_records_behind_what_was_never_synced_are_kept_aside(path):
    """As a power cut may leave them: what lies before them was not written."""
    index = Index.open(path, mode="a")
    for start in range(0, 30, 3):
        index.add(X[start : start + 3])
    name, copy = base.log_path(path), path.with_name("copy")
    raw = bytearray(name.read_bytes())
    raw[log.HEADER_BYTES + 2 * 78 : log.HEADER_BYTES + 3 * 78] = bytes(78)
    shutil.copy(path, copy)
    base.log_path(copy).write_bytes(raw)
    index.close()
    assert len(Index.open(copy)) == 6
    findings = verify(copy)
    assert findings.problems == [
        f"{base.log_path(copy)}: what follows record 2 is not whole, and 7 whole records lie "
        f"behind: `qama repair` keeps them"
    ]
    assert repair(copy, path.with_name("new")).vectors == 27
    with Index.open(copy, mode="a") as again:
        with pytest.warns(RecoveryWarning, match=r"7 whole records lay behind .* kept as "):
            again.add(X[:1], durable=True)
        assert len(again) == 7
    (aside,) = path.parent.glob("copy.qama-log-*")
    assert aside.read_bytes() == raw
    assert verify(copy).whole


def removed(path):
    path.with_name("index.qama-lock").unlink()


def replaced(path):
    lock = path.with_name("index.qama-lock")
    lock.rename(path.with_name("moved"))
    lock.write_text('{"pid": 1, "host": "x"}')


@pytest.mark.parametrize("how", [removed, replaced])
def test_a_writer_whose_lock_was_taken_away_writes_no_more(path, how):
    first = Index.open(path, mode="a")
    first.add(X[:5], durable=True)
    how(path)
    for change in (
        lambda: first.add(X[25:26], durable=True), lambda: first.delete([0]), first.compact,
        first.flush, lambda: first.upsert([1], X[:1]),
    ):  # fmt: skip
        with pytest.raises(OSError, match=r"lock was removed or replaced .*open .* again"):
            change()
    if how is replaced:
        removed(path)
    with Index.open(path, mode="a") as second:
        second.add(X[5:25], durable=True)
        held = path.with_name("index.qama-lock").read_bytes()
        first.close()
        assert path.with_name("index.qama-lock").read_bytes() == held
        second.add(X[:1])
    assert len(Index.open(path)) == 26


@pytest.mark.parametrize("change", ["log grows", "log shrinks", "log goes", "base is replaced"])
def test_files_that_someone_else_changes_are_written_no_more(path, change):
    index = Index.open(path, mode="a")
    index.add(X[:5], durable=True)
    name = base.log_path(path)
    if change == "log grows":
        with name.open("ab") as file:
            file.write(b"QREC")
    elif change == "log shrinks":
        os.truncate(name, 100)
    elif change == "log goes":
        name.unlink()
    else:
        shutil.copy(path, path.with_name("new"))
        path.with_name("new").rename(path)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    for _ in range(2):
        with pytest.raises(OSError, match=r"was changed by someone else; open .* again"):
            index.add(X[:1])
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    index.close()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_told_apart_from_a_lock_that_is_held(
    path, monkeypatch, number
):
    class NoLocks:
        LOCK_EX, LOCK_NB = 2, 4

        def flock(self, *_):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks, "fcntl", NoLocks())
    index = Index.open(path, mode="a")
    for change in (lambda: index.add(X), lambda: Index.open(path).save(path)):
        with pytest.raises(OSError, match=r"file system cannot lock files .*local disk") as told:
            change()
        assert (told.value.errno, told.value.filename) == (number, str(path))
    assert [file.name for file in path.parent.iterdir()] == ["index"]
    assert len(Index.open(path)) == 0


CHANGED_IN_PLACE = """
import shutil, sys, numpy as np, qama
path, new = sys.argv[1:]
index = qama.Index.open(path)
X = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
index.search(X, 3)
shutil.copyfile(new, path)  # as cp does: the file is cut, then written
for ask in (lambda: index.search(X, 3), lambda: index.range_search(X, .5)):
    try:
        ask()
        print("answered")
    except OSError as error:
        print(error)
"""


@pytest.mark.parametrize("rows", [10, 99_990, 100_000, 120_000])
def test_a_mapped_file_that_is_changed_in_place_is_an_error(path, rows):
    codes = np.random.default_rng(0).integers(0, 256, (120_000, 2), dtype=np.uint8)
    for name, count in (("live", 100_000), ("new", rows)):
        index = Index(Codec.load(GOLDEN), **CELL)
        index.add_codes(codes[:count] ^ (name == "new"), compact=True)
        index.save(path.with_name(name))
    live, new = str(path.with_name("live")), str(path.with_name("new"))
    done = subprocess.run([sys.executable, "-c", CHANGED_IN_PLACE, live, new],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all(f"{live} was changed in place" in line for line in lines)


# --- forks ------------------------------------------------------------------------------------


def in_a_fork(work):
    """Run in a forked child, with a limit of a minute; returns whether it ended well."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    ended = threading.Event()
    threading.Timer(60, lambda: ended.is_set() or os.kill(child, 9)).start()
    _, status = os.waitpid(child, 0)
    ended.set()
    return status == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_forked_amid_a_change_neither_waits_nor_writes(path):
    index, memory = Index.open(path, mode="a"), Index(Codec.load(GOLDEN), **CELL)
    index.add(X[:5], durable=True)
    begun, end = threading.Event(), threading.Event()

    def hold():
        with index._writer, memory._writer:
            begun.set()
            end.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait(60)

    def work():
        assert len(index.search(X[:1], 3).ids[0]) == 3
        memory.add(X[:7])
        assert len(memory) == 7
        with pytest.raises(OSError, match="opened for writing in process"):
            index.add(X[:1])
        with pytest.raises(OSError, match="opened for writing in process"):
            index.flush()
        index.close()

    try:
        assert in_a_fork(work)
    finally:
        end.set()
        thread.join()
    index.add(X[5:9], durable=True)
    index.close()
    assert len(Index.open(path)) == 9


@pytest.mark.parametrize("stamp", [(0, 0, 0, 0), (2**63, 0, 0, 0)])
def test_a_log_is_not_cut_beside_a_base_that_someone_replaced(path, monkeypatch, stamp):
    with Index.open(path, mode="a") as index:
        index.add(X[:3], durable=True)
        changes = base.log_path(path)
        before = changes.read_bytes()
        with monkeypatch.context() as patched:
            patched.setattr(store, "stamp_of", lambda _: stamp)
            index._store._settled = False
            changes.write_bytes(before + b"of another writer")
            index._store.settle(index._state)
        assert changes.read_bytes() == before + b"of another writer"
        changes.write_bytes(before)
        index._store.settle(index._state)
        index.delete([0])
