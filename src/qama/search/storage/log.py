r"""The write-ahead log beside an index file: its bytes, and what they prove.

    offset 0   8 bytes   magic "\x93QAMALOG"
           8   u32 LE    version
          12   u32 LE    CRC-32 of bytes 16 to 63
          16   8 bytes   identity of the base file it belongs to
          24   8 bytes   fingerprint of the codec
          32   u32 LE    bytes per entry
          36   28 bytes  zero
          64   records

    a record:  4 bytes   mark "QREC"
               u32 LE    CRC-32 of the rest of the record
               u64 LE    number of the record, counted from 1
               u64 LE    bytes of the log that were synced when it was written
               u32 LE    kind: 1 add, 2 upsert, 3 delete, 4 sync
               u32 LE    zero
               u64 LE    count
               u64 LE    bytes of the payload
               payload   count ids (i64 LE), then, if it adds or upserts, count entries

An entry is a code, in an index with inverted lists followed by the number of its list (u32 LE).
A record of kind sync changes nothing (its count is 0): it is written behind what was synced, and
says so. Version 1 has none.

docs/format.md is the specification.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qama.checks import Bytes, Ids
from qama.errors import FormatError

MAGIC = b"\x93QAMALOG"
VERSION, OLDEST = 2, 1  # 2: records of syncs
MARK = b"QREC"
KINDS = {1: "add", 2: "upsert", 3: "delete", 4: "sync"}
_WITH_ENTRIES = ("add", "upsert")

_HEADER = struct.Struct("<8sII8s8sI28x")
_RECORD = struct.Struct("<4sIQQIIQQ")
_PIECE = 2**20  # bytes that are searched for marks at a time
_NUMBERS = {name: number for number, name in KINDS.items()}


@dataclass(frozen=True)
class Header:
    """What a log belongs to.

    Attributes:
        base: Identity of the base file, 16 hex digits.
        codec: Fingerprint of the codec, 16 hex digits.
        entry_bytes: Bytes per entry.
        version: Of the log.
    """

    base: str
    codec: str
    entry_bytes: int
    version: int = VERSION

    def pack(self) -> bytes:
        """Return the first 64 bytes of the log."""
        base, codec = bytes.fromhex(self.base), bytes.fromhex(self.codec)
        packed = _HEADER.pack(MAGIC, self.version, 0, base, codec, self.entry_bytes)
        return packed[:12] + zlib.crc32(packed[16:]).to_bytes(4, "little") + packed[16:]


HEADER_BYTES = _HEADER.size


@dataclass(frozen=True, eq=False)
class Record:
    """One change.

    Attributes:
        kind: "add", "upsert", "delete" or "sync".
        number: Its number in the log, from 1.
        synced: Bytes of the log that were on the disk for certain when it was written.
        ids: int64 (count,).
        entries: uint8 (count, bytes); none unless it adds or upserts.
        stop: Where it ends in the log.
    """

    kind: str
    number: int
    synced: int
    ids: Ids
    entries: Bytes
    stop: int


@dataclass(frozen=True)
class End:
    """Where a log ends, as far as it counts.

    Attributes:
        size: Its bytes.
        number: The number of its last record.
        synced: Bytes that are on the disk for certain.
        pending: Whether a change behind them was acknowledged.
    """

    size: int
    number: int
    synced: int
    pending: bool = False

    def after(self, packed: bytes) -> End:
        """Return the end behind one more record, a change."""
        return End(self.size + len(packed), self.number + 1, self.synced, pending=True)

    def marked(self, packed: bytes) -> End:
        """Return the end behind one more record, that of a sync of everything before it."""
        return End(self.size + len(packed), self.number + 1, self.size)


@dataclass(frozen=True)
class Log:
    """What a log proves.

    Attributes:
        header: What it belongs to.
        records: The records up to the first that is unfinished or damaged.
        stop: Bytes of the log up to there.
        size: Bytes of the log.
        damage: What is wrong, if bytes that were synced are damaged; None if everything past
            ``stop`` is the unfinished end of a write.
        later: Whole records past ``stop``. Without ``damage`` nothing proves that what lies before
            them was ever on the disk: a power cut may leave them so.
    """

    header: Header
    records: list[Record]
    stop: int
    size: int
    damage: str | None
    later: list[Record]

    @property
    def changes(self) -> int:
        """How many records change something."""
        return sum(record.kind != "sync" for record in self.records)

    @property
    def end(self) -> End:
        """Where it ends, for a writer that has not synced it yet."""
        return End(self.stop, len(self.records), HEADER_BYTES, pending=bool(self.records))


def pack(kind: str, number: int, synced: int, ids: Ids, entries: Bytes | None) -> bytes:
    """Return the bytes of a record."""
    payload: list[memoryview] = [np.ascontiguousarray(ids, dtype="<i8").data]
    if entries is not None:
        payload.append(np.ascontiguousarray(entries).data)
    size = sum(part.nbytes for part in payload)
    fields = (number, synced, _NUMBERS[kind], 0, len(ids), size)
    body: list[bytes | memoryview] = [_RECORD.pack(MARK, 0, *fields)[8:], *payload]
    crc = 0
    for part in body:
        crc = zlib.crc32(part, crc)
    return b"".join((MARK, crc.to_bytes(4, "little"), *body))  # copies entries once: they are large


def read(data: Bytes, name: object) -> Log:
    """Read a log.

    Args:
        data: The file, uint8 (size,).
        name: What messages call it.

    Returns:
        What it proves.

    Raises:
        FormatError: not a log, of another version, or its header is damaged.
    """
    header = read_header(data, name)
    records: list[Record] = []
    at = HEADER_BYTES
    while (record := _record(data, at, header.entry_bytes)) and record.number == len(records) + 1:
        records.append(record)
        at = record.stop
    later = [] if at == len(data) else list(_later(data, at, header.entry_bytes, len(records) + 1))
    damage = None
    if any(record.synced > at for record in later):
        damage = f"record {len(records) + 1} at byte {at} is damaged"
    return Log(header, records, at, len(data), damage, later)


def salvage(data: Bytes, entry_bytes: int) -> list[Record]:
    """Return every whole record of a log whose header cannot be read, ascending."""
    return list(_later(data, 0, entry_bytes, 0))


def read_header(data: Bytes, name: object) -> Header:
    """Read the header of a log.

    Raises:
        FormatError: not a log, of another version, or damaged.
    """
    raw = data[:HEADER_BYTES].tobytes()
    if raw[:8] != MAGIC:
        raise FormatError(f"{name} is not a log of qama (its first bytes are {raw[:8]!r})")
    if len(raw) < HEADER_BYTES:
        raise FormatError(f"{name} is truncated: {len(raw)} bytes")
    _, version, crc, base, codec, entry_bytes = _HEADER.unpack(raw)
    if not OLDEST <= version <= VERSION:
        raise FormatError(
            f"{name} is a log of version {version}; this qama reads {OLDEST} to {VERSION}"
        )
    if crc != zlib.crc32(raw[16:]) or any(raw[36:]):
        raise FormatError(f"{name}: the header of the log is damaged (checksum differs)")
    if entry_bytes == 0:
        raise FormatError(f"{name}: the header of the log gives entries no bytes")
    return Header(base.hex(), codec.hex(), entry_bytes, version)


def _record(data: Bytes, at: int, entry_bytes: int) -> Record | None:
    """Return the record that starts there, or None if no whole one does."""
    head = data[at : at + _RECORD.size].tobytes()
    if len(head) < _RECORD.size:
        return None
    mark, crc, number, synced, kind, zero, count, payload = _RECORD.unpack(head)
    each = 8 + (entry_bytes if KINDS.get(kind) in _WITH_ENTRIES else 0)
    start = at + _RECORD.size
    stop = start + payload
    if mark != MARK or kind not in KINDS or zero or payload != count * each or stop > len(data):
        return None
    if KINDS[kind] == "sync" and count:
        return None
    if crc != zlib.crc32(data[at + 8 : stop].data) or synced > at:
        return None
    ids = data[start : start + 8 * count].view("<i8").astype(np.int64)
    entries = data[start + 8 * count : stop].reshape(-1, entry_bytes)
    return Record(KINDS[kind], number, synced, ids, entries, stop)


def _later(data: Bytes, at: int, entry_bytes: int, number: int) -> Iterator[Record]:
    """Yield whole records of higher numbers past a place where none starts.

    Of hostile bytes, in which every mark claims a long record, only so many are looked at that the
    work stays proportional to the size.
    """
    budget = 4 * (len(data) - at) + 2**20
    at += 1
    for start in _marks(data, at):
        if start < at:
            continue
        head = data[start : start + _RECORD.size].tobytes()
        claimed = _RECORD.unpack(head)[-1] if len(head) == _RECORD.size else 0
        budget -= _RECORD.size + (claimed if claimed <= len(data) - start else 0)
        if budget < 0:
            return
        record = _record(data, start, entry_bytes)
        if record and record.number > number:
            yield record
            number, at = record.number, record.stop


def _marks(raw: Bytes, at: int) -> Iterator[int]:
    """Yield where marks are, ascending."""
    for start in range(at, len(raw), _PIECE):
        piece = raw[start : start + _PIECE + len(MARK) - 1].tobytes()
        found = piece.find(MARK)
        while found >= 0:
            yield start + found
            found = piece.find(MARK, found + 1)
