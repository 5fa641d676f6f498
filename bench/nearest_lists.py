"""Milliseconds in which one query finds its nearest inverted lists, of few lists and of many.

    python bench/nearest_lists.py     a minute; into bench/results/nearest_lists.json

Centroids are real vectors (bench/real_vectors.py, 256 d), queries others of them. Beside it: all
centroids multiplied with the query (`kernels.multiply`), and the greatest products taken by NumPy.
One thread, both in turns.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import real_vectors
from _record import write_record
from speed_timing import measure

from qama import kernels

LISTS, READ, QUERIES, ROUNDS = (1024, 4096, 8192, 65_536), (8, 32, 128), 200, 7
OUT = Path(__file__).parent / "results" / "nearest_lists.json"


def ways(centroids: Any, queries: Any, nprobe: int) -> dict[str, Callable[[], object]]:
    """Return what finds the nearest lists of the next query, in two ways."""
    nlist, which = len(centroids), itertools.cycle(range(len(queries)))
    each = kernels.CentroidUnits.of(centroids)
    lists = kernels.InvertedLists(each, np.arange(nlist), np.arange(1, nlist + 1))
    panels, held = kernels.panels(centroids), np.ones(nlist, np.int64)

    def few() -> object:
        query = next(which)
        probes = kernels.Probes(lists, queries[query : query + 1], held, nprobe)
        return kernels.blocks_to_visit(probes, 0, threads=1)

    def every() -> object:
        query = next(which)
        products = kernels.multiply(queries[query : query + 1], panels, threads=1)[0, :nlist]
        return np.argpartition(products, nlist - nprobe)[nlist - nprobe :]

    return {"few": few, "all": every}


def rows() -> Iterator[dict[str, Any]]:
    """Yield what was measured."""
    X, Q = real_vectors.vectors(max(LISTS))
    centroids, queries = (kernels.whole_units(V.astype(np.float32)) for V in (X, Q[:QUERIES]))
    for nlist in LISTS:
        for nprobe in READ:
            took = measure(ways(centroids[:nlist], queries, nprobe), ROUNDS)
            ms = {name: round(1e3 * seconds, 4) for name, (seconds, *_) in took.items()}
            yield {"lists": nlist, "read": nprobe, **ms}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    found = []
    for row in rows():
        print(row, flush=True)
        found.append(row)
    write_record(given.out, found, 0)


if __name__ == "__main__":
    main()
