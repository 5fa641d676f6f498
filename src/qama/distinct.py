"""Rows that a fit can learn from: zero rows say nothing, and a copy says nothing new."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from qama import checks
from qama.checks import Floats
from qama.sources import MIN_ROWS


@dataclass(frozen=True)
class Distinct:
    """The rows that count, and how many did not.

    Attributes:
        rows: float32 (n, d), in their order.
        zeros: Zero rows left out.
        copies: Rows left out that equal an earlier one.
    """

    rows: Floats
    zeros: int
    copies: int


def distinct(X: Floats) -> Distinct:
    """Return the rows of X float32 (n, d) that are not zero, each once, where it comes first.

    Raises:
        ValueError: fewer than 16 are left.
    """
    some = np.concatenate([X[part].any(axis=1) for part in checks.chunks(X)])
    filled = np.flatnonzero(some)
    first: dict[bytes, int] = {}
    for row in filled:
        plain = X[row] + np.float32(0)  # -0 equals 0
        first.setdefault(hashlib.blake2b(plain.data, digest_size=16).digest(), int(row))
    kept = np.fromiter(first.values(), dtype=np.int64, count=len(first))
    zeros, copies = len(X) - len(filled), len(filled) - len(kept)
    if len(kept) < MIN_ROWS:
        raise ValueError(
            f"X has {len(kept)} distinct rows beside {zeros} zero rows and {copies} copies; a fit "
            f"needs at least {MIN_ROWS}"
        )
    return Distinct(X if len(kept) == len(X) else X[kept], zeros, copies)
