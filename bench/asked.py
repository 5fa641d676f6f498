"""What a sample of real queries, or labelled pairs, adds to a fit: grid codes, both scorers.

nothing   the documents alone
queries   and queries that the test does not judge, without labels
pairs     and such queries with a document that answers each (20,000 pairs at most)

    python bench/asked.py --collections scifact --seeds 0

Only collections that hold such queries. Results: bench/results/asked.json; the data lie under
QAMA_DATA.
"""

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
from _record import Rows
from paper_quality import GRID_LEVELS, Judge
from quality_data import MODELS, ROOT, data_folder, load_scene, vectors

import qama
from qama.quantizers.thermometer.quantizer import ThermometerCode

LABELS = {"scifact": "train.tsv", "nfcorpus": "train.tsv", "cosqa": "dev.tsv"}
WAYS = ("nothing", "queries", "pairs")
MOST = 20_000  # pairs
DIMS = (1, 2, 4)  # d over these


def labelled(model, name):
    """Return queries and documents, row by row, that a label other than the test's joins."""
    folder = data_folder() / "data" / name
    places = {}
    for part in ("queries", "corpus"):
        with (folder / f"{part}.jsonl").open(encoding="utf-8") as stream:
            places[part] = {str(json.loads(line)["_id"]): row for row, line in enumerate(stream)}
    with (folder / "qrels" / LABELS[name]).open(encoding="utf-8") as stream:
        lines = [line for line in list(csv.reader(stream, delimiter="\t"))[1:] if int(line[2]) > 0]
    rows = np.array([(places["queries"][q], places["corpus"][d]) for q, d, _ in lines])
    if len(rows) > MOST:
        rows = np.random.default_rng(0).choice(rows, MOST, replace=False)
    return vectors(model, f"{name}.queries")[rows[:, 0]], vectors(model, f"{name}.docs")[rows[:, 1]]


def measure(judged, way, seed):
    """Return the cells of one fit."""
    scene = judged.scene
    asked, answers = labelled(scene.model, scene.collection.name)
    given = {
        "nothing": {},
        "queries": {"queries": np.unique(asked, axis=0)},
        "pairs": {"pairs": (asked, answers)},
    }[way]
    codec = qama.fit(scene.fit, seed=seed, threads=1, codes="grid", **given)
    d = codec.dims_in
    return {
        "shipped": codec.facts["shipped"],
        "asked": 0 if way == "nothing" else len(asked) if way == "pairs" else len(given["queries"]),
        "cells": [
            judged.code(codec, way, scorer, dims=d // part, level=level)
            for part in DIMS
            for level in GRID_LEVELS
            for scorer in ThermometerCode.scorers
        ],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS[:2], default=[MODELS[0]])
    parser.add_argument("--collections", nargs="+", choices=LABELS, default=list(LABELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/asked.json")
    args = parser.parse_args()
    rows = Rows(args.out, ("model", "collection", "way", "seed"), args.seeds)
    for model in args.models:
        for name in args.collections:
            judged = Judge(load_scene(model, name, "small"))
            for seed in args.seeds:
                for way in WAYS:
                    if rows.lacks(model, name, way, seed):
                        started = time.monotonic()
                        found = measure(judged, way, seed)
                        rows.add(model=model, collection=name, way=way, seed=seed, **found,
                                 seconds=round(time.monotonic() - started, 1))  # fmt: skip


if __name__ == "__main__":
    main()
