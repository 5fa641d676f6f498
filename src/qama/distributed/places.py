"""Folders of files, on a disk or in an object store, where a file is whole or not there."""

from __future__ import annotations

import contextlib
import importlib
import os
import posixpath
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qama import files
from qama.engines.table import masked
from qama.errors import MissingExtraError

UNFINISHED = "_unfinished"  # the folder of files that are being written
_PARQUET = (".parquet", ".pq")


def needed(module: str, extra: str = "arrow") -> Any:
    """Import a module of an optional package.

    Raises:
        MissingExtraError: it is not installed; the message holds the command that does it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtraError("qama.distributed", package, extra) from error


@dataclass(frozen=True)
class File:
    """A file as its folder lists it.

    Attributes:
        name: Its path within the folder.
        size: Bytes.
        modified: When it was last changed, in nanoseconds since 1970; None where nobody knows.
    """

    name: str
    size: int
    modified: int | None


@dataclass(frozen=True)
class Place:
    """A folder, opened; it can be pickled.

    Attributes:
        filesystem: A `pyarrow.fs.FileSystem`.
        folder: The path in it.
        given: What messages call it.
    """

    filesystem: Any
    folder: str
    given: str

    def __str__(self) -> str:
        return self.given

    @property
    def identity(self) -> str:
        """What it is called wherever it is opened: one name for one folder, and no password."""
        return f"{self.filesystem.type_name}:{self.folder}"

    @property
    def is_local(self) -> bool:
        """Whether it is on a disk of this machine."""
        return bool(self.filesystem.type_name == "local")

    def shown(self, name: str) -> str:
        """Return what messages call a file of the folder."""
        return posixpath.join(self.given, name)

    def path(self, name: str) -> str:
        """Return the path of a file of the folder."""
        return posixpath.join(self.folder, name)

    def holds(self, other: Place) -> bool:
        """Whether another place is this one, or lies in it."""
        same = self.filesystem.type_name == other.filesystem.type_name
        return same and f"{other.folder}/".startswith(f"{self.folder}/")

    def parquet_files(self) -> list[File]:
        """Return the Parquet files in it and below, by name; without those that _ or . begins."""
        fs = needed("pyarrow.fs")
        chosen = fs.FileSelector(self.folder, allow_not_found=True, recursive=True)
        found = []
        for info in self.filesystem.get_file_info(chosen):
            name = posixpath.relpath(info.path, self.folder)
            hidden = any(part.startswith(("_", ".")) for part in name.split("/"))
            if info.is_file and name.lower().endswith(_PARQUET) and not hidden:
                found.append(_file(name, info))
        return sorted(found, key=lambda file: file.name)

    def find(self, name: str) -> File | None:
        """Return one file; None where it is not there."""
        info = self.filesystem.get_file_info(self.path(name))
        return _file(name, info) if info.is_file else None

    def opened(self, name: str) -> Any:
        """Open a file to read, at any place of it."""
        return self.filesystem.open_input_file(self.path(name))

    def read(self, name: str) -> bytes:
        """Return all bytes of a file."""
        with self.opened(name) as file:
            return bytes(file.read())

    @contextmanager
    def replacing(self, name: str) -> Iterator[Any]:
        """Yield a stream whose bytes take the place of a file when the block ends well.

        They are written under another name, which no other writer has, and moved: neither a kill
        nor an error, nor a second writer of the same file, leaves half a file under the name.

        Raises:
            OSError: it cannot be written; what stood there is intact.
        """
        path = self.path(name)
        temporary = self.path(f"{UNFINISHED}/{secrets.token_hex(16)}")
        for made in (temporary, path):
            self.filesystem.create_dir(posixpath.dirname(made), recursive=True)
        try:
            with self.filesystem.open_output_stream(temporary) as stream:
                yield stream
            self._settle(temporary)
            self.filesystem.move(temporary, path)
            self._settle(path)
        except BaseException:
            with contextlib.suppress(OSError):
                self.filesystem.delete_file(temporary)
            raise

    def _settle(self, path: str) -> None:
        """Wait until a file and its name are on the disk, where there is one."""
        if not self.is_local:
            return
        with files.opened(Path(path), os.O_RDWR) as file:
            files.sync(file.fileno())
        files.sync_folder(Path(path).parent)

    def clear(self) -> None:
        """Remove what killed writers left; no other may be at work in the folder."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.delete_dir(self.path(UNFINISHED))


def _file(name: str, info: Any) -> File:
    return File(name, info.size, info.mtime_ns)


def place(given: str | os.PathLike[str], filesystem: Any = None) -> Place:
    """Return a folder.

    Args:
        given: A path, or a URI of what `pyarrow.fs` or an installed fsspec filesystem serves, such
            as s3://bucket/folder.
        filesystem: What holds the path, of `pyarrow.fs` or of fsspec; None: see above.

    Raises:
        ValueError: a URI that nothing serves.
        MissingExtraError: pyarrow is not installed, or fsspec where the URI needs it.
    """
    fs, text = needed("pyarrow.fs"), os.fspath(given)
    if filesystem is not None:
        known = isinstance(filesystem, fs.FileSystem)
        held = filesystem if known else fs.PyFileSystem(fs.FSSpecHandler(filesystem))
        return Place(held, text.rstrip("/"), text)
    if "://" not in text:
        return Place(fs.LocalFileSystem(), files.real(text).as_posix(), text)
    held, path = _served(text)
    if held.type_name == "local":
        path = files.real(path).as_posix()
    return Place(held, path.rstrip("/"), masked(text))


def _served(uri: str) -> tuple[Any, str]:
    """Return the filesystem of a URI, and the path in it."""
    pa, fs = needed("pyarrow"), needed("pyarrow.fs")
    try:
        held, path = fs.FileSystem.from_uri(uri)
        return held, path
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    try:
        held, path = needed("fsspec.core", "ray").url_to_fs(uri)
    except ValueError as error:
        raise ValueError(f"no filesystem serves {masked(uri)}: {error}") from error
    return fs.PyFileSystem(fs.FSSpecHandler(held)), path
