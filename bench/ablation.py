"""The default recipe, each part removed alone: byte codes and grid codes.

Judged, fitted on a collection alone: retention of nDCG@10, and the share of the floats' ten nearest
documents found by the test's queries (overlap), which varies less by luck.

    python bench/ablation.py --collections scifact --seeds 0

Results: bench/results/ablation.json, row by row; the data lie under QAMA_DATA.
"""

import argparse
import time
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import numpy as np
from _record import Rows
from paper_quality import GRID_LEVELS, Judge
from quality_data import COLLECTIONS, MODELS, ROOT, load_scene

import qama
from qama.evaluation.baselines import float_hits
from qama.quantizers.additive import fit as additive
from qama.quantizers.additive import quantizer as bytecode
from qama.quantizers.thermometer.quantizer import ThermometerCode
from qama.training import distillation

BYTES = (12, 24, 48, 96)  # the byte of the inverse norm among them
DIMS = (1, 2, 4)  # d over these
NEVER = 1 << 30


def flat_start(rows, nbytes, form, random):
    """Codewords drawn with the rows' mean variance, in no direction of its own."""
    drawn = random.standard_normal((nbytes * form.terms, rows.shape[1]), dtype=np.float32)
    return drawn * np.float32(rows.std() * bytecode.UNIT / np.sqrt(nbytes * len(form.sizes)))


# What each variant sets: (module or class, name, value); options of `qama.fit`.
BYTE_PARTS = {
    "all of it": [],
    "- noise in the turns": [(additive, "_NOISE", 0.0)],
    "- turns, a quarter of them": [
        (additive, "_FULL_TURNS", 11), (additive, "_TURNS", {0: 22, 12: 9, 48: 5}),
    ],
    "- start by water-filling": [(additive, "_start", flat_start)],
    "- bytes of 256 codewords": [(additive, "_LEAST_ROWS", NEVER)],
    "- sweeps after the beam": [
        (additive, "_SWEEPS", 0), (additive, "SWEEPS", 0), (bytecode, "SWEEPS", 0),
    ],
    "- joint choice: one codeword after the other": [
        (module, name, value)
        for module in (additive, bytecode)
        for name, value in (("BEAM", 1), ("SWEEPS", 0))
    ] + [(additive, "_BEAM", 1), (additive, "_SWEEPS", 0)],
    "- normalised score": [
        (
            bytecode.AdditiveCode, "inverse_norm_indices",
            lambda code, stored: np.full(len(stored), 128, "u1"),
        ),
    ],
    "- nesting: 23 bytes chosen together": [
        (bytecode, "STAGE_ENDS", tuple(end for end in bytecode.STAGE_ENDS if end >= 23)),
    ],
}  # fmt: skip
GRID_PARTS = {
    "all of it": [],
    "- hard neighbours": [(distillation, "_NEAR", 0)],
    "- random rows": [(distillation, "_RANDOM", 0)],
    "- rising sharpness": [(distillation, "_SHARPNESS", (4.0, 4.0))],
}
GRID_OPTIONS = {
    "- training": {"steps": 0},
    "- leaning start": {"leaning": 0.0},
}


def variants():
    """Yield family, name, what is set, options of `qama.fit`."""
    for name, parts in BYTE_PARTS.items():
        yield "bytes", name, parts, {"max_bytes": max(BYTES) - 1}
    for name, parts in GRID_PARTS.items():
        yield "grid", name, parts, {"codes": "grid"}
    for name, options in GRID_OPTIONS.items():
        yield "grid", name, [], {"codes": "grid", **options}


def measure(judged, family, parts, options, seed):
    """Return the cells of one variant."""
    with ExitStack() as stack:
        for place, name, value in parts:
            stack.enter_context(mock.patch.object(place, name, value))
        codec = qama.fit(judged.scene.fit, seed=seed, threads=1, **options)
        if family == "bytes":
            requests = [({"nbytes": n - 1}, "asymmetric") for n in BYTES]
        else:
            requests = [
                ({"dims": codec.dims_in // part, "level": level}, scorer)
                for part in DIMS
                for level in GRID_LEVELS
                if level in codec.levels
                for scorer in ThermometerCode.scorers
            ]
        return [cell(judged, codec, request, scorer) for request, scorer in requests]


def cell(judged, codec, request, scorer):
    """Return what one code keeps."""
    index = qama.Index(codec, **request)
    index.add(judged.scene.docs)
    ids = index.search(judged.scene.queries, 10, scorer=scorer, threads=1).ids
    nearest = float_hits(judged.docs, judged.queries, 10).ids
    overlap = np.mean([len(np.intersect1d(a, b)) for a, b in zip(ids, nearest, strict=True)]) / 10
    found = judged.cell("qama", request.get("dims", codec.dims_in),
                        request.get("level", "bytes"), scorer, index.code.nbytes, ids)  # fmt: skip
    return {**found, "overlap": round(float(overlap), 5)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collections", nargs="+", choices=COLLECTIONS, default=list(COLLECTIONS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--families", nargs="+", choices=("bytes", "grid"),
                        default=["bytes", "grid"])  # fmt: skip
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/ablation.json")
    args = parser.parse_args()
    rows = Rows(args.out, ("collection", "family", "variant", "seed"), args.seeds)
    for seed in args.seeds:
        for name in args.collections:
            judged = Judge(load_scene(MODELS[0], name, "small"))
            for family, variant, parts, options in variants():
                if family in args.families and rows.lacks(name, family, variant, seed):
                    started = time.monotonic()
                    cells = measure(judged, family, parts, options, seed)
                    rows.add(collection=name, family=family, variant=variant, seed=seed,
                             cells=cells, seconds=round(time.monotonic() - started, 1))  # fmt: skip


if __name__ == "__main__":
    main()
