"""Top k of a partitioned index: only the blocks of the lists nearest to each query are read."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from qama.checks import Floats, Ids
from qama.codec import Code
from qama.search.rows import partitioning
from qama.search.rows.blocks import BLOCK_ROWS
from qama.search.rows.lists import Lists
from qama.search.scan import topk

BATCH = 256  # queries whose lists are put in order together


def search(
    code: Code, queries: Floats, lists: Lists, rows: topk.Rows, k: int, scorer: str,
    nprobe: int, threads: int,
) -> tuple[Ids, Floats]:  # fmt: skip
    """Return places int64 (m, k') and scores float32 (m, k'), best first, ties by lower place.

    Args:
        code: What the rows hold.
        queries: Finite float32 (m, d).
        lists: Where the rows lie.
        rows: The rows, with a mask.
        k: How many; k' is less where fewer rows are allowed. Further lists are read where the
            nearest ones hold fewer than k rows that are.
        scorer: "hamming" or "asymmetric".
        nprobe: How many lists are read for each query, at least.
        threads: Threads, at least 1; queries are spread over them.
    """
    assert rows.mask is not None
    sizes = lists.sizes(rows.mask)
    shape = len(queries), min(k, int(sizes.sum()))
    places, scores = np.empty(shape, np.int64), np.empty(shape, np.float32)
    workers = max(1, min(threads, len(queries)))
    if scorer == "asymmetric":
        rows.inverse_norms(code)  # once, before the threads that need them
    with ThreadPoolExecutor(workers) as pool:
        spread = map if workers == 1 else pool.map
        for some in _batches(queries):
            order = partitioning.order(code, queries[some], lists.centroids)
            probes = np.maximum(nprobe, _enough(sizes[order], k))
            whole = topk.scorer_of(code, queries[some], scorer, threads)
            one = partial(_nearest, lists, rows, k, whole, order, probes)
            for query, found in enumerate(spread(one, range(len(order))), some.start):
                places[query], scores[query] = found
    return places, scores


def recall_by_lists(
    code: Code, queries: Floats, lists: Lists, rows: topk.Rows, k: int, scorer: str, threads: int
) -> Floats:
    """Return float32 (nlist,): at i, the share of the k best rows of all that i + 1 lists hold."""
    counts = np.zeros(lists.nlist, dtype=np.int64)
    for some in _batches(queries):
        best = topk.search(code, queries[some], rows, k, scorer, threads, 0)[0]
        order = partitioning.order(code, queries[some], lists.centroids)
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(lists.nlist)[None, :], axis=1)
        held = lists.owners[best // BLOCK_ROWS].astype(np.int64)
        found = np.take_along_axis(ranks, held, axis=1)
        counts += np.bincount(found.reshape(-1), minlength=lists.nlist)
    return np.asarray(counts.cumsum() / counts.sum(), dtype=np.float32)


def _batches(queries: Floats) -> Iterator[slice]:
    """Yield some queries at a time: an order of all lists for each query is large."""
    for start in range(0, len(queries), BATCH):
        yield slice(start, min(start + BATCH, len(queries)))


def _nearest(
    lists: Lists, rows: topk.Rows, k: int, whole: topk.Scorer, order: Ids, probes: Ids, query: int
) -> tuple[Ids, Floats]:
    """Return the k best places of one query and their scores; it reads its first lists in order."""
    visited = lists.blocks_of(order[query, : probes[query]])
    part = whole.part(slice(query, query + 1))
    found, keys = part.top(rows.visiting(visited), k, 1)
    return found[0], part.scores(keys)[0]


def _enough(sizes: Ids, k: int) -> Ids:
    """Return how many of the nearest lists hold k vectors; sizes (m, lists), nearest first."""
    held = np.cumsum(sizes, axis=1)
    wanted = np.minimum(k, held[:, -1:])
    return np.asarray(np.argmax(held >= wanted, axis=1) + 1, dtype=np.int64)
