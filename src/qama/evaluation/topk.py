"""Exact top-k selection with one tie rule: the lower row first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Hits", "chunked_top_k", "top_k"]

_CELLS = 1 << 24  # scores held at once: 64 MiB of float32


@dataclass(frozen=True, slots=True)
class Hits:
    """The best rows per query.

    Attributes:
        ids: Rows, int64 (m, k), best first; ties by lower row.
        scores: Their scores, float32 (m, k), higher is better.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


def top_k(scores: NDArray[np.float32], k: int) -> Hits:
    """Select the k highest scores per query, ties by lower row.

    Args:
        scores: Score of each document, float32 (m, n), finite.
        k: How many to keep, at least 1; more than n keeps n.

    Returns:
        Rows and scores, both (m, min(k, n)).

    Raises:
        ValueError: ``k`` is below 1 or ``scores`` has no column.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    m, n = scores.shape
    if n == 0:
        raise ValueError("scores has no column: there is nothing to search")
    k = min(k, n)
    ids = np.empty((m, k), np.int64)
    for i, row in enumerate(scores):
        worst = np.partition(row, n - k)[n - k]
        candidates = np.flatnonzero(row >= worst)  # ascending, so a stable sort keeps low rows
        ids[i] = candidates[np.argsort(-row[candidates], kind="stable")[:k]]
    return Hits(ids, np.take_along_axis(scores, ids, axis=1))


def chunked_top_k(score: Callable[[slice], NDArray[np.float32]], m: int, n: int, k: int) -> Hits:
    """Select over m queries and n documents without holding all m x n scores.

    Args:
        score: Gives the scores, float32 (rows of the slice, n), of a slice of the queries.
        m: Number of queries, at least 1.
        n: Number of documents, at least 1.
        k: How many to keep, at least 1.

    Returns:
        Rows and scores, both (m, min(k, n)).
    """
    step = max(1, _CELLS // n)
    parts = [top_k(score(slice(i, min(i + step, m))), k) for i in range(0, m, step)]
    return Hits(np.concatenate([p.ids for p in parts]), np.concatenate([p.scores for p in parts]))
