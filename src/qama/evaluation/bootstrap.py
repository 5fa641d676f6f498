"""Paired bootstrap intervals over queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Interval", "paired_bootstrap"]

_CELLS = 1 << 21  # drawn indices held at once: 16 MiB


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its percentile interval.

    Attributes:
        estimate: The statistic of the given values.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    estimate: float
    low: float
    high: float


def paired_bootstrap(
    values: ArrayLike,
    reference: ArrayLike,
    statistic: Literal["difference", "ratio"] = "difference",
    *,
    samples: int = 5_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of a difference or ratio of two means over the same queries.

    Both series are resampled with the same drawn queries, so what they share cancels.

    Args:
        values: One number per query, (m,), finite.
        reference: The other method's number for the same queries, (m,), finite.
        statistic: ``difference``: mean(values) - mean(reference); ``ratio``: their quotient.
        samples: Number of resamples, at least 1.
        confidence: Share of resamples inside the interval, between 0 and 1.
        seed: Seed of the draw; the same seed gives the same interval.

    Returns:
        The estimate with both ends of the interval. A ratio is NaN where the reference's mean
        is zero; resamples with such a mean are left out.

    Raises:
        ValueError: Shapes differ, a series is empty or not finite, or an option is out of range.
    """
    a, b = _series("values", values), _series("reference", reference)
    if a.shape != b.shape:
        raise ValueError(f"values has {a.size} queries and reference has {b.size}")
    if samples < 1:
        raise ValueError(f"samples must be at least 1, not {samples}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    if statistic not in ("difference", "ratio"):
        raise ValueError(f"statistic must be 'difference' or 'ratio', not {statistic!r}")
    means = np.concatenate(list(_resampled_means(a, b, samples, seed)))
    draws = _combine(means[:, 0], means[:, 1], statistic)
    draws = draws[np.isfinite(draws)]
    estimate = float(_combine(a.mean(keepdims=True), b.mean(keepdims=True), statistic)[0])
    if not draws.size:
        return Interval(estimate, float("nan"), float("nan"))
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high))


def _series(name: str, given: ArrayLike) -> NDArray[np.float64]:
    series = np.asarray(given, dtype=np.float64)
    if series.ndim != 1 or series.size == 0:
        raise ValueError(f"{name} must be one-dimensional and not empty, not {series.shape}")
    if not np.isfinite(series).all():
        raise ValueError(f"{name} holds NaN or infinity")
    return series


def _resampled_means(
    a: NDArray[np.float64], b: NDArray[np.float64], samples: int, seed: int
) -> Iterator[NDArray[np.float64]]:
    """Means of both series, (chunk, 2), over queries drawn with replacement."""
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // a.size)
    for start in range(0, samples, step):
        drawn = rng.integers(0, a.size, (min(step, samples - start), a.size))
        yield np.stack([a[drawn].mean(axis=1), b[drawn].mean(axis=1)], axis=1)


def _combine(a: NDArray[np.float64], b: NDArray[np.float64], statistic: str) -> NDArray[np.float64]:
    if statistic == "difference":
        return a - b
    return np.divide(a, b, out=np.full_like(a, np.nan), where=b != 0)
