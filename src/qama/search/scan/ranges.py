"""Every row that scores enough."""

from __future__ import annotations

import numpy as np

from qama.checks import Floats, Ids
from qama.codec import Code
from qama.search.scan import topk

_FIRST_K = 1024  # results that most ranges stay below
_GROWTH = 16


def checked(score: object, queries: int) -> Floats:
    """Return the least score of each query, float32 (queries,).

    Raises:
        ValueError: not a number, NaN, or not one for each query.
    """
    least = np.asarray(score)
    if least.dtype.kind not in "fiu" or least.shape not in ((), (queries,)):
        raise ValueError(
            f"score is {least.dtype} of shape {least.shape}; give one number, or one for each of "
            f"the {queries} queries"
        )
    if np.isnan(least).any():
        raise ValueError("score is NaN; give the least score that counts")
    return np.broadcast_to(least, queries)


def search(
    code: Code, queries: Floats, least: Floats, rows: topk.Rows, scorer: str, threads: int
) -> list[tuple[Ids, Floats]]:
    """Return rows int64 (n,) and scores float32 (n,) of each query, best first.

    Queries whose k best rows all score enough are searched again with a larger k.
    """
    found: list[tuple[Ids, Floats]] = [(np.empty(0, np.int64), np.empty(0, np.float32))] * len(
        queries
    )
    open_queries, k = np.arange(len(queries)), _FIRST_K
    while len(open_queries):
        best, scores = topk.search(code, queries[open_queries], rows, k, scorer, threads, 0)
        enough = scores >= least[open_queries, None]
        counts = np.count_nonzero(enough, axis=1)  # scores fall, so these are the first ones
        for i, query in enumerate(open_queries):
            found[query] = best[i, : counts[i]].copy(), scores[i, : counts[i]].copy()
        open_queries = open_queries[counts == k]  # where fewer rows are allowed, all were seen
        k *= _GROWTH
    return found
