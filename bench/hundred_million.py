"""A hundred million codes in one mapped file: opening, a query, a batch, resident memory.

    python bench/hundred_million.py --file /tmp/large.qama   into bench/results/hundred_million.json
    python bench/hundred_million.py --file /tmp/small.qama --millions 4 --out x.json

48 byte codes of the million real vectors of bench/real_vectors.py, and others that have the leading
bytes of one of these and the rest of another. The file is made where it is not there. It is then
searched by a process of its own, first freely, then where the system gives it and its share of the
page cache half of the file (a control group of Linux, which takes root): "cold" is the first query
after the system forgot the file, "warm" the median of the next ones, all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import real_vectors
from _record import write_record

import qama

NBYTES, K, BATCH, MILLION = 48, 10, 64, 1_000_000
OUT = Path(__file__).parent / "results" / "hundred_million.json"
GROUPS = Path("/sys/fs/cgroup/memory")  # of version 1, or below /sys/fs/cgroup of version 2


def unit(X):
    X = np.asarray(X, np.float32)
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def make(path, millions):
    """Write an index of so many million codes."""
    X, _ = real_vectors.vectors(MILLION)
    codec = qama.fit(unit(X[:50_000]), max_bytes=NBYTES)
    real = codec.encode(unit(X), nbytes=NBYTES)
    random, bytes_ = np.random.default_rng(0), np.arange(NBYTES)
    index = qama.Index(codec, nbytes=NBYTES)
    index.add_codes(real)
    for _ in range(1, millions):
        head, tail = (real[random.integers(len(real), size=len(real))] for _ in range(2))
        cut = random.integers(12, NBYTES, size=(len(real), 1))
        index.add_codes(np.where(bytes_ < cut, head, tail))
    index.save(path)


def forget(path):
    """Ask the system to drop its pages of a file."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def milliseconds(work):
    began = time.perf_counter()
    work()
    return round(1e3 * (time.perf_counter() - began), 2)


def resident():
    """MB of this process in memory now: its own, and pages of files that it has mapped."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {k: int(lines[k].split()[0]) // 1024 for k in ("RssAnon", "RssFile")}


def searched(path, calls):
    """Open and search; facts."""
    Q = unit(real_vectors.vectors(MILLION)[1])[: max(BATCH, calls)]
    forget(path)
    opened = []
    facts = {"open ms": milliseconds(lambda: opened.append(qama.Index.open(path)))}
    (index,) = opened
    facts["MB, opened"] = resident()
    facts["cold ms"] = milliseconds(lambda: index.search(Q[:1], K))
    for name, options in {"flat": {}, "funnel": {"funnel": True}}.items():
        times = [
            milliseconds(lambda q=q, o=options: index.search(q[None], K, **o)) for q in Q[:calls]
        ]
        facts[f"{name}, warm ms"] = float(np.median(times))
    whole = milliseconds(lambda: index.search(Q[:BATCH], K))
    facts[f"flat, ms of {BATCH}, each"] = round(whole / BATCH, 2)
    facts["MB, searched"] = resident()
    facts["major faults"] = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
    return facts


def limited(share, command):
    """Run a command in a control group with so many bytes; None where there is none to be had."""
    group = GROUPS / "qama-bench"
    try:
        group.mkdir(exist_ok=True)
        (group / "memory.limit_in_bytes").write_text(str(share))
    except OSError as error:
        print(f"skipped: no control group can be made ({error})")
        return None
    enter = f"echo $$ > {group}/cgroup.procs && exec "
    try:
        return ran(["sh", "-c", enter + " ".join(command)])
    finally:
        group.rmdir()


def ran(command):
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--millions", type=int, default=100)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--search", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    if args.search:
        print(json.dumps(searched(args.file, args.calls)))
        return
    made = 0.0
    if not args.file.exists():
        made = milliseconds(lambda: make(args.file, args.millions)) / 1000
    command = [sys.executable, __file__, "--search", "--file", str(args.file)]
    size = args.file.stat().st_size
    results = {
        "rows": len(qama.Index.open(args.file)), "nbytes": NBYTES, "file bytes": size,
        "made s": made, "free": ran([*command, "--calls", str(args.calls)]),
    }  # fmt: skip
    print(json.dumps(results["free"]), flush=True)
    results["half"] = limited(size // 2, [*command, "--calls", "3"])
    print(json.dumps(results["half"]), flush=True)
    write_record(args.out, results)


if __name__ == "__main__":
    main()
