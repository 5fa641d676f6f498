"""Step 1, x -> z: the adapter's forward pass in NumPy.

Scale (fixed here, used by thresholds and losses alike): x is L2-normalised, z is L2-normalised
once over all its dims and multiplied by sqrt(d). A prefix of z is not normalised again before it is
quantized, so the code of fewer dims is a prefix of the code of more (but for hybrid, whose levels
move with the dims).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qama import checks
from qama.checks import Floats
from qama.quantizers.vectors import unit


def gelu(a: Floats) -> Floats:
    """Return GELU in its tanh form, as in training: at a it is a more than at -a."""
    inner = np.float32(0.7978845608028654) * (a + np.float32(0.044715) * a * a * a)
    return np.asarray(np.float32(0.5) * a * (1 + np.tanh(inner)), dtype=np.float32)


@dataclass(frozen=True)
class FeedForward:
    """The paper's adapter W2 GELU(W1 x) (QAMA, CIKM 2025, section 3; expansion 32 there).

    Attributes:
        w1: float32 (hidden, d).
        w2: float32 (d, hidden).
    """

    w1: Floats
    w2: Floats

    kind = "feedforward"
    chunk_rows = 1024  # bounds the hidden activations: 1024 x 12288 floats at d = 384

    def check(self) -> None:
        """Refuse arrays of unfitting shapes."""
        if self.w1.ndim != 2 or self.w1.shape != self.w2.shape[::-1]:
            raise ValueError(f"w1 {self.w1.shape} and w2 {self.w2.shape} do not fit each other")
        for name, array in self.arrays().items():
            checks.part(array, f"transform.{name}", array.shape)

    @property
    def dims(self) -> int:
        """Width of x and of z."""
        return int(self.w1.shape[1])

    def raw(self, unit_rows: Floats) -> Floats:
        """Map unit rows (n, d) to z before its normalisation."""
        return gelu(unit_rows @ self.w1.T) @ self.w2.T

    def arrays(self) -> dict[str, Floats]:
        """Arrays to store, by name."""
        return {"w1": self.w1, "w2": self.w2}


@dataclass(frozen=True)
class Linear:
    """A linear adapter x W, that of the default preset.

    Attributes:
        w: float32 (d, d).
    """

    w: Floats

    kind = "linear"
    chunk_rows = 8192

    def check(self) -> None:
        """Refuse an array of an unfitting shape."""
        if self.w.ndim != 2 or self.w.shape[0] != self.w.shape[1]:
            raise ValueError(f"w has shape {self.w.shape}; it must be square")
        checks.part(self.w, "transform.w", self.w.shape)

    @property
    def dims(self) -> int:
        """Width of x and of z."""
        return int(self.w.shape[0])

    def raw(self, unit_rows: Floats) -> Floats:
        """Map unit rows (n, d) to z before its normalisation."""
        return unit_rows @ self.w

    def arrays(self) -> dict[str, Floats]:
        """Arrays to store, by name."""
        return {"w": self.w}


Transform = FeedForward | Linear


def apply(transform: Transform, X: Floats) -> Floats:
    """Return z float32 (n, d) of X float32 (n, d): rows of length sqrt(d), zero rows stay zero."""
    Z = np.empty(X.shape, dtype=np.float32)
    for start in range(0, len(X), transform.chunk_rows):
        rows = slice(start, start + transform.chunk_rows)
        Z[rows] = unit(transform.raw(unit(X[rows]))) * np.float32(np.sqrt(X.shape[1]))
    return Z


def from_arrays(kind: object, arrays: Mapping[str, Any]) -> Transform:
    """Rebuild a stored transform.

    Raises:
        KeyError, ValueError: unknown kind, or arrays that are missing or unfitting.
    """
    for known in (FeedForward, Linear):
        if kind == known.kind:
            made = known(**{name: arrays[name] for name in known.__dataclass_fields__})
            made.check()
            return made
    raise ValueError(f"transform is {kind!r}; this version knows 'feedforward' and 'linear'")
