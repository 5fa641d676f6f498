"""Quantile thresholds and level indices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qama.quantizers.thermometer.quantize import digitize, quantile_thresholds


def test_thresholds_are_the_median_the_thirds_and_the_quartiles():
    values = np.arange(13, dtype=np.float32)[:, None] * np.array([1, -10], dtype=np.float32)
    assert quantile_thresholds(values, 1).tolist() == [[6], [-60]]
    assert quantile_thresholds(values, 2).tolist() == [[4, 8], [-80, -40]]
    made = quantile_thresholds(values, 3)
    assert made.tolist() == [[3, 6, 9], [-90, -60, -30]]
    assert made.dtype == np.float32


def test_an_index_counts_the_thresholds_below_and_a_tie_stays_below():
    thresholds = np.array([[-1, 0, 1]], dtype=np.float32)
    values = np.array([[-2], [-1], [-0.5], [0], [0.5], [1], [1.5]], dtype=np.float32)
    assert digitize(values, thresholds).ravel().tolist() == [0, 0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_quantiles_fill_all_states_alike(count):
    values = np.random.default_rng(0).standard_normal((600, 5)).astype(np.float32)
    q = digitize(values, quantile_thresholds(values, count))
    for column in q.T:
        shares = np.bincount(column, minlength=count + 1) / len(q)
        np.testing.assert_allclose(shares, 1 / (count + 1), atol=1 / 600)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_digitize_equals_counting_one_by_one(seed, count):
    random = np.random.default_rng(seed)
    values = random.integers(-3, 4, size=(5, 4)).astype(np.float32)
    thresholds = np.sort(random.integers(-3, 4, size=(4, count)), axis=1).astype(np.float32)
    expected = [
        [sum(t < v for t in thresholds[dim]) for dim, v in enumerate(row)] for row in values
    ]
    assert digitize(values, thresholds).tolist() == expected
