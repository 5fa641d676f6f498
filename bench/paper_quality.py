"""The parts of bench/paper.py that judge retrieval: main tables, ablation, allocation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from quality_data import LSA, Scene

import qama
from qama.codec import Codec
from qama.evaluation.baselines import BASELINES, float_hits
from qama.evaluation.bootstrap import paired_bootstrap
from qama.evaluation.judge import judge
from qama.evaluation.runner import evaluate
from qama.quantizers.thermometer.levels import HYBRID, LEVELS, dims_grid, plan
from qama.quantizers.thermometer.quantize import quantile_thresholds
from qama.quantizers.thermometer.quantizer import ThermometerCode
from qama.quantizers.thermometer.transform import Linear, apply
from qama.quantizers.vectors import unit
from qama.recipe import LossWeights

GRID_LEVELS = ("1", "1.5", "hybrid", "2")
ABLATED_DIMS = (2, 4)  # d over these: 192 and 96 of 384
GROUPS = 48  # dims are shown in so many groups by the diagnostic figure
# Hidden width over d of the paper's FFN: the paper's 32 takes half an hour a fit of 768 dims on one
# core, and four times as long for each of the ablation's variants.
EXPANSION = {LSA: 8}
ABLATED_EXPANSION = 8


class Judge:
    """Retention of float32's nDCG@10 in one scene."""

    def __init__(self, scene: Scene):
        self.scene = scene
        self.docs, self.queries = unit(scene.docs), unit(scene.queries)
        self.reference = self._ndcg(float_hits(self.docs, self.queries, 10).ids)

    def _ndcg(self, ids):
        return judge(ids, self.scene.collection, ks=(10,)).ndcg10

    def cell(self, method, dims, level, scorer, nbytes, ids):
        """Return one cell of a table."""
        ndcg = self._ndcg(ids)
        kept = paired_bootstrap(ndcg, self.reference, "ratio", samples=1_000)
        return cell(method, dims, level, scorer, nbytes, float(ndcg.mean()), kept.estimate,
                    kept.low, kept.high)  # fmt: skip

    def code(self, codec, method, scorer, **request):
        """Judge one code of a codec."""
        index = qama.Index(codec, **request)
        index.add(self.scene.docs)
        ids = index.search(self.scene.queries, 10, scorer=scorer, threads=1).ids
        dims, level = request.get("dims", codec.dims_in), request.get("level", "bytes")
        return self.cell(method, dims, level, scorer, index.code.nbytes, ids)


def cell(method, dims, level, scorer, nbytes, ndcg, retention, low, high):
    """Return one cell as JSON values, rounded."""
    numbers = {"ndcg": ndcg, "retention": retention, "low": low, "high": high}
    return {"method": method, "dims": dims, "level": level, "scorer": scorer, "bytes": nbytes,
            **{name: round(value, 5) for name, value in numbers.items()}}  # fmt: skip


# --- main tables --------------------------------------------------------------------------------


def main_tables(scene: Scene, what: str, seed: int):
    """Return the cells of one fit (`paper`, `default`), or of everything untrained (`naive`)."""
    if what == "naive":
        return [*_baselines(scene), *_naive_dims(scene)]
    width = {"expansion": EXPANSION.get(scene.model, 32)} if what == "paper" else {}
    codec = qama.fit(scene.fit, preset=what, seed=seed, threads=1, codes="grid", **width)
    records = evaluate(codec, scene.docs, scene.queries, scene.collection, levels=GRID_LEVELS,
                       baselines=False, samples=1_000, threads=1)  # fmt: skip
    return _cells_of(records, what)


def measured_before(file: Path):
    """Yield collection and cells of what `qama eval --preset paper -o file` measured."""
    for name, records in json.loads(file.read_text())["results"].items():
        yield name, _cells_of([SimpleNamespace(**record) for record in records], "paper")


def _cells_of(records, what):
    names = {"qama": what, "float prefix": f"{what}, float prefix"}
    return [_cell_of(r, names[r.method]) for r in records if r.method in names]


