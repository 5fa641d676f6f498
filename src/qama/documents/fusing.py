"""One ranking of several, by reciprocal rank fusion.

Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
Learning Methods", SIGIR 2009: https://doi.org/10.1145/1571941.1572114
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

CONSTANT = 60  # the paper's
DEPTH = 100  # of each ranking, at least: what is behind adds less than 1/160


def fused(rankings: Iterable[Sequence[int]], k: int) -> list[tuple[int, float]]:
    """Return the k best of several rankings with their scores, best first.

    The score is the sum of 1 / (60 + rank) over the rankings that have it, ranks counted from 1.
    Ties go to what the first ranking has first.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, number in enumerate(ranking, start=1):
            scores[number] = scores.get(number, 0.0) + 1 / (CONSTANT + rank)
    return sorted(scores.items(), key=lambda entry: -entry[1])[:k]
