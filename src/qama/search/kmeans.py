"""Spherical k-means: centres of unit vectors, for the lists of a partitioned index.

Lloyd's algorithm with the cosine (Dhillon and Modha, Machine Learning 42, 2001). A centre that
loses all its vectors starts again at the vector that fits its own centre least.
"""

from __future__ import annotations

import numpy as np

from qama import checks
from qama.checks import Floats, Ids
from qama.quantizers.vectors import unit

ITERATIONS = 10


def centres(X: Floats, count: int, seed: int = 0, iterations: int = ITERATIONS) -> Floats:
    """Return unit centres float32 (count, d) of finite float32 (n, d), n >= count."""
    U = unit(X)
    picked = np.random.default_rng(seed).choice(len(U), count, replace=False)
    found = U[np.sort(picked)]
    for _ in range(iterations):
        owners, cosines = nearest(U, found)
        found = _means(U, owners, count)
        lost = np.flatnonzero(np.bincount(owners, minlength=count) == 0)
        if len(lost):
            found[lost] = U[np.argpartition(cosines, len(lost) - 1)[: len(lost)]]
    return found


def nearest(U: Floats, centres: Floats) -> tuple[Ids, Floats]:
    """Return the centre int64 (n,) nearest to each unit vector, the lower one in a tie; cosines."""
    owners = np.empty(len(U), dtype=np.int64)
    cosines = np.empty(len(U), dtype=np.float32)
    for rows in checks.chunks(U, max(64, checks.CHUNK_ROWS * 256 // len(centres))):
        products = U[rows] @ centres.T
        owners[rows] = products.argmax(axis=1)
        cosines[rows] = np.take_along_axis(products, owners[rows, None], axis=1)[:, 0]
    return owners, cosines


def _means(U: Floats, owners: Ids, count: int) -> Floats:
    order = np.argsort(owners, kind="stable")
    held, starts = np.unique(owners[order], return_index=True)
    sums = np.zeros((count, U.shape[1]), dtype=np.float32)
    sums[held] = np.add.reduceat(U[order], starts, axis=0)
    return unit(sums)
