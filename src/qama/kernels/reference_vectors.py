"""Vectors before they are codes: brought to length 1, and rounded to whole numbers of 2^-14.

The one home of these roundings, and a part of the NumPy reference, see `qama.kernels.reference`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qama.kernels._arrays import F32, I16

UNIT = 2.0**-14

_SAFE = (1e-15, 1e15)  # norms whose squares float32 holds well


def unit(X: F32) -> F32:
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


def whole(V: npt.NDArray[np.floating]) -> I16:
    """Return floats as whole numbers of UNIT, int16, clamped to +-2."""
    rounded = V / UNIT
    np.rint(rounded, out=rounded)
    np.maximum(rounded, -(2**15), out=rounded)  # np.clip takes longer than all of the rest
    return np.asarray(np.minimum(rounded, 2**15 - 1, out=rounded), dtype=np.int16)


def whole_units(X: F32) -> I16:
    """See `qama.kernels.whole_units`."""
    return whole(unit(X))
