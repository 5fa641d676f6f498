"""Damage files as one who knows their structure would, and make their checksums right again.

Bits flip anywhere, files are cut, stretched and spliced, numbers in headers become huge or
negative. `signed` then makes right what a damage would be noticed by, so that what lies behind the
checksums is reached too.
"""

from __future__ import annotations

import copy
import json
import struct
import zlib

import numpy as np

from qama import Codec, container

MAGIC, LOG_MAGIC = container.MAGIC, b"\x93QAMALOG"
LOG_HEADER, RECORD = 64, 48  # bytes of a log's header and of what precedes a record's payload
NUMBERS = (-1, 0, 1, 2, 7, 63, 64, 65, 2**16, 2**31, 2**32 - 1, 2**32, 2**40, 2**53, 2**62,
           2**63 - 1, 2**63, 2**64 - 1, 2**70)  # fmt: skip
VALUES = (*NUMBERS, None, True, "", "8", "x" * 300, "NaN", 0.5, -1e308, [], {}, [[]], [2**62] * 4,
          {"dims": 8}, "0123456789abcdef")  # fmt: skip
MOST_SIGNED = 64  # sections whose checksums are made right


def damaged(dice, raw, other):
    """Damage bytes in one to four ways; half of the files of qama are signed again."""
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        raw = dice.choice(MUTATIONS)(dice, raw or b"\0", other)
    return signed(raw) if dice.random() < 0.5 else raw


# --- mutations --------------------------------------------------------------------------------


def flip(dice, raw, _):
    raw = bytearray(raw)
    for _ in range(dice.choice((1, 1, 2, 8))):
        raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
    return bytes(raw)


def cut(dice, raw, _):
    return raw[: dice.randrange(len(raw))]


def stretch(dice, raw, _):
    more = bytes(dice.randrange(256) for _ in range(dice.choice((1, 48, 500))))
    return raw + dice.choice((more, raw, b"\0" * len(more)))


def splice(dice, raw, other):
    """A range replaced by one of another file, or of this one."""
    source = dice.choice((raw, other or raw))
    start, length = dice.randrange(len(source)), dice.choice((4, 16, 64, 300, 1000))
    at = dice.randrange(len(raw))
    return raw[:at] + source[start : start + length] + raw[at + dice.choice((0, length)) :]


def number(dice, raw, _):
    """A little-endian number somewhere replaced by an extreme one."""
    width = dice.choice((4, 8))
    at = dice.randrange(max(1, len(raw) - width))
    value = dice.choice(NUMBERS) % 2 ** (8 * width)
    return raw[:at] + value.to_bytes(width, "little") + raw[at + width :]


def header(dice, raw, other):
    """One value of the JSON header, at any depth, replaced; sections may change places."""
    end, parsed = parts(raw)
    if not parsed or not isinstance(parsed.get("sections"), list) or not parsed["sections"]:
        return number(dice, raw, other)  # a log, a foreign file, or no JSON any more
    at = parsed
    while True:
        key = dice.choice(list(at)) if isinstance(at, dict) else dice.randrange(len(at))
        if isinstance(at[key], dict | list) and at[key] and dice.random() < 0.85:
            at = at[key]
            continue
        what = dice.random()
        if what < 0.7:
            at[key] = dice.choice(VALUES)
        elif what < 0.85 and isinstance(at, dict):
            del at[key]
        else:
            at[key] = copy.deepcopy(dice.choice(parsed["sections"]))
        break
    packed = json.dumps(parsed).encode().ljust(end - container.FIXED)
    return raw[:16] + len(packed).to_bytes(8, "little") + packed + raw[end:]


MUTATIONS = (flip, cut, stretch, splice, number, header, header)


# --- what a damage would be noticed by --------------------------------------------------------


def parts(raw):
    """Where the header of a container ends, and its JSON object; None where it has none."""
    end = container.FIXED + int.from_bytes(raw[16:24], "little")
    try:
        parsed = json.loads(raw[container.FIXED : end]) if raw[:8] == MAGIC else None
    except (ValueError, RecursionError):
        return end, None
    return end, parsed if isinstance(parsed, dict) else None


def signed(raw):
    """Make checksums and fingerprints right, where they can be found; others stay as they are."""
    if raw[:8] == LOG_MAGIC and len(raw) >= LOG_HEADER:
        return signed_log(raw)
    end, parsed = parts(raw)
    if parsed:
        sign_sections(raw, parsed)
        sign_codec(raw, parsed)
        packed = json.dumps(parsed).encode()
        if len(packed) <= end - container.FIXED:
            raw = raw[: container.FIXED] + packed.ljust(end - container.FIXED) + raw[end:]
    if raw[:8] != MAGIC:
        return raw
    return raw[:12] + zlib.crc32(raw[container.FIXED : end]).to_bytes(4, "little") + raw[16:]


def signed_log(raw):
    raw = raw[:12] + zlib.crc32(raw[16:LOG_HEADER]).to_bytes(4, "little") + raw[16:]
    at = LOG_HEADER
    while len(raw) >= at + RECORD:
        stop = at + RECORD + struct.unpack_from("<Q", raw, at + 40)[0]
        crc = zlib.crc32(raw[at + 8 : stop]).to_bytes(4, "little")
        raw = raw[: at + 4] + crc + raw[at + 8 :]
        at = stop
    return raw


def sign_sections(raw, parsed):
    sections = parsed.get("sections")
    for entry in sections[:MOST_SIGNED] if isinstance(sections, list) else ():
        try:
            start, length = entry["offset"], entry["nbytes"]
            entry["crc32"] = zlib.crc32(raw[start : start + length])
        except (TypeError, KeyError):
            continue


def sign_codec(raw, parsed):
    """Write the fingerprint that the parts of a codec, of its own or in an index, really have."""
    meta, prefix = parsed.get("meta"), ""
    if isinstance(meta, dict) and isinstance(meta.get("codec"), dict):
        meta, prefix = meta["codec"], "codec."
    if not isinstance(meta, dict) or "fingerprint" not in meta:
        return
    try:
        arrays = {
            entry["name"].removeprefix(prefix): np.frombuffer(
                raw[entry["offset"] : entry["offset"] + entry["nbytes"]], entry["dtype"]
            ).reshape(entry["shape"])
            for entry in parsed["sections"]
            if entry["name"].startswith(prefix)
        }
        meta["fingerprint"] = Codec._assemble(meta, arrays).fingerprint
    except Exception:  # a codec that has no fingerprint: the reader will say so
        return
