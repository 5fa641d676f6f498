"""The default preset's objective: directions whose bits, counted, estimate the cosine best.

Hamming distance gives every bit the same weight, so the similarity of two codes is in expectation
x^T G y, where G sums w w^T over the bits' directions w, each scaled to unit variance; the rounding
adds noise that falls with the number of bits. Over documents of covariance C the objective is the
correlation of that noisy sum with the cosine, the mean over the cells of the grid. It needs the
second moments of the rows alone, no batch and no neighbour, so there is little to overfit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qama.checks import Floats
from qama.encoding import levels
from qama.training import start
from qama.training.nn import Adapter

_NOISE = 0.04  # variance that the rounding of one direction adds, over that of the direction
_FLATTER = 0.7  # queries are spread more evenly than documents: their variances to this power
_FLOOR = (0.001, 0.02)  # added to every variance, in means: always, and times d / n
_THRESHOLD_ROWS = 16_384  # rows enough for quantiles


class FrameObjective:
    """One minus the correlation of expected code similarity with the cosine."""

    def __init__(
        self, adapter: Adapter, X: Floats, fractions: tuple[float, ...], seed: int
    ) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.rows = X[:: -(-len(X) // _THRESHOLD_ROWS)]
        variances, axes = start.axes(X)
        always, sparse = _FLOOR
        variances = variances / variances.mean() + always + sparse * X.shape[1] / len(X)
        self.whiten = torch.from_numpy((axes * np.sqrt(variances)).astype(np.float32))
        self.unwhiten = torch.from_numpy((axes / np.sqrt(variances)).astype(np.float32))
        flatter = variances ** (_FLATTER - 1)
        flatter *= variances.sum() / (flatter * variances).sum()
        self.flatter = torch.from_numpy(flatter.astype(np.float32))
        self.variances = torch.from_numpy(variances.astype(np.float32))
        self.bits = _bits(adapter, fractions)
        # Directions in whitened axes; one without variance (the mean's) starts anywhere.
        small = 1e-6 * torch.randn(self.whiten.shape, generator=self.random)
        self.directions = nn.Parameter(_unit(self.whiten.T @ adapter.w.detach().cpu() + small))

    def groups(self, adapter: Adapter) -> list[dict[str, Any]]:
        """The directions; the adapter gets them in `settle`."""
        return [{"params": [self.directions], "factor": 1.0}]

    def __call__(self, adapter: Adapter, progress: float) -> dict[str, Tensor]:
        """Return the loss; no batch is drawn."""
        U, B = _unit(self.directions), self.bits
        V = self.flatter[:, None] * U
        power = (B @ ((U.T @ U) * (U.T @ V)) * B).sum(dim=1)  # of x^T G y; shares of bits B
        noise = _NOISE * (B * B) @ (U * V).sum(dim=0)
        shared = B @ (self.variances[:, None] * U * V).sum(dim=0)  # with the cosine
        cosine = (self.variances**2 * self.flatter).sum()
        return {"decorrelation": 1 - (shared / torch.sqrt((power + noise) * cosine)).mean()}

    def weights(self, progress: float) -> dict[str, float]:
        """Return the weight of the one loss."""
        return {"decorrelation": 1.0}

    @torch.no_grad()
    def settle(self, adapter: Adapter) -> None:
        """Give the adapter the directions, and thresholds at the quantiles that they imply."""
        adapter.w.copy_(self.unwhiten @ _unit(self.directions))
        adapter.set_thresholds(self.rows)


def _bits(adapter: Adapter, fractions: tuple[float, ...]) -> Tensor:
    """Share of a code's bits that each dim has: (shapes, d), uniform and hybrid at every dims."""
    fitted = adapter.config.levels
    names = [fitted[-1]] + [levels.HYBRID] * (set(fitted) == set(levels.LEVELS))
    shares = torch.zeros(len(adapter.dims) * len(names), adapter.dims[0])
    cells = [levels.plan(dims, name, fractions) for dims in adapter.dims for name in names]
    for share, cell in zip(shares, cells, strict=True):
        for s in cell.segments:
            share[s.start : s.stop] = s.level.thresholds / s.level.group / cell.bits()
    return shares


def _unit(columns: Tensor) -> Tensor:
    return columns / columns.norm(dim=0, keepdim=True)
