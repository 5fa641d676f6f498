"""The adapter while it trains; `to_grid` ends it as NumPy, where torch stops."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qama.checks import Floats
from qama.encoding import levels, transform
from qama.encoding.grid import GridCoder, PairNet
from qama.encoding.quantize import quantile_thresholds
from qama.training import start
from qama.training.config import TrainConfig

_PAIR_HIDDEN = 8


class Adapter(nn.Module):
    """x -> z, the pair network of the 0.5-bit level, and thresholds.

    Thresholds are ``theta_<level>``, float32 (values, count). In the paper's objective they follow
    the batches' quantiles and no gradient reaches them (QAMA, CIKM 2025, section 3); in the
    distillation they learn.
    """

    def __init__(
        self,
        config: TrainConfig,
        X: Floats,
        dims: tuple[int, ...],
        seed: int,
        base: GridCoder | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.dims = dims
        if base is None:
            self._init_transform(X, seed)
            self._init_pair(seed)
        else:
            self._init_from(base)
        Z = transform.apply(self.to_transform(), X)
        for name in config.levels:
            values = self.to_pair()(Z) if levels.LEVELS[name].group == 2 else Z
            theta = (
                quantile_thresholds(values, levels.LEVELS[name].thresholds)
                if base is None
                else base.thresholds[name].copy()
            )
            learned = config.objective == "distillation"  # else they follow the batches' quantiles
            setattr(self, _theta(name), nn.Parameter(torch.from_numpy(theta), learned))

    def _init_transform(self, X: Floats, seed: int) -> None:
        d, config = X.shape[1], self.config
        if config.architecture == "linear":
            R = start.rotation(X, self.dims, seed, config.leaning)
            self.register_buffer("mean", torch.from_numpy(start.mean_direction(X)))
            self.w = nn.Parameter(torch.from_numpy(np.ascontiguousarray(R.T)))
            return
        if config.start == "rotation":
            R = start.rotation(X, self.dims, seed, config.leaning)
            w1, w2 = start.feedforward(R, config.expansion, seed)
        else:
            w1, w2 = start.random_feedforward(d, config.expansion, seed)
        self.w1, self.w2 = nn.Parameter(torch.from_numpy(w1)), nn.Parameter(torch.from_numpy(w2))

    def _init_from(self, base: GridCoder) -> None:
        for name, array in base.transform.arrays().items():
            setattr(self, name, nn.Parameter(torch.from_numpy(array.copy())))
        if self.config.architecture == "linear":  # the base's w has its mean taken out already
            self.register_buffer("mean", torch.zeros(base.transform.dims))
        self._init_pair(0)
        if base.pair is not None:
            for name in ("w1", "b1", "w2"):
                value = torch.from_numpy(getattr(base.pair, name).copy())
                setattr(self, f"pair_{name}", nn.Parameter(value))

    def _init_pair(self, seed: int) -> None:
        """The pair network starts as z_2i + z_2i+1, by GELU(a) - GELU(-a) = a."""
        generator = torch.Generator().manual_seed(seed)
        w1 = 0.1 * torch.randn(_PAIR_HIDDEN, 2, generator=generator)
        w2 = torch.zeros(_PAIR_HIDDEN)
        w1[0], w1[1] = 1.0, -1.0
        w2[0], w2[1] = 1.0, -1.0
        self.pair_w1, self.pair_w2 = nn.Parameter(w1), nn.Parameter(w2)
        self.pair_b1 = nn.Parameter(torch.zeros(_PAIR_HIDDEN))

    def forward(self, x: Tensor) -> Tensor:
        """Map rows x (batch, d) to z (batch, d), rows of length sqrt(d)."""
        unit = F.normalize(x, dim=1)
        if self.config.architecture == "linear":
            raw = unit @ self._projected()
        else:
            raw = F.gelu(unit @ self.w1.T, approximate="tanh") @ self.w2.T
        return F.normalize(raw.float(), dim=1) * math.sqrt(raw.shape[1])

    def _projected(self) -> Tensor:
        """The linear map after the documents' mean direction is taken out of its input."""
        mean = self.get_buffer("mean")
        return self.w - torch.outer(mean, mean @ self.w)

    @torch.no_grad()
    def retract(self, step: int) -> None:
        """Bring a linear map back to the rotations: one Newton-Schulz step.

        Every third step at 3,072 dims, every one below 2,048: it takes d^3 where a batch takes d^2.
        """
        if self.config.architecture == "linear" and step % max(1, len(self.w) // 1024) == 0:
            self.w.copy_(1.5 * self.w - 0.5 * self.w @ (self.w.T @ self.w))

    def pair(self, Z: Tensor) -> Tensor:
        """Map z (batch, dims) to one value per pair: (batch, dims / 2)."""
        hidden = Z.reshape(len(Z), -1, 2) @ self.pair_w1.T + self.pair_b1
        return F.gelu(hidden, approximate="tanh") @ self.pair_w2

    def values(self, Z: Tensor, level: str) -> Tensor:
        """Return what a level quantizes: z itself, or the pair values."""
        return self.pair(Z) if levels.LEVELS[level].group == 2 else Z

    def thresholds(self, level: str) -> Tensor:
        """Return the thresholds (values, count) of a level."""
        return self.get_parameter(_theta(level))

    @torch.no_grad()
    def follow(self, Z: Tensor) -> None:
        """Move thresholds towards the batch's quantiles: theta <- mu theta + (1 - mu) batch."""
        keep = self.config.threshold_memory
        for name in self.config.levels:
            theta = self.thresholds(name)
            at = torch.arange(1, theta.shape[1] + 1, device=Z.device) / (theta.shape[1] + 1)
            batch = torch.quantile(self.values(Z, name).float(), at, dim=0).T
            theta.mul_(keep).add_(batch, alpha=1 - keep)

    def to_transform(self) -> transform.Transform:
        """Return the NumPy forward pass."""
        if self.config.architecture == "linear":
            return transform.Linear(_numpy(self._projected()))
        return transform.FeedForward(_numpy(self.w1), _numpy(self.w2))

    def to_pair(self) -> PairNet:
        """Return the NumPy pair network."""
        return PairNet(_numpy(self.pair_w1), _numpy(self.pair_b1), _numpy(self.pair_w2))

    def to_grid(self, fractions: tuple[float, ...]) -> GridCoder:
        """Return the grid coder as it stands, without the centers of the states."""
        fitted = self.config.levels
        thresholds = {name: _numpy(self.thresholds(name)) for name in fitted}
        pair = self.to_pair() if "0.5" in fitted else None
        return GridCoder(self.to_transform(), thresholds, {}, pair, self.dims, fractions)


def _theta(level: str) -> str:
    return "theta_" + level.replace(".", "_")


def _numpy(tensor: Tensor) -> Floats:
    return np.array(tensor.detach().cpu().numpy(), dtype=np.float32, order="C")
