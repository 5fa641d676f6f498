"""Quality against bytes: what a search by fewer bytes finds of a reference's best.

The reference are the kept vectors, which order the best by the longest code; where none are kept,
the longest code itself, which then finds all of it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qama.server.served import Hits, Options

CANDIDATES = 1000  # by the longest code, that kept vectors order
_AT_95 = 1.96  # standard errors


@dataclass(frozen=True)
class Curve:
    """What is measured.

    Attributes:
        k: How many best of a query count.
        keeps: The form of the kept vectors, or None.
        own: The id that each query is of, which does not count among its hits; None: of none.
    """

    k: int
    keeps: str | None
    own: Sequence[Hashable]

    @property
    def reference(self) -> Options:
        """How the reference is found."""
        return Options(self.k + 1, rescore=CANDIDATES if self.keeps else 0)

    def by(self, nbytes: int) -> Options:
        """How a search by so many bytes finds."""
        return Options(self.k + 1, nbytes=nbytes)

    def point(self, nbytes: int, found: Sequence[Hits], wanted: Sequence[Hits]) -> dict[str, Any]:
        """Return the mean share of the wanted hits that were found, with its 95 % interval."""
        shares = np.array([
            _share(self._best(a, own), self._best(b, own))
            for own, a, b in zip(self.own, found, wanted, strict=True)
        ])  # fmt: skip
        mean, error = float(shares.mean()), 1.0  # of one query, nothing is sure
        if len(shares) > 1:
            error = _AT_95 * float(shares.std(ddof=1)) / math.sqrt(len(shares))
        low, high = max(0.0, mean - error), min(1.0, mean + error)
        return {"nbytes": nbytes, "overlap": mean, "low": low, "high": high}

    def _best(self, hits: Hits, own: Hashable) -> set[Hashable]:
        return set([hit["id"] for hit in hits if hit["id"] != own][: self.k])


def _share(found: set[Hashable], wanted: set[Hashable]) -> float:
    return len(found & wanted) / len(wanted) if wanted else 1.0
