"""The one way to the disk: whatever must not be lost is written, synced and renamed here."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from qama import locks
from qama.checks import Bytes
from qama.errors import FormatError

_TEMPORARY = ".qama-tmp"
_OURS = (b"\x93QAMA",)  # how a file begins that is written here
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)


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
def replacing(
    path: str | os.PathLike[str],
    like: Path | None = None,
    check: Callable[[Path], object] | None = None,
) -> Iterator[Writable]:
    """Yield a new file that takes the path's place, synced, when the block ends well.

    It has the permissions of what stood there, else those of the file ``like``, if any. A link
    stays, and what it leads to is replaced. What killed processes left of such files is removed.

    Args:
        path: The file to replace, or a new one.
        like: See above.
        check: Called with the new file before it takes the place of the old one; what it raises
            leaves the old one in place.

    Raises:
        OSError: the file cannot be written, or a pipe or device stands there; what stood there
            before is intact.
    """
    target = real(path)
    if target.exists() and not target.is_file():
        raise OSError(f"{path} is not a regular file, and only such a file can be replaced")
    with naming(target), _temporary(target) as (temporary, descriptor):
        _permit_as(descriptor, target if like is None or target.exists() else like)
        yield _NewFile(descriptor)
        sync(descriptor)
        if check is not None:
            check(temporary)
        os.replace(temporary, target)
        sync_folder(target.parent)


@contextmanager
def _temporary(target: Path) -> Iterator[tuple[Path, int]]:
    """Make a file beside another one, locked while it is written; removed if it is still there."""
    _clear(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}{_TEMPORARY}")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = None
    try:
        descriptor = os.open(temporary, flags, 0o666)
        with contextlib.suppress(OSError):  # where nothing can be locked, nothing is cleared
            locks.hold(descriptor)
        yield temporary, descriptor
    finally:
        try:
            temporary.unlink(missing_ok=True)
        finally:
            if descriptor is not None:
                os.close(descriptor)


def _clear(target: Path) -> None:
    """Remove what killed processes left of files that were to take a place."""
    name = re.compile(re.escape(f".{target.name}.") + "[0-9a-f]{16}" + f"({_TEMPORARY})?")
    left: list[Path] = []
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        left = [Path(entry.path) for entry in entries if name.fullmatch(entry.name)]
    for path in left:
        with contextlib.suppress(OSError):
            if begins(path, *_OURS, b""):
                _remove_unheld(path)


def _remove_unheld(path: Path) -> None:
    """Remove a file that no living process holds."""
    descriptor = os.open(path, os.O_RDONLY | _NO_LINK)
    try:
        locks.hold(descriptor)
        os.unlink(path)
    finally:
        os.close(descriptor)


def begins(path: Path, *starts: bytes) -> bool:
    """Whether a regular file, not a link, begins so; an empty start is that of an empty file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_LINK | _NO_WAIT)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOENT):
            return False
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        found = os.read(descriptor, max(map(len, starts)))
    finally:
        os.close(descriptor)
    return any(found.startswith(start) if start else not found for start in starts)


def _permit_as(descriptor: int, file: Path) -> None:
    """Give a new file the permissions of one that exists."""
    if file.exists() and hasattr(os, "fchmod"):
        os.fchmod(descriptor, stat.S_IMODE(file.stat().st_mode))


def read(path: str | os.PathLike[str]) -> Bytes:
    """Read a whole file: uint8 (size,); a file that another process cuts meanwhile is no danger.

    Raises:
        FormatError: not a regular file.
        OSError: the file cannot be opened or read.
    """
    with regular(path) as descriptor:
        data = np.empty(os.fstat(descriptor).st_size, dtype=np.uint8)
        with io.FileIO(descriptor, closefd=False) as file:
            done = 0
            while done < len(data) and (count := file.readinto(data[done : done + 2**30].data)):
                done += count
    return data[:done]


@contextmanager
def regular(path: str | os.PathLike[str]) -> Iterator[int]:
    """Open a regular file to read it; a pipe is refused and not waited for."""
    descriptor = os.open(path, os.O_RDONLY | _NO_WAIT | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise FormatError(f"{path} is not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)
