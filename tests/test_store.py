"""The files of an index: durable changes, one writer, readers beside it, and failing disks."""

from __future__ import annotations

import errno
import gc
import os
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from qama import Codec, FormatError, Index, LockedError, RecoveryWarning, files
from qama.search.storage import base, loading, store

GOLDEN = Path(__file__).parent / "golden" / "codec.qama"
CELL = {"dims": 8, "level": "2"}
X = np.random.default_rng(0).standard_normal((400, 8)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    """A saved index of 100 vectors with ids 0 to 99."""
    index = Index(Codec.load(GOLDEN), **CELL)
    index.add(X[:100])
    index.save(tmp_path / "index")
    return tmp_path / "index"


def names(path):
    return sorted(file.name for file in path.parent.iterdir())


def state(index):
    found = index.search(X[:3], 1000)
    return index.ids.tolist(), found.ids.tolist(), found.scores.tolist()


class Disk:
    """The module `os` as `qama.files` sees it, which fails when it is told to."""

    def __init__(self):
        self.failing = {}  # function: (errno, after so many calls)
        self.calls = []
        self.most = None  # bytes that one write takes

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in ("write", "fsync", "replace", "ftruncate", "open", "unlink"):
            return real

        def call(*args, **kwargs):
            self.calls.append(name)
            number, left = self.failing.get(name, (0, 0))
            if number and left <= 0:
                file = (str(args[0]),) if name == "open" else ()  # as the system does
                raise OSError(number, os.strerror(number), *file)
            if number:
                self.failing[name] = (number, left - 1)
            if name == "write" and self.most:
                return real(args[0], args[1][: self.most])
            return real(*args, **kwargs)

        return call


@pytest.fixture
def disk(monkeypatch):
    made = Disk()
    monkeypatch.setattr(files, "os", made)
    return made


# --- the log ----------------------------------------------------------------------------------


def test_changes_are_in_the_log_and_the_base_is_never_written(path):
    before = path.read_bytes()
    with Index.open(path, mode="a") as index:
        assert names(path) == ["index"]  # opening writes nothing
        assert index.add(X[100:170]).tolist() == list(range(100, 170))
        assert names(path) == ["index", "index.qama-lock", "index.qama-log"]
        index.delete([3, 150])
        index.upsert([7, 500], X[170:172])
        expected = state(index)
    assert path.read_bytes() == before
    assert names(path) == ["index", "index.qama-log"]
    for mode in ("r", "a"):
        again = Index.open(path, mode)
        assert state(again) == expected
    assert again.add(X[:1]).tolist() == [501]  # behind all that were given


def test_durable_changes_are_synced_before_they_return(path, disk):
    index = Index.open(path, mode="a")
    index.add(X[100:101])
    for change in (
        lambda durable: index.add(X[:1], durable=durable),
        lambda durable: index.upsert([5], X[:1], durable=durable),
        lambda durable: index.delete([6], durable=durable) or index.delete([9], durable=durable),
    ):
        disk.calls.clear()
        change(durable=False)
        assert "fsync" not in disk.calls
        disk.calls.clear()
        change(durable=True)
        assert disk.calls[-3:] == ["write", "fsync", "write"]  # the last one says so
    disk.calls.clear()
    index.flush()
    assert disk.calls == []  # everything is on the disk already
    index.add(X[:1])
    index.flush()
    assert disk.calls == ["write", "fsync", "write"]


def test_closing_is_a_flush(path, disk):
    index = Index.open(path, mode="a")
    index.add(X[100:101])
    disk.calls.clear()
    index.close()
    assert disk.calls == ["fsync", "write"]


@pytest.mark.parametrize("begin", [lambda index: index.delete([]), Index.flush, Index.close])
def test_the_next_writer_makes_the_name_of_a_log_last(path, monkeypatch, begin):
    """A writer may be killed when its new log has its name, and the folder is not synced yet."""
    with Index.open(path, mode="a") as index:
        index.add(X[:1])
    synced = []
    monkeypatch.setattr(files, "sync_folder", synced.append)
    index = Index.open(path, mode="a")
    begin(index)
    assert synced == [path.parent]


def test_the_first_change_reads_nothing_anew_unless_the_files_changed(path, monkeypatch):
    loads, load = [], store.load
    monkeypatch.setattr(
        store, "load", lambda *args, **more: loads.append(args) or load(*args, **more)
    )
    first, second = Index.open(path, mode="a"), Index.open(path, mode="a")
    first.add(X[100:101])
    first.close()
    assert loads == []
    second.add(X[101:102])
    second.close()
    assert len(loads) == 1
    assert len(second) == 102


def test_codes_are_the_same_of_one_codec_and_one_request_alone(codec, paper_codec, tmp_path):
    requests = [(codec, "1"), (codec, "2"), (paper_codec, "2")]
    found = []
    for number, (fitted, level) in enumerate(requests):
        Index(fitted, dims=16, level=level).save(tmp_path / str(number))
        found.append(base.read(tmp_path / str(number)))
    same = [[one.same_codes(other) for other in found] for one in found]
    np.testing.assert_array_equal(same, np.eye(3, dtype=bool))


def test_a_compaction_that_failed_before_the_new_base_was_there_changes_nothing(path, disk):
    with Index.open(path, mode="a") as index:
        index.delete([3])
        index.flush()
        disk.failing["fsync"] = (errno.EIO, 0)
        with pytest.raises(OSError, match="Input/output error"):
            index.compact()
        disk.failing.clear()
        index.add(X[100:101])
        expected = state(index)
    assert base.read(path).generation == 0
    assert state(Index.open(path)) == expected


def test_a_compaction_that_failed_after_it_is_gone_on_from(path, monkeypatch):
    """The folder's sync failed, but the new base is there: the next change goes on from it."""
    index = Index.open(path, mode="a")
    index.delete([3])
    expected = state(index)

    def fail(folder):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(files, "sync_folder", fail)
        with pytest.raises(OSError, match="Input/output error"):
            index.compact()
    assert state(index) == expected
    assert base.read(path).generation == 1
    index.add(X[:1], durable=True)
    index.delete([1])
    expected = state(index)
    index.close()
    assert base.read(path).generation == 1
    assert state(Index.open(path)) == expected
    assert len(index) == 99


def test_an_index_in_memory_refuses_what_needs_a_file(path):
    index = Index(Codec.load(GOLDEN), **CELL)
    for change in (lambda: index.add(X[:1], durable=True), index.flush,
                   lambda: index.upsert([1], X[:1], durable=True),
                   lambda: index.delete([1], durable=True)):  # fmt: skip
        with pytest.raises(ValueError, match="an index that is kept in a file: save it"):
            change()
    with pytest.raises(ValueError, match="opened from a file"):
        index.refresh()
    assert len(index) == 0
    with pytest.raises(ValueError, match='mode="a"'):
        Index.open(path).flush()


def test_changes_in_memory_leave_the_file_as_it_is(path, tmp_path):
    before = path.read_bytes()
    index = Index.open(path, mode="c")
    index.add(X[100:110])
    index.delete([3])
    codes = index.codec.encode(X[110:112], compact=True, **CELL)
    assert index.upsert_codes([4, 900], codes, compact=True).tolist() == [4, 900]
    assert len(index) == 110
    for refused in (index.refresh, index.flush, lambda: index.add(X[:1], durable=True)):
        with pytest.raises(ValueError, match="file"):
            refused()
    index.close()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before
    index.save(path)
    assert state(Index.open(path)) == state(index)


def test_an_unfinished_write_is_cut_off_and_told(path):
    with Index.open(path, mode="a") as index:
        index.add(X[100:110])
        expected = state(index)
        index.add(X[110:120])
    log = base.log_path(path)
    os.truncate(log, log.stat().st_size - 48 - 5)  # all of a record but its end
    length = log.stat().st_size
    reader = Index.open(path)
    assert state(reader) == expected
    assert log.stat().st_size == length  # a reader writes nothing
    index = Index.open(path, mode="a")
    with pytest.warns(
        RecoveryWarning, match=r"index\.qama-log: the last 143 bytes were an unf"
    ) as told:
        index.add(X[110:112])
    assert told[0].filename == __file__  # where the change was asked for
    index.close()
    assert len(Index.open(path)) == 112


def test_damage_in_the_middle_of_the_log_is_refused(path):
    with Index.open(path, mode="a") as index:
        for start in range(100, 140, 10):
            index.add(X[start : start + 10], durable=True)
    log = base.log_path(path)
    raw = bytearray(log.read_bytes())
    raw[200] ^= 1
    log.write_bytes(raw)
    for mode in ("r", "a"):
        with pytest.raises(FormatError, match=r"record 1 at byte 64 is damaged .*qama repair"):
            Index.open(path, mode)


def test_a_log_of_another_index_is_refused(path, tmp_path):
    with Index.open(path, mode="a") as index:
        index.add(X[100:110])
    other = Index(Codec.load(GOLDEN), **CELL)
    other.add(X[:7])
    other.save(tmp_path / "other")
    (tmp_path / "index.qama-log").rename(tmp_path / "other.qama-log")
    fingerprint, identity = Codec.load(GOLDEN).fingerprint, base.read(path).identity
    with pytest.raises(FormatError) as refused:
        Index.open(tmp_path / "other")
    assert str(refused.value) == (
        f"{tmp_path / 'other.qama-log'} belongs to the index {identity} of codec {fingerprint}, "
        f"2 B a row; {tmp_path / 'other'} is {base.read(tmp_path / 'other').identity} of codec "
        f"{fingerprint}, 2 B: move the log away if the file is to be used without it"
    )


@pytest.mark.parametrize("records", [
    [("add", [5], 1)],  # there already
    [("add", [0], 1)],
    [("add", [-1], 1)], [("add", [200, 200], 2)], [("delete", [-5], 0)],
])  # fmt: skip
def test_a_log_that_cannot_follow_is_refused(path, records):
    from qama.search.storage import log

    found = base.read(path)
    raw = log.Header(found.identity, found.codec.fingerprint, 2).pack()
    for number, (kind, ids, codes) in enumerate(records, start=1):
        raw += log.pack(kind, number, 64, np.array(ids), np.zeros((codes, 2), np.uint8))
    base.log_path(path).write_bytes(raw)
    with pytest.raises(FormatError, match="record 1 is inconsistent"):
        Index.open(path)


# --- compaction -------------------------------------------------------------------------------


def test_compaction_keeps_order_and_ids_and_ends_the_log(path):
    with Index.open(path, mode="a") as index:
        index.delete(np.arange(50))
        index.upsert([60], X[200:201])
        index.add(X[300:303])
        reader = Index.open(path)
        expected = state(index)
        index.compact()
        assert state(index) == expected
        assert names(path) == ["index", "index.qama-lock"]
        assert base.read(path).rows == 53
        assert state(reader) == expected  # by the file that is no longer there
        assert index.add(X[:1]).tolist() == [103]
        reader.refresh()
        assert state(reader) == state(index)
    assert base.read(path).generation == 1


def test_a_log_of_the_replaced_base_is_recognised(path):
    with Index.open(path, mode="a") as index:
        index.delete(np.arange(50))
        old = base.log_path(path).read_bytes()
        index.compact()
        expected = state(index)
    base.log_path(path).write_bytes(old)  # as if the kill came before it was removed
    assert state(Index.open(path)) == expected
    with Index.open(path, mode="a") as index:
        index.delete([])
        assert not base.log_path(path).exists()
        index.add(X[:1])
    assert len(Index.open(path)) == 51


def test_compaction_in_memory_forgets_deleted_rows(path):
    index = Index(Codec.load(GOLDEN), **CELL)
    index.add(X[:200])
    index.delete(np.arange(0, 200, 2))
    expected = state(index)
    index.compact()
    assert state(index) == expected
    assert index._now.rows == 100
    assert index.add(X[:1]).tolist() == [200]


def test_saving_over_the_file_takes_its_log_along(path, tmp_path):
    with Index.open(path, mode="a") as index:
        index.add(X[100:110])
    fresh = Index(Codec.load(GOLDEN), **CELL)
    fresh.add(X[:5])
    fresh.save(path)
    assert names(path) == ["index"]
    assert state(Index.open(path)) == state(fresh)
    fresh.save(tmp_path / "a")
    fresh.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_saving_elsewhere_is_a_copy(path, tmp_path):
    with Index.open(path, mode="a") as index:
        index.delete([3])
        for name in ("a copy", "z copy"):
            index.save(tmp_path / name)
            assert state(Index.open(tmp_path / name)) == state(index)
        assert base.read(path).generation == 0
        assert base.log_path(path).exists()
        index.save(path)
        assert base.read(path).generation == 1
        assert not base.log_path(path).exists()


def test_default_ids_do_not_start_again_after_saving(tmp_path):
    index = Index(Codec.load(GOLDEN), **CELL)
    index.add(X[:10])
    index.delete([8, 9])
    index.save(tmp_path / "index")
    assert Index.open(tmp_path / "index", mode="a").add(X[:1]).tolist() == [10]


# --- who may write ----------------------------------------------------------------------------


def test_a_second_writer_is_refused_and_the_first_is_named(path):
    first, second = Index.open(path, mode="a"), Index.open(path, mode="a")
    first.add(X[100:101])
    with pytest.raises(LockedError, match=rf"index is open for writing in process {os.getpid()} "):
        second.add(X[:1])
    with pytest.raises(LockedError, match="open for writing"):
        Index(Codec.load(GOLDEN), **CELL).save(path)
    assert len(second) == 100
    first.close()
    assert second.add(X[:1]).tolist() == [101]  # it saw what the first one did
    assert len(second) == 102
    second.close()


def test_one_file_has_one_log_and_one_lock_whatever_it_is_called(path, tmp_path):
    link, detour = tmp_path / "link", tmp_path / "sub" / ".." / "index"
    (tmp_path / "sub").mkdir()
    link.symlink_to(path)
    with Index.open(path, mode="a") as first, Index.open(link, mode="a") as second:
        first.add(X[100:102])
        with pytest.raises(LockedError):
            second.add(X[:1], durable=True)
        with pytest.raises(LockedError):
            Index(Codec.load(GOLDEN), **CELL).save(detour)
        first.save(detour)  # its own file: compacts
    with Index.open(link, mode="a") as index:
        index.delete([3, 4], durable=True)
        assert state(Index.open(path)) == state(Index.open(link)) == state(index)
        index.compact()
    assert link.is_symlink()
    assert len(Index.open(path)) == 100


@pytest.mark.skipif(os.name == "nt", reason="no such permissions there")
def test_permissions_stay_those_of_the_index(path):
    path.chmod(0o640)
    with Index.open(path, mode="a") as index:
        index.add(X[100:110])
        assert base.log_path(path).stat().st_mode & 0o777 == 0o640
        index.compact()
        assert path.stat().st_mode & 0o777 == 0o640


def test_the_lock_falls_with_its_holder(path):
    index = Index.open(path, mode="a")
    index.add(X[100:101])
    del index
    gc.collect()
    with Index.open(path, mode="a") as again:
        again.add(X[:1])
    (path.parent / "index.qama-lock").write_text('{"pid": 1, what a killed process left')
    with Index.open(path, mode="a") as again:
        again.add(X[:1])
    assert names(path) == ["index", "index.qama-log"]


def test_another_process_is_refused(path):
    program = (
        "import sys, numpy as np, qama\n"
        "index = qama.Index.open(sys.argv[1], mode='a')\n"
        "try: index.delete([1])\n"
        "except qama.LockedError as error: print(error)"
    )
    with Index.open(path, mode="a") as index:
        index.delete([1])
        said = subprocess.run([sys.executable, "-c", program, str(path)], check=True,
                              capture_output=True, text=True).stdout  # fmt: skip
        assert f"process {os.getpid()} on " in said


def test_a_copy_of_the_process_may_not_write(path):
    index = Index.open(path, mode="a")
    index.delete([1])
    index._store._process += 1  # as after a fork
    with pytest.raises(OSError, match="open it again in this one"):
        index.delete([2])
    index.close()  # leaves the lock to the process that took it
    with pytest.raises(LockedError, match="open for writing"):
        Index.open(path, mode="a").delete([2])
    index._store._process -= 1
    index.close()
    with Index.open(path, mode="a") as again:
        again.delete([2])


def test_a_file_that_was_replaced_by_other_codes_is_refused(path):
    index, reader = Index.open(path, mode="a"), Index.open(path)
    other = Index(Codec.load(GOLDEN), dims=8, level="1")
    other.save(path)
    for change in (lambda: index.add(X[:1]), reader.refresh):
        with pytest.raises(FormatError, match="was replaced by an index of codec"):
            change()
    assert len(reader) == 100
    assert names(path) == ["index"]


# --- disks that fail --------------------------------------------------------------------------


CHANGES = {
    "add": lambda index: index.add(X[100:150], durable=True),
    "upsert": lambda index: index.upsert([5, 700], X[:2], durable=True),
    "delete": lambda index: index.delete([5, 6], durable=True),
    "compact": lambda index: index.compact(),
    "save": lambda index: index.save(index._path.with_name("copy")),
}


def error_of(change):
    try:
        change()
    except OSError as error:
        return error
    return None


@pytest.mark.parametrize("failing", ["write", "fsync", "replace", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("name", CHANGES)
def test_a_failing_disk_leaves_the_earlier_state(path, disk, name, number, failing):
    for warm in (False, True):  # without a log, and with one
        for after in (0, 1, 2):
            index = Index.open(path, mode="a")
            if warm:
                index.upsert([5], X[9:10])
            before = state(index)
            disk.failing = {failing: (number, after)}
            error = error_of(lambda: CHANGES[name](index))  # noqa: B023
            disk.failing = {}
            if error is not None:
                assert error.errno == number
                assert str(path.parent) in str(error)
                assert state(index) == before
                assert state(Index.open(path)) == before or failing in ("fsync", "replace")
            index.close()
            assert state(Index.open(path, verify=True))[0]
            assert not [name for name in names(path) if name.startswith(".")]


def test_a_full_disk_can_be_emptied_and_used_again(path, disk):
    with Index.open(path, mode="a") as index:
        index.add(X[100:101])
        disk.failing = {"write": (errno.ENOSPC, 0)}
        with pytest.raises(OSError, match=r"No space left on device: .*index\.qama-log"):
            index.add(X[101:102])
        disk.failing = {}
        assert index.add(X[101:102]).tolist() == [101]
    assert len(Index.open(path)) == 102


def test_after_a_failed_sync_nothing_is_written_until_the_index_is_opened_again(path, disk):
    index = Index.open(path, mode="a")
    index.add(X[100:101])
    disk.failing = {"fsync": (errno.EIO, 0)}
    with pytest.raises(OSError, match="Input/output error"):
        index.flush()
    disk.failing = {}
    with pytest.raises(OSError, match=r"open .* again to go on"):
        index.add(X[:1])
    assert len(index) == 101
    index.close()
    with Index.open(path, mode="a") as again:
        again.add(X[:1])


def test_a_write_that_cannot_be_undone_is_cut_off_before_the_next(path, disk):
    index = Index.open(path, mode="a")
    index.add(X[100:101])
    disk.most = 10
    disk.failing = {"write": (errno.ENOSPC, 3), "ftruncate": (errno.EIO, 0)}
    with pytest.raises(OSError, match="No space"):
        index.add(X[101:102])
    disk.failing, disk.most = {}, None
    assert len(Index.open(path)) == 101  # what is not whole does not count
    other = path.with_name("copy")
    for file in (path, base.log_path(path)):
        shutil.copy(file, file.with_name(file.name.replace("index", "copy")))
    again = Index.open(other, mode="a")
    with pytest.warns(RecoveryWarning, match="the last 30 bytes"):
        again.add(X[:1])
    assert len(again) == 102
    again.close()
    index.add(X[101:103])
    expected = state(index)
    index.close()
    assert state(Index.open(path)) == expected


def test_short_writes_are_completed(path, disk):
    disk.most = 7
    with Index.open(path, mode="a") as index:
        index.add(X[100:150])
        index.compact()
        index.add(X[150:160])
        expected = state(index)
    assert state(Index.open(path, verify=True)) == expected


@pytest.mark.parametrize("after", range(4))
def test_an_interrupt_leaves_a_state_that_opens(path, monkeypatch, after):
    """Ctrl-C at any of the writes of an add: the change is there whole or not at all."""
    index, real, left = Index.open(path, mode="a"), os.write, [after]

    def write(descriptor, data):
        if not left[0]:
            real(descriptor, data[:20])
            raise KeyboardInterrupt
        left[0] -= 1
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    try:
        index.add(X[100:110])
        index.add(X[110:120])
        index.compact()
    except KeyboardInterrupt:
        pass
    monkeypatch.undo()
    before = state(index)
    assert state(Index.open(path)) == before
    index.add(X[200:201])
    index.close()
    assert len(Index.open(path)) == len(before[0]) + 1


LIMITED = """
import resource, sys, numpy as np, qama
index = qama.Index.open(sys.argv[1], mode="a")
X = np.random.default_rng(0).standard_normal((5000, 8)).astype(np.float32)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
kept = len(index)
for name in ("add", "save", "compact"):
    try:
        for _ in range(3):
            if name == "add": index.add(X[:700])
            elif name == "save": index.add(X[:100]); index.save(sys.argv[1] + ".copy")
            else: index.compact()
            kept = len(index)
    except OSError as error:
        print(name, error.errno, error.filename)
    assert len(index.search(X[:1], 10**6).ids[0]) == len(index)
print(len(index))
"""


def test_a_limit_of_file_size_is_a_clear_error(path):
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], check=True,
                          capture_output=True, text=True)  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0] == f"add {errno.EFBIG} {path}.qama-log"
    assert len(Index.open(path, verify=True)) == int(lines[-1])


