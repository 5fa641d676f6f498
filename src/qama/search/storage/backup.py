"""Backups of an index that may be written meanwhile: blocks by what they hold, and a manifest.

    blocks/3f/3fa8...     a stretch of a file, at most 4 MiB, named by its BLAKE2b digest
    backups/000001.json   one backup: its files, each as the names of its blocks

A block is written once, whichever backups have it. A manifest is written last, so that a backup is
there as a whole or not at all; blocks that no manifest names are of one that was cut off, and the
next one finds them there. docs/operations.md tells how to use it, docs/format.md what is in it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qama import checks, files
from qama.checks import Bytes
from qama.errors import FormatError
from qama.search.storage import base, copies, loading, log, places
from qama.search.storage.base import Base
from qama.search.storage.loading import Pair
from qama.search.storage.lock import Lock
from qama.search.storage.places import Place

BLOCK = 4 * 2**20
FORMAT, VERSION = "qama backup", 1
_APART = 2**20  # a section of so many bytes begins a block: it may move as a whole
_SUFFIXES = ("", ".log", ".qama-log")
_DIGEST_BYTES = 32
_DIGITS = 6  # of a number in a manifest's name

Target = str | os.PathLike[str]


@dataclass(frozen=True)
class Stored:
    """A file of a backup.

    Attributes:
        suffix: What its name has behind that of the index: "" for the base.
        blocks: The digest and the bytes of each block.
    """

    suffix: str
    blocks: tuple[tuple[str, int], ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the file."""
        return sum(size for _, size in self.blocks)


