"""What centring and whitening do to the floats' own ranking: bench/results/centring.json.

    python bench/centring.py            three models, a minute of one core

A mean that all vectors share, or directions in which they vary most, may say little of what a text
is about. Both are estimated from the documents of each collection, never from its queries, and
taken out of documents and queries alike; all is brought to length 1 again. nDCG@10 of judged
queries, exact search. `signs` are of the documents less their mean, by the query less that mean.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _record import Rows
from quality_data import E5, MODELS, ROOT, collections_of
from quality_scenes import Floats, K, Searched

from qama.evaluation.judge import judge
from qama.evaluation.topk import chunked_top_k
from qama.kernels import unit

_FLOOR = 1e-3  # of the mean variance: directions of less are whitened as if they had so much


def ways(docs: Floats, queries: Floats) -> Iterator[tuple[str, Floats, Floats]]:
    """Yield the name of each way, and documents and queries prepared for inner products."""
    mean = docs.mean(axis=0)
    yield "as they are", docs, queries
    for share in (0.5, 1.0):
        yield f"less {share:g} of the mean", unit(docs - share * mean), unit(queries - share * mean)
    energy, axes = np.linalg.eigh(np.cov(docs.T))
    for power in (0.25, 0.5):
        W = (axes * np.maximum(energy, _FLOOR * energy.mean()) ** -power).astype(np.float32)
        yield f"whitened, power {power:g}", unit((docs - mean) @ W), unit((queries - mean) @ W)
    yield "signs", np.sign(docs - mean), queries - mean


def ndcg(there: Searched, docs: Floats, queries: Floats) -> float:
    """Return nDCG@10 of the judged queries."""
    asked = queries[there.judged]
    hits = chunked_top_k(lambda part: asked[part] @ docs.T, len(asked), len(docs), K)
    return float(judge(hits.ids, there.collection, ks=(K,)).ndcg10.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=[*MODELS[:2], E5])
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/centring.json")
    args = parser.parse_args()
    rows = Rows(args.out, ("model", "collection", "way"))
    for model in args.models:
        for name in collections_of(model):
            there = Searched.load(model, name)
            length = float(np.linalg.norm(there.docs.mean(axis=0)))
            for way, docs, queries in ways(there.docs, there.queries):
                rows.add(model=model, collection=name, way=way, mean=round(length, 3),
                         ndcg=round(ndcg(there, docs, queries), 4))  # fmt: skip


if __name__ == "__main__":
    main()
