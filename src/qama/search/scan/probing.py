"""Top k of a partitioned index: only the blocks of the lists nearest to each query are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qama import kernels
from qama.checks import Floats, Ids
from qama.codec import Code
from qama.search.rows import partitioning
from qama.search.rows.blocks import BLOCK_ROWS
from qama.search.rows.lists import Lists
from qama.search.scan import topk

BATCH = 256  # queries whose lists are put in order together, at most
_VISITED = 2**21  # blocks that are named together for them


@dataclass(frozen=True)
class Nearest:
    """Which lists a search reads.

    Attributes:
        code: What the rows hold, in the space of which the centroids are.
        lists: Where the rows lie.
        nprobe: How many lists are read for each query, at least.
    """

    code: Code
    lists: Lists
    nprobe: int


def search(
    code: Code, queries: Floats, nearest: Nearest, rows: topk.Rows, k: int, scorer: str,
    threads: int,
) -> tuple[Ids, Floats]:  # fmt: skip
    """Return places int64 (m, k') and scores float32 (m, k'), best first, ties by lower place.

    Args:
        code: By what the rows are scored: the code that they hold, or a prefix of it.
        queries: Finite float32 (m, d).
        nearest: Which lists are read.
        rows: The rows, with a mask.
        k: How many; k' is less where fewer rows are allowed. Further lists are read where the
            nearest ones hold fewer than k rows that are.
        scorer: "hamming" or "asymmetric".
        threads: Threads, at least 1; queries are spread over them.
    """
    lists, nprobe = nearest.lists, nearest.nprobe
    if nprobe == lists.nlist:
        return topk.search(code, queries, rows, k, scorer, threads, 0)
    assert rows.mask is not None
    sizes = lists.sizes(rows.mask)
    parts = []
    for some in _batches(queries, _VISITED * lists.nlist // max(1, nprobe * lists.blocks)):
        Q = queries[some]
        units = partitioning.units(nearest.code, Q)
        own = rows.of_lists(kernels.Probes(lists.inverted, units, sizes, nprobe))
        parts.append(topk.scorer_of(code, Q, scorer, threads).top(own, k, threads))
    return topk.joined(parts)


def recall_by_lists(
    code: Code, queries: Floats, lists: Lists, rows: topk.Rows, k: int, scorer: str, threads: int
) -> Floats:
    """Return float32 (nlist,): at i, the share of the k best rows of all that i + 1 lists hold."""
    counts = np.zeros(lists.nlist, dtype=np.int64)
    panels = kernels.panels(lists.centroids.units.units)
    for some in _batches(queries):
        best = topk.search(code, queries[some], rows, k, scorer, threads, 0)[0]
        units = partitioning.units(code, queries[some])
        products = kernels.multiply(units, panels, threads=threads)
        order = np.argsort(-products[:, : lists.nlist], axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(lists.nlist)[None, :], axis=1)
        held = lists.owners[best // BLOCK_ROWS].astype(np.int64)
        found = np.take_along_axis(ranks, held, axis=1)
        counts += np.bincount(found.reshape(-1), minlength=lists.nlist)
    return np.asarray(counts.cumsum() / counts.sum(), dtype=np.float32)


def _batches(queries: Floats, most: int = BATCH) -> Iterator[slice]:
    """Yield some queries at a time: what is held for each of them is large."""
    step = max(1, min(BATCH, most))
    for start in range(0, max(1, len(queries)), step):  # no queries too have a k'
        yield slice(start, min(start + step, len(queries)))
