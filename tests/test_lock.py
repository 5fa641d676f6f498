"""The lock of a writer, where another holder or a full disk comes in between."""

from __future__ import annotations

import errno
import json
import os
import socket

import pytest

from qama import LockedError, files, locks
from qama.search.storage.lock import Lock


@pytest.fixture
def path(tmp_path):
    return tmp_path / "index"


def test_a_lock_names_its_holder_and_leaves_nothing(path):
    held = Lock(path)
    assert not held.held
    held.release()  # does nothing
    held.acquire()
    assert held.held
    assert json.loads(held.path.read_text()) == {"pid": os.getpid(), "host": socket.gethostname()}
    other = Lock(path)
    with pytest.raises(LockedError) as refused:
        other.acquire()
    assert str(refused.value) == (
        f"{path} is open for writing in process {os.getpid()} on {socket.gethostname()!r}; close "
        f'it there, or open it with mode="r"'
    )
    assert not other.held
    held.release()
    assert not held.held
    assert list(path.parent.iterdir()) == []
    other.acquire()
    other.release()


@pytest.mark.parametrize(
    "text", ["", '{"pid":', '{"pid": 1}', '{"pid": "x", "host": 2}', '{"pid":' + "[" * 100_000]
)
def test_a_holder_that_cannot_be_read_is_another_process(path, text):
    held = Lock(path)
    held.acquire()
    held.path.write_text(text)
    with pytest.raises(LockedError, match="is open for writing in another process; close"):
        Lock(path).acquire()
    held.release()


def test_an_exception_that_is_kept_keeps_no_lock(path, monkeypatch):
    def interrupted(self, file):
        raise KeyboardInterrupt

    monkeypatch.setattr(Lock, "_is_there", interrupted)
    with pytest.raises(KeyboardInterrupt) as kept:
        Lock(path).acquire()
    monkeypatch.undo()
    other = Lock(path)
    other.acquire()  # though the traceback still has the file
    other.release()
    assert kept.value.__traceback__ is not None


@pytest.mark.parametrize("successor", [False, True], ids=["removed", "replaced"])
def test_a_file_that_its_holder_removed_is_no_lock(path, monkeypatch, successor):
    """The holder removes it after we opened it and before we hold it: the name counts."""
    hold, ghosts = locks.hold, []

    def late(descriptor):
        if not ghosts:
            ghosts.append(os.fstat(descriptor).st_ino)
            os.rename(mine.path, path.with_name("ghost"))
            if successor:
                mine.path.touch()
        hold(descriptor)

    mine = Lock(path)
    monkeypatch.setattr(locks, "hold", late)
    mine.acquire()
    assert mine.path.stat().st_ino not in ghosts
    with pytest.raises(LockedError, match=f"in process {os.getpid()} "):
        Lock(path).acquire()
    mine.release()
    assert not mine.path.exists()


def test_where_no_lock_can_be_made_the_index_is_named(tmp_path):
    index = tmp_path / "no" / "index"
    with pytest.raises(FileNotFoundError) as caught:
        Lock(index).acquire()
    assert caught.value.filename == str(index)


def test_a_lock_that_cannot_be_written_is_given_back(path, monkeypatch):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    mine = Lock(path)
    with monkeypatch.context() as patched:
        patched.setattr(files, "write_all", full)
        with pytest.raises(OSError, match="No space left") as refused:
            mine.acquire()
    assert refused.value.filename == str(mine.path)
    assert not mine.held
    assert list(path.parent.iterdir()) == []
    Lock(path).acquire()


def test_a_lock_whose_file_was_closed_is_none_and_can_be_taken_again(tmp_path):
    lock = Lock(tmp_path / "index")
    lock.acquire()
    lock._file.close()  # and an exception came before it was forgotten
    assert (lock.held, lock.lost) == (False, False)
    lock.acquire()
    assert lock.held
    with pytest.raises(LockedError):
        Lock(tmp_path / "index").acquire()
    lock.release()
    lock.release()
    assert not lock.path.exists()


def test_a_lock_falls_whatever_comes_between_its_release(tmp_path, monkeypatch):
    lock = Lock(tmp_path / "index")
    lock.acquire()

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(lock, "_is_there", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lock.release()
    assert not lock.held
    other = Lock(tmp_path / "index")
    other.acquire()
    other.release()