def _baselines(scene):
    records = evaluate(None, scene.docs, scene.queries, scene.collection, samples=1_000)
    return [_cell_of(r, r.method) for r in records]


def _cell_of(r, name):
    return cell(name, r.dims, r.level, r.scorer, r.bytes_stored, r.ndcg10, r.retention, r.low,
                r.high)  # fmt: skip


def _naive_dims(scene):
    """Dims chosen without training: by variance, the first, the principal components."""
    judged = Judge(scene)
    docs, queries = judged.docs, judged.queries
    d = docs.shape[1]
    _, axes = np.linalg.eigh(np.cov(docs.T))
    ways = {
        "first dims": np.eye(d, dtype=np.float32),
        "dims by variance": np.eye(d, dtype=np.float32)[:, np.argsort(-docs.var(axis=0))],
        "principal components": axes[:, ::-1].astype(np.float32),
    }
    plain = {b.level: b for b in BASELINES if b.name in ("float32", "fixed thresholds")}
    for name, turn in ways.items():
        A, B = docs @ turn, queries @ turn
        for n in dims_grid(d):
            for level, base in plain.items():
                # floats are compared by cosine; thresholds take the values as they are
                left, right = (
                    (unit(A[:, :n]), unit(B[:, :n])) if level == "float32" else (A[:, :n], B[:, :n])
                )
                ids = base.search(np.ascontiguousarray(left), right, 10).ids
                yield judged.cell(name, n, level, base.scorer, base.stored_bytes(n), ids)


# --- ablation -----------------------------------------------------------------------------------

_NONE = {"quantization": 0.0, "orthogonality": 0.0, "bottleneck": 0.0, "variance": 0.0}
_ORDER = ("quantization", "matryoshka", "orthogonality", "bottleneck", "variance")


def steps(full: LossWeights) -> dict[str, dict]:
    """Return, by name, what each variant of the paper's recipe changes: options of `qama.fit`.

    Cumulative rows begin with "+", leave-one-out rows with "-"; "matryoshka" says whether losses
    are taken at every prefix of dims or at all dims only.
    """
    variants = {"thresholds only": {}, "untrained start": {"steps": 0, "epochs": 0}}
    weights, matryoshka = replace(full, **_NONE), False
    variants["+ FFN"] = {"weights": weights, "matryoshka": False}
    for name in _ORDER:
        if name == "matryoshka":
            matryoshka = True
        else:
            weights = replace(weights, **{name: getattr(full, name)})
        variants[f"+ {name}"] = {"weights": weights, "matryoshka": matryoshka}
    variants["- FFN"] = {"architecture": "linear"}
    variants["- rotation start"] = {"start": "random"}
    for name in _ORDER:
        variants[f"- {name}"] = (
            {"matryoshka": False}
            if name == "matryoshka"
            else {"weights": replace(full, **{name: 0.0})}
        )
    return variants


VARIANTS = steps(LossWeights())


