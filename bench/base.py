"""What a base codec adds to a fit on few vectors of a field.

base        fitted on general passages that do not come from the collection, as it is
alone       fitted on some of the collection's documents
from base   fitted on the same, starting from the base

All are searched in the whole collection: retention of nDCG@10, and the share of the floats' ten
nearest documents found by the test's queries (overlap).

    python bench/base.py --collections scifact

Results: bench/results/base.json, row by row; the data lie under QAMA_DATA.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from _record import Rows
from ablation import cell
from paper_quality import Judge
from quality_data import COLLECTIONS, MODELS, ROOT, load_scene

import qama

REQUESTS = [
    *[({"nbytes": nbytes}, "asymmetric") for nbytes in (11, 23, 47)],
    *[({"dims": dims, "level": "2"}, "hamming") for dims in (384, 192, 96)],
]
FITTED = (300, 1000)  # documents


def fits(scene, some, seed):
    """Yield a way, how many documents it saw, and a function that fits so."""
    base = qama.fit(scene.fit, seed=seed, threads=1, codes="all", max_bytes=47)
    yield "base", 0, lambda: base
    for count in some:
        order = np.random.default_rng(seed).permutation(len(scene.docs))[:count]
        X = scene.docs[np.sort(order)]
        for way, given in (("alone", {}), ("from base", {"base": base})):
            yield (
                way,
                count,
                lambda X=X, given=given: qama.fit(
                    X, seed=seed, threads=1, codes="all", max_bytes=47, **given
                ),
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collections", nargs="+", choices=COLLECTIONS, default=list(COLLECTIONS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/base.json")
    args = parser.parse_args()
    rows = Rows(args.out, ("collection", "way", "fitted", "seed"), args.seeds)
    for seed in args.seeds:
        for name in args.collections:
            scene = load_scene(MODELS[0], name, "transfer")
            judged = Judge(scene)
            for way, count, fit in fits(scene, FITTED, seed):
                started = time.monotonic()
                codec = fit()
                seconds = round(time.monotonic() - started, 1)
                cells = [cell(judged, codec, request, scorer) for request, scorer in REQUESTS]
                rows.add(collection=name, way=way, fitted=count, seed=seed, seconds=seconds,
                         cells=cells)  # fmt: skip


if __name__ == "__main__":
    main()
