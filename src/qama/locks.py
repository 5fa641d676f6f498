"""Locks of open files that the system drops with their holder."""

from __future__ import annotations

import errno
import os
import sys

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FAR = 2**30  # where Windows' lock lies: nobody else can read a byte that is locked there

# What a system says when another holds the lock; anything else is no answer to that question.
_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)


def hold(descriptor: int) -> None:
    """Lock an open file, without waiting; the lock falls when the file is closed.

    Raises:
        BlockingIOError: another holds it.
        OSError: the file system cannot lock, or failed.
    """
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            finally:
                os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise BlockingIOError(errno.EWOULDBLOCK, "another process holds the lock") from error
        raise
