"""What a search returns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qama.checks import Floats, Ids
from qama.shown import one_line


class SearchResult(NamedTuple):
    """What a search found.

    Attributes:
        ids: int64 (n_queries, k'), best first; ties as `Index.search` says.
        scores: float32 (n_queries, k'): the cosine with the decoded vector, of a grid code times
            its calibration scale (both estimate the float32 cosine), or 1 - distance / bits; where
            it was rescored, the cosine with the kept vector. k' is the lesser of k and the number
            of rows that may be returned.
    """

    ids: Ids
    scores: Floats

    @classmethod
    def empty(cls, k: int) -> SearchResult:
        """Return what no queries find where each would find k."""
        return cls(np.empty((0, k), np.int64), np.empty((0, k), np.float32))

    def __repr__(self) -> str:
        return one_line("SearchResult", **self._asdict())
