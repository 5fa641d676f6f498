"""Where training starts: a rotation that is a good untrained codec by itself."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qama.checks import Floats
from qama.quantizers.vectors import unit


def rotation(X: Floats, dims: Sequence[int], seed: int, leaning: float) -> Floats:
    """Return an orthogonal R float32 (d, d) whose prefixes of rows suit the grid's dims.

    Principal axes rotated inside blocks, with leaks: each block of rows (the dims that a grid
    level adds) is a random orthonormal mix of the axes not yet used, drawn with weights
    eigenvalue^(leaning / 2). Leaning 0 is a random rotation (best at full dims, where Hamming
    gives every bit the same weight), a large one is principal axes (best at few dims). The last
    row is the mean direction, which tells documents apart least: axes are those of what is left.

    Args:
        X: float32 (n, d).
        dims: The grid's dims.
        seed: Of the random draws.
        leaning: See above.
    """
    d = X.shape[1]
    U = unit(X).astype(np.float64)
    mean = mean_direction(X).astype(np.float64)
    U -= np.outer(U @ mean, mean)
    values, axes = np.linalg.eigh(U.T @ U / len(U))
    values = np.maximum(values[::-1], values[-1] * 1e-9 + 1e-30)
    axes = axes[:, ::-1]
    random = np.random.default_rng(seed)
    chosen = mean[None] if mean.any() else np.zeros((0, d))  # chosen first, put last in the end
    last = len(chosen)
    for start, stop in _blocks(dims, d):
        size = stop - start - (last if stop == d else 0)
        drawn = random.standard_normal((size, d)) * (values / values[0]) ** (leaning / 2)
        chosen = _extend(chosen, drawn @ axes.T)
    return np.ascontiguousarray(np.roll(chosen, -last, axis=0), dtype=np.float32)


def mean_direction(X: Floats) -> Floats:
    """Return the unit mean of the unit rows, float32 (d,); zeros where there is none."""
    return np.asarray(unit(unit(X).mean(axis=0, keepdims=True))[0])


def feedforward(
    R: Floats, expansion: int, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return (w1, w2) with w2 GELU(w1 x) = R x: w1 = [R; -R; small], w2 = [I, -I, 0].

    GELU(a) - GELU(-a) = a exactly, so the paper's own architecture starts as a rotation.
    """
    d = len(R)
    random = np.random.default_rng(seed + 1)
    small = 0.02 * random.standard_normal(((expansion - 2) * d, d))
    eye = np.eye(d)
    w1 = np.concatenate([R, -R, small])
    w2 = np.concatenate([eye, -eye, np.zeros((d, (expansion - 2) * d))], axis=1)
    return w1.astype(np.float32), w2.astype(np.float32)


def random_feedforward(
    d: int, expansion: int, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return a plainly initialised (w1, w2): normal entries of variance 1 / fan-in."""
    random = np.random.default_rng(seed + 1)
    w1 = random.standard_normal((expansion * d, d)) / np.sqrt(d)
    w2 = random.standard_normal((d, expansion * d)) / np.sqrt(expansion * d)
    return w1.astype(np.float32), w2.astype(np.float32)


def _blocks(dims: Sequence[int], d: int) -> list[tuple[int, int]]:
    bounds = [0, *sorted(set(dims) | {d})]
    return list(itertools.pairwise(bounds))


def _extend(
    chosen: npt.NDArray[np.float64], drawn: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Append the drawn rows, made orthonormal to the chosen ones and each other."""
    for _ in range(2):  # twice: the first pass leaves rounding errors of the weak axes
        drawn = drawn - (drawn @ chosen.T) @ chosen
        drawn = np.linalg.qr(drawn.T)[0].T
    return np.concatenate([chosen, drawn])
