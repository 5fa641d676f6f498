"""Step 3, z -> level indices: thresholds at quantiles, and what happens on a threshold.

A value's index is the number of thresholds strictly below it: a value that lies on a threshold
belongs to the lower state. Training counts the same way.
"""

from __future__ import annotations

import numpy as np

from qama.checks import Bytes, Floats


def quantile_thresholds(values: Floats, count: int) -> Floats:
    """Return thresholds float32 (dims, count) at evenly spaced quantiles of each column.

    count 1 gives the median, 2 the thirds, 3 the quartiles (QAMA, CIKM 2025, section 3).
    """
    at = np.arange(1, count + 1) / (count + 1)
    return np.ascontiguousarray(np.quantile(values, at, axis=0).T, dtype=np.float32)


def mean_thresholds(values: Floats) -> Floats:
    """Return thresholds float32 (dims, 1) at the mean of each column: codes are centred signs."""
    return np.asarray(values.mean(axis=0, dtype=np.float64)[:, None], dtype=np.float32)


def digitize(values: Floats, thresholds: Floats) -> Bytes:
    """Return uint8 (n, dims): how many of each dim's thresholds (dims, count) lie below it."""
    below = np.zeros(values.shape, dtype=np.uint8)
    for step in range(thresholds.shape[1]):
        below += values > thresholds[:, step]
    return below
