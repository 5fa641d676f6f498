"""How well does `qama report` foretell what real queries keep? Its estimates, for each collection.

`make docs` sets them beside the retention of nDCG@10 in bench/results/default.json, whose
codecs were fitted on the whole collections and judged with real queries.

    python bench/report.py --collections cranfield cisi
"""

import argparse
import time
from pathlib import Path

import numpy as np
from _record import Rows
from quality_data import COLLECTIONS, ROOT, data_folder

import qama
from qama.evaluation.quantisability import quantisability

MODEL = "all-minilm-l6-v2"


def estimate(name, threads):
    """Return the report of a collection's documents as JSON values, without the curve."""
    docs = np.load(data_folder() / "embeddings" / MODEL / f"{name}.docs.npy")

    def fit(rows):
        return qama.fit(rows, threads=threads)  # as the command does

    started = time.perf_counter()
    found = quantisability(docs, fit, threads=threads).to_json()
    del found["spectrum"]["cumulative"]
    return {**found, "seconds": round(time.perf_counter() - started, 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collections", nargs="+", choices=COLLECTIONS, default=list(COLLECTIONS))
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/report.json")
    args = parser.parse_args()
    rows = Rows(args.out, ("collection",))
    for name in args.collections:
        if rows.lacks(name):
            rows.add(collection=name, model=MODEL, **estimate(name, args.threads))


if __name__ == "__main__":
    main()
