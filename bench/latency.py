"""Recall of float's ten against milliseconds, on real vectors of every size that is at hand.

    python bench/latency.py            bench/results/latency.json, some ten minutes on idle cores
    python bench/latency.py --quick    smaller fits, to try it

All engines learn from the same vectors, hold the same rows and answer the same queries, one thread,
in interleaved rounds of one process. Vectors are those of `QAMA_DATA`; without it there is nothing
to measure.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from _record import write_record
from speed_timing import measure

import qama

K, BATCHES, NLIST, PROBES = 10, (1, 64), 256, (4, 8, 16, 32, 64)
COLLECTIONS = ("scifact", "nfcorpus", "cranfield", "cosqa", "npl", "cisi")


class Engine(NamedTuple):
    """Something that searches: its name, setting, bytes a row with ids, and the search itself."""

    name: str
    setting: str
    nbytes: float
    search: Callable[[Any, int], Any]


def vectors(folder: Path) -> tuple[Any, Any]:
    """Return the passages, each once and in random order, and the queries of all collections."""
    names = ["train-text", *(f"{name}.docs" for name in COLLECTIONS)]
    X = np.concatenate([np.load(folder / f"{name}.npy") for name in names]).astype(np.float32)
    X = np.unique(X[np.linalg.norm(X, axis=1) > 0], axis=0)
    Q = np.concatenate([np.load(folder / f"{name}.queries.npy")[:200] for name in COLLECTIONS])
    order = np.random.default_rng(0).permutation(len(X))
    return X[order], Q.astype(np.float32)


def ours(codec: qama.Codec, X: Any, nlist: int | None) -> Iterator[Engine]:
    """Yield qama's index at several lengths, with lists where they are asked for."""
    for nbytes in (24, 48, 64):
        each = nbytes + 1  # with the inverse norm; ids are row numbers
        yield from probed(qama.Index(codec, nbytes=nbytes), X, f"{nbytes} B", each, ())
        if nlist is not None:
            lists = qama.Index(codec, nbytes=nbytes, nlist=nlist)
            yield from probed(lists, X, f"{nbytes} B", each + 8, PROBES)


def probed(
    index: qama.Index, X: Any, setting: str, each: float, probes: tuple[int, ...]
) -> Iterator[Engine]:
    """Yield an index of rows X, for each number of lists that a search reads."""
    index.add(X)
    if not probes:
        yield Engine("qama", setting, each, lambda Q, k: index.search(Q, k, threads=1).ids)
    for probe in probes:
        yield Engine(
            "qama, lists", f"{setting}, {probe} read", each,
            lambda Q, k, p=probe: index.search(Q, k, nprobe=p, threads=1).ids,
        )  # fmt: skip


def theirs(train: Any, X: Any, nlist: int | None) -> Iterator[Engine]:
    """Yield FAISS's indexes, trained on the vectors that the codec was fitted on."""
    d = X.shape[1]
    flat = faiss.IndexFlatIP(d)
    flat.add(X)
    yield Engine("FAISS float32", "", 4 * d, lambda Q, k: flat.search(Q, k)[1])
    kinds = [("FAISS PQ fast-scan", f"PQ{d // 4}x4fs", d // 8)]
    if nlist is not None:
        kinds += [
            ("FAISS IVF PQ fast-scan", f"IVF{nlist},PQ{d // 4}x4fs", d // 8 + 8),
            ("FAISS IVF RaBitQ fast-scan", f"IVF{nlist},RaBitQfs", d // 8 + 16),
            ("FAISS HNSW SQ8", "HNSW16_SQ8", d + 16 * 2 * 4 + 8),
        ]
    for name, factory, each in kinds:
        index = faiss.index_factory(d, factory, faiss.METRIC_L2)
        index.train(train)
        index.add(X)
        if "HNSW" in factory:
            settings = [("efSearch", value) for value in (16, 32, 64, 128)]
        else:
            settings = [("nprobe", value) for value in PROBES] if "IVF" in factory else [("", 0)]
        for parameter, value in settings:
            yield Engine(
                name, f"{parameter} {value}" if parameter else "", each,
                lambda Q, k, i=index, p=parameter, v=value: _faiss(i, p, v, Q, k),
            )  # fmt: skip


def _faiss(index: Any, parameter: str, value: int, Q: Any, k: int) -> Any:
    if parameter == "nprobe":
        faiss.extract_index_ivf(index).nprobe = value
    elif parameter:
        index.hnsw.efSearch = value
    return index.search(Q, k)[1]


def of_size(codec: qama.Codec, train: Any, X: Any, Q: Any, rounds: int) -> list[dict[str, Any]]:
    """Measure all engines over the rows X."""
    nlist = NLIST if len(X) >= 50_000 else None
    true = np.argsort(-(Q @ X.T), axis=1, kind="stable")[:, :K]
    engines = [*ours(codec, X, nlist), *theirs(train, X, nlist)]
    jobs = {
        (number, batch): lambda e=engine, b=batch: e.search(Q[:b], K)
        for number, engine in enumerate(engines)
        for batch in BATCHES
    }
    times, rows = measure(jobs, rounds, most=2.0), []
    for number, engine in enumerate(engines):
        found = engine.search(Q, K)
        recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(true, found, strict=True)])
        row = {"rows": len(X), "engine": engine.name, "setting": engine.setting}
        row |= {"bytes": engine.nbytes, "recall": round(float(recall), 4)}
        row |= {f"ms of {b}": round(1e3 * times[number, b][0] / b, 5) for b in BATCHES}
        rows.append(row)
        print(*row.values(), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="all-minilm-l6-v2")
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 10**9])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("bench/results/latency.json"))
    given = parser.parse_args()
    folder = Path(os.environ.get("QAMA_DATA", "../shared")) / "embeddings" / given.model
    if not folder.exists():
        raise SystemExit(f"there are no vectors in {folder}: set QAMA_DATA to where they are")
    faiss.omp_set_num_threads(1)
    X, Q = vectors(folder)
    train = X[: 2000 if given.quick else 30_000]
    codec = qama.fit(train, seed=0)
    rows = []
    for count in given.rows:
        rows += of_size(codec, train, X[:count], Q, 2 if given.quick else 7)
    write_record(given.out, rows, model=given.model, fitted=len(train), queries=len(Q))


if __name__ == "__main__":
    main()
