"""Backups and replicas of an index that is written meanwhile: states that were, and none older."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numbered_writer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qama
from qama.search.storage import backup as backing
from qama.search.storage import loading, places
from qama.search.storage.lock import Lock
from qama.search.storage.verify import verify

GOLDEN = Path(__file__).parent / "golden"
LONG = 60  # seconds after which something hangs
posix = pytest.mark.skipif(sys.platform == "win32", reason="it needs signals, and select of a pipe")


@pytest.fixture(params=[None, "int8"])
def path(request, bytes_codec, rows, tmp_path):
    """An index file of 300 rows, ids from 1,000,000."""
    index = qama.Index(bytes_codec, nbytes=8, keep=request.param)
    index.add(rows, np.arange(300) + 1_000_000)
    index.save(tmp_path / "news.qama")
    return tmp_path / "news.qama"


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(backing, "BLOCK", 1024)
    monkeypatch.setattr(backing, "_APART", 256)


def blocks(target):
    return sorted(path for path in (target / "blocks").rglob("*") if path.is_file())


def same_files(one, other):
    for suffix in ("", ".qama-log"):
        a, b = (each.with_name(each.name + suffix) for each in (one, other))
        assert a.exists() == b.exists()
        if a.exists():
            assert a.read_bytes() == b.read_bytes()


@contextmanager
def writing(path, noted, compact=numbered_writer.COMPACT):
    """A process that changes an index in numbered steps until the block ends."""
    command = [sys.executable, numbered_writer.__file__, str(path), str(noted), str(compact)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.stdin.close()
        assert process.wait(LONG) == 0


def until(reached, process):
    """Wait until something is so, while a process lives."""
    deadline = time.monotonic() + LONG
    while not reached():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


def steps_of(index, least, noted):
    """After how many steps an index was so; at least so many, and one step may be on its way."""
    ids = index.ids[index.ids < 1_000_000]
    return numbered_writer.which(ids.tolist(), least, numbered_writer.acknowledged(noted) + 1)


# -- backups --------------------------------------------------------------------------------


def test_a_backup_comes_back_byte_for_byte(path, rows, tmp_path, small_blocks):
    with qama.Index.open(path, "a") as index:
        index.add(rows[:20], durable=True)
        index.delete([1_000_003])
        made = qama.backup(path, tmp_path / "backups")
        assert made.index == "news.qama"
        assert (made.number, made.rows, made.changes) == (1, 300, 2)
        assert qama.restore(tmp_path / "backups", tmp_path / "back.qama") == made
        same_files(path, tmp_path / "back.qama")
        assert len(qama.Index.open(tmp_path / "back.qama")) == 319
    assert verify(tmp_path / "back.qama").whole
    assert qama.backups(tmp_path / "backups") == [made]


def test_a_second_backup_writes_what_changed_alone(path, rows, tmp_path, small_blocks):
    target = tmp_path / "backups"
    first = qama.backup(path, target)
    assert first.written == first.nbytes == path.stat().st_size
    assert qama.backup(path, target).written == 0
    with qama.Index.open(path, "a") as index:
        index.add(rows[:2], durable=True)
        third = qama.backup(path, target)
        assert third.written == path.with_name("news.qama.qama-log").stat().st_size
        index.add(rows[:2], durable=True)
        assert 0 < qama.backup(path, target).written <= 1024
        index.compact()  # the new base begins as the old one did, a little further behind
        fifth = qama.backup(path, target)
    assert fifth.changes == 0
    assert fifth.written < 0.7 * fifth.nbytes
    assert [each.number for each in qama.backups(target)] == [1, 2, 3, 4, 5]
    qama.restore(target, tmp_path / "third.qama", number=3)
    assert len(qama.Index.open(tmp_path / "third.qama")) == 302


def test_old_backups_are_removed_with_what_they_alone_have(path, rows, tmp_path, small_blocks):
    target = tmp_path / "backups"
    for i in range(3):
        with qama.Index.open(path, "a") as index:
            index.add(rows[10 * i : 10 * i + 10])
            index.compact()
        made = qama.backup(path, target, keep=2)
    assert [each.number for each in qama.backups(target)] == [2, 3]
    held = {name for each in qama.backups(target) for f in each.files for name, _ in f.blocks}
    assert {block.name for block in blocks(target)} == held
    foreign = [target / "blocks" / "notes", target / "blocks" / "ab" / ("ab" * 32 + ".txt")]
    for file in foreign:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    alone = qama.backup(path, target, keep=1)
    assert all(file.exists() for file in foreign)
    assert sum(block.stat().st_size for block in blocks(target)) == made.nbytes == alone.nbytes
    qama.restore(target, tmp_path / "back.qama")
    same_files(path, tmp_path / "back.qama")


def test_damage_is_named_and_mended_by_the_next_backup(path, tmp_path, small_blocks):
    target = tmp_path / "backups"
    made = qama.backup(path, target)
    name = made.files[0].blocks[2][0]
    block = target / "blocks" / name[:2] / name
    raw = bytearray(block.read_bytes())
    raw[5] ^= 1
    block.write_bytes(raw)
    start = sum(size for _, size in made.files[0].blocks[:2])
    with pytest.raises(qama.FormatError, match=rf"{name} is damaged, bytes {start} to .*news.qama"):
        qama.restore(target, tmp_path / "back.qama")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["backups", "news.qama"]
    assert qama.backup(path, target).written == 0  # it does not look
    assert qama.backup(path, target, check=True).written == len(raw)
    qama.restore(target, tmp_path / "back.qama")
    block.unlink()
    with pytest.raises(qama.FormatError, match=f"{name} is missing"):
        qama.restore(target, tmp_path / "again.qama")
    assert qama.backup(path, target).written == len(raw)


def test_a_damaged_manifest_is_named(path, tmp_path):
    target = tmp_path / "backups"
    qama.backup(path, target)
    manifest = target / "backups" / "000001.json"
    whole = json.loads(manifest.read_text())
    said = whole["backup"]
    for change, message in (
        ({"format": "x"}, "another format"), ({"version": 2}, "of version 2"),
        ({"backup": said | {"rows": 1}}, "checksum"), ({"backup": 3}, "checksum"),
    ):  # fmt: skip
        manifest.write_text(json.dumps(whole | change))
        with pytest.raises(qama.FormatError, match=f"000001.json is no manifest.*{message}"):
            qama.restore(target, tmp_path / "back.qama")
    for change in ({"suffix": "/../x"}, {"blocks": [["../x", 1]]}, {"blocks": [["ab", 2**40]]}):
        lying = said | {"files": [{"suffix": "", "blocks": []} | change]}
        packed = {"backup": lying, "blake2b": backing._digest(backing._json(lying))}
        manifest.write_text(json.dumps(whole | packed))
        with pytest.raises(qama.FormatError, match="no manifest of a backup"):
            qama.backups(target)
    manifest.write_text("[")
    with pytest.raises(qama.FormatError, match="no manifest of a backup"):
        qama.backup(path, target)


def test_what_does_not_fit_is_refused_by_name(path, tmp_path):
    target = tmp_path / "backups"
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="holds no backup"):
        qama.restore(tmp_path / "none", tmp_path / "back.qama")
    with pytest.raises(FileNotFoundError):
        qama.backup(tmp_path / "missing", target)
    with pytest.raises(ValueError, match="keep"):
        qama.backup(path, target, keep=0)
    qama.backup(path, target)
    with pytest.raises(ValueError, match="no backup 7; there are 1 to 1"):
        qama.restore(target, tmp_path / "back.qama", number=7)
    with pytest.raises(FileExistsError, match="is there already"):
        qama.restore(target, path)
    lock = Lock(target / "backup")
    lock.acquire()
    with pytest.raises(qama.LockedError, match="another process makes a backup"):
        qama.backup(path, target)
    lock.release()


def test_a_damaged_index_is_not_backed_up(path, rows, tmp_path):
    with qama.Index.open(path, "a") as index:
        for i in range(3):
            index.add(rows[:1], [i], durable=True)
    log = path.with_name("news.qama.qama-log")
    raw = bytearray(log.read_bytes())
    raw[100] ^= 1
    log.write_bytes(raw)
    with pytest.raises(qama.FormatError, match="`qama repair`"):
        qama.backup(path, tmp_path / "backups")
    assert qama.backups(tmp_path / "backups") == []


def test_a_restore_that_was_cut_off_leaves_no_index_and_goes_on(path, rows, tmp_path, monkeypatch):
    with qama.Index.open(path, "a") as index:
        index.add(rows[:5], durable=True)
    qama.backup(path, tmp_path / "backups")
    write = places.files.replacing

    def cut(to, **options):
        if to.name == "back.qama":
            raise KeyboardInterrupt
        return write(to, **options)

    monkeypatch.setattr(backing.files, "replacing", cut)
    with pytest.raises(KeyboardInterrupt):
        qama.restore(tmp_path / "backups", tmp_path / "back.qama")
    monkeypatch.undo()
    assert not (tmp_path / "back.qama").exists()
    assert (tmp_path / "back.qama.qama-log").exists()
    qama.restore(tmp_path / "backups", tmp_path / "back.qama")
    same_files(path, tmp_path / "back.qama")


@pytest.mark.parametrize("name", ["index-1", "index-2", "index-5", "index-9", "partitions-1"])
def test_files_of_every_version_come_back(name, tmp_path):
    path = GOLDEN / f"{name}.qama"
    qama.backup(path, tmp_path / "backups")
    qama.restore(tmp_path / "backups", tmp_path / "back.qama")
    one, other = qama.Index.open(path), qama.Index.open(tmp_path / "back.qama")
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(one.codes, other.codes)


def test_a_target_may_be_a_uri(path, rows, tmp_path, small_blocks):
    pytest.importorskip("pyarrow")
    uri = (tmp_path / "backups").as_uri()
    qama.backup(path, uri)
    with qama.Index.open(path, "a") as index:
        index.add(rows[:5], durable=True)
    qama.backup(path, uri, keep=1)
    assert [each.number for each in qama.backups(uri)] == [2]
    qama.restore(uri, tmp_path / "back.qama")
    same_files(path, tmp_path / "back.qama")
    made = qama.backups(tmp_path / "backups")  # the same files, as a folder
    assert {block.name for block in blocks(tmp_path / "backups")} == {
        name for each in made for stored in each.files for name, _ in stored.blocks
    }


KILLED = """
import os, signal, sys
import qama
from qama.search.storage import backup, places
backup.BLOCK, backup._APART = 1024, 256
put, left = places.Folder.put, int(sys.argv[3])
def killed(self, name, data):
    global left
    left -= 1
    if left:
        return put(self, name, data)
    replacing = places.files.os.replace
    places.files.os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
    put(self, name, data)
