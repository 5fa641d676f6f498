"""Open thousands of damaged and hostile files: a clean error or an answer, nothing else.

    python tests/long/corrupt.py [--files 20000] [--seed 0]

Mutations know the structure: bits flip anywhere, files are cut, stretched and spliced, numbers in
headers become huge or negative. Checksums are made right again for half of them, so that what lies
behind the checksums is reached.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import resource
import struct
import tempfile
import time
import tracemalloc
import warnings
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from qama import Codec, DriftWarning, Index, RecoveryWarning, codefile, sources
from qama.search.repair import repair
from qama.search.verify import verify

GOLDEN = Path(__file__).parent.parent / "golden" / "codec-all.qama"
CELLS = (
    {"dims": 16, "level": "2"}, {"dims": 16, "level": "1.5"}, {"dims": 16, "level": "hybrid"},
    {"nbytes": 11}, {"dims": 8, "level": "0.5"},
)  # fmt: skip
POOL = np.random.default_rng(3).standard_normal((400, 16)).astype(np.float32)
NUMBERS = (-1, 0, 1, 2, 7, 63, 64, 65, 2**16, 2**31, 2**32 - 1, 2**32, 2**40, 2**53, 2**62,
           2**63 - 1, 2**63, 2**64 - 1, 2**70)  # fmt: skip
VALUES = (*NUMBERS, None, True, "", "8", "x" * 300, "NaN", 0.5, -1e308, [], {}, [[]], [2**62] * 4,
          {"dims": 8}, "0123456789abcdef")  # fmt: skip
SLOWEST = 5.0  # seconds of processor that one file may take, and
LONGEST = 60.0  # of the clock: syncing waits for whatever else the disk does
MEMORY = 2  # times the file, and
SPARE = 8 * 2**20  # bytes for what does not depend on it


# --- files to damage --------------------------------------------------------------------------


def whole_files(folder):
    """Bytes of files by kind, each with its log."""
    codec = Codec.load(GOLDEN)
    files = {"codec": [(GOLDEN.read_bytes(), b"")], "codes": [], "index": [], "log": []}
    for number, cell in enumerate(CELLS):
        index, path = Index(codec, **cell), folder / f"whole{number}"
        index.add(POOL[:300], ids=range(1000, 1300) if number else None)
        index.save(path)
        with Index.open(path, mode="a") as opened:
            opened.add(POOL[300:330])
            opened.delete(opened.ids[5:80])
            opened.upsert(opened.ids[:3], POOL[330:333], durable=True)
            opened.add(POOL[340:341], ids=[2**40])
            log = (folder / f"whole{number}.log").read_bytes()
        files["index"].append((path.read_bytes(), log))
        files["log"].append((path.read_bytes(), log))
        codefile.write(path, codec, index.code, codec.encode(POOL, **cell), compact=False)
        files["codes"].append((path.read_bytes(), b""))
    np.save(folder / "x.npy", POOL)
    files["npy"] = [((folder / "x.npy").read_bytes(), b"")]
    table = pa.table({"vectors": pa.array(list(POOL[:50]))})
    parquet.write_table(table, folder / "x.parquet")
    files["parquet"] = [((folder / "x.parquet").read_bytes(), b"")]
    return files


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
    source = dice.choice((raw, other))
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
    end = 24 + int.from_bytes(raw[16:24], "little")
    try:
        at = parsed = json.loads(raw[24:end])
        assert isinstance(parsed["sections"], list)
        assert parsed["sections"]
    except (ValueError, TypeError, KeyError, AssertionError):  # a log, or no JSON any more
        return number(dice, raw, other)
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
    packed = json.dumps(parsed).encode()
    packed = packed.ljust(end - 24)
    return raw[:16] + len(packed).to_bytes(8, "little") + packed + raw[end:]


def sign(raw):
    """Make the checksums of headers and records right again, where they can be found."""
    if raw[:8] == b"\x93QAMALOG":
        raw = raw[:12] + zlib.crc32(raw[16:64]).to_bytes(4, "little") + raw[16:]
        at = 64
        while len(raw) >= at + 48:
            stop = at + 48 + struct.unpack_from("<Q", raw, at + 40)[0]
            crc = zlib.crc32(raw[at + 8 : stop]).to_bytes(4, "little")
            raw = raw[: at + 4] + crc + raw[at + 8 :]
            at = stop
        return raw
    end = 24 + int.from_bytes(raw[16:24], "little")
    return raw[:12] + zlib.crc32(raw[24:end]).to_bytes(4, "little") + raw[16:]


MUTATIONS = (flip, cut, stretch, splice, number, header, header)


def damaged(dice, raw, other):
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        raw = dice.choice(MUTATIONS)(dice, raw or b"\0", other)
    return sign(raw) if len(raw) >= 64 and raw[:5] == b"\x93QAMA" and dice.random() < 0.5 else raw


# --- what is done with them -------------------------------------------------------------------


def use_codec(path):
    Codec.load(path).encode(POOL[:9])


def use_codes(path):
    codefile.read(path, Codec.load(GOLDEN))
    verify(path, Codec.load(GOLDEN), POOL)


def use_vectors(path):
    Codec.load(GOLDEN).encode(sources.open_vectors(path))


def use_index(path):
    with Index.open(path, mode="a") as index:
        for scorer in index.code.scorers:
            index.search(POOL[:3], 5, threads=1, scorer=scorer)
        index.search(POOL[:3], 400, threads=1, filter=index.ids[::2])
        index.add(POOL[:3])
        index.delete(index.ids[:2])
        index.search(POOL[:3], 5, threads=1)
        index.compact()


def refuses(use, path):
    """Whether a file is refused, in the way that users are told of."""
    try:
        use(path)
    except (ValueError, OSError):
        return True
    return False


def outcome(kind, folder, raw, log):
    """Use one damaged file in every way; returns "refused" or "used"."""
    path = folder / "file"
    path = path.with_suffix({"npy": ".npy", "parquet": ".parquet"}.get(kind, ""))
    path.write_bytes(raw)
    (folder / "file.log").unlink(missing_ok=True)
    if log:
        (folder / "file.log").write_bytes(log)
    verify(path)
    use = {"codec": use_codec, "codes": use_codes, "npy": use_vectors, "parquet": use_vectors}.get(
        kind, use_index
    )
    if kind in ("index", "log"):
        refuses(lambda path: repair(path, folder / "repaired"), path)
        if (folder / "repaired").exists():
            assert len(Index.open(folder / "repaired", verify=True)) >= 0
            (folder / "repaired").unlink()
    return "refused" if refuses(use, path) else "used"


def run(files, seed):
    """Use so many damaged files; returns counts, raises whatever a file raises but should not."""
    dice, counts, slowest, most = random.Random(seed), Counter(), 0.0, 0
    warnings.simplefilter("ignore", RecoveryWarning)
    warnings.simplefilter("ignore", DriftWarning)
    tracemalloc.start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = whole_files(folder)
        everything = [raw for pairs in whole.values() for pair in pairs for raw in pair if raw]
        for number_ in range(files):
            kind = dice.choice(tuple(whole))
            raw, log = dice.choice(whole[kind])
            if kind == "log":
                log = damaged(dice, log, dice.choice(everything))
            else:
                raw = damaged(dice, raw, dice.choice(everything))
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            began, busy = time.perf_counter(), time.process_time()
            try:
                counts[f"{kind} {outcome(kind, folder, raw, log)}"] += 1
            except Exception:
                print(f"file {number_} of seed {seed}, a damaged {kind}")
                (Path(tempfile.gettempdir()) / f"damaged {kind}").write_bytes(raw)
                (Path(tempfile.gettempdir()) / f"damaged {kind}.log").write_bytes(log)
                raise
            slowest = max(slowest, time.process_time() - busy)
            assert time.perf_counter() - began < LONGEST, f"file {number_} waited"
            used = tracemalloc.get_traced_memory()[1] - before
            most = max(most, used - MEMORY * (len(raw) + len(log)))
            assert slowest < SLOWEST, f"file {number_} took {slowest} s"
            assert most < SPARE, f"file {number_} needed {used} bytes"
    tracemalloc.stop()
    return dict(sorted(counts.items())) | {
        "files": files,
        "slowest_processor_seconds": round(slowest, 3),
        "most_bytes_beyond_twice_the_file": most,
        "process_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(run(given.files, given.seed), indent=1))
