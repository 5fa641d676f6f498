"""What a quality run fits on and searches, and how what it found is measured.

sample      fitted on a random half of all there is: general passages and the collections
transfer    fitted on general passages of which none comes from a collection
small       fitted on each collection alone, and searched in it: a code that remembers is flattered

Searched is each collection alone, all of its documents by all of its queries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from quality_data import (
    COLLECTIONS,
    collections_of,
    data_folder,
    general_passages,
    passages_of,
    vectors,
)

from qama.evaluation.beir import Collection, load_collection
from qama.evaluation.bootstrap import paired_bootstrap
from qama.evaluation.judge import judge
from qama.evaluation.topk import chunked_top_k

Floats = NDArray[np.float32]
Found = dict[str, NDArray[np.int64]]  # by collection the 100 best rows of each query
SETTINGS = ("sample", "transfer", "small")
K, DEEP = 10, 100
LOOKED_AT = 4000  # rows, fitted and unseen, whose error is measured
_DRAW = 0  # of the halves


@dataclass(frozen=True)
class Searched:
    """One collection: its documents and queries, and what the floats find."""

    docs: Floats
    queries: Floats
    judged: list[int]  # rows of the queries that have judgements
    collection: Collection

    @classmethod
    def load(cls, model: str, name: str) -> Searched:
        """Load a collection's texts and a model's vectors of them."""
        collection = load_collection(data_folder() / "data" / name)
        docs, queries = (vectors(model, f"{name}.{part}") for part in ("docs", "queries"))
        return cls(docs, queries, list(collection.query_rows), collection)

    @cached_property
    def wanted(self) -> NDArray[np.int64]:
        """The floats' hundred nearest rows of each query."""
        docs, queries = self.docs, self.queries
        hits = chunked_top_k(lambda part: queries[part] @ docs.T, len(queries), len(docs), DEEP)
        return np.asarray(hits.ids)


@dataclass(frozen=True)
class Scene:
    """A model's vectors: some to fit on, others unseen (or none), and collections to search."""

    fitted: Floats
    unseen: Floats
    searched: dict[str, Searched]


def scenes(model: str, setting: str) -> Iterator[Scene]:
    """Yield what a setting fits on and searches: one scene, of *small* one a collection."""
    searched = {name: Searched.load(model, name) for name in collections_of(model)}
    if setting == "small":
        for name, there in searched.items():
            yield Scene(there.docs, there.docs[:0], {name: there})
        return
    general = vectors(model, "train-text")
    if setting == "transfer":
        general = general[np.isin(passages_of(model), general_passages(COLLECTIONS))]
        random = np.random.default_rng(_DRAW).permutation(len(general))
        aside = random[:LOOKED_AT]
        yield Scene(np.delete(general, aside, axis=0), general[aside], searched)
        return
    all_rows = np.concatenate([general, *(there.docs for there in searched.values())])
    first, second = np.array_split(np.random.default_rng(_DRAW).permutation(len(all_rows)), 2)
    yield Scene(all_rows[np.sort(first)], all_rows[np.sort(second)], searched)


def measured(searched: dict[str, Searched], found: Found) -> dict[str, Any]:
    """Return recall and nDCG kept of each collection with intervals over queries, and the means."""
    recall, deep, kept = {}, {}, {}
    for name, there in searched.items():
        rows = found[name]
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
