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
_OURS = b"\x93QAMA"  # how a file begins that is written here
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


class OpenFile(io.FileIO):
    """An open file that is closed once, however often and whenever it is asked to be.

    An exception may come between any two steps of closing a bare descriptor, and then it is never
    closed, or twice. This one is closed by its last reference at the latest.
    """

    def __del__(self) -> None:
        self.close()


def opened(path: Path, flags: int, mode: str = "r+b") -> OpenFile:
    """Open a file with the flags of `os.open`."""
    with naming(path):
        return OpenFile(os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666), mode)


def opened_to_append(path: Path) -> OpenFile:
    """Open a file that exists, to write at its end."""
    return opened(path, os.O_RDWR | os.O_APPEND)


def real(path: str | os.PathLike[str]) -> Path:
    """Return where a path leads, through links: one file has one name, one log and one lock."""
    return Path(os.path.realpath(path))


def remove(path: Path) -> None:
    """Remove a file, if it is there, for good."""
    with naming(path):
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
    clear(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}{_TEMPORARY}")
    try:
        with opened(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL) as file:
            with contextlib.suppress(OSError):  # where nothing can be locked, nothing is cleared
                locks.hold(file.fileno())
            yield temporary, file.fileno()
    finally:
        temporary.unlink(missing_ok=True)


def clear(*targets: Path) -> None:
    """Remove what killed processes left of files that were to take a place in one folder."""
    names = "|".join(re.escape(target.name) for target in targets)
    name = re.compile(rf"\.({names})\.[0-9a-f]{{16}}({_TEMPORARY})?")
    left: list[Path] = []
    with contextlib.suppress(OSError), os.scandir(targets[0].parent) as entries:
        left = [Path(entry.path) for entry in entries if name.fullmatch(entry.name)]
    for path in left:
        with contextlib.suppress(OSError):
            if ours(path, _OURS):
                _remove_unheld(path)


def _remove_unheld(path: Path) -> None:
    """Remove a file that no living process holds."""
    with opened(path, os.O_RDONLY | _NO_LINK, "rb") as file:
        locks.hold(file.fileno())
        os.unlink(path)


def begins(path: Path, start: bytes) -> bool:
    """Whether a regular file, not a link, begins so."""
    found = _first_bytes(path, len(start))
    return found is not None and found == start


def ours(path: Path, start: bytes) -> bool:
    """Whether a regular file, not a link, begins so, as far as it was written.

    A kill leaves less of it, a power cut zeros in place of some of it.
    """
    found = _first_bytes(path, len(start))
    if found is None:
        return False
    return all(byte in (0, wanted) for byte, wanted in zip(found, start, strict=False))


def _first_bytes(path: Path, count: int) -> bytes | None:
    """Return the first bytes of a regular file; None for a link, another file, or none."""
    try:
        with naming(path), opened(path, os.O_RDONLY | _NO_LINK | _NO_WAIT, "rb") as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            return os.read(file.fileno(), count) if regular else None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOENT, errno.EISDIR):
            return None
        raise


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
    with naming(path), opened_to_read(path) as file:
        data = np.empty(os.fstat(file.fileno()).st_size, dtype=np.uint8)
        done = 0
        while done < len(data) and (count := file.readinto(data[done : done + 2**30].data)):
            done += count
    return data[:done]


def opened_to_read(path: str | os.PathLike[str]) -> OpenFile:
    """Open a regular file; a pipe is refused and not waited for.

    Raises:
        FormatError: not a regular file.
        OSError: the file cannot be opened.
    """
    with naming(path):
        file = opened(Path(path), os.O_RDONLY | _NO_WAIT, "rb")
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
    raise FormatError(f"{path} is not a regular file")
