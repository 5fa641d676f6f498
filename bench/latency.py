"""Recall of float's ten against milliseconds, as users meet them: bench/results/latency.json.

    python bench/latency.py                     half an hour on idle cores
    python bench/latency.py --quick             a few rows and smaller fits, to try it
    python bench/latency.py --vectors docs      some of the sources alone; rows of others are kept

    docs      WordLlama's vectors (256 d) of a million passages of documentation and dictionaries
              (bench/real_vectors.py makes them)
    minilm    all-MiniLM-L6-v2's (384 d) of the passages in `QAMA_DATA`
    wide768, wide1536    the same, made wide by a random network (bench/wide.py)

All engines learn from the same vectors, hold the same rows and answer the same queries, on one
thread, in interleaved rounds of one process. A source that is not at hand is left out.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import argparse
import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import real_vectors
from _record import write_record
from latency_peers import Engine, Task, peers
from speed_timing import measure
from wide import widened

import qama
from qama.kernels import _dispatch

K, BATCHES, FITTED, QUERIES = 10, (1, 64), 50_000, 1000
LENGTHS = (24, 32, 48, 64)
COLLECTIONS = ("scifact", "nfcorpus", "cranfield", "cosqa", "npl", "cisi")
SIZES = {
    "docs": (1000, 10_000, 100_000, 1_000_000),
    "minilm": (1000, 10_000, 10**9),
    "wide768": (10_000,),
    "wide1536": (10_000,),
}


def passages() -> tuple[Any, Any]:
    """Return all-MiniLM-L6-v2's passages, each once, shuffled, and queries."""
    folder = Path(os.environ.get("QAMA_DATA", "../shared")) / "embeddings" / "all-minilm-l6-v2"
    if not folder.exists():
        raise SystemExit(f"skipped: there are no vectors in {folder}: set QAMA_DATA")
    names = ["train-text", *(f"{name}.docs" for name in COLLECTIONS)]
    X = np.concatenate([np.load(folder / f"{name}.npy") for name in names]).astype(np.float32)
    X = np.unique(X[np.linalg.norm(X, axis=1) > 0], axis=0)
    Q = np.concatenate([np.load(folder / f"{name}.queries.npy")[:200] for name in COLLECTIONS])
    return X[np.random.default_rng(0).permutation(len(X))], Q.astype(np.float32)


def vectors(source: str, quick: bool) -> tuple[Any, Any, Any]:
    """Return unit vectors float32: those that engines learn from, the rows and the queries."""
    most = 20_000 if quick else 10**9
    X, Q = real_vectors.vectors(most) if source == "docs" else passages()
    X = X[: 30_000 if source.startswith("wide") else most]
    if source.startswith("wide"):
        X, Q = (widened(V, int(source[4:])) for V in (X, Q))
    X, Q = (np.asarray(V, np.float32) for V in (X, Q[:QUERIES]))
    for V in (X, Q):
        V /= np.linalg.norm(V, axis=1, keepdims=True)
    return X[: 2000 if quick else FITTED], X, Q


def lists_for(rows: int) -> tuple[int | None, tuple[int, ...]]:
    """Return how many inverted lists so many rows get, and how many of them searches read."""
    if rows < 50_000:
        return None, ()
    return (256, (4, 8, 16, 32, 64)) if rows < 500_000 else (1024, (8, 16, 32, 64, 128))


def ours(codec: qama.Codec, task: Task) -> Iterator[Engine]:
    """Yield qama's index at several lengths, flat and with lists where these are asked for."""
    codes = codec.encode(task.rows, nbytes=LENGTHS[-1])
    for nbytes in LENGTHS:
        each = nbytes + 1  # with the inverse norm; ids are row numbers
        flat = qama.Index(codec, nbytes=nbytes)
        flat.add_codes(codes[:, :nbytes])
        yield Engine(
            "qama", f"{nbytes} B", each, lambda Q, k, i=flat: i.search(Q, k, threads=1).ids
        )
        if nbytes == 48 and "avx512" in _dispatch.native_paths():
            search = on_path("avx2", lambda Q, k, i=flat: i.search(Q, k, threads=1).ids)
            yield Engine("qama, AVX2", f"{nbytes} B", each, search)
        if task.nlist is None:
            continue
        lists = qama.Index(codec, nbytes=nbytes, nlist=task.nlist)
        lists.add_codes(codes[:, :nbytes])
        for probe in task.probes:
            yield Engine(
                "qama, lists", f"{nbytes} B, {probe} read", each + 8,
                lambda Q, k, i=lists, p=probe: i.search(Q, k, nprobe=p, threads=1).ids,
            )  # fmt: skip


def on_path(path: str, search: Any) -> Any:
    """Return a search that runs on another path of the kernels, some microseconds slower."""

    def searched(Q: Any, k: int) -> Any:
        with mock.patch.dict(os.environ, QAMA_KERNEL=path):
            _forget()
            found = search(Q, k)
        _forget()
        return found

    return searched


def _forget() -> None:
    _dispatch.chosen_path.cache_clear()
    _dispatch.backend.cache_clear()


def nearest(Q: Any, X: Any) -> Any:
    """Return float's ten nearest rows of each query."""
    best = []
    for some in np.array_split(Q, max(1, len(Q) * len(X) // 10**8)):
        best.append(np.argpartition(-(some @ X.T), K, axis=1)[:, :K])
    return np.concatenate(best)


def of_size(
    source: str, codec: qama.Codec, task: Task, Q: Any, rounds: int
) -> list[dict[str, Any]]:
    """Measure all engines over some rows."""
    true = nearest(Q, task.rows)
    engines = [*ours(codec, task), *peers(task)]
    jobs = {
        (number, batch): lambda e=engine, b=batch: e.search(Q[:b], K)
        for number, engine in enumerate(engines)
        for batch in BATCHES
    }
    times, rows = measure(jobs, rounds, most=2.0), []
    for number, engine in enumerate(engines):
        found = np.asarray(engine.search(Q, K)).tolist()
        recall = np.mean([len({*a} & {*b}) / K for a, b in zip(true.tolist(), found, strict=True)])
        row = {"vectors": source, "dims": Q.shape[1], "rows": len(task.rows)}
        row |= {"engine": engine.name, "setting": engine.setting, "bytes": engine.nbytes}
        row |= {"recall": round(float(recall), 4)}
        row |= {f"ms of {b}": round(1e3 * times[number, b][0] / b, 5) for b in BATCHES}
        rows.append(row)
        print(*row.values(), flush=True)
    return rows


def of_source(source: str, quick: bool) -> Iterator[dict[str, Any]]:
    """Yield what is measured of one source, size by size."""
    train, X, Q = vectors(source, quick)
    codec = qama.fit(train, seed=0, max_bytes=LENGTHS[-1])
    for count in SIZES[source]:
        task = Task(train, X[:count], *lists_for(min(count, len(X))), 50_000 <= count < 500_000)
        yield from of_size(source, codec, task, Q, 2 if quick else 7)
        gc.collect()
        if count >= len(X):
            break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("bench/results/latency.json"))
    given = parser.parse_args()
    before = json.loads(given.out.read_text())["results"] if given.out.exists() else []
    for source in given.vectors:
        try:
            rows = list(of_source(source, given.quick))
        except SystemExit as reason:
            print(f"{source}: {reason}")
            continue
        before = [row for row in before if row["vectors"] != source] + rows
        write_record(given.out, before, fitted=FITTED, queries=QUERIES)


if __name__ == "__main__":
    main()
