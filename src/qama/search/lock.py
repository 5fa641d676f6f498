"""One writer at a time: an advisory lock beside the file that the system drops with its holder."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from qama import files
from qama.errors import LockedError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class Lock:
    """The right to write an index file.

    Args:
        path: The index file; the lock is ``path.lock`` while it is held.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(path.name + ".lock")
        self._index = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            LockedError: another writer holds it; the message names its process and host.
            OSError: the lock file cannot be made.
        """
        while True:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
            with files.naming(self._index):
                descriptor = os.open(self.path, flags, 0o666)
            try:
                _hold(descriptor)
            except OSError:
                os.close(descriptor)
                raise LockedError(
                    f"{self._index} is open for writing in {self._holder()}; close it there, or "
                    f'open it with mode="r"'
                ) from None
            if self._is_there(descriptor):
                break
            os.close(descriptor)  # its holder removed it in between: the next one is another file
        self._descriptor = descriptor
        try:
            with files.naming(self.path):
                files.cut(descriptor, 0)
                holder = {"pid": os.getpid(), "host": socket.gethostname()}
                files.write_all(descriptor, json.dumps(holder).encode())
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock back; does nothing without it."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        if sys.platform == "win32":
            os.close(descriptor)  # a file that is open cannot be removed there
            self.path.unlink(missing_ok=True)
        else:
            self.path.unlink(missing_ok=True)  # before the lock falls, so that none holds a ghost
            os.close(descriptor)

    def _is_there(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _holder(self) -> str:
        try:
            holder = json.loads(self.path.read_text())
            return f"process {int(holder['pid'])} on {str(holder['host'])!r}"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "another process"


def _hold(descriptor: int) -> None:
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
