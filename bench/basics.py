"""Time and peak memory of the basics: import, fit 50,000 vectors, encode a million, 384 dims.

Each runs in a process of its own; vectors are synthetic, of a falling spectrum.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from qama.evaluation import provenance

DIMS = 384


def vectors(rows, seed=0):
    random = np.random.default_rng(seed)
    spectrum = (1 + np.arange(DIMS)) ** -0.5
    return (random.standard_normal((rows, DIMS)) * spectrum).astype(np.float32)


def job_import():
    started = time.perf_counter()
    import qama  # noqa: F401

    return time.perf_counter() - started


def job_fit(preset):
    import qama

    X = vectors(50_000)
    started = time.perf_counter()
    qama.fit(X, preset)
    return time.perf_counter() - started


def job_encode(preset):
    import qama

    codec = qama.fit(vectors(2_000), preset, steps=0)
    np.save("/tmp/qama-basics.npy", vectors(1_000_000))
    X = np.load("/tmp/qama-basics.npy", mmap_mode="r")
    started = time.perf_counter()
    codec.encode(X, dims=DIMS, level="2")
    return time.perf_counter() - started


JOBS = {
    "import qama": job_import,
    "fit 50,000 x 384, default": lambda: job_fit("default"),
    "fit 50,000 x 384, paper": lambda: job_fit("paper"),
    "encode 1,000,000 x 384 at 2 bit, default": lambda: job_encode("default"),
    "encode 1,000,000 x 384 at 2 bit, paper": lambda: job_encode("paper"),
}


def measure(what):
    """Run one job in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--job", what], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", choices=JOBS)
    parser.add_argument("--only", nargs="*", default=list(JOBS), choices=JOBS)
    parser.add_argument("--out", type=Path, default=Path("bench/results/basics.json"))
    args = parser.parse_args()
    if args.job:
        seconds = JOBS[args.job]()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"what": args.job, "seconds": seconds, "peak_mib": peak}))
        return
    results = []
    for what in args.only:
        results.append(measure(what))
        print(results[-1], flush=True)
        provenance.write(args.out, results)


if __name__ == "__main__":
    main()
