"""What a fit is judged by: do codes find the neighbours that the floats find?

Held-out documents look for their ten nearest rows by float cosine and by code; the share found is
the agreement. No query and no label is involved. (Documents moved by noise were tried as queries:
on real queries that measure misled.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qama.checks import Floats, Ids
from qama.encoding.grid import GridCode, GridCoder
from qama.encoding.levels import HYBRID
from qama.encoding.transform import apply, unit

_NEIGHBOURS = 10
_MAX_ROWS = 4096
_ALLOWED = 0.003  # a cell may fall by so much below the start, and by what chance explains
_CHANCE = 3.0  # standard errors: many cells are looked at

Shares = dict[str, npt.NDArray[np.float64]]  # by cell: the share of neighbours that each row found


@dataclass(frozen=True)
class HeldOut:
    """A held-out look at a fit.

    Attributes:
        queries: Unit float32 (m, d).
        rows: Unit float32 (n, d), where neighbours are looked for.
        nearest: int64 (m, 10), the floats' answer.
    """

    queries: Floats
    rows: Floats
    nearest: Ids

    @classmethod
    def make(cls, held_out: Floats, rows: Floats, seed: int) -> HeldOut:
        """Let held-out rows (h, d) look among other rows (n, d)."""
        random = np.random.default_rng(seed)
        queries = unit(held_out)
        if len(rows) > _MAX_ROWS:
            rows = rows[np.sort(random.choice(len(rows), _MAX_ROWS, replace=False))]
        rows = unit(rows)
        return cls(queries, rows, _nearest(queries @ rows.T))

    def of(self, grid: GridCoder) -> Shares:
        """Return by cell of the grid the shares of neighbours found by Hamming distance, (m,)."""
        names = [name for name in grid.levels if name in ("1", "2", HYBRID)] or grid.levels
        cells = [grid.code(dims, name) for dims in grid.dims for name in names]
        rows, queries = apply(grid.transform, self.rows), apply(grid.transform, self.queries)
        return {code.label: self._overlap(_likeness(code, queries, rows)) for code in cells}

    def _overlap(self, scores: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        found = _nearest(scores)
        hits = (found[:, :, None] == self.nearest[:, None, :]).any(axis=2)
        return np.asarray(hits.mean(axis=1))


def mean(shares: Shares) -> float:
    """Return the mean over cells and held-out rows."""
    return float(np.mean([found.mean() for found in shares.values()]))


def fallen(shares: Shares, start: Shares) -> tuple[str, ...]:
    """Return the cells that find fewer neighbours than the start does, chance allowed for."""
    return tuple(cell for cell, found in shares.items() if _falls(found - start[cell]))


def _falls(gain: npt.NDArray[np.float64]) -> bool:
    error = gain.std() / np.sqrt(len(gain))
    return bool(gain.mean() < -_ALLOWED - _CHANCE * error)


def _nearest(scores: npt.NDArray[np.floating]) -> Ids:
    top = min(_NEIGHBOURS, scores.shape[1])
    return np.argsort(-scores, axis=1, kind="stable")[:, :top]


def _likeness(code: GridCode, queries: Floats, rows: Floats) -> npt.NDArray[np.float32]:
    """Minus twice the Hamming distance, up to a constant: products of bits as -1 and +1."""
    a, b = (
        np.unpackbits(code.encode_z(Z), axis=1, count=code.similarity_bits) for Z in (queries, rows)
    )
    return (a.astype(np.float32) * 2 - 1) @ (b.astype(np.float32) * 2 - 1).T