places.Folder.put = killed
qama.backup(sys.argv[1], sys.argv[2])
"""


@posix
@pytest.mark.parametrize("puts", [1, 5, -1])
def test_a_backup_that_was_killed_is_made_again_from_what_it_left(
    path, tmp_path, small_blocks, puts
):
    target = tmp_path / "backups"
    whole = qama.backup(path, tmp_path / "other")
    names = {name for name, _ in whole.files[0].blocks}
    at = puts if puts > 0 else len(names) + 1  # the last one is the manifest
    command = [sys.executable, "-c", KILLED, str(path), str(target), str(at)]
    assert subprocess.run(command, timeout=LONG).returncode == -signal.SIGKILL
    assert len(blocks(target)) - len(list(target.rglob("blocks/**/*.qama-tmp"))) == at - 1
    assert qama.backups(target) == []
    made = qama.backup(path, target)
    assert made.number == 1
    assert len(blocks(target)) == len(names)
    assert not list(target.rglob("*.qama-tmp"))
    assert made.written == sum(dict(whole.files[0].blocks).values()) - sum(
        size for name, size in list(dict(whole.files[0].blocks).items())[: at - 1]
    )
    qama.restore(target, tmp_path / "back.qama")
    same_files(path, tmp_path / "back.qama")


@posix
def test_backups_during_writes_are_states_that_were_and_none_older(path, tmp_path):
    noted, target, least = tmp_path / "noted", tmp_path / "backups", []
    with writing(path, noted) as process:
        for i in range(12):
            until(lambda i=i: numbered_writer.acknowledged(noted) >= 15 * i, process)
            least.append(numbered_writer.acknowledged(noted))
            qama.backup(path, target)
    for made, known in zip(qama.backups(target), least, strict=True):
        back = tmp_path / f"back-{made.number}.qama"
        qama.restore(target, back, number=made.number)
        assert verify(back).whole
        assert steps_of(qama.Index.open(back), known, noted) is not None


def test_an_index_that_never_stands_still_is_said_so(path, rows, tmp_path, monkeypatch):
    stamps = iter(range(10**6))
    monkeypatch.setattr(loading, "stamp_of", lambda path: next(stamps))
    with pytest.raises(OSError, match="was replaced 10 times while it was read"):
        qama.backup(path, tmp_path / "backups")


def test_a_base_that_is_changed_in_place_meanwhile_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.setattr(loading.mapping, "changed", lambda data: True)
    with pytest.raises(OSError, match="changed in place while it was copied"):
        qama.backup(path, tmp_path / "backups")
    with pytest.raises(OSError, match="changed in place while it was copied"):
        qama.replicate(path, tmp_path / "replica.qama")
    assert qama.backups(tmp_path / "backups") == []
    assert not (tmp_path / "replica.qama").exists()


@settings(max_examples=50)
@given(st.integers(0, 20_000), st.sets(st.integers(0, 20_000), max_size=6))
def test_blocks_hold_every_byte_once_whatever_begins_one(size, starts):
    starts = sorted(start for start in starts if start <= size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backing, "BLOCK", 1024)
        found = list(backing._stretches(size, starts))
    assert [i for a, b in found for i in range(a, b)] == list(range(size))
    assert all(0 < b - a <= 1024 for a, b in found)
    assert set(starts) - {size} <= {a for a, _ in found}


def test_the_backups_of_another_index_stay(path, rows, tmp_path, bytes_codec):
    (other := qama.Index(bytes_codec, nbytes=8)).add(rows)
    other.save(tmp_path / "other.qama")
    qama.backup(path, tmp_path / "backups")
    with pytest.raises(ValueError, match=r"holds backups of 'news.qama', and 'other.qama' is"):
        qama.backup(tmp_path / "other.qama", tmp_path / "backups", keep=1)
    moved = path.rename(tmp_path / "moved.qama")
    assert qama.backup(moved, tmp_path / "backups").written == 0
    assert len(qama.backups(tmp_path / "backups")) == 2


# -- replicas -------------------------------------------------------------------------------


def test_a_replica_gets_the_base_once_and_then_the_end_of_the_log(path, rows, tmp_path):
    replica = tmp_path / "replica.qama"
    first = qama.replicate(path, replica)
    assert first == (made := qama.search.storage.replica.Replicated(True, path.stat().st_size, 0))
    assert qama.replicate(path, replica) == qama.search.storage.replica.Replicated(False, 0, 0)
    reader = qama.Index.open(replica)
    with qama.Index.open(path, "a") as index:
        log = path.with_name("news.qama.qama-log")
        sizes = []
        for i in range(3):
            index.add(rows[i : i + 1], [i], durable=True)
            done = qama.replicate(path, replica)
            sizes.append(done.nbytes)
            assert (done.base, done.changes) == (False, i + 1)
            reader.refresh()
            np.testing.assert_array_equal(reader.ids, index.ids)
        assert sum(sizes) == log.stat().st_size
        index.compact()
        assert qama.replicate(path, replica).base
        same_files(path, replica)
        reader.refresh()
        assert len(reader) == 303
    assert made.nbytes
    assert verify(replica).whole


def test_a_replica_that_missed_compactions_catches_up(path, rows, tmp_path):
    replica = tmp_path / "replica.qama"
    with qama.Index.open(path, "a") as index:
        index.add(rows[:1], [1], durable=True)
        qama.replicate(path, replica)
        for i in range(2, 4):
            index.add(rows[:1], [i], durable=True)
            index.compact()
        index.delete([1], durable=True)
        assert qama.replicate(path, replica).base
    same_files(path, replica)


def test_a_log_that_is_none_of_the_replicas_is_written_anew(path, rows, tmp_path):
    replica = tmp_path / "replica.qama"
    with qama.Index.open(path, "a") as index:
        index.add(rows[:3], durable=True)
        qama.replicate(path, replica)
        log = replica.with_name("replica.qama.qama-log")
        torn = log.read_bytes()
        log.write_bytes(torn[:-9])  # a copy that was killed
        assert qama.replicate(path, replica).nbytes == 9
        log.write_bytes(torn[:-9] + b"damaged!!" + torn)
        assert qama.replicate(path, replica).nbytes == len(torn)
        same_files(path, replica)


def test_a_replica_that_is_written_or_the_index_itself_is_refused(path, rows, tmp_path):
    replica = tmp_path / "replica.qama"
    qama.replicate(path, replica)
    with qama.Index.open(replica, "a") as index:
        index.add(rows[:1])
        with pytest.raises(qama.LockedError):
            qama.replicate(path, replica)
    with pytest.raises(ValueError, match="is the index itself"):
        qama.replicate(path, path)
    (tmp_path / "notes").write_text("mine" * 100)
    with pytest.raises(qama.FormatError):
        qama.replicate(path, tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "mine" * 100


def test_an_index_of_its_own_is_not_replicated_over(path, rows, tmp_path, bytes_codec):
    """Swapped arguments, another index, a replica that took over: their rows are nobody else's."""
    replica = tmp_path / "replica.qama"
    qama.replicate(path, replica)
    with qama.Index.open(path, "a") as index:
        index.add(rows[:5], durable=True)
    other = tmp_path / "other.qama"
    (kept := qama.Index(bytes_codec, nbytes=4)).add(rows)
    kept.save(other)
    refused = pytest.raises(FileExistsError, match="is an index of its own, no replica of")
    for source, target in ((replica, path), (path, other)):
        with refused:
            qama.replicate(source, target)
    with qama.Index.open(path, "a") as index:
        index.compact()
    with refused:
        qama.replicate(replica, path)  # the base of which this one's took the place
    assert (len(qama.Index.open(path)), len(qama.Index.open(other))) == (305, 300)
    with qama.Index.open(replica, "a") as index:
        index.delete([1_000_000], durable=True)
    with refused:
        qama.replicate(path, replica)
    assert len(qama.Index.open(replica)) == 299


