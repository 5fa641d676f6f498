"""The log: its bytes, and what it proves when it is cut or damaged."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qama import FormatError
from qama.search.storage import log

HEADER = log.Header("0123456789abcdef", "fedcba9876543210", 3)
IDS = np.array([5, 2**40], dtype=np.int64)
CODES = np.arange(6, dtype=np.uint8).reshape(2, 3)


def written(records=3, synced=64):
    """A log: adds, an upsert and a delete."""
    raw = HEADER.pack()
    for number in range(1, records + 1):
        kind = ("add", "upsert", "delete")[(number - 1) % 3]
        ids = IDS + 10 * number if kind == "add" else IDS
        raw += log.pack(kind, number, synced, ids, None if kind == "delete" else CODES)
    return raw


def read(raw):
    return log.read(np.frombuffer(raw, dtype=np.uint8), "some.log")


def test_the_bytes_are_literal():
    raw = HEADER.pack() + log.pack("upsert", 1, 64, IDS, CODES)
    head = raw[:64]
    assert head[:12] == b"\x93QAMALOG\x02\0\0\0"
    assert head[12:16] == zlib.crc32(head[16:]).to_bytes(4, "little")
    assert head[16:36] == bytes.fromhex("0123456789abcdef fedcba9876543210 03000000")
    assert head[36:] == bytes(28)
    record = raw[64:]
    assert record[:4] == b"QREC"
    assert record[4:8] == zlib.crc32(record[8:]).to_bytes(4, "little")
    assert record[8:48] == b"".join(
        value.to_bytes(width, "little")
        for value, width in ((1, 8), (64, 8), (2, 4), (0, 4), (2, 8), (22, 8))
    )
    assert record[48:] == bytes.fromhex("0500000000000000 0000000000010000 000102030405")


def test_what_was_written_is_read():
    found = read(written())
    assert found.header == HEADER
    assert (found.stop, found.size, found.damage, found.later) == (len(written()),) * 2 + (None, [])
    assert [(r.kind, r.number, r.synced) for r in found.records] == [
        ("add", 1, 64), ("upsert", 2, 64), ("delete", 3, 64),
    ]  # fmt: skip
    assert found.records[0].ids.tolist() == [15, 2**40 + 10]
    assert found.records[1].entries.tolist() == CODES.tolist()
    assert found.records[2].entries.shape == (0, 3)
    assert found.records[2].stop == found.stop


def test_cut_anywhere_the_whole_records_before_it_stay():
    raw = written()
    stops = [record.stop for record in read(raw).records]
    for length in range(64, len(raw)):
        found = read(raw[:length])
        assert len(found.records) == sum(stop <= length for stop in stops)
        assert found.stop == max([64] + [stop for stop in stops if stop <= length])
        assert (found.size, found.damage, found.later) == (length, None, [])


@pytest.mark.parametrize("length", range(0, 64, 9))
def test_a_log_without_its_header_is_refused(length):
    with pytest.raises(FormatError, match=r"some\.log"):
        read(written()[:length])


def test_every_flipped_bit_of_the_header_is_refused():
    raw = bytearray(written())
    for at in range(64):
        raw[at] ^= 4
        with pytest.raises(FormatError, match=r"some\.log"):
            read(bytes(raw))
        raw[at] ^= 4


def test_every_flipped_byte_ends_the_log_before_its_record():
    raw = bytearray(written())
    stops = [64] + [record.stop for record in read(bytes(raw)).records]
    for at in range(64, len(raw)):
        raw[at] ^= 0x20
        found = read(bytes(raw))
        number = sum(stop <= at for stop in stops)
        assert len(found.records) == number - 1
        assert [record.number for record in found.later] == list(range(number + 1, 4))
        assert found.damage is None  # nothing after it says that it was synced
        raw[at] ^= 0x20


def test_damage_in_what_was_synced_is_told_from_an_unfinished_write():
    raw = bytearray(written(2) + log.pack("add", 3, len(written(2)), IDS + 100, CODES))
    stops = [record.stop for record in read(bytes(raw)).records]
    for number, at in ((1, 70), (2, stops[0] + 50)):
        raw[at] ^= 1
        found = read(bytes(raw))
        assert found.damage == f"record {number} at byte {[64, *stops][number - 1]} is damaged"
        assert found.later[-1].number == 3
        raw[at] ^= 1
    raw[-1] ^= 1  # the last record: no later one speaks of it
    assert read(bytes(raw)).damage is None


def test_records_out_of_order_end_the_log():
    first, third = log.pack("add", 1, 64, IDS, CODES), log.pack("add", 3, 64, IDS + 9, CODES)
    assert len(read(HEADER.pack() + first + third).records) == 1
    assert len(read(HEADER.pack() + third).records) == 0
    assert len(read(HEADER.pack() + first + first).records) == 1
    second = log.pack("add", 2, 64, IDS + 5, CODES)
    for again in (first, second):  # neither comes after the record that is damaged, the second
        assert read(HEADER.pack() + first + b"x" + again).later == []
    assert len(read(HEADER.pack() + first + b"x" + third).later) == 1


def test_a_record_that_claims_a_sync_behind_itself_is_none():
    assert read(HEADER.pack() + log.pack("add", 1, 65, IDS, CODES)).records == []


def signed(**fields):
    """A record with these fields, its checksum right."""
    values = {"number": 1, "synced": 64, "kind": 1, "zero": 0, "count": 2, "payload": 22} | fields
    widths = {"kind": 4, "zero": 4}
    body = b"".join(v.to_bytes(widths.get(k, 8), "little") for k, v in values.items())
    body += IDS.tobytes() + CODES.tobytes()
    return b"QREC" + zlib.crc32(body).to_bytes(4, "little") + body


def test_the_record_that_the_next_test_breaks_is_whole():
    assert len(read(HEADER.pack() + signed()).records) == 1


@pytest.mark.parametrize(
    "fields",
    [{"kind": 0}, {"kind": 4}, {"zero": 1}, {"count": 1}, {"count": 2**63}, {"payload": 2**64 - 1},
     {"payload": 21}, {"kind": 3}, {"count": 2**60, "payload": 11 * 2**60}, {"number": 2}],
)  # fmt: skip
def test_records_outside_the_format_are_none(fields):
    assert read(HEADER.pack() + signed(**fields)).records == []


def test_another_version_and_codes_of_no_bytes_are_refused():
    for raw, message in (
        (HEADER.pack()[:8] + b"\x03" + HEADER.pack()[9:], "version 3; this qama reads 1 to 2"),
        (log.Header("0" * 16, "0" * 16, 0).pack(), "gives entries no bytes"),
    ):
        with pytest.raises(FormatError, match=message):
            read(raw)


def test_records_are_salvaged_without_the_header():
    raw = bytearray(written(7))
    raw[:64] = bytes(64)
    found = log.salvage(np.frombuffer(bytes(raw), dtype=np.uint8), 3)
    assert [record.number for record in found] == list(range(1, 8))


def test_marks_that_all_claim_long_records_cost_bounded_work():
    size = 2**20
    raw = HEADER.pack() + (b"QREC" + bytes(12)) * (size // 16)
    found = read(raw)
    assert (found.records, found.later) == ([], [])
    claims = b"".join(
        b"QREC" + bytes(4) + (2).to_bytes(8, "little") + bytes(8) + b"\3\0\0\0\0\0\0\0"
        + (size // 16).to_bytes(8, "little") + (size // 2).to_bytes(8, "little")
        for _ in range(size // 48)
    )  # fmt: skip
    assert read(HEADER.pack() + claims).later == []  # 20,000 times half a megabyte is not read


def test_work_on_marks_is_bounded_by_the_size(monkeypatch):
    """Every 48 bytes a record begins that claims the whole rest: only its checksum refuses it."""
    size, summed = 96 * 1024, []
    counts = [(size - start - 48) // 11 for start in range(0, size, 48)]  # an id and 3 bytes each
    raw = b"".join(
        struct.pack("<4sIQQIIQQ", b"QREC", 0, 1, 0, 1, 0, count, 11 * count) for count in counts
    )
    crc32 = zlib.crc32
    monkeypatch.setattr(log.zlib, "crc32", lambda data: summed.append(len(data)) or crc32(data))
    assert log.salvage(np.frombuffer(raw, dtype=np.uint8), 3) == []
    assert size < sum(summed) <= 4 * size + 2**20


def test_marks_within_a_record_are_not_looked_at():
    codes = np.frombuffer(b"QRECQR", dtype=np.uint8).reshape(2, 3)
    raw = b"".join(log.pack("add", number, 64, IDS, codes) for number in (1, 2, 3))
    found = log.salvage(np.frombuffer(bytes(64) + raw, dtype=np.uint8), 3)
    assert [record.number for record in found] == [1, 2, 3]
    assert found[1].entries.tobytes() == b"QRECQR"


def test_large_records_past_damage_are_within_the_bound():
    ids, codes = np.arange(2**17), np.zeros((2**17, 3), np.uint8)
    raw = b"".join(log.pack("upsert", number, 64, ids, codes) for number in (1, 2, 3))
    raw = raw[:60] + b"\1" + raw[61:]  # in the first of three records of 1.4 MB
    found = log.salvage(np.frombuffer(raw, dtype=np.uint8), 3)
    assert [record.number for record in found] == [2, 3]


def test_marks_across_the_pieces_that_are_searched_are_found(monkeypatch):
    raw = np.frombuffer(b"x" * 5 + b"QREC" * 5 + b"QQREC" + b"QRE", dtype=np.uint8)
    expected = [5, 9, 13, 17, 21, 26]
    for piece in range(1, 40):
        monkeypatch.setattr(log, "_PIECE", piece)
        assert sorted(set(log._marks(raw, 0))) == expected
        assert sorted(set(log._marks(raw, 6))) == expected[1:]


@pytest.mark.parametrize("at", range(36, 64))
def test_reserved_bytes_of_the_header_are_zero(at):
    raw = bytearray(written())
    raw[at] = 1
    raw[12:16] = zlib.crc32(raw[16:64]).to_bytes(4, "little")
    with pytest.raises(FormatError, match=r"some\.log: the header of the log is damaged"):
        read(bytes(raw))


@given(st.binary(max_size=300), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_random_bytes_behind_whole_records_change_none_of_them(noise, records):
    found = read(written(records) + noise)
    assert len(found.records) >= records
    if not noise.startswith(b"QREC"):
        assert found.stop == len(written(records))
