"""The adapter while it trains; `to_numpy` ends it, where torch stops."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qama.checks import Floats
from qama.quantizers.thermometer import levels, transform
from qama.quantizers.thermometer.quantize import mean_thresholds, quantile_thresholds
from qama.quantizers.thermometer.quantizer import PairNet, ThermometerQuantizer
from qama.recipe import TrainConfig
from qama.training import start

_PAIR_HIDDEN = 8


class Adapter(nn.Module, ABC):
    """x -> z, the network of dim pairs of the 0.5-bit level, and thresholds.

    Thresholds are ``theta_<level>``, float32 (values, count). In the paper's objective they follow
    the batches' quantiles and no gradient reaches them (QAMA, CIKM 2025, section 3); in the
    distillation they learn.

    Args:
        config: The recipe.
        X: float32 (n, d), what thresholds and the start are drawn from.
        dims: The grid's dims.
        seed: Of the random draws.
        base: What to start from instead.
    """

    def __init__(
        self,
        config: TrainConfig,
        X: Floats,
        dims: tuple[int, ...],
        seed: int,
        base: ThermometerQuantizer | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.dims = dims
        if base is None:
            self._init_start(X, seed)
        else:
            self._init_arrays(base.transform.arrays())
        self._init_pair_net(seed, None if base is None else base.pair_net)
        Z = transform.apply(self.to_transform(), X)
        for name in config.levels:
            values = self.to_pair_net()(Z) if levels.LEVELS[name].group == 2 else Z
            theta = self._first(values, name) if base is None else base.thresholds[name].copy()
            learned = config.objective == "distillation"  # else they follow the batches' quantiles
            setattr(self, _theta(name), nn.Parameter(torch.from_numpy(theta), learned))

    def _first(self, values: Floats, level: str) -> Floats:
        """Return the thresholds of a level that training starts from."""
        count = levels.LEVELS[level].thresholds
        if count == 1 and self.config.start == "signs":
            return mean_thresholds(values)
        return quantile_thresholds(values, count)

    @abstractmethod
    def _init_start(self, X: Floats, seed: int) -> None:
        """Set the parameters of x -> z to where training starts."""

    def _init_arrays(self, arrays: dict[str, Floats]) -> None:
        """Set the parameters of x -> z to those of a base."""
        for name, array in arrays.items():
            setattr(self, name, nn.Parameter(torch.from_numpy(array.copy())))

    @abstractmethod
    def _raw(self, unit: Tensor) -> Tensor:
        """Map unit rows (batch, d) to z before its normalisation."""

    @abstractmethod
    def to_transform(self) -> transform.Transform:
        """Return the NumPy forward pass."""

    def retract(self, step: int) -> None:
        """Bring the parameters back to where they must lie, after a step."""

    def _init_pair_net(self, seed: int, known: PairNet | None) -> None:
        """The network of dim pairs starts as z_2i + z_2i+1, by GELU(a) - GELU(-a) = a."""
        generator = torch.Generator().manual_seed(seed)
        w1 = 0.1 * torch.randn(_PAIR_HIDDEN, 2, generator=generator)
        b1, w2 = torch.zeros(_PAIR_HIDDEN), torch.zeros(_PAIR_HIDDEN)
        w1[0], w1[1] = 1.0, -1.0
        w2[0], w2[1] = 1.0, -1.0
        if known is not None:
            w1, b1, w2 = (torch.from_numpy(a.copy()) for a in (known.w1, known.b1, known.w2))
        self.pair_w1, self.pair_w2 = nn.Parameter(w1), nn.Parameter(w2)
        self.pair_b1 = nn.Parameter(b1)

    def forward(self, x: Tensor) -> Tensor:
        """Map rows x (batch, d) to z (batch, d), rows of length sqrt(d)."""
        raw = self._raw(F.normalize(x, dim=1))
        return F.normalize(raw.float(), dim=1) * math.sqrt(raw.shape[1])

    def pair(self, Z: Tensor) -> Tensor:
        """Map z (batch, dims) to one value per dim pair: (batch, dims / 2)."""
        hidden = Z.reshape(len(Z), -1, 2) @ self.pair_w1.T + self.pair_b1
        return F.gelu(hidden, approximate="tanh") @ self.pair_w2

    def values(self, Z: Tensor, level: str) -> Tensor:
        """Return what a level quantizes: z itself, or the values of dim pairs."""
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

    def to_pair_net(self) -> PairNet:
        """Return the network of dim pairs in NumPy."""
        return PairNet(_numpy(self.pair_w1), _numpy(self.pair_b1), _numpy(self.pair_w2))

    def to_numpy(self, fractions: tuple[float, ...]) -> ThermometerQuantizer:
        """Return the quantizer as it stands, without reconstruction values of the states."""
        fitted = self.config.levels
        thresholds = {name: _numpy(self.thresholds(name)) for name in fitted}
        pair_net = self.to_pair_net() if "0.5" in fitted else None
        return ThermometerQuantizer(
            self.to_transform(), thresholds, {}, pair_net, self.dims, fractions
        )


class LinearAdapter(Adapter):
    """z = x W, a rotation after the documents' mean direction is taken out of its input.

    One that starts from the dims as they are ("signs", "dims") leaves that direction in.
    """

    def _init_start(self, X: Floats, seed: int) -> None:
        if self.config.start in ("signs", "dims"):
            R, mean = np.eye(X.shape[1], dtype=np.float32), np.zeros(X.shape[1], np.float32)
        else:
            R = start.rotation(X, self.dims, seed, self.config.leaning)
            mean = start.mean_direction(X)
        self.register_buffer("mean", torch.from_numpy(mean))
        self.w = nn.Parameter(torch.from_numpy(np.ascontiguousarray(R.T)))

    def _init_arrays(self, arrays: dict[str, Floats]) -> None:
        super()._init_arrays(arrays)
        self.register_buffer("mean", torch.zeros(len(self.w)))  # already out of the base's w

    def _raw(self, unit: Tensor) -> Tensor:
        return unit @ self._projected()

    def _projected(self) -> Tensor:
        mean = self.get_buffer("mean")
        return self.w - torch.outer(mean, mean @ self.w)

    @torch.no_grad()
    def retract(self, step: int) -> None:
        """Bring the map back to the rotations: one Newton-Schulz step.

        Every third step at 3,072 dims, every one below 2,048: it takes d^3 where a batch takes d^2.
        """
        if step % max(1, len(self.w) // 1024) == 0:
            self.w.copy_(1.5 * self.w - 0.5 * self.w @ (self.w.T @ self.w))

    def to_transform(self) -> transform.Linear:
        """Return the NumPy forward pass."""
        return transform.Linear(_numpy(self._projected()))


class FeedForwardAdapter(Adapter):
    """z = W2 GELU(W1 x), the paper's; it starts as a rotation, or as plainly initialised."""

    def _init_start(self, X: Floats, seed: int) -> None:
        if self.config.start != "random":
            R = start.rotation(X, self.dims, seed, self.config.leaning)
            w1, w2 = start.feedforward(R, self.config.expansion, seed)
        else:
            w1, w2 = start.random_feedforward(X.shape[1], self.config.expansion, seed)
        self.w1, self.w2 = nn.Parameter(torch.from_numpy(w1)), nn.Parameter(torch.from_numpy(w2))

    def _raw(self, unit: Tensor) -> Tensor:
        return F.gelu(unit @ self.w1.T, approximate="tanh") @ self.w2.T

    def to_transform(self) -> transform.FeedForward:
        """Return the NumPy forward pass."""
        return transform.FeedForward(_numpy(self.w1), _numpy(self.w2))


_ADAPTERS: dict[str, type[Adapter]] = {
    "linear": LinearAdapter,
    "feedforward": FeedForwardAdapter,
}


def adapter_of(
    config: TrainConfig,
    X: Floats,
    dims: tuple[int, ...],
    seed: int,
    base: ThermometerQuantizer | None = None,
) -> Adapter:
    """Return the adapter of a recipe's architecture; see `Adapter`."""
    return _ADAPTERS[config.architecture](config, X, dims, seed, base)


def _theta(level: str) -> str:
    return "theta_" + level.replace(".", "_")


def _numpy(tensor: Tensor) -> Floats:
    return np.array(tensor.detach().cpu().numpy(), dtype=np.float32, order="C")
