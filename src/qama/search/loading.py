"""Reading the files of an index together: the base, and the log that belongs to it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from qama import files
from qama.errors import FormatError
from qama.search import base, log
from qama.search import ids as idmap
from qama.search.base import Base
from qama.search.snapshot import Table

_TRIES = 10  # a reader may meet a writer that just replaced base or log


@dataclass(frozen=True, eq=False)
class State:
    """What the files of an index hold.

    Attributes:
        base: The base.
        log: Its log; None if there is none, or one of an older base.
        table: The rows of both.
        stamps: What changes whenever a file does.
    """

    base: Base
    log: log.Log | None
    table: Table
    stamps: tuple[object, ...]


def load(path: Path, verify: bool = False, like: Base | None = None) -> State:
    """Read what the files of an index hold.

    Args:
        path: The base file.
        verify: Compare all checksums of the base too (those of the log are always compared).
        like: What was there before: a file of other codes is refused.

    Raises:
        FormatError: a file is damaged, or the log belongs to another index.
        OSError: a file cannot be opened.
    """
    for _ in range(_TRIES):
        stamps = stamps_of(path)
        found = base.read(path)
        record = read_log(path)
        if stamps[0] == stamps_of(path)[0]:
            break
    if like is not None and not found.same_codes(like):
        raise FormatError(
            f"{path} was replaced by an index of codec {found.codec.fingerprint}, "
            f"{found.code.label}; open it again"
        )
    if verify:
        found.contents.check_sections()
    record = _belonging(path, found, record)
    table = found.table()
    if record is not None:
        if record.damage:
            raise FormatError(
                f"{log_path(path)}: {record.damage} and whole records follow it: `qama repair` "
                f"salvages what is proven"
            )
        replay(table, record.records, log_path(path))
    return State(found, record, table, stamps)


def replay(table: Table, records: list[log.Record], name: object, strict: bool = True) -> None:
    """Apply records to a table.

    Args:
        table: The rows of the base.
        records: The records in their order.
        name: What messages call the log.
        strict: Refuse to add an id that is there already; otherwise its vector is replaced.

    Raises:
        FormatError: a record that cannot follow from those before it.
    """
    table.reserve(sum(len(record.codes) for record in records))
    for record in records:
        try:
            idmap.checked(record.ids, "ids")
            held = table.find(record.ids)
            if strict and record.kind == "add" and (held >= 0).any():
                raise ValueError("it adds an id that is there already")
        except ValueError as error:
            raise FormatError(f"{name}: record {record.number} is inconsistent: {error}") from None
        table.bury(held)
        if record.kind != "delete":
            table.append(record.codes, record.ids)


def log_path(path: Path) -> Path:
    """Return where the log of an index is."""
    return path.with_name(path.name + ".log")


def read_log(path: Path) -> log.Log | None:
    """Read the log of an index; None if there is none.

    Raises:
        FormatError: see `qama.search.log.read`.
    """
    try:
        data = files.mapped(log_path(path))
    except FileNotFoundError:
        return None
    return log.read(data, log_path(path))


def _belonging(path: Path, found: Base, record: log.Log | None) -> log.Log | None:
    """Return the log if it belongs to the base; None if the base contains it already."""
    if record is None or record.header.base == found.replaces:
        return None
    header = record.header
    wanted = (found.identity, found.codec.fingerprint, found.code.stored_bytes)
    if (header.base, header.codec, header.code_bytes) != wanted:
        raise FormatError(
            f"{log_path(path)} belongs to the index {header.base} of codec {header.codec}, "
            f"{header.code_bytes} B a code; {path} is {wanted[0]} of codec {wanted[1]}, "
            f"{wanted[2]} B: move the log away if the file is to be used without it"
        )
    return record


def stamps_of(path: Path) -> tuple[object, ...]:
    """Return what changes whenever the base or the log of an index does, in this order."""
    return tuple(_stamp(file) for file in (path, log_path(path)))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        about = os.stat(path)
    except FileNotFoundError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns
