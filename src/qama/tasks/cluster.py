"""Clusters of codes: spherical k-means over what the codes stand for.

Codes are decoded a chunk at a time and never held as vectors all at once: memory is that of the
codes. The start is k-means++ (Arthur and Vassilvitskii, SODA 2007) on a
sample of the rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qama import checks
from qama.checks import Floats, Ids
from qama.kmeans import Part, lloyd, slices
from qama.quantizers.vectors import unit
from qama.shown import one_line
from qama.tasks.codeset import CodeSet

_SAMPLE = 8192  # rows that starts are drawn from


class Clusters(NamedTuple):
    """What k-means found.

    Attributes:
        labels: int64 (n,), the cluster of each row.
        centroids: float32 (k, width), of length 1, in the space of the decoded vectors.
        cosine: The mean cosine of the rows with their centroids.
    """

    labels: Ids
    centroids: Floats
    cosine: float

    def __repr__(self) -> str:
        return one_line("Clusters", **self._asdict())


@checks.default_errstate()
def kmeans(
    codes: CodeSet | npt.NDArray[np.floating],
    k: int,
    *,
    seed: int = 0,
    iterations: int = 50,
    starts: int = 3,
) -> Clusters:
    """Cluster codes, or floats (n, width) for comparison.

    Args:
        codes: What to cluster.
        k: Clusters, at most as many as rows.
        seed: Of the starts.
        iterations: At most, of each start; fewer where no row changes its cluster.
        starts: Starts tried; the one of the highest mean cosine is returned.

    Raises:
        ValueError: k, iterations or starts below 1, k above the number of rows, unfitting floats.
    """
    k = checks.integer(k, "k", 1, len(codes))
    checks.integer(iterations, "iterations", 1)
    checks.integer(starts, "starts", 1)
    part = _parts(codes)
    random = np.random.default_rng(seed)
    runs = (
        lloyd(part, len(codes), _start(part, len(codes), k, random), iterations)
        for _ in range(starts)
    )
    return Clusters(*max(runs, key=lambda found: found.cosine))


def _parts(codes: CodeSet | npt.NDArray[np.floating]) -> Part:
    """Return what gives some rows as unit vectors."""
    if isinstance(codes, CodeSet):
        return lambda rows: unit(codes.vectors(rows))
    X = checks.matrix(codes, "codes")
    return lambda rows: unit(checks.finite(X[rows], "codes", rows.start))


def _start(part: Part, n: int, k: int, random: np.random.Generator) -> Floats:
    """Draw k rows, each with a chance that grows with its distance from those before."""
    step = max(1, n // max(_SAMPLE, k))
    U = np.concatenate([part(rows)[::step] for rows in slices(n)])
    chosen = [int(random.integers(len(U)))]
    away = np.full(len(U), np.inf)
    while len(chosen) < k:
        away = np.minimum(away, np.maximum(0, 1 - U @ U[chosen[-1]]))
        away[chosen] = 0
        left = away.sum()
        if left <= 0:  # all rows equal one of them
            away = np.ones(len(U))
            away[chosen] = 0
            left = away.sum()
        chosen.append(int(random.choice(len(U), p=away / left)))
    return U[chosen]
