"""Which inverted list a code belongs to: that of the centroid nearest to what the code stands for.

Centroids and lists follow from the codes alone, so that an index can be partitioned when its
vectors are gone, and adding vectors is the same as adding their codes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qama import blas, kernels, kmeans
from qama.checks import Bytes, Floats, Ids
from qama.codec import Code
from qama.quantizers.vectors import unit
from qama.search.rows.lists import Centroids, Lists
from qama.search.rows.snapshot import Snapshot

SAMPLE = 64  # codes per list that centroids are found from, at most
ITERATIONS = 10
AUTO = "auto"  # in place of a number of lists: as many as the rows do well with
LISTED_FROM = 131_072  # rows from which a search over lists is faster than one of all


def lists_for(rows: int) -> int | None:
    """Return how many lists so many rows do well with: a power of two near 3 sqrt(rows).

    None: they are searched faster without.
    """
    return None if rows < LISTED_FROM else int(2 ** np.rint(np.log2(3 * np.sqrt(rows))))


def partitioned(
    code: Code, rows: Snapshot, stored: Bytes, nlist: int, seed: int, threads: int
) -> Snapshot:
    """Return rows in lists.

    Args:
        code: What the rows hold.
        rows: The rows; deleted ones are left out.
        stored: Their codes uint8 (n, bytes), or other codes where there are no rows yet: those
            that centroids are found from.
        nlist: How many lists.
        seed: Of the sample and the start of k-means.
        threads: 0: all.

    Raises:
        ValueError: fewer codes than lists.
    """
    if len(stored) < nlist:
        raise ValueError(
            f"{nlist} lists need at least as many vectors to find their centroids from, and there "
            f"are {len(stored)}: add more at once, or add to an index without lists and partition "
            f"it then"
        )
    with blas.at_most(threads):
        centroids = Centroids(_centroids(code, stored, nlist, seed))
    codes = stored if len(rows) else stored[:0]
    found = numbers(code, codes, centroids, threads)
    return rows.partitioned(Lists.empty(centroids), codes, found)


def numbers(code: Code, stored: Bytes, centroids: Centroids, threads: int = 0) -> Ids:
    """Return the number of the list int64 (n,) that each code uint8 (n, bytes) belongs to."""
    found = np.empty(len(stored), dtype=np.int64)
    with blas.at_most(threads):
        for rows in kmeans.slices(len(stored)):
            found[rows] = kmeans.nearest(unit(code.decode(stored[rows])), centroids.vectors)[0]
    return found


def units(code: Code, queries: Floats) -> npt.NDArray[np.int16]:
    """Return queries float32 (m, d) as they are multiplied with the centroids of lists.

    These are whole numbers of 2^-14, as the centroids are then, so that the lists that a search
    reads depend on its queries alone; int16 (m, width), width even.
    """
    rows = kernels.whole_units(code.coordinates(queries))
    return np.pad(rows, ((0, 0), (0, 1))) if rows.shape[1] % 2 else rows


def _centroids(code: Code, stored: Bytes, nlist: int, seed: int) -> Floats:
    dice = np.random.default_rng(seed)
    some = min(len(stored), SAMPLE * nlist)
    sample = stored[np.sort(dice.choice(len(stored), some, replace=False))]

    def part(rows: slice) -> Floats:
        return unit(code.decode(sample[rows]))

    start = np.sort(dice.choice(some, nlist, replace=False))
    return kmeans.lloyd(part, some, unit(code.decode(sample[start])), ITERATIONS).centroids
