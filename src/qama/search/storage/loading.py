"""Reading the files of an index together: the base, and the log that belongs to it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from qama import files, mapping
from qama.checks import Bytes
from qama.errors import FormatError
from qama.search.rows import ids as idmap
from qama.search.rows.snapshot import Snapshot
from qama.search.storage import base, log
from qama.search.storage.base import Base

_TRIES = 10  # a reader may meet a writer that just replaced base or log


@dataclass(frozen=True, eq=False)
class Held:
    """The files that a state of an index was read from, or written to.

    Attributes:
        base: The base.
        stamp: Of the base: another one means that it was replaced.
        end: Where the log ends; None if there is none that belongs to the base.
    """

    base: Base
    stamp: object
    end: log.End | None

    @property
    def path(self) -> Path:
        """Where the base is."""
        return self.base.contents.path

    def unchanged(self) -> bool:
        """Whether the files are as they were; a log that only grew has changed."""
        if stamp_of(self.path) != self.stamp:
            return False
        try:
            size = os.stat(self.base.log_path).st_size
        except FileNotFoundError:
            return self.end is None
        return self.end is not None and size == self.end.size


@dataclass(frozen=True, eq=False)
class Pair:
    """Base and log as they lie side by side at one moment.

    Attributes:
        base: The base.
        log: What the log holds; None if there is none or it is one of an older base.
        stamp: Of the base.
        base_bytes: The whole base file, uint8 (size,), mapped.
        log_bytes: The log file as it was read, uint8 (size,); None where ``log`` is.
        steady: Whether no file was replaced while they were read; without it the pair may be
            older than what a writer made last.
    """

    base: Base
    log: log.Log | None
    stamp: object
    base_bytes: Bytes
    log_bytes: Bytes | None
    steady: bool

    @property
    def log_end(self) -> Bytes | None:
        """The bytes of the log as far as they count; None without a log."""
        if self.log is None or self.log_bytes is None:
            return None
        return self.log_bytes[: self.log.stop]

    @property
    def log_suffix(self) -> str:
        """What the name of the log has behind that of the base."""
        return self.base.log_path.name.removeprefix(self.base.contents.path.name)

    def check_unchanged(self) -> None:
        """Refuse what was copied from the base.

        Raises:
            OSError: it was changed in place meanwhile.
        """
        if mapping.changed(self.base_bytes):
            raise OSError(f"{self.base.contents.path} was changed in place while it was copied")


@dataclass(frozen=True, eq=False)
class State:
    """What an index is at one moment: it changes by one assignment of the next one.

    Attributes:
        rows: The rows.
        files: Where they are kept; None in memory.
    """

    rows: Snapshot
    files: Held | None


def load(path: Path, verify: bool = False, like: Base | None = None) -> State:
    """Read what the files of an index hold.

    Args:
        path: The base file.
        verify: Compare all checksums of the base too (those of the log are always compared).
        like: What was there before: one of other codes, or that keeps others, is refused.

    Raises:
        FormatError: a file is damaged, or the log belongs to another index.
        OSError: a file cannot be opened.
    """
    found, record, stamp = read(path)
    if like is not None and not found.same_codes(like):
        raise FormatError(
            f"{path} was replaced by an index of codec {found.codec.fingerprint}, "
            f"{found.code.label}, keep={found.keep!r}; open it again"
        )
    if verify:
        found.contents.check_sections()
    if found.kept is not None:
        mapping.read_scattered(found.kept.base)  # behind what reads it from end to end
    rows = found.snapshot()
    if record is None:
        return State(rows, Held(found, stamp, None))
    _check_undamaged(found, record)
    return State(replay(rows, record.records, found.log_path), Held(found, stamp, record.end))


def read(path: Path) -> tuple[Base, log.Log | None, object]:
    """Read base and log as they belong together.

    Returns:
        The base; its log, None if there is none or it is one of an older base; the base's stamp.

    Raises:
        FormatError: a file is damaged, or the log belongs to another index.
        OSError: a file cannot be opened.
    """
    found = pair(path)
    return found.base, found.log, found.stamp


def pair(path: Path) -> Pair:
    """Read base and log as they belong together, with their bytes; see `read`."""
    for _ in range(_TRIES):
        stamp, raw = stamp_of(path), mapping.mapped(path)
        found = base.parse(base.contents(path, raw))
        before, written = stamp_of(found.log_path), _bytes_of(found.log_path)
        record = None if written is None else log.read(written, found.log_path)
        still = before == stamp_of(found.log_path) or not (record and record.later)
        steady = stamp == stamp_of(path) and still
        if steady:
            break
    record = _belonging(found, record)
    return Pair(found, record, stamp, raw, None if record is None else written, steady)


def pair_to_copy(path: Path) -> Pair:
    """Read base and log as they belong together, with their bytes, for a copy of them.

    The pair holds every change that was acknowledged before the call.

    Raises:
        FormatError: a file is damaged, or the log belongs to another index.
        OSError: a file cannot be opened, or the base was replaced each time that it was read.
    """
    found = pair(path)
    if not found.steady:
        raise OSError(
            f"{path} was replaced {_TRIES} times while it was read; try again when it is compacted "
            f"less often"
        )
    if found.log is not None:
        _check_undamaged(found.base, found.log)
    return found


def _check_undamaged(found: Base, record: log.Log) -> None:
    if record.damage:
        raise FormatError(
            f"{found.log_path}: {record.damage} and whole records follow it: `qama repair` "
            f"salvages what is proven"
        )


def replay(
    rows: Snapshot, records: Iterable[log.Record], name: object, strict: bool = True
) -> Snapshot:
    """Return rows after the changes of records.

    Args:
        rows: The rows of the base.
        records: The records in their order.
        name: What messages call the log.
        strict: Refuse to add an id that is there already; otherwise its vector is replaced.

    Raises:
        FormatError: a record that cannot follow from those before it.
    """
    changes = [record for record in records if record.kind != "sync"]
    if changes:
        rows = rows.with_room(sum(len(record.entries) for record in changes))
    for record in changes:
        try:
            idmap.checked(record.ids, "ids")
            if strict and record.kind == "add" and (rows.find(record.ids) >= 0).any():
                raise ValueError("it adds an id that is there already")
            rows = rows.changed(record.ids, None if record.kind == "delete" else record.entries)
        except ValueError as error:
            raise FormatError(f"{name}: record {record.number} is inconsistent: {error}") from None
    return rows


def _bytes_of(path: Path) -> Bytes | None:
    """Return what a file holds, uint8 (size,); None if there is none."""
    try:
        return files.read(path)
    except FileNotFoundError:
        return None


def _belonging(found: Base, record: log.Log | None) -> log.Log | None:
    """Return the log if it belongs to the base; None if the base contains it already."""
    if record is None or record.header.base == found.replaces:
        return None
    header = record.header
    wanted = (found.identity, found.codec.fingerprint, found.entry_bytes)
    if (header.base, header.codec, header.entry_bytes) != wanted:
        raise FormatError(
            f"{found.log_path} belongs to the index {header.base} of codec {header.codec}, "
            f"{header.entry_bytes} B a row; {found.contents.path} is {wanted[0]} of codec "
            f"{wanted[1]}, {wanted[2]} B: move the log away if the file is to be used without it"
        )
    return record


def stamp_of(path: Path) -> object:
    """Return what changes whenever a file does; None if there is none."""
    try:
        about = os.stat(path)
    except FileNotFoundError:
        return None
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns
