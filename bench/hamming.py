"""Grid codes by Hamming distance on vectors that a fit did not see: bench/results/hamming.json.

    python bench/hamming.py           two models, two settings; some ten minutes of one core

Settings and measures are those of `bench/quality.py`, of the judged queries alone.

signs   signs of the dims less their mean, and states between quantiles of the dims, untrained
nested  every prefix from one fit, the default
whole   a fit of all dims alone: qama.fit(X, codes="grid", dims=[d])
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _record import Rows
from quality_data import MODELS, ROOT
from quality_scenes import Found, K, Scene, measured, scenes

import qama
from qama.evaluation.topk import chunked_top_k

SETTINGS = ("sample", "transfer")
LEVELS = ("1", "1.5", "hybrid", "2")
FITS: dict[str, dict[str, Any]] = {
    "signs": {"start": "signs", "steps": 0},
    "nested": {},
    "whole": {},
}
FACTS = ("start", "shipped", "agreement_start", "agreement_best")


def fitted(fit: str, scene: Scene) -> tuple[qama.Codec, dict[str, Any]]:
    """Fit once and return the codec and facts."""
    began = time.process_time()
    dims = None if fit == "nested" else [scene.fitted.shape[1]]
    codec = qama.fit(scene.fitted, codes="grid", dims=dims, threads=1, **FITS[fit])
    facts = {"fit CPU s": round(time.process_time() - began, 1)}
    return codec, facts | {name: codec.facts[name] for name in FACTS}


def found(codec: qama.Codec, scene: Scene, dims: int, level: str) -> Found:
    """Return the ten best rows of each query by Hamming distance, of every collection."""
    code = codec.code(dims, level)
    rows = {}
    for name, there in scene.searched.items():
        stored, queries = (code.encode(X, compact=True) for X in (there.docs, there.queries))
        scores = _similarities(codec, dims, level, there.queries, stored)
        rows[name] = np.asarray(chunked_top_k(scores, len(queries), len(stored), K).ids)
    return rows


def _similarities(codec: qama.Codec, dims: int, level: str, queries: Any, stored: Any) -> Any:
    request = {"dims": dims, "level": level, "scorer": "hamming", "compact": True}
    return lambda part: codec.score(queries[part], stored, **request)


def judged_alone(scene: Scene) -> Scene:
    """Return the scene with the judged queries alone."""
    searched = {
        name: replace(there, queries=there.queries[there.judged],
                      judged=list(range(len(there.judged))))
        for name, there in scene.searched.items()
    }  # fmt: skip
    return replace(scene, searched=searched)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", nargs="+", choices=FITS, default=list(FITS))
    parser.add_argument("--models", nargs="+", default=list(MODELS[:2]))
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/hamming.json")
    args = parser.parse_args()
    rows = Rows(args.out, ("model", "setting", "fit", "dims", "level"))
    for model in args.models:
        for setting in args.settings:
            scene = judged_alone(next(scenes(model, setting)))
            d = scene.fitted.shape[1]
            for fit in args.fits:
                cells = [(d, level) for level in LEVELS]
                cells += [(d // 2, "2"), (d // 4, "2")] if fit == "nested" else []
                cells = [cell for cell in cells if rows.lacks(model, setting, fit, *cell)]
                if not cells:
                    continue
                codec, facts = fitted(fit, scene)
                for dims, level in cells:
                    figures = measured(scene.searched, found(codec, scene, dims, level))
                    rows.add(model=model, setting=setting, fit=fit, dims=dims, level=level,
                             bytes=codec.code(dims, level).nbytes, **facts, **figures)  # fmt: skip


if __name__ == "__main__":
    main()
