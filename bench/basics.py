"""Time and peak memory of the basics: import, fit, encode, weigh a query; 384 dims.

Each runs in a process of its own; vectors are synthetic, of a falling spectrum. The peak includes
the process itself and its input, which for a million vectors is a mapped file of 1,465 MiB.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

DIMS = 384


def vectors(rows, seed=0):
    random = np.random.default_rng(seed)
    spectrum = (1 + np.arange(DIMS)) ** -0.5
    return (random.standard_normal((rows, DIMS)) * spectrum).astype(np.float32)


def job_import():
    """Time the import in a bare interpreter, NumPy's share included, bytecode compiled before."""
    code = "import time; t = time.perf_counter(); import qama; print(time.perf_counter() - t)"
    compiled = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=compiled
        )
    return float(done.stdout)


CODES = {"default": "all", "paper": "grid"}


def job_fit(preset):
    import qama

    X = vectors(50_000)
    started = time.perf_counter()
    qama.fit(X, preset=preset, codes=CODES[preset])
    return time.perf_counter() - started


@contextmanager
def mapped_million():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        X = np.lib.format.open_memmap(path, "w+", np.float32, (1_000_000, DIMS))
        for part in range(20):
            X[part * 50_000 : (part + 1) * 50_000] = vectors(50_000, part)
        yield X


def job_fit_mapped():
    import qama

    with mapped_million() as X:
        started = time.perf_counter()
        qama.fit(X, codes="all")
        return time.perf_counter() - started


def job_encode(preset, **request):
    import qama

    codec = qama.fit(vectors(2_000), preset=preset, codes=CODES[preset], steps=0)
    with mapped_million() as X:
        started = time.perf_counter()
        codec.encode(X, **request)
        return time.perf_counter() - started


def job_weigh():
    """Median of 200 queries, one after the other: the words come from the CPU's last cache."""
    import qama

    code = qama.fit(vectors(2_000)).code(nbytes=48)
    Q, times = vectors(200, 1), []
    for i in range(len(Q)):
        started = time.perf_counter()
        code.query_tables(Q[i : i + 1])
        times.append(time.perf_counter() - started)
    return float(np.median(times))


JOBS = {
    "import qama": job_import,
    "fit 50,000 x 384, default": lambda: job_fit("default"),
    "fit a mapped file of 1,000,000 x 384, default": job_fit_mapped,
    "weigh a query at 48 bytes, default": job_weigh,
    "encode 1,000,000 x 384, default, 48 bytes": lambda: job_encode("default", nbytes=48),
    "encode 1,000,000 x 384, default, 384 dims at 2 bit": lambda: job_encode("default", level="2"),
    "encode 1,000,000 x 384, paper, 384 dims at 2 bit": lambda: job_encode("paper", level="2"),
    "fit 50,000 x 384, paper": lambda: job_fit("paper"),
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
    from qama.evaluation import provenance  # not above: a job times the import of qama

    kept = json.loads(args.out.read_text())["results"] if args.out.exists() else []
    results = {row["what"]: row for row in kept if row["what"] in JOBS}
    for what in args.only:
        results[what] = measure(what)
        print(results[what], flush=True)
        provenance.write(args.out, [results[name] for name in JOBS if name in results])


if __name__ == "__main__":
    main()
