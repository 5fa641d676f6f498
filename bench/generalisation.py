"""Quality on vectors that a fit did not see: bench/results/generalisation.json.

    python bench/generalisation.py                    some ten minutes of one core for qama
    python bench/generalisation.py --methods opq      a peer's; finished rows are kept

sample      fitted on a random half of all there is: general passages and six collections
transfer    fitted on general passages of which none comes from a collection

Searched is each collection alone, all of its documents by all of its queries. The first measure is
the share of the floats' ten nearest among the ten best (and of their hundred among the hundred),
the second nDCG@10 of judged queries in % of the floats'. The byte of the inverse norm is counted:
of 24 bytes qama's code has 23. Squared error over variance is that of fitted rows and of unseen
ones of the same source.

OPQ is at its best: principal axes dealt to its parts evenly, 25 iterations on all rows, METRIC_L2.
Of another peer (bench/peers.py) the variant that finds most is recorded.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import peers
from _record import Rows
from numpy.typing import NDArray
from quality_data import (
    COLLECTIONS,
    MODELS,
    ROOT,
    collections_of,
    data_folder,
    general_passages,
    passages_of,
    vectors,
)

import qama
from qama.evaluation.beir import Collection, load_collection
from qama.evaluation.bootstrap import paired_bootstrap
from qama.evaluation.judge import judge
from qama.evaluation.topk import chunked_top_k

Floats = NDArray[np.float32]
Found = tuple[NDArray[np.int64], ...]  # of each collection the 100 best rows of each query
LENGTHS, SETTINGS = (12, 24, 48, 96), ("sample", "transfer")
K, DEEP = 10, 100
_LOOKED_AT = 4000  # rows, fitted and unseen, whose error is measured
_DRAW = 0  # of the halves


@dataclass(frozen=True)
class Searched:
    """One collection: its documents and queries, and what the floats find."""

    docs: Floats
    queries: Floats
    judged: list[int]  # rows of the queries that have judgements
    collection: Collection

    @cached_property
    def wanted(self) -> NDArray[np.int64]:
        """The floats' hundred nearest rows of each query."""
        return _best(self.docs, self.queries)


@dataclass(frozen=True)
class Scene:
    """A model's vectors: some to fit on, others unseen, and collections to search."""

    fitted: Floats
    unseen: Floats
    searched: dict[str, Searched]

    @classmethod
    def load(cls, model: str, setting: str) -> Scene:
        """Load what a setting fits on and searches."""
        searched = {name: _searched(model, name) for name in collections_of(model)}
        general = vectors(model, "train-text")
        if setting == "transfer":
            general = general[np.isin(passages_of(model), general_passages(COLLECTIONS))]
            random = np.random.default_rng(_DRAW).permutation(len(general))
            aside = random[:_LOOKED_AT]
            return cls(np.delete(general, aside, axis=0), general[aside], searched)
        all_rows = np.concatenate([general, *(there.docs for there in searched.values())])
        first, second = np.array_split(np.random.default_rng(_DRAW).permutation(len(all_rows)), 2)
        return cls(all_rows[np.sort(first)], all_rows[np.sort(second)], searched)


def _searched(model: str, name: str) -> Searched:
    collection = load_collection(data_folder() / "data" / name)
    docs, queries = (vectors(model, f"{name}.{part}") for part in ("docs", "queries"))
    return Searched(docs, queries, list(collection.query_rows), collection)


def _best(docs: Floats, queries: Floats) -> NDArray[np.int64]:
    hits = chunked_top_k(lambda part: queries[part] @ docs.T, len(queries), len(docs), DEEP)
    return np.asarray(hits.ids)


# --- methods --------------------------------------------------------------------------------------


def ours(scene: Scene, lengths: list[int]) -> Iterator[tuple[int, Found, dict[str, Any]]]:
    """Fit once and yield, of each length, what is found and facts."""
    began = time.process_time()
    codec = qama.fit(scene.fitted, seed=0, max_bytes=max(lengths) - 1, threads=1)
    facts: dict[str, Any] = {"fit CPU s": round(time.process_time() - began, 1)}
    for nbytes in lengths:
        found = []
        for there in scene.searched.values():
            index = qama.Index(codec, nbytes=nbytes - 1)
            index.add(there.docs)
            found.append(index.search(there.queries, DEEP).ids)
        errors = {
            name: error(codec, rows, nbytes - 1)
            for name, rows in (("fitted", scene.fitted), ("unseen", scene.unseen))
        }
        yield nbytes, tuple(found), facts | errors


