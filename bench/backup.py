"""Backups and a replica of an index while it is written: bench/results/backup.json.

    python bench/backup.py                        # 200,000 vectors, 60 s of writes

A process adds, deletes and compacts in numbered steps, each on the disk when it returns
(tests/long/numbered_writer.py). Meanwhile this one takes backups and brings a replica up to date,
one after the other. Then every backup is restored and checked: each must be a state that the index
had, and hold every step that was acknowledged before the backup began; `qama verify` must find it
whole.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _record import write_record

import qama
from qama.search.storage.verify import verify

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "long"))
import numbered_writer

RESULTS = Path(__file__).parent / "results" / "backup.json"
DIMS, NBYTES, FIRST_ID = 384, 48, 10**9


def make_index(path, rows):
    random = np.random.default_rng(0)
    codec = qama.fit(random.standard_normal((5000, DIMS), dtype=np.float32), max_bytes=NBYTES)
    index = qama.Index(codec, nbytes=NBYTES)
    codes = random.integers(0, 256, (rows, index.code_size), dtype=np.uint8)
    index.add_codes(codes, np.arange(rows) + FIRST_ID)
    index.save(path)


def steps_of(path, least, noted):
    """After how many steps an index was so, at least so many; None: never."""
    ids = qama.Index.open(path).ids
    most = numbered_writer.acknowledged(noted) + 1
    return numbered_writer.which(ids[ids < FIRST_ID].tolist(), least, most)


def written(path, home, seconds, pause, compact):
    """Take backups beside a writer; returns them with what was acknowledged before each."""
    noted, rows, copies = home / "noted", [], []
    command = [sys.executable, numbered_writer.__file__, str(path), str(noted), str(compact)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        least, began = numbered_writer.acknowledged(noted), time.perf_counter()
        made = qama.backup(path, home / "backups")
        rows.append((made, least, time.perf_counter() - began))
        least, began = numbered_writer.acknowledged(noted), time.perf_counter()
        done = qama.replicate(path, home / "replica")
        copies.append((done, time.perf_counter() - began))
        if steps_of(home / "replica", least, noted) is None:
            raise SystemExit("the replica is no state that the index had, or an older one")
        time.sleep(pause)
    writer.stdin.close()
    if writer.wait(60):
        raise SystemExit("the writer failed")
    return rows, copies, numbered_writer.acknowledged(noted)


def checked(rows, home):
    """Restore every backup; returns how many are states that were, and how many are whole."""
    states = whole = 0
    for made, least, _ in rows:
        back = home / "back"
        qama.restore(home / "backups", back, number=made.number)
        states += steps_of(back, least, home / "noted") is not None
        whole += verify(back).whole
        for left in (back, back.with_name("back.qama-log")):
            left.unlink(missing_ok=True)
    return states, whole


def spread(values):
    return {"median": float(np.median(values)), "most": float(np.max(values))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pause", type=float, default=0.5)
    parser.add_argument("--compact", type=int, default=400, help="steps between compactions")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_index(home / "index", given.rows)
        size = (home / "index").stat().st_size
        rows, copies, steps = written(
            home / "index", home, given.seconds, given.pause, given.compact
        )
        states, whole = checked(rows, home)
    logs = [(made, took) for (made, _, took) in rows[1:]]
    result = {
        "rows": given.rows, "seconds": given.seconds, "index_bytes": size, "steps": steps,
        "steps_per_second": steps / given.seconds, "compactions": steps // given.compact,
        "backups": len(rows), "states_that_were": states, "whole": whole,
        "first": {"bytes": rows[0][0].written, "seconds": rows[0][2]},
        "later_bytes": spread([made.written for made, _ in logs]),
        "later_seconds": spread([took for _, took in logs]),
        "replications": len(copies), "replicas_that_were": len(copies),
        "replica_bytes": spread([done.nbytes for done, _ in copies[1:]]),
        "replica_seconds": spread([took for _, took in copies[1:]]),
    }  # fmt: skip
    write_record(given.output, result)
    for name, value in result.items():
        print(name, value)
    if not states == whole == len(rows):
        raise SystemExit("a backup is no state that the index had, is older, or is not whole")


if __name__ == "__main__":
    main()
