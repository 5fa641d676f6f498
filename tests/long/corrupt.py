"""Open thousands of damaged and hostile files: a clean error or an answer, nothing else.

    python tests/long/corrupt.py [--files 20000] [--seed 0]

The files of every kind that `targets.py` knows are damaged as `damage.py` does it, and used in
every way. Half of those with checksums have them made right again.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
import tracemalloc
import warnings
from collections import Counter
from pathlib import Path

from damage import damaged
from targets import place, sanitized, use, whole_files

from qama import DriftWarning, RecoveryWarning
from qama.search.storage.base import log_path

SLOWEST = 5.0  # seconds of processor that one file may take, and
LONGEST = 60.0  # of the clock: syncing waits for whatever else the disk does
MEMORY = 2  # times the file beyond what a whole one takes, and
SPARE = 8 * 2**20  # bytes for what does not depend on it


def drawn(dice, whole, everything):
    """A kind of file, the number of a whole one, its bytes and those of its log, one damaged."""
    kind = dice.choice(tuple(whole))
    number = dice.randrange(len(whole[kind]))
    raw, log = whole[kind][number]
    if log and dice.random() < 0.5:
        return kind, number, raw, damaged(dice, log, dice.choice(everything))
    return kind, number, damaged(dice, raw, dice.choice(everything)), log


def outcome(kind, folder, raw, log):
    """Use one damaged file in every way; returns "refused" or "used"."""
    path = place(kind, folder)
    path.write_bytes(raw)
    log_path(path).unlink(missing_ok=True)
    if log:
        log_path(path).write_bytes(log)
    return "refused" if use(kind, path) else "used"


def needed(kind, folder, raw, log):
    """Bytes of memory that using a file takes at most beyond twice its size."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    said = outcome(kind, folder, raw, log)
    used = tracemalloc.get_traced_memory()[1] - before
    return said, used - MEMORY * (len(raw) + len(log))


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
        needs = {
            kind: [needed(kind, folder, *pair)[1] for pair in pairs]
            for kind, pairs in whole.items()
        }
        for number in range(files):
            kind, of, raw, log = drawn(dice, whole, everything)
            began, busy = time.perf_counter(), time.process_time()
            try:
                said, beyond = needed(kind, folder, raw, log)
            except Exception:
                print(f"file {number} of seed {seed}, a damaged {kind}")
                (Path(tempfile.gettempdir()) / f"damaged {kind}").write_bytes(raw)
                (Path(tempfile.gettempdir()) / f"damaged {kind}.log").write_bytes(log)
                raise
            counts[f"{kind} {said}"] += 1
            slowest = max(slowest, time.process_time() - busy)
            most = max(most, beyond - max(needs[kind][of], 0))
            assert time.perf_counter() - began < LONGEST, f"file {number} waited"
            assert slowest < SLOWEST, f"file {number}, a damaged {kind}, took {slowest} s"
            assert most < SPARE, f"file {number}, a damaged {kind}, needed {beyond} bytes more"
    tracemalloc.stop()
    return dict(sorted(counts.items())) | {
        "files": files,
        "sanitized": sanitized(),
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
