"""The files of one index: its base, its log and its lock, and how they change together.

    path        the base, see `base`: mapped, never changed, replaced as a whole
    path.log    the changes since, see `log`: appended to, synced on demand
    path.lock   held by the one writer, see `lock`

Order makes every moment recoverable. A change is in the log before it is in memory. A new base
takes its place in one step and names the base it replaced, so that a log of the replaced base is
known to be contained in the new one.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path

from qama import container, files
from qama.checks import Bytes, Ids
from qama.codec import Code, Codec
from qama.errors import FormatError, RecoveryWarning
from qama.search import base, log
from qama.search.base import Base
from qama.search.loading import State, load, log_path, stamps_of
from qama.search.lock import Lock
from qama.search.snapshot import Snapshot


def save(path: Path, codec: Codec, code: Code, snapshot: Snapshot) -> None:
    """Write a copy of an index to a path, whatever stands there; a log of it is removed.

    Raises:
        LockedError: another writer holds the path.
        OSError: the file cannot be written; what stood there before is intact.
    """
    lock = Lock(path)
    lock.acquire()
    try:
        replaced = None
        with contextlib.suppress(FileNotFoundError, FormatError):
            _drop_old_log(path, base.read(path))
            replaced = container.identity_of(path)
        base.write(path, codec, code, snapshot, 0, replaced)
        files.remove(log_path(path))
    finally:
        lock.release()


class Store:
    """The writer's hold on the files of an index; takes the lock at the first change.

    Args:
        path: The base file.
        state: What `load` found there.
    """

    def __init__(self, path: Path, state: State) -> None:
        self.path = path
        self._lock = Lock(path)
        self._process = os.getpid()
        self._descriptor: int | None = None
        self._broken: str | None = None
        self._synced = 0
        self._follow(state)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def claim(self) -> State | None:
        """Take the lock, if it is not held yet, and cut off an unfinished end of the log.

        Returns:
            What the files hold, if they changed since they were loaded.

        Raises:
            LockedError: another writer holds the lock.
            OSError: an earlier write failed and the log's end is not known, or this process is a
                copy of the one that opened the index.
        """
        if self._broken:
            raise OSError(f"{self._broken}; open {self.path} again to go on")
        if self._process != os.getpid():
            raise OSError(
                f"{self.path} was opened for writing in process {self._process}; open it again "
                f"in this one"
            )
        if self._lock.held:
            return None
        self._lock.acquire()
        try:
            changed = None
            if stamps_of(self.path) != self._stamps:
                changed = load(self.path, like=self._base)
                self._follow(changed)
            self._begin()
        except BaseException:
            self._let_go()
            raise
        return changed

    def append(self, kind: str, ids: Ids, codes: Bytes | None, durable: bool) -> None:
        """Write one change to the log.

        Raises:
            OSError: it could not be written (or, if durable, synced); the log is as before.
        """
        with files.naming(log_path(self.path)):
            if self._descriptor is None:
                self._start_log()
            assert self._descriptor is not None
            self._trim()
            packed = log.pack(kind, self._records + 1, self._synced, ids, codes)
            syncing = False
            try:
                files.write_all(self._descriptor, packed)
                syncing = durable
                if durable:
                    files.sync(self._descriptor)
            except BaseException:
                self._take_back(syncing)
                raise
        self._size += len(packed)
        self._records += 1
        if durable:
            self._synced = self._size

    def flush(self) -> None:
        """Wait until every change is on the disk.

        Raises:
            OSError: the disk failed; nothing written since the last sync is certain to last.
        """
        if self._descriptor is None or self._synced == self._size:
            return
        with files.naming(log_path(self.path)):
            try:
                files.sync(self._descriptor)
            except BaseException:
                self._broken = f"syncing {log_path(self.path)} failed"
                raise
        self._synced = self._size

    def compact(self, codec: Codec, code: Code, snapshot: Snapshot) -> State:
        """Replace base and log by one new base.

        Returns:
            What the files hold now.

        Raises:
            OSError: the new base could not be written; base and log are as before.
        """
        old = self._base
        try:
            base.write(self.path, codec, code, snapshot, old.generation + 1, old.identity)
        except BaseException:
            if stamps_of(self.path)[0] != self._stamps[0]:  # the new base is in place already
                self._broken = f"replacing {self.path} was not finished"
            raise
        self._end_log()
        with contextlib.suppress(OSError):  # a log of the replaced base is known as such
            files.remove(log_path(self.path))
        state = load(self.path)
        self._follow(state)
        return state

    def close(self) -> None:
        """Flush and give up the lock; does nothing without it."""
        try:
            if self._process == os.getpid() and not self._broken:
                self.flush()
        finally:
            self._let_go()

    # -- inside -----------------------------------------------------------------------------

    def _follow(self, state: State) -> None:
        self._base, self._stamps = state.base, state.stamps
        self._code_bytes = state.base.code.stored_bytes
        self._codec = state.base.codec.fingerprint
        self._has_log = state.log is not None
        self._size = state.log.stop if state.log else 0
        self._torn = state.log.size - state.log.stop if state.log else 0
        self._records = len(state.log.records) if state.log else 0
        self._synced = 0

    def _begin(self) -> None:
        """Open the log behind its last whole record, which is synced from then on."""
        path = log_path(self.path)
        if not self._has_log:
            _drop_old_log(self.path, self._base)
            return
        with files.naming(path):
            self._descriptor = files.open_to_append(path)
            if self._torn:
                files.cut(self._descriptor, self._size)
            files.sync(self._descriptor)
        self._synced = self._size
        if self._torn:
            warnings.warn(
                f"{path}: the last {self._torn} bytes were an unfinished write and were cut off; "
                f"{self._records} records before them are whole",
                RecoveryWarning,
                stacklevel=6,  # claim, _changing, its context, the verb, who called it
            )
            self._torn = 0

    def _start_log(self) -> None:
        """Put a log without records in place, over one of an older base."""
        path = log_path(self.path)
        header = log.Header(self._base.identity, self._codec, self._code_bytes).pack()
        with files.replacing(path, like=self.path) as file:
            file.write(header)
        self._descriptor = files.open_to_append(path)
        self._has_log, self._size, self._synced = True, len(header), len(header)

    def _trim(self) -> None:
        """Cut off what an interrupted change left behind the last one that counts."""
        assert self._descriptor is not None
        if os.fstat(self._descriptor).st_size > self._size:
            files.cut(self._descriptor, self._size)

    def _take_back(self, syncing: bool) -> None:
        """Cut off a record that was not written whole, or not synced."""
        try:
            self._trim()
        except OSError:
            self._broken = f"writing {log_path(self.path)} failed, and so did undoing it"
        if syncing:  # after a failed sync the system may have dropped what it could not write
            self._broken = f"syncing {log_path(self.path)} failed"

    def _end_log(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None
        self._has_log = False

    def _let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self._process == os.getpid():
            self._lock.release()


def _drop_old_log(path: Path, found: Base) -> None:
    """Remove a log that the base contains already."""
    try:
        header = log.read_header(files.mapped(log_path(path)), log_path(path))
    except FileNotFoundError:
        return
    if header.base == found.replaces:
        files.remove(log_path(path))
