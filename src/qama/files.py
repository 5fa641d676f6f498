"""The one way to the disk: whatever must not be lost is written, synced and renamed here."""

from __future__ import annotations

import mmap
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from qama.checks import Bytes
from qama.errors import FormatError


class Writable(Protocol):
    """What a new file offers."""

    def write(self, data: Any, /) -> int:
        """Write all bytes of a buffer; returns how many."""


class _NewFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: Any, /) -> int:
        return write_all(self._descriptor, data)


def write_all(descriptor: int, data: Any) -> int:
    """Write a whole buffer, however many calls the system needs; returns its bytes."""
    view = memoryview(data).cast("B") if memoryview(data).nbytes else memoryview(b"")
    done = 0
    while done < len(view):
        done += os.write(descriptor, view[done : done + 2**30])  # Python retries after EINTR
    return done


def sync(descriptor: int) -> None:
    """Wait until what was written is on the disk."""
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if os.name == "nt":
        return  # Windows has no descriptor of a folder to sync
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cut(descriptor: int, length: int) -> None:
    """Cut a file down to a length."""
    os.ftruncate(descriptor, length)


def open_to_append(path: Path) -> int:
    """Return a descriptor that writes at the end of a file that exists."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))


def real(path: str | os.PathLike[str]) -> Path:
    """Return where a path leads, through links: one file has one name, one log and one lock."""
    return Path(os.path.realpath(path))


def remove(path: Path) -> None:
    """Remove a file, if it is there, for good."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    sync_folder(path.parent)


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file in an OSError of the system, which knows a descriptor or a helping file."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename == str(path):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


@contextmanager
def replacing(path: str | os.PathLike[str], like: Path | None = None) -> Iterator[Writable]:
    """Yield a new file that takes the path's place, synced, when the block ends well.

    It has the permissions of what stood there, else those of the file ``like``, if any. A link
    stays, and what it leads to is replaced.

    Raises:
        OSError: the file cannot be written, or a pipe or device stands there; what stood there
            before is intact.
    """
    target = real(path)
    if target.exists() and not target.is_file():
        raise OSError(f"{path} is not a regular file, and only such a file can be replaced")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with naming(target):
        descriptor = os.open(temporary, flags, 0o666)
        try:
            try:
                _permit_as(descriptor, target if like is None or target.exists() else like)
                yield _NewFile(descriptor)
                sync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)


def _permit_as(descriptor: int, file: Path) -> None:
    """Give a new file the permissions of one that exists."""
    if file.exists() and hasattr(os, "fchmod"):
        os.fchmod(descriptor, stat.S_IMODE(file.stat().st_mode))


def mapped(path: str | os.PathLike[str]) -> Bytes:
    """Map a whole file read-only: uint8 (size,).

    Raises:
        FormatError: not a regular file.
        OSError: the file cannot be opened.
    """
    # O_NONBLOCK: a named pipe is refused below and not waited for.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        about = os.fstat(descriptor)
        if stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(21, "Is a directory", str(path))
        if not stat.S_ISREG(about.st_mode):
            raise FormatError(f"{path} is not a regular file")
        if about.st_size == 0:
            return np.zeros(0, dtype=np.uint8)
        return np.frombuffer(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ), dtype=np.uint8)
    finally:
        os.close(descriptor)
