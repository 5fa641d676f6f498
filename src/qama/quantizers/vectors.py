"""Vectors before they are codes: brought to length 1, the one home of that rounding."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qama.checks import Floats

_SAFE = (1e-15, 1e15)  # norms whose squares float32 holds well


def unit(X: Floats) -> Floats:
    """Return rows of length 1; a zero row stays zero."""
    with np.errstate(over="ignore", under="ignore"):
        norms = np.sqrt(np.square(X).sum(axis=1, keepdims=True))
    if norms.min(initial=1) > _SAFE[0] and norms.max(initial=1) < _SAFE[1]:
        return np.asarray(X / norms, dtype=np.float32)
    safe = (norms > _SAFE[0]) & (norms < _SAFE[1])
    extreme, X = np.flatnonzero(~safe), X.copy()
    # squares beyond float32: bring the largest entry of such rows to 1 first
    largest = np.abs(X[extreme]).max(axis=1, keepdims=True)
    X[extreme] /= np.where(largest > 0, largest, 1)
    norms[extreme] = np.linalg.norm(X[extreme], axis=1, keepdims=True)
    return np.asarray(X / np.where(norms > 0, norms, 1), dtype=np.float32)


def cosines(A: Floats, B: Floats) -> npt.NDArray[np.float64]:
    """Return the cosine float64 (n,) of each row of A (n, d) with that row of B (n, d)."""
    return np.asarray(np.einsum("nd,nd->n", unit(A), unit(B), dtype=np.float64))
