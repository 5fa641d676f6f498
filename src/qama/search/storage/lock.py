"""One writer at a time: an advisory lock beside the file that the system drops with its holder."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from qama import files, locks
from qama.errors import LockedError

_START = b'{"pid":'  # how a lock file begins
SUFFIX = ".qama-lock"


class Lock:
    """The right to write an index file.

    Args:
        path: The index file; the lock is ``path.qama-lock`` while it is held.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(path.name + SUFFIX)
        self._index = path
        self._file: files.OpenFile | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock; an exception may come as its file is closed."""
        return self._file is not None and not self._file.closed

    @property
    def lost(self) -> bool:
        """Whether someone removed or replaced the file of a lock that this object holds."""
        return self._file is not None and self.held and not self._is_there(self._file)

    def acquire(self) -> None:
        """Take the lock; does nothing with it.

        Raises:
            LockedError: another writer holds it; the message names its process and host.
            OSError: the lock file cannot be made, the file system cannot lock, or what stands at
                the lock's name is a link or another's file.
        """
        if self.held:
            return
        if os.path.lexists(self.path) and not files.ours(self.path, _START):
            raise FileExistsError(
                f"{self.path} is not a lock file of qama; move it away to write {self._index}"
            )
        self._file = self._opened()
        try:
            with files.naming(self.path):
                files.cut(self._file.fileno(), 0)
                holder = {"pid": os.getpid(), "host": socket.gethostname()}
                files.write_all(self._file.fileno(), json.dumps(holder).encode())
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock back; does nothing without it."""
        try:
            if self._file is None or not self.held:
                return
            if sys.platform == "win32":
                self._file.close()  # a file that is open cannot be removed there
                self.path.unlink(missing_ok=True)
            elif self._is_there(self._file):
                self.path.unlink(missing_ok=True)  # before the lock falls: none holds a ghost
        finally:
            self.drop()

    def drop(self) -> None:
        """Give the lock back without a look at the disk; its file stays, which locks nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> files.OpenFile:
        """Return the lock's file, locked."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        while True:
            with files.naming(self._index):
                file = files.opened(self.path, flags)
            try:
                self._hold(file)
                if self._is_there(file):
                    return file
            except BaseException:
                file.close()  # not when the exception is forgotten, which may take long
                raise
            file.close()  # its holder removed it in between: the next one is another file

    def _hold(self, file: files.OpenFile) -> None:
        try:
            locks.hold(file.fileno())
        except BlockingIOError:
            raise LockedError(
                f"{self._index} is open for writing in {self._holder()}; close it there, or "
                f'open it with mode="r"'
            ) from None
        except OSError as error:
            if not os.fstat(file.fileno()).st_size:
                self.path.unlink(missing_ok=True)  # made just now
            raise OSError(
                error.errno,
                f"the file system cannot lock files ({os.strerror(error.errno or 0)}), and without "
                f"a lock two writers would destroy each other's changes: keep the index on a local "
                f'disk to change it, or open it with mode="r"',
                str(self._index),
            ) from None

    def _is_there(self, file: files.OpenFile) -> bool:
        try:
            with files.naming(self.path):
                return os.path.samestat(os.fstat(file.fileno()), os.lstat(self.path))
        except FileNotFoundError:
            return False

    def _holder(self) -> str:
        try:
            holder = json.loads(self.path.read_text())
            return f"process {int(holder['pid'])} on {str(holder['host'])!r}"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "another process"
