"""The best rows by codes, ordered by the exact cosine with their kept vectors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from qama import checks
from qama.checks import Floats, Ids
from qama.search.rows.kept import Kept

_BATCH_ENTRIES = 2**18  # of kept vectors that are unpacked together: as float64, 2 MiB


def rescored(
    kept: Kept, queries: Floats, candidates: Ids, k: int, threads: int
) -> tuple[Ids, Floats]:
    """Return the best rows int64 (m, k') and cosines float32 (m, k') of each query's candidates.

    They are ordered by the cosine in float64 (`Form.cosines`); ties go to the lower row.

    Args:
        kept: The kept vectors; those of candidates are read, and no others.
        queries: Finite float32 (m, d).
        candidates: Rows int64 (m, c), each once, in any order.
        k: How many; k' is less where there are fewer candidates.
        threads: Threads, at least 1; queries are spread over them.
    """
    rows = np.sort(candidates, axis=1)  # so that a stable sort breaks ties by lower row
    cosines = np.empty(rows.shape, dtype=np.float64)

    def fill(some: slice) -> None:
        for first in range(0, rows.shape[1], at_once):
            part = some, slice(first, first + at_once)
            kept.read_soon(rows[part])
            cosines[part] = kept.form.cosines(queries[some], kept.at(rows[part]))

    at_once = max(1, _BATCH_ENTRIES // kept.form.dims)
    parts = list(checks.chunks(rows, max(1, at_once // max(1, rows.shape[1]))))
    if min(threads, len(parts)) > 1:
        with ThreadPoolExecutor(min(threads, len(parts))) as pool:
            list(pool.map(fill, parts))
    else:
        for some in parts:
            fill(some)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(cosines, order, axis=1)
    return np.take_along_axis(rows, order, axis=1), best.astype(np.float32)
