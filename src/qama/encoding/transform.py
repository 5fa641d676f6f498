"""Step 1, x -> z: the adapter's forward pass in NumPy.

Scale (fixed here, used by thresholds and losses alike): x is L2-normalised, z is L2-normalised
once over all its dims and multiplied by sqrt(dims). A prefix of z is never normalised again, so a
prefix of dims is a prefix of everything that follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qama import checks
from qama.checks import Floats

_SAFE = (1e-15, 1e15)  # norms whose squares float32 holds well


def unit(X: Floats) -> Floats:
    """Return rows of length 1; a zero row stays zero."""
    with np.errstate(over="ignore", under="ignore"):
        norms = np.sqrt(np.square(X).sum(axis=1, keepdims=True))
    extreme = np.flatnonzero(~((norms > _SAFE[0]) & (norms < _SAFE[1])))
    if len(extreme):  # squares beyond float32: bring the largest entry of such rows to 1 first
        X = X.copy()
        largest = np.abs(X[extreme]).max(axis=1, keepdims=True)
        X[extreme] /= np.where(largest > 0, largest, 1)
        norms[extreme] = np.linalg.norm(X[extreme], axis=1, keepdims=True)
    return np.asarray(X / np.where(norms > 0, norms, 1), dtype=np.float32)


def gelu(a: Floats) -> Floats:
    """Return GELU in its tanh form, as in training; of a minus of -a is a, in real numbers."""
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
    """A linear adapter x W, the default preset's: small, and as good where it was measured.

    Attributes:
        w: float32 (d, d).
    """

    w: Floats

    kind = "linear"
    chunk_rows = 8192

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


def from_arrays(kind: str, arrays: Mapping[str, Any]) -> Transform:
    """Rebuild a stored transform.

    Raises:
        ValueError: unknown kind, or arrays of unfitting shapes, dtypes or values.
    """
    if kind == FeedForward.kind:
        w1, w2 = arrays["w1"], arrays["w2"]
        if w1.ndim != 2 or w1.shape != w2.shape[::-1]:
            raise ValueError(f"w1 {w1.shape} and w2 {w2.shape} do not fit each other")
        checks.part(w1, "transform.w1", w1.shape)
        checks.part(w2, "transform.w2", w2.shape)
        return FeedForward(w1, w2)
    if kind == Linear.kind:
        w = arrays["w"]
        if w.ndim != 2 or w.shape[0] != w.shape[1]:
            raise ValueError(f"w has shape {w.shape}; it must be square")
        checks.part(w, "transform.w", w.shape)
        return Linear(w)
    raise ValueError(f"transform is {kind!r}; this version knows 'feedforward' and 'linear'")
