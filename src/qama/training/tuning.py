"""The paper's losses of vectors that a whole model makes while it is trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from qama import checks
from qama.quantizers.thermometer.quantizer import ThermometerQuantizer
from qama.recipe import PAPER, LossWeights
from qama.training import losses, paper
from qama.training.nn import adapter_of


class GridLosses(nn.Module):
    """How well vectors survive the grid of a fitted quantizer, and every loss of it.

    The quantizer's map stays as it is; its thresholds follow the batches' quantiles, since the
    model's vectors move. Gradients reach the vectors alone.

    Args:
        grid: What was fitted on the model's vectors before.
        weights: Of the losses.
        steps: Batches to come: some losses rise with the share of them that is done.
        seed: Of the triples that the rank loss compares.

    Raises:
        ValueError: steps below 1, or a seed below 0.
    """

    def __init__(
        self, grid: ThermometerQuantizer, weights: LossWeights, steps: int, seed: int
    ) -> None:
        super().__init__()
        config = replace(
            PAPER,
            architecture=grid.transform.kind,
            levels=tuple(grid.thresholds),
            weights=weights,
        )
        anything = np.ones((1, grid.dims_in), dtype=np.float32)  # a base needs no vectors
        self.adapter = adapter_of(config, anything, grid.dims, seed, grid).requires_grad_(False)
        self.steps, self.done = checks.integer(steps, "steps", 1), 0
        self._random = torch.Generator().manual_seed(checks.integer(seed, "seed", 0))

    def of_batch(self, columns: list[Tensor], kept: Tensor | None) -> dict[str, Tensor]:
        """Return the losses of a batch, each times its weight.

        Args:
            columns: Vectors (b, d) of each column of texts; the second answers the first.
            kept: Vectors (columns * b, any) whose neighbourhoods are to be kept; None: those that
                the columns have now.
        """
        x = torch.cat(columns)
        progress = min(1.0, self.done / self.steps)
        adapted = paper.Adapted.of(self.adapter, self.adapter(x))
        triples = losses.sample_triples(len(x), paper.TRIPLES, self._random).to(x.device)
        whole = x.detach() if kept is None else kept
        sides = self._sides(columns)
        parts = paper.itemised(self.adapter, whole, adapted, triples, sides, progress)
        if self.training and torch.is_grad_enabled():
            self.adapter.follow(adapted.Z.detach())
            self.done += 1
        weights = paper.weights(self.adapter.config, progress)
        return {name: weights[name] * loss for name, loss in parts.items()}

    def _sides(self, columns: list[Tensor]) -> tuple[paper.Adapted, paper.Adapted] | None:
        """Return the first two columns, adapted, where there are two."""
        if len(columns) < 2:
            return None
        anchors, positives = (
            paper.Adapted.of(self.adapter, self.adapter(side)) for side in columns[:2]
        )
        return anchors, positives
