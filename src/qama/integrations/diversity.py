"""Maximal marginal relevance: hits that are near the query and unlike each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qama import checks
from qama.documents import Documents, Hit
from qama.quantizers.vectors import unit


def diverse(documents: Documents, hits: Sequence[Hit], k: int, relevance: float) -> list[Hit]:
    """Return k of some hits: each the best of those left, less what is like the ones before.

    Args:
        documents: Where they were found.
        hits: Hits of a search by vector, whose scores are cosines.
        k: How many; all hits where they are fewer.
        relevance: From 0, only unlike each other, to 1, only near the query.

    Raises:
        ValueError: a relevance or a k that is none.
    """
    k = checks.integer(k, "k", 0)
    if not 0 <= relevance <= 1:
        raise ValueError(f"the weight of relevance is {relevance}; give 0 to 1")
    vectors = unit(documents.vectors([hit.id for hit in hits]))
    near = np.array([hit.score for hit in hits])
    alike = np.full(len(hits), -np.inf)
    left = np.ones(len(hits), dtype=bool)
    chosen: list[Hit] = []
    for _ in range(min(k, len(hits))):
        worth = relevance * near - (1 - relevance) * (alike if chosen else 0)
        best = int(np.where(left, worth, -np.inf).argmax())
        chosen.append(hits[best])
        left[best] = False
        alike = np.maximum(alike, vectors @ vectors[best])
    return chosen
