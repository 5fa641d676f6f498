"""Ten million real-like rows: recall of the flat result against milliseconds of one query.

    python bench/ten_million.py     into bench/results/ten_million.json; a quarter of an hour
    python bench/ten_million.py --copies 2 --out x.json      fewer rows

The million real vectors of bench/real_vectors.py (WordLlama, 256 d) and, of each, others that lie
about it as rows lie about each other: x_i + .5 (x_j - x_k) of random j and k, brought to length 1.
48 byte codes, as many lists as `Index(nlist="auto")` takes. Queries are those of the real vectors,
one at a time on one thread; recall is of the ten best of all codes, whose search is timed, too.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import real_vectors
from _record import write_record
from speed_timing import measure

import qama
from qama.search.rows.partitioning import lists_for

NBYTES, K, QUERIES, PART = 48, 10, 200, 250_000
PROBES = (4, 8, 16, 32, 64, 128)
OUT = Path(__file__).parent / "results" / "ten_million.json"


def unit(X):
    X = np.asarray(X, np.float32)
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def batches(X, copies, random):
    """The rows themselves, then so many others about each."""
    for copy in range(1 + copies):
        for start in range(0, len(X), PART):
            rows = unit(X[start : start + PART])
            if copy:
                near, far = (random.integers(len(X), size=len(rows)) for _ in range(2))
                rows = unit(rows + 0.5 * (unit(X[near]) - unit(X[far])))
            yield rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--copies", type=int, default=9)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    random = np.random.default_rng(0)
    X, Q = real_vectors.vectors(10**9)
    Q = unit(Q)[:QUERIES]
    codec = qama.fit(unit(X[:50_000]), max_bytes=NBYTES)
    index = qama.Index(codec, nbytes=NBYTES)
    began = time.perf_counter()
    for rows in batches(X, args.copies, random):
        index.add(rows)
    adding = time.perf_counter() - began
    index.search(Q[:1], K)  # makes the inverse norms
    flat = index.search(Q, K).ids
    which = itertools.cycle(range(QUERIES))

    def searched(**how):
        return lambda: index.search(Q[next(which)][None], K, threads=1, **how)

    flat_s, *_ = measure({"flat": searched()}, args.rounds)["flat"]
    began = time.perf_counter()
    index.partition(lists_for(len(index)))
    facts = {
        "rows": len(index), "dims": X.shape[1], "nbytes": NBYTES, "lists": index.nlist,
        "add_s": adding, "partition_s": time.perf_counter() - began, "flat_ms": 1e3 * flat_s,
    }  # fmt: skip
    print(facts, flush=True)
    timed = measure({p: searched(nprobe=p) for p in PROBES}, args.rounds)
    lists = []
    for p in PROBES:
        ids = index.search(Q, K, nprobe=p).ids
        shared = np.mean([len(set(a) & set(b)) / K for a, b in zip(ids, flat, strict=True)])
        lists.append({"read": p, "recall of flat": float(shared), "ms": 1e3 * timed[p][0]})
        print(lists[-1], flush=True)
    write_record(args.out, {**facts, "lists read": lists}, 0)


if __name__ == "__main__":
    main()