def test_a_copy_by_hand_becomes_a_replica(path, rows, tmp_path):
    copy = tmp_path / "copy.qama"
    copy.write_bytes(path.read_bytes())
    with qama.Index.open(path, "a") as index:
        index.add(rows[:5], durable=True)
        assert not qama.replicate(path, copy).base
        index.compact()
    assert qama.replicate(path, copy).base
    same_files(path, copy)


def test_a_file_of_another_at_the_name_of_the_mark_is_in_the_way(path, tmp_path):
    notes = tmp_path / "replica.qama.qama-replica"
    notes.write_text("my notes")
    with pytest.raises(FileExistsError, match=r"replica\.qama\.qama-replica is not a mark of qama"):
        qama.replicate(path, tmp_path / "replica.qama")
    qama.Index.open(path).save(tmp_path / "replica.qama")
    assert notes.read_text() == "my notes"


def test_what_is_written_where_a_replica_was_is_none(path, tmp_path):
    replica = tmp_path / "replica.qama"
    for again in (
        lambda: qama.restore(tmp_path / "backups", replica),
        lambda: qama.Index.open(path).save(replica),
    ):
        qama.replicate(path, replica)
        qama.backup(path, tmp_path / "backups")
        with qama.Index.open(path, "a") as index:
            index.compact()
        replica.unlink()
        again()
        with qama.Index.open(replica, "a") as index:
            index.delete([1_000_001])
        with pytest.raises(FileExistsError, match="of its own"):
            qama.replicate(path, replica)
        replica.unlink()


