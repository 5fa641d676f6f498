"""Codes that someone else found for each query, scored as a search scores them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qama.checks import Bytes, Floats, Ids
from qama.codec import Code
from qama.search.scan import topk


def best(
    code: Code, queries: Floats, stored: Bytes, real: npt.NDArray[np.bool_], k: int, threads: int
) -> tuple[Ids, Floats]:
    """Return places int64 (m, k') and asymmetric scores float32 (m, k') of each query's own codes.

    Args:
        code: What they are.
        queries: Finite float32 (m, d), so many as are weighed together.
        stored: Compact codes uint8 (m, c, bytes), those of each query.
        real: bool (m, c): which of them count; the others come last, with the score -inf.
        k: How many; k' is the lesser of k and c.
        threads: Threads, at least 1.

    Ties go to the lower place.
    """
    m, c = stored.shape[:2]
    if not m * c:
        return np.empty((m, 0), dtype=np.int64), np.empty((m, 0), dtype=np.float32)
    rows = topk.Rows.of_codes(stored.reshape(m * c, stored.shape[2]))
    scorer = topk.scorer_of(code, queries, "asymmetric", threads)
    keys = scorer.chosen(rows, np.arange(m * c, dtype=np.int64).reshape(m, c), threads)
    keys[~real] = np.inf
    places = np.argsort(keys, axis=1, kind="stable")[:, :k]
    return places, scorer.scores(np.take_along_axis(keys, places, axis=1))
