"""What a fit is judged by: do codes find the neighbours that the floats find?

Validation documents look for their ten nearest rows by float cosine and by code; the share found is
the agreement. So do validation queries where the user gave some; those of pairs look for their
answer. (Documents moved by noise were tried as queries: on real queries that measure misled.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qama import kernels
from qama.checks import Floats, Ids
from qama.quantizers.thermometer.levels import HYBRID
from qama.quantizers.thermometer.quantizer import ThermometerCode, ThermometerQuantizer
from qama.quantizers.thermometer.transform import apply
from qama.quantizers.vectors import unit
from qama.training.asked import Asked
from qama.training.start import mean_direction

_NEIGHBOURS = 10
_MAX_ROWS = 4096
_OFF_MEAN = 0.5
_ALLOWED = 0.003  # a cell may fall by so much below the start, and by what chance explains
_CLEAR = 0.02  # smaller gains of documents were none of queries: docs/quality.md
_CHANCE = 3.0  # standard errors: many cells are looked at

Shares = dict[str, npt.NDArray[np.float64]]  # by cell: the share of neighbours that each row found


@dataclass(frozen=True)
class Validation:
    """What a fit is judged by: rows and queries that it does not learn from.

    Attributes:
        queries: Unit float32 (m, d).
        rows: Unit float32 (n, d), where neighbours are looked for.
        wanted: int64 (m, 10), the floats' answer, or the known one; -1 where there are fewer.
        levels: What is looked at of a grid that has some of it; else all of its levels.
    """

    queries: Floats
    rows: Floats
    wanted: Ids
    levels: tuple[str, ...] = ("1", "2", HYBRID)

    @classmethod
    def make(
        cls, validation: Floats, rows: Floats, seed: int, asked: tuple[Asked, ...] = (),
        whole: bool = False,
    ) -> Validation:  # fmt: skip
        """Let validation rows (h, d) and queries look among other rows (n, d) and answers.

        A grid of whole vectors alone is looked at in every level but 0.5, and by rows that lose
        half of what they have of the mean direction, as queries have less of it than documents:
        codes that suffer from that are told from those that do not.
        """
        if whole:
            mean, validation = mean_direction(rows), unit(validation)
            validation = validation - _OFF_MEAN * (validation @ mean)[:, None] * mean
        random = np.random.default_rng(seed)
        if len(rows) > _MAX_ROWS:
            rows = rows[np.sort(random.choice(len(rows), _MAX_ROWS, replace=False))]
        answers = [some.answers for some in asked if some.answers is not None]
        rows, first = unit(np.concatenate([rows, *answers])), len(rows)
        queries, wanted = [unit(validation)], [_nearest(unit(validation) @ rows.T)]
        for some in asked:
            queries.append(unit(some.queries))
            if some.answers is None:
                wanted.append(_nearest(queries[-1] @ rows.T))
            else:
                known = np.full((len(some.queries), wanted[0].shape[1]), -1)
                known[:, 0] = first + np.arange(len(known))
                wanted.append(known)
                first += len(known)
        looked_at = ("1", "1.5", "2", HYBRID) if whole else cls.levels
        return cls(np.concatenate(queries), rows, np.concatenate(wanted), looked_at)

    def of(self, grid: ThermometerQuantizer) -> Shares:
        """Return by cell of the grid the shares of neighbours found by Hamming distance, (m,)."""
        names = [name for name in grid.levels if name in self.levels] or grid.levels
        cells = [grid.code(dims, name) for dims in grid.dims for name in names]
        rows, queries = apply(grid.transform, self.rows), apply(grid.transform, self.queries)
        return {code.label: self._overlap(_similarities(code, queries, rows)) for code in cells}

    def _overlap(self, scores: npt.NDArray[np.number]) -> npt.NDArray[np.float64]:
        hits = (_nearest(scores)[:, :, None] == self.wanted[:, None, :]).any(axis=1)
        return np.asarray(hits.sum(axis=1) / (self.wanted >= 0).sum(axis=1))


def mean(shares: Shares) -> float:
    """Return the mean over cells and validation rows."""
    return float(np.mean([found.mean() for found in shares.values()]))


def fallen(shares: Shares, start: Shares) -> tuple[str, ...]:
    """Return the cells that find fewer neighbours than the start does, chance allowed for."""
    return tuple(cell for cell, found in shares.items() if _falls(found - start[cell]))


def below(shares: Shares, floor: Shares) -> tuple[str, ...]:
    """Return the cells that find fewer neighbours than a floor does, by chance or not."""
    return tuple(cell for cell, found in shares.items() if found.mean() < floor[cell].mean())


def gains(shares: Shares, start: Shares) -> bool:
    """Whether all cells together find clearly more neighbours than the start does."""
    gain = np.mean([found - start[cell] for cell, found in shares.items()], axis=0)
    return bool(gain.mean() > max(_CLEAR, _CHANCE * gain.std() / np.sqrt(len(gain))))


def _falls(gain: npt.NDArray[np.float64]) -> bool:
    error = gain.std() / np.sqrt(len(gain))
    return bool(gain.mean() < -_ALLOWED - _CHANCE * error)


def _nearest(scores: npt.NDArray[np.number]) -> Ids:
    top = min(_NEIGHBOURS, scores.shape[1])
    return np.argsort(-scores, axis=1, kind="stable")[:, :top]


def _similarities(code: ThermometerCode, queries: Floats, rows: Floats) -> npt.NDArray[np.int32]:
    """Minus the Hamming distance."""
    a, b = (code.encode_z(Z, compact=True) for Z in (queries, rows))
    return -kernels.hamming_distances(a, b, bits=code.stored_bits, bit_pairs=code.bit_pairs)
