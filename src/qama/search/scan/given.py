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
        queries: Finite float32 (m, d).
        stored: Compact codes uint8 (m, c, bytes), those of each query.
        real: bool (m, c): which of them count; the others come last, with the score -inf.
        k: How many; k' is the lesser of k and c.
        threads: Threads, at least 1.

    Ties go to the lower place.
    """
    m, c = stored.shape[:2]
    places = np.empty((m, min(k, c)), dtype=np.int64)
    scores = np.empty(places.shape, dtype=np.float32)
    for some in topk.query_batches(m if c else 0):
        own = stored[some]
        rows = topk.Rows.of_codes(own.reshape(-1, stored.shape[2]))
        numbers = np.arange(own.shape[0] * c, dtype=np.int64).reshape(own.shape[0], c)
        scorer = topk.Asymmetric.of(code, queries[some], threads)
        keys = scorer.chosen(rows, numbers, threads)
        keys[~real[some]] = np.inf
        order = np.argsort(keys, axis=1, kind="stable")[:, :k]
        places[some] = order
        scores[some] = scorer.scores(np.take_along_axis(keys, order, axis=1))
    return places, scores
