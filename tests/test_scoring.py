"""Asymmetric scores: the integer definition, the tables, the steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qama.kernels import QueryTables
from qama.quantizers import scoring
from qama.quantizers.scoring import ENTRY_LIMIT, OFFSET_LIMIT, WEIGHT_LIMIT, QueryWeights
from qama.quantizers.thermometer import bits, levels


def whole_weights(weights, offset=0):
    W = np.asarray(weights, dtype=np.int16)
    m = len(W)
    return QueryWeights(W, np.full(m, offset, dtype=np.int32), np.ones(m, dtype=np.float32))


def nibble_sums(tables, stored):
    """What the kernels add up: one entry per nibble, high one first."""
    tables = tables.reshape(len(tables), -1, 16)
    nibbles = np.stack([stored >> 4, stored & 15], axis=2).reshape(len(stored), -1)
    at = np.arange(nibbles.shape[1])
    return np.stack([tables[:, at, row].astype(np.int64).sum(axis=1) for row in nibbles], axis=1)


# --- the definition ---------------------------------------------------------------------------


def test_a_score_by_hand():
    tables = np.zeros((2, 32), dtype=np.int16)
    tables[0, 5], tables[0, 16 + 15], tables[1, 16 + 2] = 5, -2, 100
    queries = QueryTables(
        tables, np.array([7, 0], dtype=np.int32), np.array([0.5, 2], dtype=np.float32)
    )
    codes = np.array([[0x5F], [0x52]], dtype=np.uint8)
    inverse_norms = np.array([2, 3], dtype=np.float32)
    expected = [[(7 + 5 - 2) * 2 * 0.5, (7 + 5) * 3 * 0.5], [0, 100 * 3 * 2]]
    assert scoring.scores(queries, codes, inverse_norms).tolist() == expected


@given(st.integers(0, 2**32 - 1))
def test_scores_equal_sums_of_python_integers(seed):
    random = np.random.default_rng(seed)
    T = random.integers(-ENTRY_LIMIT, ENTRY_LIMIT + 1, size=(3, 10, 16))
    offsets = random.integers(-OFFSET_LIMIT, OFFSET_LIMIT + 1, size=3)
    scales = np.exp2(random.integers(-9, 3, size=3)).astype(np.float32)
    flat = T.reshape(3, 160).astype(np.int16)
    queries = QueryTables(flat, offsets.astype(np.int32), scales)
    assert queries.layout.nbytes == 5
    codes = random.integers(0, 256, size=(4, 5)).astype(np.uint8)
    inverse_norms = random.random(4).astype(np.float32) + 1
    found = scoring.scores(queries, codes, inverse_norms)
    for i in range(3):
        for j in range(4):
            nibbles = "".join(f"{byte:02x}" for byte in codes[j])
            total = int(offsets[i]) + sum(int(T[i, k, int(n, 16)]) for k, n in enumerate(nibbles))
            assert found[i, j] == np.float32(total) * inverse_norms[j] * scales[i]


def test_full_bytes_are_looked_up_whole():
    random = np.random.default_rng(1)
    entries = random.standard_normal((3, 2 * 256 + 32))
    queries = scoring.integer_tables(entries, random.standard_normal(3), full=2)
    assert (queries.full, queries.layout.nbytes) == (2, 3)
    assert (queries[1:].full, queries[1:].layout.nbytes) == (2, 3)
    codes = random.integers(0, 256, (20, 3)).astype(np.uint8)
    inverse_norms = random.random(20).astype(np.float32) + 1
    found = scoring.scores(queries, codes, inverse_norms)
    for i in range(3):
        T = queries.tables[i].astype(int)
        for j, (a, b, c) in enumerate(codes.astype(int)):
            total = queries.offsets[i] + T[a] + T[256 + b] + T[512 + c // 16] + T[528 + c % 16]
            assert found[i, j] == np.float32(total) * inverse_norms[j] * queries.scales[i]
    part = scoring.scores(queries[1:], codes, inverse_norms)
    np.testing.assert_array_equal(part, found[1:])


# --- rounding ---------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.floats(1e-6, 1e6))
def test_rounding_keeps_the_limits_and_powers_of_two(seed, size):
    random = np.random.default_rng(seed)
    weights = (size * random.standard_normal((4, 30))).astype(np.float32)
    offsets = (size * 30 * random.standard_normal(4)).astype(np.float32)
    made = scoring.integer_weights(weights, offsets)
    mantissas, _ = np.frexp(made.scales)
    assert (mantissas == 0.5).all()
    assert np.abs(made.weights.astype(int)).max() <= WEIGHT_LIMIT
    assert np.abs(made.offsets.astype(int)).max() <= OFFSET_LIMIT
    step = made.scales[:, None]
    assert (np.abs(made.weights * step - weights) <= 0.5001 * step).all()
    assert (np.abs(made.offsets * made.scales - offsets) <= 0.5001 * made.scales).all()


def test_a_scale_is_the_smallest_that_fits():
    weights = np.array([[1.0, 0.0], [WEIGHT_LIMIT, 1], [WEIGHT_LIMIT + 1, 1]], dtype=np.float32)
    made = scoring.integer_weights(weights, np.zeros(3, dtype=np.float32))
    assert made.scales.tolist() == [2.0**-12, 1.0, 2.0]


def test_a_query_of_zeros_scores_zero():
    made = scoring.integer_tables(np.zeros((1, 32)), np.zeros(1))
    found = scoring.scores(made, np.ones((3, 1), np.uint8), np.ones(3, np.float32))
    assert found.tolist() == [[0, 0, 0]]


def test_tables_are_rounded_within_their_limit_by_one_scale_a_query():
    entries = np.random.default_rng(0).standard_normal((2, 64)) * [[0.01], [40.0]]
    made = scoring.integer_tables(entries, np.array([0.5, -3.0]))
    assert ENTRY_LIMIT / 2 < np.abs(made.tables.astype(int)).max() <= ENTRY_LIMIT
    steps = made.scales[:, None]
    assert (np.abs(made.tables * steps - entries) <= 0.5 * steps).all()
    assert made.offsets.tolist() == np.rint([0.5, -3.0] / made.scales).tolist()


# --- nibble tables ----------------------------------------------------------------------------


@given(
    st.sampled_from(levels.LEVEL_NAMES),
    st.integers(1, 8).map(lambda i: 8 * i),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_tables_sum_to_the_definition(level, dims, seed, extreme):
    random = np.random.default_rng(seed)
    plan = levels.plan(dims, level)
    indices = [
        random.integers(0, s.level.thresholds + 1, (6, s.values)).astype(np.uint8)
        for s in plan.segments
    ]
    stored = bits.pack(indices, plan, compact=True)
    thermometer = np.unpackbits(bits.pack(indices, plan, False), axis=1, count=plan.bits())
    size = (3, plan.bits())
    W = random.integers(-WEIGHT_LIMIT, WEIGHT_LIMIT + 1, size=size)
    if extreme:
        W = WEIGHT_LIMIT * random.choice([-1, 1], size=size)
    queries = whole_weights(W)
    tables = scoring.nibble_tables(queries, plan.bits(compact=True), plan.bit_pairs).tables
    assert tables.shape == (3, 32 * plan.nbytes(compact=True))
    np.testing.assert_array_equal(nibble_sums(tables, stored), W @ thermometer.T.astype(int))


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_weights_of_a_nibble_stay_within_int16(sign):
    """Two bit pairs in one nibble carry six weights."""
    plan = levels.plan(8, "2")
    queries = whole_weights(np.full((1, 24), sign * WEIGHT_LIMIT))
    tables = scoring.nibble_tables(queries, 16, plan.bit_pairs).tables
    assert tables[0, 15] == sign * 6 * WEIGHT_LIMIT
    full = np.full((1, 2), 255, dtype=np.uint8)
    assert nibble_sums(tables, full) == sign * 24 * WEIGHT_LIMIT


def test_padding_bits_weigh_nothing():
    tables = scoring.nibble_tables(whole_weights([[1, 2, 4]]), stored_bits=3, bit_pairs=0).tables
    assert tables[0, :16].tolist() == [0, 0, 4, 4, 2, 2, 6, 6, 1, 1, 5, 5, 3, 3, 7, 7]
    assert not tables[0, 16:].any()


def test_the_table_of_a_bit_pair_by_hand():
    """Weights come as those of q >= 3, q >= 2, q >= 1; hi and lo are the two bits of q."""
    tables = scoring.nibble_tables(whole_weights([[100, 10, 1, 0, 0, 0]]), 4, bit_pairs=2).tables
    assert tables[0, [0b0000, 0b0100, 0b1000, 0b1100]].tolist() == [0, 1, 11, 111]


# --- inverse norms ----------------------------------------------------------------------------


def test_steps_are_half_a_percent_apart_around_the_typical_inverse_norm():
    steps = scoring.inverse_norm_steps(0.25)
    assert steps.shape == (256,)
    assert steps.dtype == np.float32
    assert steps[128] == 0.25
    np.testing.assert_allclose(steps[1:] / steps[:-1], 1.005, rtol=1e-5)


def test_the_nearest_step_is_the_nearest_and_the_lower_in_a_tie():
    steps = scoring.inverse_norm_steps(1.0)
    assert scoring.nearest_step(steps, steps).tolist() == list(range(256))
    middle = (steps[10].astype(np.float64) + steps[11]) / 2
    assert scoring.nearest_step(np.array([middle, np.nextafter(middle, 2)]), steps).tolist() == [
        10, 11,
    ]  # fmt: skip
    assert scoring.nearest_step(np.array([0.0, 1e9]), steps).tolist() == [0, 255]
    random = np.random.default_rng(0).uniform(0.4, 2.5, 500)
    expected = np.abs(random[:, None] - steps.astype(np.float64)).argmin(axis=1)
    np.testing.assert_array_equal(scoring.nearest_step(random, steps), expected)