def test_the_limit_of_file_size_of_this_process_is_untouched():
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


# --- readers beside a writer ------------------------------------------------------------------


def test_a_snapshot_never_changes(path):
    with Index.open(path, mode="a") as index:
        index.add(X[100:130])
        seen = index._now
        before = seen.live_codes().copy(), seen.live_ids().copy()
        index.upsert([5, 120], X[:2])
        index.add(X[130:300])
        index.delete([0, 110])
        found = seen.find(np.array([5, 120, 0, 110, 131]))
        assert found.tolist() == [5, 120, 0, 110, -1]
        index.compact()
        np.testing.assert_array_equal(seen.live_codes(), before[0])
        np.testing.assert_array_equal(seen.live_ids(), before[1])


@pytest.mark.parametrize("path_", ["numpy", None])
def test_what_lies_past_the_last_row_is_not_looked_at(path_):
    from qama import kernels

    random = np.random.default_rng(0)
    codes = random.integers(0, 256, (100, 6), dtype=np.uint8)
    clean = kernels.to_blocks(codes)
    dirty = clean.copy()
    dirty[-1, :, 100 % 64 :] = random.integers(0, 256, (6, 64 - 100 % 64), dtype=np.uint8)
    both = [kernels.StoredCodes(blocks, 100) for blocks in (clean, dirty)]
    queries = random.integers(0, 256, (9, 6), dtype=np.uint8)
    for bit_pairs in (0, 10):
        a, b = (
            kernels.hamming_topk(
                kernels.HammingScan(stored, queries, 48, bit_pairs), 100, path=path_
            )
            for stored in both
        )
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])
    tables = random.integers(-900, 900, (9, 256 + 5 * 32), dtype=np.int16)
    ready = kernels.QueryTables(tables, np.zeros(9, np.int32), np.ones(9, np.float32), 1)
    a, b = (
        kernels.table_topk(kernels.TableScan(stored, ready), 100, path=path_) for stored in both
    )
    np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(a[1], b[1])