def error(codec: qama.Codec, rows: Floats, nbytes: int) -> float:
    """Squared error over variance."""
    some = rows[np.linspace(0, len(rows) - 1, min(_LOOKED_AT, len(rows))).astype(int)]
    left = some - codec.decode(codec.encode(some, nbytes=nbytes), nbytes=nbytes)
    spread = some - rows.mean(axis=0)
    return round(float(np.square(left).sum() / np.square(spread).sum()), 4)


def best_opq(scene: Scene, lengths: list[int]) -> Iterator[tuple[int, Found, dict[str, Any]]]:
    """Fit OPQ for each length."""
    for nbytes in lengths:
        began = time.process_time()
        search = peers.best_opq(scene.fitted, nbytes, seed=0)
        facts = {"fit CPU s": round(time.process_time() - began, 1)}
        yield nbytes, _searched_by(search, scene), facts


def theirs(
    method: str, scene: Scene, lengths: list[int]
) -> Iterator[tuple[int, Found, dict[str, Any]]]:
    """Fit every variant of a peer for each length; yields the one that finds most."""
    for nbytes in lengths:
        best: tuple[float, Found, dict[str, Any]] | None = None
        for variant in peers.variants(method, nbytes, scene.fitted.shape[1], len(scene.fitted)):
            began = time.process_time()
            search = variant.fit(scene.fitted, 0)
            facts = {"variant": variant.setting,
                     "fit CPU s": round(time.process_time() - began, 1)}  # fmt: skip
            found = _searched_by(search, scene)
            recall = measured(scene, found)["recall"]["mean"][0]
            if best is None or recall > best[0]:
                best = recall, found, facts
        if best is not None:
            yield nbytes, *best[1:]


def _searched_by(search: peers.Search, scene: Scene) -> Found:
    every = scene.searched.values()
    return tuple(search(there.docs, there.queries, DEEP).hits.ids for there in every)


METHODS: dict[str, Callable[..., Iterator[tuple[int, Found, dict[str, Any]]]]] = {
    **{name: partial(theirs, name) for name in peers.METHODS},
    "qama": ours,
    "opq": best_opq,
}


# --- measures -------------------------------------------------------------------------------------


def measured(scene: Scene, found: Found) -> dict[str, Any]:
    """Return recall and nDCG kept of each collection with intervals over queries, and the means."""
    recall, deep, kept = {}, {}, {}
    for (name, there), rows in zip(scene.searched.items(), found, strict=True):
        recall[name], deep[name] = (_share_found(rows, there.wanted, k) for k in (K, DEEP))
        ours, floats = (
            judge(some[there.judged, :K], there.collection, ks=(K,)).ndcg10
            for some in (rows, there.wanted)
        )
        kept[name] = paired_bootstrap(ours, floats, "ratio", samples=1000)
    return {"recall": _with_mean(recall), f"recall{DEEP}": _with_mean(deep),
            "kept": _with_mean(kept)}  # fmt: skip


def _share_found(found: NDArray[np.int64], wanted: NDArray[np.int64], k: int) -> Any:
    """Return the share of the k wanted rows among the first k found, with its interval."""
    pairs = zip(found[:, :k], wanted[:, :k], strict=True)
    hits = np.array([len(np.intersect1d(*pair)) for pair in pairs]) / k
    return paired_bootstrap(hits, np.zeros(len(hits)), samples=1000)


def _with_mean(intervals: dict[str, Any]) -> dict[str, list[float]]:
    """Return estimate and interval of each, and of the mean: collections are independent."""
    cells = {name: (i.estimate, i.low, i.high) for name, i in intervals.items()}
    values = np.array(list(cells.values()))
    middle, count = values[:, 0].mean(), len(values)
    half = [np.sqrt(np.square(values[:, side] - values[:, 0]).sum()) / count for side in (1, 2)]
    cells["mean"] = (middle, middle - half[0], middle + half[1])
    return {name: [round(float(x), 4) for x in cell] for name, cell in cells.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["qama"])
    parser.add_argument("--models", nargs="+", default=list(MODELS[:2]))
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--bytes", nargs="+", type=int, default=list(LENGTHS), dest="lengths")
    parser.add_argument("--name", help="what qama's rows are called: a version to compare with")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/generalisation.json")
    args = parser.parse_args()
    peers.set_threads(1)
    rows = Rows(args.out, ("model", "setting", "method", "bytes"))
    for model in args.models:
        for setting in args.settings:
            scene = Scene.load(model, setting)
            for method in args.methods:
                name = args.name or method
                lengths = [n for n in args.lengths if rows.lacks(model, setting, name, n)]
                for nbytes, found, facts in METHODS[method](scene, lengths) if lengths else ():
                    rows.add(model=model, setting=setting, method=name, bytes=nbytes,
                             rows=len(scene.fitted), **facts, **measured(scene, found))  # fmt: skip


if __name__ == "__main__":
    main()