def test_a_replica_cut_off_anywhere_is_a_state_that_was(path, rows, tmp_path, monkeypatch):
    """At every call that changes the disk: what a reader sees is one of the states so far."""
    replica = tmp_path / "replica.qama"
    states = []

    def note():
        states.append(qama.Index.open(path).ids.tolist())

    note()
    calls = ("replace", "unlink", "write")
    real = {name: getattr(os, name) for name in calls}
    seen = []

    def looked(name):
        def call(*args, **options):
            done = real[name](*args, **options)
            if replica.exists():
                seen.append(qama.Index.open(replica).ids.tolist() in states)
            return done

        return call

    def copied():
        with pytest.MonkeyPatch.context() as patch:
            for name in calls:
                patch.setattr(os, name, looked(name))
            qama.replicate(path, replica)

    with qama.Index.open(path, "a") as index:
        for i in range(12):
            index.add(rows[:1], [i], durable=True)
            note()
            if i in (3, 6, 7, 8):
                index.compact()
            if i in (1, 2, 4, 5, 8, 11):
                copied()
    assert len(seen) > 12
    assert all(seen)


@posix
def test_a_replica_during_writes_is_read_as_states_that_were_in_their_order(path, tmp_path):
    noted, replica = tmp_path / "noted", tmp_path / "replica.qama"
    seen, stop = [], threading.Event()
    qama.replicate(path, replica)

    def read():
        while not stop.is_set():
            seen.append(set(qama.Index.open(replica).ids.tolist()))

    reader = threading.Thread(target=read)
    with writing(path, noted) as process:
        reader.start()
        try:
            for i in range(12):
                until(lambda i=i: numbered_writer.acknowledged(noted) >= 15 * i, process)
                known = numbered_writer.acknowledged(noted)
                qama.replicate(path, replica)
                assert steps_of(qama.Index.open(replica), known, noted) is not None
        finally:
            stop.set()
            reader.join(LONG)
    assert not reader.is_alive()
    assert seen
    for ids in seen:
        ids -= set(range(1_000_000, 1_000_300))
        assert numbered_writer.which(ids, 0, numbered_writer.acknowledged(noted) + 1) is not None
