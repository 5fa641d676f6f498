"""The paper's objective: every loss at every dims level (QAMA, CIKM 2025, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from qama.checks import Floats
from qama.recipe import TrainConfig
from qama.training import losses
from qama.training.asked import Asked
from qama.training.nn import Adapter

TRIPLES = 4096
_VIEW_NOISE = 0.3  # norm of the noise that makes the second view of a unit vector
_VIEW_ROWS = 64  # rows of a batch that get a second view, which costs another forward pass


class PaperObjective:
    """Losses of one batch, itemised; `weights` says how they are summed."""

    def __init__(self, config: TrainConfig, X: Floats, asked: tuple[Asked, ...], seed: int) -> None:
        self.config = config
        self.rows = torch.from_numpy(X)
        self.random = torch.Generator().manual_seed(seed)
        given = [(a.queries, a.answers) for a in asked if a.answers is not None]
        self.pairs = tuple(map(torch.from_numpy, given[0])) if given else None

    def groups(self, adapter: Adapter) -> list[dict[str, Any]]:
        """All of the adapter's parameters, at the config's learning rate."""
        learned = [parameter for parameter in adapter.parameters() if parameter.requires_grad]
        return [{"params": learned, "factor": 1.0}]

    def __call__(self, adapter: Adapter, progress: float) -> dict[str, Tensor]:
        """Return the losses of a batch drawn here; thresholds follow it."""
        count = self.config.batch_for(len(self.rows))
        picked = torch.randint(len(self.rows), (count,), generator=self.random)
        x = self.rows[picked].to(adapter.pair_w1.device)
        adapted = Adapted.of(adapter, adapter(x))
        triples = losses.sample_triples(len(x), TRIPLES, self.random).to(x.device)
        sides = self._sides(adapter, x, adapted) if self.config.weights.contrastive else None
        parts = itemised(adapter, x, adapted, triples, sides, progress)
        adapter.follow(adapted.Z.detach())
        return parts

    def weights(self, progress: float) -> dict[str, float]:
        """See `weights`."""
        return weights(self.config, progress)

    def _sides(self, adapter: Adapter, x: Tensor, adapted: Adapted) -> tuple[Adapted, Adapted]:
        """Return anchors and their positives: given pairs, or rows and noisy views of them."""
        if self.pairs is not None:
            rows = torch.randint(len(self.pairs[0]), (_VIEW_ROWS,), generator=self.random)
            anchors, positives = (adapter(side[rows].to(x.device)) for side in self.pairs)
            return Adapted.of(adapter, anchors), Adapted.of(adapter, positives)
        x = x[:_VIEW_ROWS]
        noise = torch.randn(x.shape, generator=self.random).to(x.device)
        noisy = F.normalize(x, dim=1) + _VIEW_NOISE * F.normalize(noise, dim=1)
        return adapted, Adapted.of(adapter, adapter(noisy))


@dataclass(frozen=True)
class Adapted:
    """What an adapter makes of some vectors.

    Attributes:
        Z: float32 (b, d), in training's scale.
        views: Every prefix of Z, and of the values of dim pairs where the 0.5-bit level is fitted.
    """

    Z: Tensor
    views: list[Tensor]

    @classmethod
    def of(cls, adapter: Adapter, Z: Tensor) -> Adapted:
        """Return Z with its views."""
        views = [Z[:, :dims] for dims in adapter.dims]
        if "0.5" in adapter.config.levels:
            pair = adapter.pair(Z)
            views += [pair[:, : dims // 2] for dims in adapter.dims]
        return cls(Z, views)


def weights(config: TrainConfig, progress: float) -> dict[str, float]:
    """Return the weight of each loss: some rise from 0 over the first third of the steps."""
    rise = min(1.0, 3 * progress)
    return {
        name: weight * (rise if name in config.warmed else 1.0)
        for name, weight in vars(config.weights).items()
    }


def itemised(
    adapter: Adapter,
    x: Tensor,
    adapted: Adapted,
    triples: Tensor,
    sides: tuple[Adapted, Adapted] | None,
    progress: float,
) -> dict[str, Tensor]:
    """Return every loss that the adapter's recipe gives weight to, of one batch.

    Args:
        adapter: Its dims, levels and thresholds are those that count.
        x: Vectors (b, d) whose neighbourhoods are to be kept.
        adapted: What the adapter made of them, or of what shall become like them.
        triples: Rows (3, count) that the rank loss compares.
        sides: Anchors and the positives of the first ones; None leaves the contrastive loss out.
        progress: Step over steps, 0 to 1.
    """
    wanted = {name for name, weight in vars(adapter.config.weights).items() if weight}
    base, Z, tau = losses.gram(x), adapted.Z, adapter.config.temperature
    grams = [losses.gram(Y) for Y in adapted.views]
    parts: dict[str, Tensor] = {}
    if "similarity" in wanted:
        parts["similarity"] = _mean([losses.similarity_mse(base, S) for S in grams])
    if "kl" in wanted:
        parts["kl"] = _mean([losses.symmetric_kl(base, S, tau) for S in grams])
    if "rank" in wanted:
        parts["rank"] = _mean([losses.rank_preservation(base, S, triples) for S in grams])
    if "contrastive" in wanted and sides is not None:
        both = zip(sides[0].views, sides[1].views, strict=True)
        parts["contrastive"] = _mean([losses.contrastive(Y[: len(P)], P, tau) for Y, P in both])
    if "bottleneck" in wanted:
        parts["bottleneck"] = losses.information_bottleneck(Z)
    if "orthogonality" in wanted:
        parts["orthogonality"] = losses.inter_level_orthogonality(Z, adapter.dims)
    if "variance" in wanted:
        parts["variance"] = losses.variance_control(Z, progress)
    if "quantization" in wanted:
        parts["quantization"] = _quantization(adapter, Z, progress)
    return parts


def _quantization(adapter: Adapter, Z: Tensor, progress: float) -> Tensor:
    return _mean(
        [
            losses.quantization_regularisation(
                adapter.values(Z, level), adapter.thresholds(level), progress
            )
            for level in adapter.config.levels
        ]
    )


def _mean(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).mean()
