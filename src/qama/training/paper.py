"""The paper's objective: every loss at every dims level (QAMA, CIKM 2025, section 4)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from qama.checks import Floats
from qama.recipe import TrainConfig
from qama.training import losses
from qama.training.asked import Asked
from qama.training.nn import Adapter

_TRIPLES = 4096
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
        Z = adapter(x)
        wanted = {name for name, weight in self.weights(1.0).items() if weight}
        base = losses.gram(x)
        triples = losses.sample_triples(len(x), _TRIPLES, self.random).to(x.device)
        views = self._embeddings(adapter, Z)
        grams = [losses.gram(Y) for Y in views]
        tau = self.config.temperature
        parts: dict[str, Tensor] = {}
        if "similarity" in wanted:
            parts["similarity"] = _mean([losses.similarity_mse(base, S) for S in grams])
        if "kl" in wanted:
            parts["kl"] = _mean([losses.symmetric_kl(base, S, tau) for S in grams])
        if "rank" in wanted:
            parts["rank"] = _mean([losses.rank_preservation(base, S, triples) for S in grams])
        if "contrastive" in wanted:
            parts["contrastive"] = self._contrastive(adapter, x, views)
        if "bottleneck" in wanted:
            parts["bottleneck"] = losses.information_bottleneck(Z)
        if "orthogonality" in wanted:
            parts["orthogonality"] = losses.inter_level_orthogonality(Z, adapter.dims)
        if "variance" in wanted:
            parts["variance"] = losses.variance_control(Z, progress)
        if "quantization" in wanted:
            parts["quantization"] = self._quantization(adapter, Z, progress)
        adapter.follow(Z.detach())
        return parts

    def weights(self, progress: float) -> dict[str, float]:
        """Return the weight of each loss: some rise from 0 over the first third of the steps."""
        rise = min(1.0, 3 * progress)
        return {
            name: weight * (rise if name in self.config.warmed else 1.0)
            for name, weight in vars(self.config.weights).items()
        }

    def _embeddings(self, adapter: Adapter, Z: Tensor) -> list[Tensor]:
        """Every prefix of z, and of the values of dim pairs where the 0.5-bit level is fitted."""
        views = [Z[:, :dims] for dims in adapter.dims]
        if "0.5" in self.config.levels:
            pair = adapter.pair(Z)
            views += [pair[:, : dims // 2] for dims in adapter.dims]
        return views

    def _contrastive(self, adapter: Adapter, x: Tensor, views: list[Tensor]) -> Tensor:
        if self.pairs is None:
            x = x[:_VIEW_ROWS]
            views = [view[: len(x)] for view in views]
            noise = torch.randn(x.shape, generator=self.random).to(x.device)
            noisy = F.normalize(x, dim=1) + _VIEW_NOISE * F.normalize(noise, dim=1)
            others = self._embeddings(adapter, adapter(noisy))
        else:
            rows = torch.randint(len(self.pairs[0]), (_VIEW_ROWS,), generator=self.random)
            views, others = (
                self._embeddings(adapter, adapter(side[rows].to(x.device))) for side in self.pairs
            )
        tau = self.config.temperature
        both = zip(views, others, strict=True)
        return _mean([losses.contrastive(Y, other, tau) for Y, other in both])

    def _quantization(self, adapter: Adapter, Z: Tensor, progress: float) -> Tensor:
        return _mean(
            [
                losses.quantization_regularisation(
                    adapter.values(Z, level), adapter.thresholds(level), progress
                )
                for level in self.config.levels
            ]
        )


def _mean(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).mean()
