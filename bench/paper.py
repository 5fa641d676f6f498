"""The paper's tables and what qama adds, part by part; every part goes on where it was cut.

main        dims x levels for three models: paper and default preset, both scorers, fixed
            thresholds, float16, int8, dims chosen without training
ablation    the paper's recipe piece by piece, cumulative and leave-one-out, d/2 and d/4
speed       storage, operations and wall clock: 1,000 queries x 1,000,000 vectors
allocation  the bytes of a hybrid code: the paper's quarters, a user's, learned, from queries
dynamic     quality against latency as the budget changes per query, and the funnel's curve

    python bench/paper.py main --collections cranfield cisi --seeds 0 --minutes 30

Results: bench/results/paper_<part>.json. The data lie under QAMA_DATA.
"""

import argparse
import itertools
import time
from pathlib import Path

import paper_quality as quality
import paper_speed as speed
from _record import Rows
from quality_data import COLLECTIONS, MODELS, ROOT, load_scene, model_name

PARTS = ("main", "ablation", "speed", "allocation", "dynamic")
KEYS = {
    "main": ("model", "collection", "what", "seed"),
    "ablation": ("model", "collection", "variant", "seed"),
    "allocation": ("model", "collection", "what", "seed"),
    "dynamic": ("model", "collection", "seed"),
    "speed": ("dims", "kind"),
}


def jobs(part, args):
    """Yield the key of every row of a part, and what makes the rest of the row."""
    if part == "speed":
        for dims, kind in itertools.product((768, 384), speed.KINDS):
            yield (dims, kind), lambda d=dims, k=kind: {"rows": speed.speed(d, k, args.threads)}
        return
    models = args.models if part == "main" else args.models[:1]
    for seed, model, name in itertools.product(args.seeds, models, args.collections):

        def scene(model=model, name=name):
            return load_scene(model, name, "small")

        if part == "main":
            for what in ("naive", "paper", "default"):
                if what != "naive" or seed == args.seeds[0]:  # nothing of it is drawn
                    yield (
                        (model, name, what, seed),
                        lambda s=scene, w=what, n=seed: {
                            "cells": list(quality.main_tables(s(), w, n))
                        },
                    )
        elif part == "ablation":
            for variant in quality.VARIANTS:
                yield (
                    (model, name, variant, seed),
                    lambda s=scene, v=variant, n=seed: quality.ablation(s(), v, n),
                )
        elif part == "allocation":
            for what in quality.ALLOCATIONS:
                yield (
                    (model, name, what, seed),
                    lambda s=scene, w=what, n=seed: quality.allocation(s(), w, n),
                )
        else:
            yield (model, name, seed), lambda s=scene, n=seed: {"rows": speed.dynamic(s(), n)}


def take_over(rows, args):
    """Add what is known of the first model and the first seed."""
    for name, cells in quality.measured_before(args.known):
        key = args.models[0], name, "paper", args.seeds[0]
        if rows.lacks(*key):
            rows.add(**dict(zip(KEYS["main"], key, strict=True)), cells=cells,
                     seconds=None, taken_from=args.known.name)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--models", nargs="+", type=model_name, default=list(MODELS),
                        help=f"of {', '.join(MODELS)}, or any of sentence-transformers: "
                        "nomic-ai/modernbert-embed-base")  # fmt: skip
    parser.add_argument("--collections", nargs="+", choices=COLLECTIONS, default=list(COLLECTIONS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1, help="of the speed part")
    parser.add_argument("--known", type=Path, help="results of `qama eval --preset paper -o` by "
                        "the first model: taken over, not measured again")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=1e9, help="no new row is begun after")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results", help="folder")
    args = parser.parse_args()
    args.parts = args.parts or list(PARTS)
    if not set(args.parts) <= set(PARTS):
        parser.error(f"parts are {', '.join(PARTS)}")
    until = time.monotonic() + 60 * args.minutes
    for part in args.parts:
        rows = Rows(args.out / f"paper_{part}.json", KEYS[part], args.seeds)
        if part == "main" and args.known:
            take_over(rows, args)
        for key, make in jobs(part, args):
            if rows.lacks(*key) and time.monotonic() < until:
                started = time.monotonic()
                made = make()
                rows.add(**dict(zip(KEYS[part], key, strict=True)), **made,
                         seconds=round(time.monotonic() - started, 1))  # fmt: skip


if __name__ == "__main__":
    main()
