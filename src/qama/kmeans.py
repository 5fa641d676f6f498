"""Spherical k-means: centroids of unit vectors, by Lloyd's algorithm with the cosine.

Dhillon and Modha, Machine Learning 42 (2001): rows and centroids have length 1, and a row belongs
to the centroid of highest cosine. A centroid that loses all its rows starts again at the row that
fits its own centroid least.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qama import checks
from qama.checks import Floats, Ids
from qama.quantizers.vectors import unit

Part = Callable[[slice], Floats]  # gives some rows as unit vectors float32 (n, width)


class Found(NamedTuple):
    """What k-means found.

    Attributes:
        owners: int64 (n,), the centroid that each row belonged to last.
        centroids: float32 (k, width), of length 1.
        cosine: The mean cosine of the rows with their centroids then.
    """

    owners: Ids
    centroids: Floats
    cosine: float


def lloyd(part: Part, n: int, start: Floats, iterations: int) -> Found:
    """Improve centroids float32 (k, width) for n rows until none changes its centroid.

    Rows are asked for some at a time, in every iteration anew.
    """
    centroids, owners, cosines = start, np.full(n, -1, dtype=np.int64), np.zeros(n, np.float32)
    for _ in range(iterations):
        before, sums = owners.copy(), np.zeros(centroids.shape)
        for rows in slices(n):
            U = part(rows)
            owners[rows], cosines[rows] = nearest(U, centroids)
            _add_rows(sums, U, owners[rows])
        if (owners == before).all():
            break
        lost = np.flatnonzero(np.bincount(owners, minlength=len(centroids)) == 0)
        if len(lost):
            worst = np.argpartition(cosines, len(lost) - 1)[: len(lost)]
            sums[lost] = [part(slice(row, row + 1))[0] for row in worst.tolist()]
        centroids = unit(sums.astype(np.float32))
    return Found(owners, centroids, float(cosines.mean(dtype=np.float64)))


def nearest(U: Floats, centroids: Floats) -> tuple[Ids, Floats]:
    """Return the centroid int64 (n,) nearest to each unit vector, the lower in a tie; cosines."""
    owners = np.empty(len(U), dtype=np.int64)
    cosines = np.empty(len(U), dtype=np.float32)
    for rows in checks.chunks(U, max(64, checks.CHUNK_ROWS * 256 // len(centroids))):
        products = U[rows] @ centroids.T
        owners[rows] = products.argmax(axis=1)
        cosines[rows] = np.take_along_axis(products, owners[rows, None], axis=1)[:, 0]
    return owners, cosines


def slices(n: int) -> list[slice]:
    """Return slices that cover n rows in order."""
    return [slice(i, min(i + checks.CHUNK_ROWS, n)) for i in range(0, n, checks.CHUNK_ROWS)]


def _add_rows(sums: npt.NDArray[np.float64], U: Floats, owners: Ids) -> None:
    """Add each row to the sum of its centroid."""
    order = np.argsort(owners, kind="stable")
    held, starts = np.unique(owners[order], return_index=True)
    if len(order):
        sums[held] += np.add.reduceat(U[order], starts, axis=0)
