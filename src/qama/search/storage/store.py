"""The files of one index: its base, its log and its lock, and how they change together.

    path             the base, see `base`: mapped, never changed, replaced as a whole
    path.qama-log    the changes since, see `log`: appended to, synced on demand
    path.qama-lock   held by the one writer, see `lock`

Order makes every moment recoverable. A change is in the log before it is in memory, and where it
does not reach memory it is taken out of the log again. A new base takes its place in one step and
names the base it replaced, so that a log of the replaced base is known to be contained in the new
one.

What the log holds is said by the state of the index (`loading.Held`), which changes by one
assignment. The store itself only remembers whether a change was interrupted: then the log is cut
back to where the state says it ends before anything else is written.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from dataclasses import replace
from pathlib import Path

from qama import files
from qama.checks import Bytes, Ids
from qama.codec import Code, Codec
from qama.errors import FormatError, RecoveryWarning
from qama.search.rows.ids import NONE
from qama.search.rows.snapshot import Snapshot
from qama.search.storage import base, copies, log
from qama.search.storage.base import Base
from qama.search.storage.loading import Held, State, load, stamp_of
from qama.search.storage.lock import Lock

_log = logging.getLogger(__name__)


def save(path: Path, codec: Codec, code: Code, rows: Snapshot) -> None:
    """Write a copy of an index to a path, whatever stands there; a log of it is removed.

    Raises:
        LockedError: another writer holds the path.
        OSError: the file cannot be written; what stood there before is intact.
    """
    lock = Lock(path)
    try:
        lock.acquire()
        old = None
        with contextlib.suppress(FileNotFoundError, FormatError):
            old = base.read(path)
        if old is None:
            _drop_orphan(path)
        else:
            _drop_logs(old, old.replaces)  # the new base will not know that it contains them
        base.write(path, codec, code, rows, 0, None if old is None else old.identity)
        if old is not None:
            _drop_logs(old)
            _drop_orphan(path)
    finally:
        lock.release()


class Store:
    """The writer's hold on the files of an index; takes the lock at the first change.

    Args:
        path: The base file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock(path)
        self._process = os.getpid()
        self._log: files.OpenFile | None = None
        self._ready = False  # the lock is held and the log is open, if there is one
        self._found: State | None = None  # in the files, until the index says that it heard of it
        self._settled = True  # the log ends where the state says, or it was not touched
        self.broken: str | None = None

    def __del__(self) -> None:
        try:  # noqa: SIM105 - as the interpreter ends, contextlib may be gone
            self._let_go()
        except Exception:
            pass

    @property
    def elsewhere(self) -> bool:
        """Whether this process is a copy of the one that opened the index."""
        return self._process != os.getpid()

    def claim(self, state: State) -> State:
        """Take the lock, if it is not held yet, and make sure that no one else writes.

        Args:
            state: What the index is.

        Returns:
            The same, or what the files hold now if they changed.

        Raises:
            LockedError: another writer holds the lock.
            FormatError: the files are not as they should be, see `load`.
            OSError: an earlier write failed and nothing is certain any more, someone else changed
                the files, or this process is a copy of the one that opened the index.
        """
        self._check()
        if not self._ready:
            return self._acquired(state)
        if state is self._found:
            self._found = None
        elif self._found is not None:  # an exception came before the index heard of it
            state = self._found
        held = _held(state)
        if not self._settled:
            self.settle(state)
            if not self._settled:
                return self._reloaded(held)
        elif not held.unchanged():
            self.broken = f"{self.path} or its log was changed by someone else"
            self._check()
        return state

    def append(
        self, state: State, kind: str, ids: Ids, entries: Bytes | None, durable: bool
    ) -> Held:
        """Write one change to the log; `settle` must follow, whatever happens.

        Returns:
            What the files hold then.

        Raises:
            OSError: it could not be written (or, if durable, synced).
        """
        held, self._found = _held(state), None
        with files.naming(held.base.log_path):
            self._settled = False
            end = held.end or self._started(held.base)
            packed = log.pack(kind, end.number + 1, end.synced, ids, entries)
            files.write_all(self._descriptor, packed)
            end = end.after(packed)
            return replace(held, end=self._synced(end) if durable else end)

    def settle(self, state: State) -> None:
        """Bring the log back to where a state ends: what lies behind it does not count.

        Where that cannot be done now, `claim` tries again before anything else is written.
        """
        held = _held(state)
        with contextlib.suppress(OSError):
            if self._settled or not self._ready or self._lock.lost:
                return
            if stamp_of(self.path) != held.stamp:
                return
            if held.end is None:
                self._close_log()
                _drop_logs(held.base)
            else:
                if self._log is None:
                    self._log = files.opened_to_append(held.base.log_path)
                if os.fstat(self._descriptor).st_size > held.end.size:
                    files.cut(self._descriptor, held.end.size)
            self._settled = True

    def flush(self, state: State) -> Held:
        """Wait until every change is on the disk; `settle` must follow, whatever happens.

        Returns:
            What the files hold then.

        Raises:
            OSError: the disk failed; nothing written since the last sync is certain to last.
        """
        held = _held(state)
        self._check()
        if held.end is None or not held.end.pending:
            return held
        with files.naming(held.base.log_path):
            if not self._ready:  # what a writer before this one left, which may have been killed
                with files.opened_to_read(held.base.log_path) as file:
                    files.sync(file.fileno())
                files.sync_folder(self.path.parent)
                return held
            self._found, self._settled = None, False
            return replace(held, end=self._synced(held.end))

    def compact(self, codec: Codec, code: Code, state: State) -> State:
        """Replace base and log by one new base; `settle` must follow, whatever happens.

        Returns:
            What the files hold then.

        Raises:
            OSError: the new base could not be written, and base and log are as before; or it could
                not be opened, and the next change opens it.
        """
        old = _held(state).base
        self._found, self._settled = None, False
        base.write(self.path, codec, code, state.rows, old.generation + 1, old.identity)
        made = load(self.path)
        self._close_log()
        with contextlib.suppress(OSError):  # a log of the replaced base is known as such
            _drop_logs(old)
        return made

    def close(self) -> None:
        """Give up the lock; does nothing without it."""
        self._let_go()

    # -- inside -----------------------------------------------------------------------------

    @property
    def _descriptor(self) -> int:
        assert self._log is not None
        return self._log.fileno()

    def _check(self) -> None:
        """Refuse to go on in another process, or where nothing is certain any more."""
        if self.elsewhere:
            raise OSError(
                f"{self.path} was opened for writing in process {self._process}; open it again "
                f"in this one"
            )
        if self._lock.lost:
            self.broken = f"{self._lock.path} was removed or replaced by someone else"
        if self.broken:
            raise OSError(f"{self.broken}; open {self.path} again to go on")

    def _acquired(self, state: State) -> State:
        """Take the lock and go on from what the files hold."""
        self._lock.acquire()
        try:
            copies.unmark(self.path)
            self._settled = True
            held = _held(state)
            files.clear(self.path, held.base.log_path)
            self._found = self._begun(state) if held.unchanged() else self._reloaded(held)
            self._ready = True
            return self._found
        except BaseException:
            self._let_go()
            raise

    def _reloaded(self, held: Held) -> State:
        self._close_log()
        self._found = self._begun(load(self.path, like=held.base))
        self._settled = True
        return self._found

    def _begun(self, state: State) -> State:
        """Open the log behind its last whole record, which is synced from then on."""
        held = _held(state)
        if held.end is None:
            _drop_logs(held.base)
            return state
        path = held.base.log_path
        with files.naming(path):
            self._log = files.opened_to_append(path)
            torn = os.fstat(self._descriptor).st_size - held.end.size
            kept = self._cut_off(held) if torn else None
            files.sync(self._descriptor)
            files.sync_folder(path.parent)  # who made the log may have been killed before doing so
        if torn:
            said = (
                f"{path}: the last {torn} bytes were an unfinished write and were cut off; "
                f"{held.end.number} records before them are whole{kept or ''}"
            )
            _log.warning(said)
            warnings.warn(
                said,
                RecoveryWarning,
                stacklevel=8,  # _acquired, claim, _changing, its context, the verb, who called it
            )
        end = replace(held.end, synced=held.end.size, pending=False)
        return replace(state, files=replace(held, end=end))

    def _cut_off(self, held: Held) -> str:
        """Cut the log behind its end; a copy is kept where whole records lie there."""
        assert held.end is not None
        path = held.base.log_path
        record = log.read(files.read(path), path)
        note = ""
        if record.later:
            aside = path.with_name(f"{path.name}-{os.urandom(4).hex()}")
            with files.replacing(aside, like=path) as copy:
                copy.write(files.read(path))
            note = (
                f"; {len(record.later)} whole records lay behind them, and the log as it was is "
                f"kept as {aside}"
            )
        files.cut(self._descriptor, held.end.size)
        return note

    def _started(self, found: Base) -> log.End:
        """Put a log without records in place, over one of an older base."""
        _drop_logs(found)
        path = found.log_path
        if os.path.lexists(path):
            raise FileExistsError(
                f"{path} is in the way of the changes of {found.contents.path}: it is not the log "
                f"of this index; move it away"
            )
        header = log.Header(
            found.identity, found.codec.fingerprint, found.entry_bytes, found.log_version
        )
        packed = header.pack()
        with files.replacing(path, like=found.contents.path) as file:
            file.write(packed)
        self._log = files.opened_to_append(path)
        return log.End(len(packed), 0, len(packed))

    def _synced(self, end: log.End) -> log.End:
        """Sync the log, and say so in it: then damage before that is no unfinished write."""
        try:
            files.sync(self._descriptor)
        except OSError:  # the system may have dropped what it could not write
            self.broken = f"syncing the log of {self.path} failed"
            raise
        packed = log.pack("sync", end.number + 1, end.size, NONE, None)
        try:
            files.write_all(self._descriptor, packed)
        except OSError:  # the change is on the disk all the same, and `settle` cuts this off
            return replace(end, synced=end.size, pending=False)
        return end.marked(packed)

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def _let_go(self) -> None:
        self._ready = False
        try:
            self._close_log()
        finally:
            if self.elsewhere:
                self._lock.drop()
            else:
                self._lock.release()


def _held(state: State) -> Held:
    assert state.files is not None
    return state.files


def _drop_logs(found: Base, *of: str | None) -> None:
    """Remove logs that count no more, under the names of today and of before.

    Args:
        found: The base beside which they lie.
        of: The identities of the bases that they are of; default: that base and the one it
            replaced.
    """
    bases = of or (found.identity, found.replaces)
    for old in (False, True):
        path = base.log_path(found.contents.path, old)
        if files.begins(path, log.MAGIC):
            header = log.read_header(files.read(path), path)
            if header.base in bases:
                files.remove(path)


def _drop_orphan(path: Path) -> None:
    """Remove a log at the name that today's index at a path would take for its own."""
    if files.begins(base.log_path(path), log.MAGIC):
        files.remove(base.log_path(path))
