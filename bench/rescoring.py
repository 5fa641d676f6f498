"""What rescoring with kept vectors gains and costs: recall of the floats' ten, ms a query.

    QAMA_DATA=../shared python bench/rescoring.py                  into bench/results/rescoring.json
    python bench/rescoring.py --fit 4000 --timed 10 --out x.json   small

A codec is fitted on general passages, none of which is of the collections. `recall`: in the
documents of each collection, and ("all") in those of all and the passages together, of what the
collections' queries find among floats. `warm` and `cold`: times in all of these of one query at a
time, on one thread. Cold: before each query the pages of the file are given up (posix_fadvise), the
index is opened, and a search by codes alone reads these; the search that is timed finds codes in
memory and vectors on the disk. `read` is what the disk was asked for: 0 bytes where the system kept
the file all the same, or where it lies in memory.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _record import write_record
from quality_data import COLLECTIONS, ROOT, data_folder, general_passages, vectors

import qama
from qama.quantizers.kept import FORMS

MODEL = "all-minilm-l6-v2"
LENGTHS = (12, 24, 48)
RESCORED = (0, 20, 50, 100)
K = 10
BATCH = 256  # queries whose cosines with all vectors are held together


@dataclass(frozen=True)
class Part:
    """What is searched, and by what.

    Attributes:
        docs: float32 (n, d), of length 1.
        queries: float32 (m, d), of length 1.
        ten: int64 (m, 10), the nearest of the floats.
    """

    docs: np.ndarray
    queries: np.ndarray
    ten: np.ndarray

    @classmethod
    def of(cls, docs: np.ndarray, queries: np.ndarray) -> Part:
        """Return the part with the ten nearest of each query found."""
        return cls(docs, queries, best_ten(docs, queries))


def load(each: int) -> tuple[np.ndarray, dict[str, Part]]:
    """Return what is fitted on, and what is searched, with so many queries of each collection."""
    passages = vectors(MODEL, "train-text")
    parts = {
        name: (vectors(MODEL, f"{name}.docs"), vectors(MODEL, f"{name}.queries")[:each])
        for name in COLLECTIONS
    }
    every = [passages, *(docs for docs, _ in parts.values())]
    parts["all"] = np.concatenate(every), np.concatenate([Q for _, Q in parts.values()])
    general = set(general_passages(COLLECTIONS).tolist())
    return passages[sorted(general)], {name: Part.of(*both) for name, both in parts.items()}


def best_ten(docs: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return the ten nearest of the floats, int64 (m, 10)."""
    found = []
    for start in range(0, len(queries), BATCH):
        cosines = queries[start : start + BATCH] @ docs.T
        some = np.argpartition(-cosines, K, axis=1)[:, :K]
        found.append(some)
    return np.concatenate(found)


def recalls(index: qama.Index, part: Part) -> dict[str, float]:
    """Return the share of the ten that a search finds, for each number of candidates."""
    shares = {}
    for rescore in RESCORED:
        found = index.search(part.queries, K, rescore=rescore).ids
        hits = (found[:, :, None] == part.ten[:, None, :]).sum(axis=(1, 2))
        shares[str(rescore)] = float(hits.mean() / K)
    return shares


def times(path: Path, queries: np.ndarray, cold: bool) -> dict[str, dict[str, float]]:
    """Return milliseconds a query, and bytes read from the disk, for each number of candidates."""
    found = {}
    for rescore in RESCORED:
        index, each, read = qama.Index.open(path), [], []
        index.search(queries, K, rescore=rescore, threads=1)
        for q in queries:
            if cold:
                del index  # what is mapped is not given up
                give_up(path)
                index = qama.Index.open(path)
                index.search(q[None], K, threads=1)
            before, started = disk_bytes(), time.perf_counter()
            index.search(q[None], K, rescore=rescore, threads=1)
            each.append(1e3 * (time.perf_counter() - started))
            read.append(disk_bytes() - before)
        found[str(rescore)] = {
            "ms": float(np.median(each)), "p95": float(np.quantile(each, 0.95)),
            "read": float(np.mean(read)),
        }  # fmt: skip
    return found


def give_up(path: Path) -> None:
    """Ask the system to forget the pages of a file."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def disk_bytes() -> int:
    """Return what this process had read from disks so far; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0
    return int(dict(line.split(": ") for line in lines).get("read_bytes", 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", type=int, default=48_000, help="passages that are fitted on")
    parser.add_argument("--queries", type=int, default=300, help="of each collection")
    parser.add_argument("--timed", type=int, default=50, help="queries that are timed")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/rescoring.json")
    given = parser.parse_args()
    data_folder()  # ends here, with a reason, where there are no data
    general, parts = load(given.queries)
    rows = np.sort(np.random.default_rng(0).permutation(len(general))[: given.fit])
    codec = qama.fit(general[rows], max_bytes=max(LENGTHS))
    queries, results = parts["all"].queries, []
    some = queries[np.linspace(0, len(queries) - 1, given.timed).astype(int)]
    with tempfile.TemporaryDirectory(dir=given.out.absolute().parent) as folder:
        path = Path(folder) / "index"
        for nbytes in LENGTHS:
            for keep in FORMS:
                row: dict[str, object] = {"nbytes": nbytes, "keep": keep}
                shares = {}
                for name, part in parts.items():  # "all" comes last
                    index = qama.Index(codec, nbytes=nbytes, keep=keep)
                    index.add(part.docs)
                    shares[name] = recalls(index, part)
                index.save(path)
                row |= {"kept_size": index.kept_size, "recall": shares}
                row |= {"warm": times(path, some, False), "cold": times(path, some, True)}
                print(row, flush=True)
                results.append(row)
    sizes = {"fit": len(rows), "docs": {name: len(part.docs) for name, part in parts.items()}}
    write_record(given.out, results, model=MODEL, **sizes, queries=given.queries, timed=len(some))


if __name__ == "__main__":
    main()
