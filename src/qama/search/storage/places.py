"""Where backups go: a folder, or what pyarrow can open; names within, bytes whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from qama import files
from qama.errors import LockedError, MissingExtraError
from qama.search.storage.lock import SUFFIX, Lock

_TEMPORARY = ".qama-tmp"


class Place(Protocol):
    """What a backup needs of where it goes; names have slashes."""

    name: str

    def held(self) -> Any:
        """Return a context in which no other process writes there, where that can be had."""

    def names(self, folder: str) -> list[str]:
        """Return the names of all files below a folder, sorted; none where it is not there."""

    def size(self, name: str) -> int | None:
        """Return the bytes of a file; None if there is none."""

    def get(self, name: str) -> bytes:
        """Return what a file holds.

        Raises:
            OSError: there is none, or it cannot be read.
        """

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Write a file that is there as a whole or not at all.

        Raises:
            OSError: it cannot be written.
        """

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""


def opened(target: str | os.PathLike[str]) -> Place:
    """Return the place of a folder's path, or of a URI such as s3://bucket/folder.

    Raises:
        MissingExtraError: a URI, and pyarrow is not installed.
        ValueError: pyarrow knows no such URI.
    """
    text = os.fspath(target)
    return Remote(text) if "://" in text else Folder(Path(text))


class Folder:
    """A folder of this machine; everything in it is on the disk when it is written."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """See `Place`; what killed processes left of new files is removed.

        Raises:
            LockedError: another process writes there.
        """
        self.path.mkdir(exist_ok=True)
        lock = Lock(self.path / "backup")
        try:
            lock.acquire()
        except LockedError:
            raise LockedError(
                f"another process makes a backup to {self.path}; wait until it ends"
            ) from None
        try:
            for folder in ("blocks", "backups"):
                for left in (self.path / folder).rglob(f".*{_TEMPORARY}"):
                    files.remove(left)
            yield
        finally:
            lock.release()

    def names(self, folder: str) -> list[str]:
        """See `Place`."""
        found = (path for path in (self.path / folder).rglob("*") if path.is_file())
        plain = (path for path in found if path.suffix not in (SUFFIX, _TEMPORARY))
        return sorted(path.relative_to(self.path).as_posix() for path in plain)

    def size(self, name: str) -> int | None:
        """See `Place`."""
        try:
            return os.stat(self.path / name).st_size
        except FileNotFoundError:
            return None

    def get(self, name: str) -> bytes:
        """See `Place`."""
        return files.read(self.path / name).tobytes()

    def put(self, name: str, data: bytes | memoryview) -> None:
        """See `Place`."""
        path = self.path / name
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
            for folder in {path.parent.parent, self.path}:
                files.sync_folder(folder)
        with files.replacing(path) as file:
            file.write(data)

    def remove(self, name: str) -> None:
        """See `Place`."""
        files.remove(self.path / name)


class Remote:
    """What pyarrow opens by a URI; a file appears by moving it to its name."""

    def __init__(self, uri: str) -> None:
        try:
            from pyarrow import fs
        except ImportError:
            raise MissingExtraError(f"a backup to {uri}", "pyarrow", "arrow") from None
        self._fs: Any = fs
        self._files, self._root = fs.FileSystem.from_uri(uri)
        self.name = uri

    @contextmanager
    def held(self) -> Iterator[None]:
        """See `Place`: nothing keeps others away here."""
        yield

    def names(self, folder: str) -> list[str]:
        """See `Place`."""
        below = self._fs.FileSelector(self._path(folder), recursive=True, allow_not_found=True)
        found = (info for info in self._files.get_file_info(below) if info.is_file)
        paths = (info.path for info in found if not info.path.endswith(_TEMPORARY))
        return sorted(path[len(self._root) :].lstrip("/") for path in paths)

    def size(self, name: str) -> int | None:
        """See `Place`."""
        info = self._files.get_file_info(self._path(name))
        return info.size if info.is_file else None

    def get(self, name: str) -> bytes:
        """See `Place`."""
        with self._files.open_input_stream(self._path(name)) as file:
            return bytes(file.read())

    def put(self, name: str, data: bytes | memoryview) -> None:
        """See `Place`."""
        path = self._path(name)
        self._files.create_dir(path.rpartition("/")[0], recursive=True)
        with self._files.open_output_stream(path + _TEMPORARY) as file:
            file.write(data)
        self._files.move(path + _TEMPORARY, path)

    def remove(self, name: str) -> None:
        """See `Place`."""
        if self.size(name) is not None:
            self._files.delete_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"
