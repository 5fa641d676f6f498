"""Coverage-guided fuzzing of everything that reads files of strangers, by atheris (libFuzzer).

    pip install atheris
    python tests/long/fuzz.py [--seconds 3600] [--corpus FOLDER] [--only KIND ...]

Each kind of `targets.py` is fuzzed for its share of the seconds in a process of its own, beginning
with whole files. Half of the mutations are libFuzzer's, half those of `damage.py`, which know the
structure; of all, half have their checksums made right. Anything but what users are told of, more
than 5 seconds of processor, or one allocation of 256 MiB is a finding and ends its kind: the files
have a few KB. With sanitizers: `tests/sanitized_python.sh`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import random
import re
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

SLOWEST = 5.0  # seconds of processor that one file may take, and
LONGEST = 60  # of the clock: a busy machine is not a finding
MOST_MB = 256  # of one allocation; only seen with the address sanitizer
LARGEST = 40_000  # bytes of a file, and
LARGEST_SEED = 30_000  # of one that the fuzzing begins with: slow inputs cost many others
SHARES = {"index": 4, "log": 3, "partitions": 3, "codec": 3, "npy": 2, "parquet": 2}  # else 1


def fuzz(kind, arguments):
    """Fuzz one kind in this process, until libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["qama", "numpy.lib._format_impl"]):
        from damage import damaged, signed
        from targets import place, use, whole_files

        from qama.search.storage.base import log_path

    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    everything = [raw for pairs in whole_files(folder).values() for raw, _ in pairs]
    path = place(kind, folder)

    def mutated(raw, most, seed):
        dice = random.Random(seed)
        if dice.random() < 0.5:
            return damaged(dice, raw, dice.choice(everything))[:most]
        raw = atheris.Mutate(raw, most)
        return signed(raw)[:most] if dice.random() < 0.5 else raw

    def one(raw):
        log_path(path).unlink(missing_ok=True)  # what the input before left
        path.write_bytes(raw)
        busy = time.process_time()
        use(kind, path)
        busy = time.process_time() - busy
        assert busy < SLOWEST, f"{busy} seconds of processor"

    atheris.Setup(arguments, one, custom_mutator=mutated)
    atheris.Fuzz()


def fuzz_for(kind, seconds, corpus):
    """Fuzz a kind so many seconds in a process of its own; returns counts."""
    corpus.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, __file__, "--fuzz", kind, str(corpus), f"-max_total_time={seconds}",
         f"-timeout={LONGEST}", "-rss_limit_mb=4096", f"-malloc_limit_mb={MOST_MB}",
         f"-max_len={LARGEST}", f"-artifact_prefix={corpus.parent}/found-{kind}-"],
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    ended = re.findall(r"#(\d+)\s+DONE\s+cov: (\d+)", done.stderr)
    if done.returncode or not ended:
        print(kind, done.stdout[-2000:], done.stderr[-6000:], file=sys.stderr)
        return {"findings": 1}
    inputs, coverage = map(int, ended[-1])
    kept = len(list(corpus.iterdir()))
    return {
        "findings": 0,
        "seconds": seconds,
        "inputs": inputs,
        "coverage": coverage,
        "corpus": kept,
    }


def run(seconds, folder, only=()):
    """Fuzz all kinds, or some, so many seconds in all; returns counts."""
    from targets import TARGETS, sanitized, whole_files

    kinds = list(only) or list(TARGETS)
    with tempfile.TemporaryDirectory() as made:
        whole = whole_files(Path(made))
    counts, each = {}, seconds / sum(SHARES.get(kind, 1) for kind in kinds)
    for kind in kinds:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number, (raw, _) in enumerate(whole[kind]):
            if len(raw) <= LARGEST_SEED:
                (folder / kind / f"whole{number}").write_bytes(raw)
        counts[kind] = fuzz_for(kind, round(each * SHARES.get(kind, 1)), folder / kind)
        print(kind, counts[kind], file=sys.stderr, flush=True)
    keys = ("findings", "seconds", "inputs", "coverage", "corpus")
    total = {key: sum(found.get(key, 0) for found in counts.values()) for key in keys}
    tool = f"atheris {importlib.metadata.version('atheris')}"
    return total | {"tool": tool, "sanitized": sanitized(), "kinds": counts}


if __name__ == "__main__":
    if "--fuzz" in sys.argv:
        fuzz(sys.argv[2], [sys.argv[0], *sys.argv[3:]])
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("--seconds", type=int, default=3600)
        parser.add_argument("--corpus", type=Path, help="where inputs are kept (default: nowhere)")
        parser.add_argument("--only", nargs="*", default=())
        given = parser.parse_args()
        with tempfile.TemporaryDirectory() as nowhere:
            print(
                json.dumps(run(given.seconds, given.corpus or Path(nowhere), given.only), indent=1)
            )
