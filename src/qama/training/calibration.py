"""Scores that estimate cosines: a calibration scale per cell, fitted on near neighbours.

The cosine of a float query with a decoded code is smaller than with the document itself, since a
code tells only a part; for near neighbours the two are proportional. Documents serve as queries.
Where few dims flatter (neighbours share the leading ones), scores stay cosines: the scale is 1.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from qama.checks import Floats
from qama.quantizers.thermometer.quantizer import ThermometerCode, ThermometerQuantizer
from qama.quantizers.thermometer.transform import apply
from qama.quantizers.vectors import unit

_QUERIES, _ROWS = 512, 8192  # of the rows, at most
_NEAR = 50  # nearest rows of each query


def calibrated(grid: ThermometerQuantizer, X: Floats, seed: int) -> ThermometerQuantizer:
    """Return the quantizer with calibration scales, by least squares through zero.

    They bring the cosines of codes to those of floats.

    Args:
        grid: With reconstruction values.
        X: float32 (n, d), the fitted rows.
        seed: Of the sample.
    """
    picked = np.random.default_rng(seed).permutation(len(X))[:_ROWS]
    some = unit(X[picked])
    asked = slice(0, min(_QUERIES, len(some) // 4))
    cosines = some[asked] @ some.T
    cosines[:, asked] = -np.inf  # neither itself nor another query
    near = np.argsort(-cosines, axis=1, kind="stable")[:, : min(_NEAR, len(some) - asked.stop)]
    wanted = np.take_along_axis(cosines, near, axis=1)
    Z = apply(grid.transform, some)
    scales = {
        name: np.array([_scale(grid.code(n, name), Z, asked, near, wanted) for n in grid.dims],
                       dtype=np.float32)
        for name in grid.levels
    }  # fmt: skip
    return replace(grid, calibration_scales=scales)


def _scale(
    code: ThermometerCode, Z: Floats, asked: slice, near: npt.NDArray[np.int64], wanted: Floats
) -> float:
    decoded = unit(code.decode(code.encode_z(Z[:, : code.dims], compact=True)))
    scores = unit(Z[asked, : code.dims]) @ decoded.T
    found = np.take_along_axis(scores, near, axis=1)
    return max(1.0, float((wanted * found).sum() / max(float((found * found).sum()), 1e-12)))
