"""Error and recall against the rows of a fit: bench/results/fit_rows.json.

    python bench/fit_rows.py                      some twenty minutes of one core
    python bench/fit_rows.py --rows 5000 20000    some of them; finished ones are kept

Real vectors: WordLlama's (256 d) of passages of documentation and dictionaries, which
bench/real_vectors.py makes. Squared error over variance of fitted and of unseen rows, and the share
of the floats' ten nearest found among 100,000 rows that no fit saw, by bytes; the byte of the
inverse norm is counted. A fit keeps at most 262,144 rows, evenly: of a million it sees those.

alone        fitted on the rows alone
base         fitted on general passages of other sources, as it is
from base    fitted on the rows, starting from that base
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import time
from pathlib import Path

import numpy as np
import real_vectors
from _record import Rows
from quality import LENGTHS
from quality_data import MODELS, ROOT, vectors
from quality_methods import error
from quality_scenes import Floats, K

import qama
from qama.evaluation.topk import chunked_top_k

_ROWS, _UNSEEN = (5000, 20_000, 65_536, 262_144, 900_000), 100_000
_FEW = (300, 3000, 30_000)  # with a base and without
_WORDLLAMA = MODELS[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", type=int, default=sorted((*_ROWS, *_FEW)))
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/fit_rows.json")
    args = parser.parse_args()
    X, Q = real_vectors.vectors()
    order = np.random.default_rng(0).permutation(len(X))
    unseen = np.asarray(X[np.sort(order[:_UNSEEN])], dtype=np.float32)
    wanted = chunked_top_k(lambda part: Q[part] @ unseen.T, len(Q), len(unseen), K).ids
    record = Rows(args.out, ("way", "rows", "bytes"))

    def measure(way: str, count: int, base: qama.Codec | None = None) -> qama.Codec | None:
        """Fit and record, if it is not recorded yet."""
        if not record.lacks(way, count, LENGTHS[0]):
            return None
        fitted = _general() if way == "base" else _some(X, order[_UNSEEN:][:count])
        began = time.process_time()
        codec = qama.fit(fitted, seed=0, base=base, max_bytes=max(LENGTHS) - 1, threads=1)
        seconds = round(time.process_time() - began, 1)
        for nbytes in LENGTHS:
            index = qama.Index(codec, nbytes=nbytes - 1)
            index.add(unseen)
            found = index.search(Q, K).ids
            recall = (found[:, :, None] == wanted[:, None, :]).any(axis=1).mean()
            record.add(way=way, rows=count, bytes=nbytes, **{"fit CPU s": seconds},
                       fitted=error(codec, fitted, nbytes - 1),
                       unseen=error(codec, unseen, nbytes - 1),
                       recall=round(float(recall), 4))  # fmt: skip
        return codec

    if any(record.lacks("from base", count, LENGTHS[0]) for count in _FEW):
        base = measure("base", 0) or qama.fit(_general(), max_bytes=max(LENGTHS) - 1, threads=1)
        for count in _FEW:
            measure("from base", count, base)
    for count in args.rows:
        measure("alone", count)


def _some(X: Floats, rows: np.ndarray) -> Floats:
    return np.asarray(X[np.sort(rows)], dtype=np.float32)


def _general() -> Floats:
    """General passages, none of them of the documentation."""
    X = vectors(_WORDLLAMA, "train-text")
    return X[np.linalg.norm(X, axis=1) > 0]


if __name__ == "__main__":
    main()