def test_two_threads_that_change_one_index_wait_for_each_other(path):
    with Index.open(path, mode="a") as index:

        def add(first):
            for start in range(first, first + 40):
                index.add(X[:2], ids=[2 * start, 2 * start + 1])

        threads = [threading.Thread(target=add, args=(k,)) for k in (1000, 2000, 3000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(index) == 340
    assert len(Index.open(path)) == 340


OPTIONS = pytest.mark.parametrize(
    "options", [{}, {"nlist": 3}, {"keep": "float16"}], ids=["flat", "lists", "kept"]
)


@OPTIONS
def test_readers_beside_a_writer(options):
    from readers import run

    counts = run(2.0, 4, 0, **options)
    assert counts["wrong"] == []
    assert counts["searches"] > 10


@OPTIONS
def test_a_few_kills(options):
    """`tests/long/kills.py` does it 300 times."""
    from kills import run

    kills = int(os.environ.get("QAMA_KILLS", "10"))
    counts = run(kills, kills, **options)
    assert (counts["kills"], counts["wrong"]) == (kills, 0)


# --- what a file says of a state that moved on ------------------------------------------------


def test_rows_that_came_later_are_not_in_the_file(path, tmp_path):
    """A state is saved while a writer fills the same block: the rest of it is zero in the file."""
    index = Index(Codec.load(GOLDEN), **CELL)
    index.add(X[:70])
    index.save(tmp_path / "at once")
    then = index._now
    index.add(X[70:90])
    base.write(tmp_path / "later", index.codec, index.code, then, 0, None)
    assert (tmp_path / "later").read_bytes() == (tmp_path / "at once").read_bytes()
    assert not base.read(tmp_path / "later").blocks.has_behind(70)


def test_refreshing_a_writer_changes_nothing(path):
    with Index.open(path, mode="a") as index:
        index.add(X[100:101])
        index.refresh()
        assert len(index) == 101


def test_a_base_that_is_replaced_at_every_look_is_read_all_the_same(path, monkeypatch):
    reads, parse = [], base.parse
    monkeypatch.setattr(base, "parse", lambda contents: reads.append(contents) or parse(contents))
    assert len(Index.open(path)) == len(reads) * 100 == 100  # nothing changed: one look does
    looks = iter(range(1000))
    monkeypatch.setattr(loading, "stamp_of", lambda path: next(looks))
    assert len(Index.open(path)) == 100
    assert next(looks) == 40  # two of each file for each of ten tries


def test_the_last_default_ids(tmp_path):
    from qama.search.rows.ids import counted

    top = 2**63 - 1
    assert counted(top - 2, 2).tolist() == [top - 2, top - 1]
    with pytest.raises(ValueError, match=f"the next default id would be {top - 1}; give ids"):
        counted(top - 1, 2)


@pytest.mark.parametrize("rows", [63, 64, 65, 128])
def test_deleting_of_whole_blocks_deletes_those(rows):
    index = Index(Codec.load(GOLDEN), **CELL)
    index.add(X[:rows])
    assert index.delete([0, rows - 1, rows]) == 2
    assert index.ids.tolist() == list(range(1, rows - 1))
    words = index._now.live
    assert [int(word).bit_count() for word in words] == [
        min(64, rows - start) - (start == 0) - (start + 64 >= rows) for start in range(0, rows, 64)
    ]
