"""A folder of index files that are one index in parts, and the manifest that names them."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from qama import checks, container, files
from qama.errors import FormatError
from qama.search import merging
from qama.search.index import Index

MANIFEST = "shards.json"
FORMAT, VERSION = "qama shards", 1
BY = ("rows", "lists")


@dataclass(frozen=True)
class ShardFile:
    """One part.

    Attributes:
        file: Its name within the folder.
        rows: Vectors that it held when it was made.
        first: The first row, in insertion order, or the first inverted list that it has.
        last: The last one, itself included; below ``first`` where there is none.
        identity: 16 hex digits that follow from every byte of the file when it was made.
        nbytes: Its size then.
    """

    file: str
    rows: int
    first: int
    last: int
    identity: str
    nbytes: int


@dataclass(frozen=True)
class Shards:
    """What `qama.shard` made: index files in one folder that together hold one index.

    Attributes:
        folder: Where they are.
        by: What was split: "rows", or "lists" (whole inverted lists).
        codec: Fingerprint of their codec.
        files: The parts, in their order.
    """

    folder: Path
    by: str
    codec: str
    files: tuple[ShardFile, ...]

    def __len__(self) -> int:
        """Parts."""
        return len(self.files)

    @property
    def rows(self) -> int:
        """Vectors that they held when they were made."""
        return sum(part.rows for part in self.files)

    @property
    def paths(self) -> list[Path]:
        """The index files, in the order that `qama.search_many` needs for ties."""
        return [self.folder / part.file for part in self.files]

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Self:
        """Read the manifest of a folder.

        Raises:
            FormatError: it is damaged, or the shards are half made.
            FileNotFoundError: there is none.
            OSError: it cannot be read.
        """
        found, complete = cls.read_any(folder)
        if not complete:
            raise FormatError(
                f"{folder} holds shards that are half made: run `qama shard` into it again, which "
                f"makes them anew, or remove the folder"
            )
        return found

    @classmethod
    def read_any(cls, folder: str | os.PathLike[str]) -> tuple[Self, bool]:
        """Read the manifest of a folder, and whether its files were all made; see `read`."""
        path = Path(folder) / MANIFEST
        try:
            said = json.loads(files.read(path).tobytes())
            if said["format"] != FORMAT:
                raise ValueError("it is of another format")
            if said["version"] != VERSION:
                raise ValueError(f"it is of version {said['version']}; this qama reads {VERSION}")
            checks.one_of(said["by"], "by", BY)
            found = tuple(_shard_file(part) for part in said["files"])
            return cls(Path(folder), said["by"], str(said["codec"]), found), said[
                "complete"
            ] is True
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{folder} holds no shards, of which {MANIFEST} would tell; give a folder that "
                f"`qama shard` made, or a file"
            ) from None
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise FormatError(f"{path} is no manifest of shards, or damaged: {error}") from None

    def open(self, mode: str = "r", *, verify: bool = False) -> list[Index]:
        """Open every part, for `qama.search_many`.

        Args:
            mode: See `Index.open`.
            verify: Read every byte of every file, and refuse one that is no longer as it was made.

        Raises:
            FormatError: a file is damaged, or with ``verify`` another one than was made.
            OSError: a file cannot be opened.
            ValueError: files of another codec, code or ``keep`` than the first one.
        """
        if verify:
            for part, path in zip(self.files, self.paths, strict=True):
                _check(part, path)
        return merging.checked([Index.open(path, mode, verify=verify) for path in self.paths])

    def write(self, complete: bool) -> None:
        """Write the manifest, atomically."""
        said = {
            "format": FORMAT, "version": VERSION, "complete": complete, "by": self.by,
            "codec": self.codec, "rows": self.rows, "files": [asdict(part) for part in self.files],
        }  # fmt: skip
        with files.replacing(self.folder / MANIFEST) as file:
            file.write(json.dumps(said, indent=1).encode() + b"\n")


def _shard_file(said: dict[str, Any]) -> ShardFile:
    part = ShardFile(**said)
    if Path(part.file).name != part.file:
        raise ValueError(f"{part.file!r} is no name of a file in the folder")
    for name in ("rows", "first", "nbytes"):
        checks.integer(getattr(part, name), name, 0, 2**62)
    return part


def _check(part: ShardFile, path: Path) -> None:
    """Refuse a file that is not as it was made, by its size and identity."""
    found = container.identity_of(path)
    if found != part.identity:
        raise FormatError(
            f"{path} is the file {found}, and {part.identity} was made: it was changed or replaced "
            f"since; open it without verify"
        )
    if path.stat().st_size != part.nbytes:
        raise FormatError(f"{path} has {path.stat().st_size} bytes; {part.nbytes} were made")