def ablation(scene: Scene, variant: str, seed: int):
    """Return the cells of one variant at d/2 and d/4, and its diagnostics by group of dims."""
    codec = _ablated(scene.fit, variant, seed)
    judged = Judge(scene)
    d = codec.dims_in
    kept = sorted(dims_grid(d), reverse=True)
    cells = [
        judged.code(codec, variant, "hamming", dims=n, level=level)
        for n in (d // part for part in ABLATED_DIMS)
        for level in GRID_LEVELS
    ]
    Z = codec.transform(scene.docs, kept[0])
    for n in (d // part for part in ABLATED_DIMS):
        A, B = unit(Z[:, :n]), unit(codec.transform(scene.queries, kept[0])[:, :n])
        ids = float_hits(A, B, 10).ids
        cells.append(judged.cell(variant, n, "float32", "cosine", 4 * n, ids))
    return {"cells": cells, "diagnostics": diagnostics(codec, Z)}


def _ablated(X, variant, seed):
    options = {"expansion": ABLATED_EXPANSION, **VARIANTS[variant]}
    nested = options.pop("matryoshka", True)
    d = X.shape[1]
    if variant == "thresholds only":
        return _thresholds_only(X, seed)
    codec = qama.fit(
        X, preset="paper", seed=seed, dims=None if nested else [d], threads=1, **options
    )
    # a fit for all dims alone is still judged at fewer
    return replace(
        codec, thermometer=replace(codec.thermometer, dims=dims_grid(d), calibration_scales={})
    )


def _thresholds_only(X, seed):
    """The vectors as they come, cut at their quantiles."""
    start = qama.fit(
        X, preset="paper", seed=seed, architecture="linear", steps=0, epochs=0, threads=1
    )
    plain = replace(start.thermometer, transform=Linear(np.eye(X.shape[1], dtype=np.float32)))
    Z = apply(plain.transform, X)
    thresholds = {
        name: quantile_thresholds(plain.values(Z, LEVELS[name]), LEVELS[name].thresholds)
        for name in plain.thresholds
    }
    grid = replace(plain, thresholds=thresholds).with_reconstruction(X)
    return Codec(thermometer=grid, preset="paper")


def diagnostics(codec, Z):
    """Return, by group of dims: variance, imbalance of the 1-bit code, margin to its threshold.

    Variance is the mean of z's; imbalance the mean of |share of ones - 1/2|; the margin the mean
    distance from the threshold in standard deviations.
    """
    thresholds = codec.thermometer.thresholds["1"][:, 0]
    spread = Z.std(axis=0) + 1e-9
    by_dim = {
        "variance": Z.var(axis=0),
        "imbalance": np.abs((thresholds < Z).mean(axis=0) - 0.5),
        "margin": (np.abs(Z - thresholds) / spread).mean(axis=0),
    }
    return {
        name: [round(float(part.mean()), 5) for part in np.array_split(values, GROUPS)]
        for name, values in by_dim.items()
    }


# --- hybrid allocation --------------------------------------------------------------------------

# Shares of dims at 2, 1.5, 1 and 0.5 bit, each 1.625 thermometer bits per dim.
FRACTIONS = {
    "the paper's quarters": (0.25, 0.25, 0.25, 0.25),
    "user: precise head": (0.4, 0.0, 0.25, 0.35),
    "user: even": (0.2, 0.3, 0.35, 0.15),
}


def allocation(scene: Scene, what: str, seed: int):
    """Return the cells of one way to spend the bytes of a hybrid code at all dims."""
    judged = Judge(scene)
    d = scene.docs.shape[1]
    nbytes = plan(d, HYBRID).nbytes()
    if what in FRACTIONS:
        codec = qama.fit(scene.fit, seed=seed, fractions=FRACTIONS[what], threads=1,
                         codes="grid")  # fmt: skip
        scorers = ThermometerCode.scorers
        cells = [judged.code(codec, what, s, dims=d, level="hybrid") for s in scorers]
        return {"cells": cells, "agreement": codec.facts["agreement_best"]}
    X = scene.fit
    if what == "learned, with a log of queries":
        log = query_log(scene)
        if log is None:
            return {"cells": [], "why": "no queries beyond the judged ones"}
        X = np.concatenate([X, np.repeat(log, max(1, len(X) // (2 * len(log))), axis=0)])
    codec = qama.fit(X, seed=seed, threads=1)
    return {"cells": [judged.code(codec, what, "asymmetric", nbytes=nbytes)]}


ALLOCATIONS = (*FRACTIONS, "learned", "learned, with a log of queries")


def query_log(scene: Scene):
    """Return the collection's queries that nobody judged in the test, or None."""
    from quality_data import vectors

    every = vectors(scene.model, f"{scene.collection.name}.queries")
    rest = np.setdiff1d(np.arange(len(every)), scene.collection.query_rows)
    return every[rest] if len(rest) >= 100 else None
