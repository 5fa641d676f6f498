"""The default preset's objective: codes learn whom the floats hold for neighbours.

Documents serve as queries, beside real ones where the user has some. For each, the batch holds some
of its nearest rows and random ones; the softmax of float cosines over them is the teacher, the
softmax of code similarities, both sides rounded, the student (listwise distillation: cross-entropy,
one learned temperature per cell). Where a query's answer is known, half of the teacher is that.
Rounding is tanh at rising sharpness, then straight-through. All cells of the grid are trained
together: every cell is a weighted sum of segments of dims, each rounded once per level.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qama.checks import Floats
from qama.quantizers.thermometer import levels
from qama.quantizers.vectors import unit
from qama.recipe import TrainConfig
from qama.training.asked import Asked
from qama.training.nn import Adapter

_ANCHORS = 8192  # rows that can be queries; the neighbours of these alone are computed
_NEIGHBOURS = 32  # nearest rows known of each anchor
_NEAR = 8  # of those, how many enter a batch with their anchor
_TRUST = 0.5  # in a known answer; the rest of the teacher is as the floats rank
_RANDOM = 192  # random rows in a batch
_SHARPNESS = (1.0, 4.0)  # of the tanh, first and last
_STUDENT_TEMPERATURE = (0.06, 0.08)  # first guess at the widest and the narrowest dims
_FAR = -1e4  # the logit of a query's own row


class DistillationObjective:
    """Listwise distillation of the float neighbourhood into every cell of the grid."""

    def __init__(
        self, config: TrainConfig, adapter: Adapter, X: Floats, fractions: tuple[float, ...],
        seed: int, asked: tuple[Asked, ...] = (),
    ) -> None:  # fmt: skip
        self.config = config
        self.random = torch.Generator().manual_seed(seed)
        self.rows = _units(X)
        picked = torch.randperm(len(X), generator=self.random)[:_ANCHORS]
        self.sets = [_Anchors.of_rows(self.rows, picked)]
        documents = self.rows
        for some in asked:
            first = len(self.rows) if some.answers is not None else None
            self.sets.append(_Anchors.of_queries(documents, _units(some.queries), first))
            if some.answers is not None:
                self.rows = torch.cat([self.rows, _units(some.answers)])
        self.batch = config.batch_for(len(X))
        self._plan(adapter, fractions)
        with torch.no_grad():
            Z = adapter(self.rows[:4096])
            self.spread = {n: adapter.values(Z, n).std(dim=0) + 1e-6 for n in config.levels}

    def _plan(self, adapter: Adapter, fractions: tuple[float, ...]) -> None:
        """Cut dims where any cell begins or ends a level; a cell is a weighted sum of pieces."""
        names = [name for name in self.config.levels if name != "0.5"] or ["0.5"]
        if set(self.config.levels) == set(levels.LEVELS):
            names.append(levels.HYBRID)
        cells = [levels.plan(dims, name, fractions) for dims in adapter.dims for name in names]
        ends = {s.start for cell in cells for s in cell.segments}
        self.cuts = sorted(ends | {s.stop for cell in cells for s in cell.segments})
        pieces = [(name, a) for name in self.config.levels for a in self.cuts[:-1]]
        shares = torch.zeros(len(cells), len(pieces))
        for row, cell in enumerate(cells):
            for s in cell.segments:
                for a in self.cuts:
                    if s.start <= a < s.stop:
                        shares[row, pieces.index((s.level.name, a))] = 1 / cell.bits()
        self.shares = shares
        low, high = _STUDENT_TEMPERATURE
        first = torch.linspace(low, high, len(adapter.dims)).log().repeat_interleave(len(names))
        self.log_temperatures = nn.Parameter(first)

    def groups(self, adapter: Adapter) -> list[dict[str, Any]]:
        """Parameter groups with their learning rates relative to the config's."""
        thresholds = [adapter.thresholds(name) for name in self.config.levels]
        pair = [adapter.pair_w1, adapter.pair_b1, adapter.pair_w2]
        w = adapter.get_parameter("w")  # of a linear adapter, the only one that it trains
        return [
            {"params": [w], "factor": 20 * float(w.detach().std())},
            {"params": pair, "factor": 3.0},
            {"params": thresholds, "factor": 2.0},
            {"params": [self.log_temperatures], "factor": 7.0},
        ]

    def __call__(self, adapter: Adapter, progress: float) -> dict[str, Tensor]:
        """Return the loss of a batch drawn here."""
        asked, own, found, rows = self._draw()
        device = adapter.pair_w1.device
        Q, D = asked.to(device), self.rows[rows].to(device)
        itself = (rows[None] == own[:, None]).to(device)
        teacher = (Q @ D.T / self.config.temperature).masked_fill(itself, _FAR).softmax(dim=1)
        right = (rows[None] == found[:, None]).float().to(device)
        teacher = teacher + _TRUST * (right - teacher) * right.sum(dim=1, keepdim=True)
        similarities = self._similarities(adapter, torch.cat([Q, D]), len(Q), progress)
        student = (self.shares.to(device) @ similarities.flatten(1)).view(
            -1, *similarities.shape[1:]
        )
        student = student * (-self.log_temperatures).exp().to(device)[:, None, None]
        logits = F.log_softmax(student.masked_fill(itself[None], _FAR), dim=2)
        return {"listwise": -(logits * teacher).sum() / len(Q) / len(self.shares)}

    def weights(self, progress: float) -> dict[str, float]:
        """Return the weight of the one loss."""
        return {"listwise": 1.0}

    def _draw(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw anchors, their own rows and their known answers (-1: none), and the batch's rows."""
        drawn, rows = [], []
        for anchors in self.sets:
            count = -(-self.batch // len(self.sets))
            at = torch.randint(len(anchors.vectors), (count,), generator=self.random)
            near = torch.randperm(anchors.nearest.shape[1], generator=self.random)[:_NEAR]
            drawn.append((anchors.vectors[at], anchors.own[at], anchors.found[at]))
            rows += [anchors.nearest[at][:, near].flatten(), *drawn[-1][1:]]
        few = min(_RANDOM, len(self.rows) // 2)
        rows.append(torch.randint(len(self.rows), (few,), generator=self.random))
        asked, own, found = map(torch.cat, zip(*drawn, strict=True))
        every = torch.unique(torch.cat(rows))
        return asked, own, found, every[every >= 0]

    def _similarities(self, adapter: Adapter, x: Tensor, queries: int, progress: float) -> Tensor:
        """Products of rounded bits, queries by rows, for every piece (level, cut)."""
        Z = adapter(x)
        low, high = _SHARPNESS
        sharpness = low * (high / low) ** min(1.0, progress / 0.8)
        products = []
        for name in self.config.levels:
            level = levels.LEVELS[name]
            values = adapter.values(Z, name).unsqueeze(2) - adapter.thresholds(name)
            soft = torch.tanh(values * (sharpness / self.spread[name].to(x.device))[:, None])
            if progress > 0.5:  # straight-through: rounded ahead, the tanh's slope back
                soft = soft + (torch.copysign(torch.ones_like(soft), values) - soft).detach()
            sizes = [(b - a) // level.group * level.thresholds for a, b in pairwise(self.cuts)]
            pieces = torch.split(soft.flatten(1), sizes, dim=1)
            products += [piece[:queries] @ piece[queries:].T for piece in pieces]
        return torch.stack(products)


def _units(X: Floats) -> Tensor:
    return torch.from_numpy(unit(X))


@dataclass(frozen=True)
class _Anchors:
    """Vectors that ask: documents that serve as queries, or queries.

    Attributes:
        vectors: float32 (a, d).
        own: int64 (a,), the row that an anchor is, or -1.
        found: int64 (a,), the row that answers it, or -1.
        nearest: int64 (a, 32 or fewer), rows by cosine, itself left out.
    """

    vectors: Tensor
    own: Tensor
    found: Tensor
    nearest: Tensor

    @classmethod
    def of_rows(cls, rows: Tensor, picked: Tensor) -> _Anchors:
        none = torch.full_like(picked, -1)
        return cls(rows[picked], picked, none, _nearest(rows, rows[picked], picked))

    @classmethod
    def of_queries(cls, rows: Tensor, queries: Tensor, first: int | None) -> _Anchors:
        """Let queries ask; the row that answers the first of them, and so on, if known."""
        none = torch.full((len(queries),), -1)
        found = none if first is None else torch.arange(len(queries)) + first
        return cls(queries, none, found, _nearest(rows, queries, none))


def _nearest(rows: Tensor, anchors: Tensor, own: Tensor) -> Tensor:
    """Return the nearest other rows of each anchor: (anchors, 32 or fewer)."""
    count = min(_NEIGHBOURS, len(rows) - 1)
    parts = []
    for part in torch.split(torch.arange(len(anchors)), 512):
        cosines = anchors[part] @ rows.T
        at = torch.nonzero(own[part] >= 0).flatten()
        cosines[at, own[part][at]] = -np.inf
        parts.append(cosines.topk(count, dim=1).indices)
    return torch.cat(parts)
