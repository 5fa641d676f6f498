"""What 4-bit codewords cost and what they save: bench/results/codewords.json.

    python bench/codewords.py            some ten minutes on idle cores
    python bench/codewords.py --rows 4000

Fits byte codes twice on the same rows of the passages, with codewords of 4-bit entries and of
16-bit ones, and measures both on rows that took no part: squared error, recall of float's ten over
collections that the fit never saw, milliseconds that a query takes to be made ready, bytes of the
codec.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _record import write_record

import qama
from qama.quantizers.vectors import unit

COLLECTIONS, LENGTHS, K = ("scifact", "nfcorpus", "cosqa"), (12, 24, 48, 96), 10


def fitted(X: Any, bits: int) -> tuple[qama.Codec, float]:
    """Return a codec with codewords of so many bits, and the seconds that its fit took."""
    began = time.perf_counter()
    codec = qama.fit(X, seed=0, max_bytes=max(LENGTHS), codeword_bits=bits)
    return codec, round(time.perf_counter() - began, 1)


def error(codec: qama.Codec, X: Any, nbytes: int) -> float:
    """Return the mean squared error of unit vectors and what their codes stand for."""
    U = unit(X)
    left = U - codec.decode(codec.encode(U, nbytes=nbytes), nbytes=nbytes)
    return round(float(np.square(left).sum(axis=1).mean()), 4)


def recall(codec: qama.Codec, D: Any, Q: Any, nbytes: int) -> float:
    """Return the share of the ten nearest by the floats among the ten best by codes."""
    true = np.argsort(-(unit(Q) @ unit(D).T), axis=1, kind="stable")[:, :K]
    index = qama.Index(codec, nbytes=nbytes)
    index.add(D)
    found = index.search(Q, K).ids
    shares = [len(set(a) & set(b)) / K for a, b in zip(true, found, strict=True)]
    return round(float(np.mean(shares)), 4)


def ready(codec: qama.Codec, Q: Any, batch: int) -> float:
    """Return milliseconds that one query of a batch takes to be made ready, on one thread."""
    code, best = codec.code(nbytes=48), np.inf
    for _ in range(200 // batch):
        began = time.perf_counter()
        code.query_tables(Q[:batch], 1)
        best = min(best, (time.perf_counter() - began) / batch)
    return round(1e3 * best, 4)


def measured(folder: Path, rows: int, bits: int) -> dict[str, Any]:
    """Fit and measure one of the two."""
    passages = np.load(folder / "train-text.npy").astype(np.float32)
    codec, seconds = fitted(passages[:rows], bits)
    unseen, found = passages[-8000:], {"bits": bits, "rows": rows}
    Q = np.load(folder / "nfcorpus.queries.npy")[:64].astype(np.float32)
    with tempfile.TemporaryDirectory() as made:
        codec.save(Path(made) / "codec")
        found |= {"fit s": seconds, "codec MB": (Path(made) / "codec").stat().st_size / 1e6}
    found |= {f"ms of {batch}": ready(codec, Q, batch) for batch in (1, 64)}
    found |= {f"error {nbytes} B": error(codec, unseen, nbytes) for nbytes in LENGTHS}
    for name in COLLECTIONS:
        files = (folder / f"{name}.{part}.npy" for part in ("docs", "queries"))
        D, Q = (np.load(file).astype(np.float32) for file in files)
        for nbytes in LENGTHS:
            found[f"{name} {nbytes} B"] = recall(codec, D, Q[:1000], nbytes)
    print(found, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--model", default="all-minilm-l6-v2")
    parser.add_argument("--out", type=Path, default=Path("bench/results/codewords.json"))
    given = parser.parse_args()
    folder = Path(os.environ.get("QAMA_DATA", "../shared")) / "embeddings" / given.model
    if not folder.exists():
        raise SystemExit(f"there are no vectors in {folder}: set QAMA_DATA to where they are")
    results = [measured(folder, given.rows, bits) for bits in (16, 4)]
    write_record(given.out, results, model=given.model)


if __name__ == "__main__":
    main()