@dataclass(frozen=True)
class Backup:
    """A backup.

    Attributes:
        number: It counts from 1.
        began: When, in UTC, as ISO 8601.
        index: Name of the file that it is of.
        identity: Of its base, 16 hex digits that follow from every byte.
        rows: Of its base.
        changes: In its log, since the base was written.
        written: Bytes that it added to the target.
        files: The base, and the log if there is one.
    """

    number: int
    began: str
    index: str
    identity: str
    rows: int
    changes: int
    written: int
    files: tuple[Stored, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of its files together."""
        return sum(stored.nbytes for stored in self.files)


def backup(
    index: str | os.PathLike[str], target: Target, *, keep: int | None = None, check: bool = False
) -> Backup:
    """Back an index up, also while another process writes it.

    The backup is a state that the index had, and holds every change that was acknowledged before
    the call. Only what the target lacks is written there.

    Args:
        index: The index file.
        target: A folder for backups of this index alone, which is made; or a URI that pyarrow
            opens, such as s3://bucket/folder, in which nothing keeps two backups apart.
        keep: Remove all but so many backups, the newest ones, and what they alone have.
        check: Read what the target has already, and write it again where it is damaged.

    Raises:
        FormatError: the index, or a manifest in the target, is damaged.
        LockedError: another process writes a backup to the folder.
        MissingExtraError: a URI, and pyarrow is not installed.
        OSError: a file cannot be read or written; backups made before are whole.
        ValueError: ``keep`` is below 1, or the backups in the target are of another index: of
            another name, and its base is neither theirs nor the one that took its place.
    """
    if keep is not None:
        checks.integer(keep, "keep", 1)
    path, place = files.real(index), places.opened(target)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    with place.held():
        known = _numbers(place)
        before = _read(place, known[-1]) if known else None
        pair = loading.pair_to_copy(path)
        if before is not None:
            _check_same(place, before, path, pair.base)
        writer = _Writer(place, check)
        stored = [writer.base(pair, before)]
        if pair.log_end is not None:
            stored.append(writer.file(pair.log_suffix, pair.log_end, []))
        made = Backup(
            known[-1] + 1 if known else 1, began, path.name, pair.base.identity, pair.base.rows,
            pair.log.changes if pair.log else 0, writer.written, tuple(stored),
        )  # fmt: skip
        place.put(_manifest(made.number), _packed(made))
        if keep is not None:
            _prune(place, keep)
    return made


def backups(target: Target) -> list[Backup]:
    """Return the backups in a target, the oldest first.

    Raises:
        FormatError: a manifest is damaged.
        OSError: a file cannot be read.
    """
    place = places.opened(target)
    return [_read(place, number) for number in _numbers(place)]


def restore(target: Target, path: str | os.PathLike[str], *, number: int | None = None) -> Backup:
    """Write the files of a backup: an index as it was then.

    Every block is compared with its digest. The base takes its place last, so that what is cut off
    leaves no index at the path.

    Args:
        target: Where the backups are.
        path: Where the index is to be; nothing may be there.
        number: Which backup; default: the newest.

    Returns:
        The backup.

    Raises:
        FileExistsError: an index, or something else, is there already.
        FormatError: a block or the manifest is damaged, or missing; it is named.
        ValueError: there is no such backup.
        OSError: a file cannot be read or written.
    """
    place, goal = places.opened(target), files.real(path)
    found = _read(place, _wanted(place, number))
    lock = Lock(goal)
    lock.acquire()
    try:
        copies.unmark(goal)  # of a replica that is gone
        for stored in sorted(found.files, key=lambda stored: -len(stored.suffix)):
            to = goal.with_name(goal.name + stored.suffix)
            _check_free(to, found.identity)
            with files.replacing(to, check=None if stored.suffix else base.read) as file:
                for block in _blocks(place, found, stored):
                    file.write(block)
    finally:
        lock.release()
    return found


def _check_same(place: Place, before: Backup, path: Path, found: Base) -> None:
    """Refuse an index that is not the one that the backups so far are of."""
    if path.name != before.index and before.identity not in (found.identity, found.replaces):
        raise ValueError(
            f"{place.name} holds backups of {before.index!r}, and {path.name!r} is another index; "
            f"give it a folder of its own"
        )


# -- writing --------------------------------------------------------------------------------


class _Writer:
    """Puts blocks where they are not yet.

    Args:
        place: Where they go.
        check: Whether those that are there are read and compared.
    """

    def __init__(self, place: Place, check: bool) -> None:
        self.place, self.check, self.written = place, check, 0

    def base(self, pair: Pair, before: Backup | None) -> Stored:
        """Keep the base; one that a backup has already is not read again."""
        if before is not None and before.identity == pair.base.identity:
            stored = before.files[0]
            if all(self._has(name, size) for name, size in stored.blocks):
                return stored
        stored = self.file("", pair.base_bytes, _starts(pair))
        pair.check_unchanged()
        return stored

    def file(self, suffix: str, data: Bytes, starts: list[int]) -> Stored:
        """Keep a file, uint8 (size,), of which some stretches begin blocks of their own."""
        blocks = []
        for start, stop in _stretches(len(data), starts):
            piece = data[start:stop].data
            name = _digest(piece)
            if not self._has(name, len(piece)):
                self.place.put(_block(name), piece)
                self.written += len(piece)
            blocks.append((name, len(piece)))
        return Stored(suffix, tuple(blocks))

    def _has(self, name: str, size: int) -> bool:
        if self.place.size(_block(name)) != size:
            return False
        return not self.check or _digest(self.place.get(_block(name))) == name


def _starts(pair: Pair) -> list[int]:
    """Return where long sections of a base begin and end, ascending.

    After it is compacted they may lie elsewhere, and begin as they did.
    """
    begin, cuts = pair.base_bytes.ctypes.data, []
    for array in pair.base.contents.arrays.values():
        if array.nbytes >= _APART:
            start = array.ctypes.data - begin
            cuts += [start, start + array.nbytes]
    return cuts


def _stretches(size: int, starts: list[int]) -> Iterator[tuple[int, int]]:
    """Yield where blocks begin and end: each has at most 4 MiB, and none reaches past a start."""
    for begin, end in zip([0, *sorted(starts)], [*sorted(starts), size], strict=True):
        for start in range(begin, end, BLOCK):
            yield start, min(start + BLOCK, end)


def _prune(place: Place, keep: int) -> None:
    """Remove all but the newest backups, then the blocks that none of these has."""
    numbers = _numbers(place)
    kept = [_read(place, number) for number in numbers[-keep:]]
    held = {name for each in kept for stored in each.files for name, _ in stored.blocks}
    for number in numbers[:-keep]:
        place.remove(_manifest(number))
    for name in place.names("blocks"):
        digest = name.rpartition("/")[2]
        if digest not in held and _is_digest(digest) and name == _block(digest):
            place.remove(name)


# -- reading --------------------------------------------------------------------------------


def _wanted(place: Place, number: int | None) -> int:
    numbers = _numbers(place)
    if not numbers:
        raise ValueError(f"{place.name} holds no backup")
    if number is not None and number not in numbers:
        raise ValueError(
            f"{place.name} holds no backup {number}; there are {numbers[0]} to {numbers[-1]}"
        )
    return numbers[-1] if number is None else number


def _check_free(path: Path, identity: str) -> None:
    """Refuse to write over a file, except over a log that a cut restore of this base left."""
    if not os.path.lexists(path):
        return
    if files.begins(path, log.MAGIC) and log.read_header(files.read(path), path).base == identity:
        return
    raise FileExistsError(f"{path} is there already; restore to another name, or move it away")


def _blocks(place: Place, found: Backup, stored: Stored) -> Iterator[bytes]:
    """Yield the blocks of a file, each compared with its digest."""
    at = 0
    for name, size in stored.blocks:
        where = f"bytes {at} to {at + size - 1} of {found.index}{stored.suffix}"
        try:
            data = place.get(_block(name))
        except FileNotFoundError:
            raise FormatError(f"{place.name}: {_block(name)} is missing, {where}") from None
        if len(data) != size or _digest(data) != name:
            raise FormatError(
                f"{place.name}: {_block(name)} is damaged, {where}: restore another backup, or "
                f"back the index up again with check=True, which writes it anew"
            )
        yield data
        at += size


def _numbers(place: Place) -> list[int]:
    """Return the numbers of the backups, ascending."""
    found = {Path(name).stem: name for name in place.names("backups")}
    numbers = [int(stem) for stem in found if stem.isdecimal()]
    return sorted(number for number in numbers if _manifest(number) in found.values())


def _read(place: Place, number: int) -> Backup:
    name = f"{place.name}/{_manifest(number)}"
    try:
        whole: Any = json.loads(place.get(_manifest(number)))
        said = whole["backup"]
        if whole["format"] != FORMAT:
            raise ValueError("it is of another format")
        if whole["version"] != VERSION:
            raise ValueError(f"it is of version {whole['version']}, and this qama reads {VERSION}")
        if whole["blake2b"] != _digest(_json(said)):
            raise ValueError("its checksum differs")
        stored = tuple(_stored(each) for each in said.pop("files"))
        return Backup(**said, files=stored)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(f"{name} is no manifest of a backup, or damaged: {error}") from None


def _stored(said: dict[str, Any]) -> Stored:
    checks.one_of(said["suffix"], "suffix", _SUFFIXES)
    blocks = []
    for name, size in said["blocks"]:
        if not _is_digest(name):
            raise ValueError(f"{name!r} is no digest")
        blocks.append((name, checks.integer(size, "bytes", 0, BLOCK)))
    return Stored(said["suffix"], tuple(blocks))


def _packed(made: Backup) -> bytes:
    said = {name: value for name, value in vars(made).items() if name != "files"}
    said["files"] = [{"suffix": each.suffix, "blocks": each.blocks} for each in made.files]
    whole = {"format": FORMAT, "version": VERSION, "blake2b": _digest(_json(said)), "backup": said}
    return _json(whole)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _digest(data: bytes | memoryview) -> str:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


def _is_digest(name: str) -> bool:
    return len(name) == 2 * _DIGEST_BYTES and not set(name) - set("0123456789abcdef")


def _block(name: str) -> str:
    return f"blocks/{name[:2]}/{name}"


def _manifest(number: int) -> str:
    return f"backups/{number:0{_DIGITS}}.json"
