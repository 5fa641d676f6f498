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
_MAX_LOSS = 0.003  # of held-out nDCG, that a cell may lose in training


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

    def of(self, grid: GridCoder) -> dict[str, float]:
        """Return the share of neighbours found by Hamming distance, per cell of the grid."""
        return {label: float(hits.mean()) for label, hits in self.hits(grid).items()}

    def ndcg(self, grid: GridCoder) -> dict[str, float]:
        """Return nDCG@10 per cell, the floats' neighbours being what is relevant."""
        discounts = 1 / np.log2(np.arange(self.nearest.shape[1]) + 2)
        discounts /= discounts.sum()
        return {label: float((hits @ discounts).mean()) for label, hits in self.hits(grid).items()}

    def hits(self, grid: GridCoder) -> dict[str, npt.NDArray[np.bool_]]:
        """Return which of the rows found by Hamming distance are neighbours: (m, 10) per cell."""
        names = [name for name in grid.levels if name in ("1", "2", HYBRID)] or grid.levels
        cells = [grid.code(dims, name) for dims in grid.dims for name in names]
        rows, queries = apply(grid.transform, self.rows), apply(grid.transform, self.queries)
        found = {code.label: _nearest(_likeness(code, queries, rows)) for code in cells}
        near = self.nearest[:, None, :]
        return {label: (rows[:, :, None] == near).any(axis=2) for label, rows in found.items()}


class Guard:
    """Refuses a grid that some cell would be worse for than the start was."""

    def __init__(self, look: HeldOut, start: GridCoder) -> None:
        self.look = look
        self.start = look.ndcg(start)

    def passes(self, grid: GridCoder) -> bool:
        """Whether no cell's held-out nDCG is more than 0.3 points below the start's."""
        now = self.look.ndcg(grid)
        return all(now[label] >= before - _MAX_LOSS for label, before in self.start.items())


def _nearest(scores: npt.NDArray[np.floating]) -> Ids:
    top = min(_NEIGHBOURS, scores.shape[1])
    return np.argsort(-scores, axis=1, kind="stable")[:, :top]


def _likeness(code: GridCode, queries: Floats, rows: Floats) -> npt.NDArray[np.float32]:
    """Minus twice the Hamming distance, up to a constant: products of bits as -1 and +1."""
    a, b = (
        np.unpackbits(code.encode_z(Z), axis=1, count=code.similarity_bits) for Z in (queries, rows)
    )
    return (a.astype(np.float32) * 2 - 1) @ (b.astype(np.float32) * 2 - 1).T
