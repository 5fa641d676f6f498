"""What a user knows of the questions to come: a sample of queries, or pairs of query and answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qama import checks
from qama.checks import Floats

_VALIDATION, _MAX_VALIDATION = 10, 512  # one of so many is for validation, and so many at most


@dataclass(frozen=True)
class Asked:
    """Queries of one kind.

    Attributes:
        queries: float32 (m, d).
        answers: float32 (m, d), the document that answers each query; None where none is known.
    """

    queries: Floats
    answers: Floats | None = None

    def split(self, seed: int) -> tuple[Asked, Asked]:
        """Return those to train on, and a tenth for validation."""
        order = np.random.default_rng(seed).permutation(len(self.queries))
        count = min(_MAX_VALIDATION, len(order) // _VALIDATION)
        return self._some(np.sort(order[count:])), self._some(np.sort(order[:count]))

    def _some(self, rows: checks.Ids) -> Asked:
        answers = None if self.answers is None else self.answers[rows]
        return Asked(self.queries[rows], answers)


def check(queries: object, pairs: object, dims: int) -> tuple[Asked, ...]:
    """Return what was given of queries (m, d) and of pairs, two arrays (p, d).

    Raises:
        ValueError: an array of another shape, no row, or a value that is not finite.
    """
    given = []
    if queries is not None:
        given.append(Asked(checks.vectors(queries, "queries", dims)))
    if pairs is not None:
        if not isinstance(pairs, tuple | list) or len(pairs) != 2:
            raise ValueError("pairs must be two arrays (p, d): row i of one belongs to row i of "
                             "the other")  # fmt: skip
        left, right = (checks.vectors(side, "pairs", dims) for side in pairs)
        if len(left) != len(right):
            raise ValueError(f"pairs have {len(left)} and {len(right)} rows; they must be as many")
        given.append(Asked(left, right))
    return tuple(given)
