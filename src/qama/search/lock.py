"""One writer at a time: an advisory lock beside the file that the system drops with its holder."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from qama import files, locks
from qama.errors import LockedError

_START = b'{"pid":'  # how a lock file begins; one of a writer that was killed early is empty
SUFFIX = ".qama-lock"


class Lock:
    """The right to write an index file.

    Args:
        path: The index file; the lock is ``path.qama-lock`` while it is held.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(path.name + SUFFIX)
        self._index = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    @property
    def lost(self) -> bool:
        """Whether someone removed or replaced the file of a lock that this object holds."""
        return self._descriptor is not None and not self._is_there(self._descriptor)

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            LockedError: another writer holds it; the message names its process and host.
            OSError: the lock file cannot be made, the file system cannot lock, or what stands at
                the lock's name is a link or another's file.
        """
        if os.path.lexists(self.path) and not files.begins(self.path, _START, b""):
            raise FileExistsError(
                f"{self.path} is not a lock file of qama; move it away to write {self._index}"
            )
        self._descriptor = self._opened()
        try:
            with files.naming(self.path):
                files.cut(self._descriptor, 0)
                holder = {"pid": os.getpid(), "host": socket.gethostname()}
                files.write_all(self._descriptor, json.dumps(holder).encode())
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock back; does nothing without it."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            if sys.platform == "win32":
                os.close(descriptor)  # a file that is open cannot be removed there
                descriptor = -1
                self.path.unlink(missing_ok=True)
            elif self._is_there(descriptor):
                self.path.unlink()  # before the lock falls, so that none holds a ghost
        except FileNotFoundError:
            pass  # someone was faster
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _opened(self) -> int:
        """Return a descriptor that holds the lock."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        while True:
            with files.naming(self._index):
                descriptor = os.open(self.path, flags, 0o666)
            try:
                self._hold(descriptor)
                if self._is_there(descriptor):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # its holder removed it in between: the next one is another file

    def _hold(self, descriptor: int) -> None:
        try:
            locks.hold(descriptor)
        except BlockingIOError:
            raise LockedError(
                f"{self._index} is open for writing in {self._holder()}; close it there, or "
                f'open it with mode="r"'
            ) from None
        except OSError as error:
            if not os.fstat(descriptor).st_size:
                self.path.unlink(missing_ok=True)  # made just now
            raise OSError(
                error.errno,
                f"the file system cannot lock files ({os.strerror(error.errno or 0)}), and without "
                f"a lock two writers would destroy each other's changes: keep the index on a local "
                f'disk to change it, or open it with mode="r"',
                str(self._index),
            ) from None

    def _is_there(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.lstat(self.path))
        except FileNotFoundError:
            return False

    def _holder(self) -> str:
        try:
            holder = json.loads(self.path.read_text())
            return f"process {int(holder['pid'])} on {str(holder['host'])!r}"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "another process"
