"""Literal bytes, round trips, and why thermometer codes: Hamming is L1."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qama.quantizers.thermometer import bits, levels


@st.composite
def plans(draw):
    dims = 8 * draw(st.integers(1, 12))
    return levels.plan(dims, draw(st.sampled_from(levels.LEVEL_NAMES)))


def random_indices(plan, n, seed):
    random = np.random.default_rng(seed)
    return [
        random.integers(0, s.level.thresholds + 1, size=(n, s.values)).astype(np.uint8)
        for s in plan.segments
    ]


@st.composite
def coded(draw):
    """A plan and the level indices of a few codes."""
    plan = draw(plans())
    n, seed = draw(st.integers(0, 6)), draw(st.integers(0, 2**32 - 1))
    return plan, random_indices(plan, n, seed)


def binary(codes):
    return ["".join(f"{byte:08b}" for byte in code) for code in codes]


# --- literal bytes ----------------------------------------------------------------------------


def test_four_states_as_three_thermometer_bits_most_significant_first():
    q = np.array([[0, 1, 2, 3, 0, 0, 0, 3]], dtype=np.uint8)
    plan = levels.plan(8, "2")
    assert binary(bits.pack([q], plan, compact=False)) == ["000001011111000000000111"]


def test_four_states_as_two_compact_bits():
    q = np.array([[0, 1, 2, 3, 0, 0, 0, 3]], dtype=np.uint8)
    plan = levels.plan(8, "2")
    assert bits.pack([q], plan, compact=True).tolist() == [[0b00011011, 0b00000011]]


def test_three_states_are_00_01_11_in_both_forms():
    q = np.array([[0, 1, 2, 0, 2, 1, 0, 0]], dtype=np.uint8)
    plan = levels.plan(8, "1.5")
    for compact in (False, True):
        assert bits.pack([q], plan, compact).tolist() == [[0b00011100, 0b11010000]]


@pytest.mark.parametrize(("level", "values"), [("1", 8), ("0.5", 4)])
def test_two_states_are_one_bit_and_padding_is_zero(level, values):
    q = np.array([[1, 0, 1, 1, 0, 0, 1, 1][:values]], dtype=np.uint8)
    code = bits.pack([q], levels.plan(8, level), compact=False)
    assert code.tolist() == [[0b10110011 if values == 8 else 0b10110000]]


def test_hybrid_joins_its_segments_without_gaps():
    plan = levels.plan(8, "hybrid")  # two dims each; the last two dims are one dim pair
    q = [np.array([v], dtype=np.uint8) for v in ([3, 1], [2, 0], [1, 0], [1])]
    assert binary(bits.pack(q, plan, compact=False)) == ["1110011100101000"]
    assert binary(bits.pack(q, plan, compact=True)) == ["1101110010100000"]


# --- round trips ------------------------------------------------------------------------------


@given(coded(), st.booleans())
def test_unpack_inverts_pack(made, compact):
    plan, indices = made
    codes = bits.pack(indices, plan, compact)
    assert codes.dtype == np.uint8
    assert codes.flags.c_contiguous
    assert codes.shape == (len(indices[0]), plan.nbytes(compact))
    for q, back in zip(indices, bits.unpack(codes, plan, compact), strict=True):
        np.testing.assert_array_equal(q, back)


@given(coded())
def test_expand_and_squeeze_turn_one_form_into_the_other(made):
    plan, indices = made
    thermometer = bits.pack(indices, plan, compact=False)
    compact = bits.pack(indices, plan, compact=True)
    np.testing.assert_array_equal(bits.expand(compact, plan), thermometer)
    np.testing.assert_array_equal(bits.squeeze(thermometer, plan), compact)


@given(coded(), st.booleans())
def test_bits_past_the_true_ones_are_zero(made, compact):
    plan, indices = made
    every = np.unpackbits(bits.pack(indices, plan, compact), axis=1)
    assert not every[:, plan.bits(compact) :].any()


# --- what the forms are for -------------------------------------------------------------------


def hamming(a, b):
    return sum((int(x) ^ int(y)).bit_count() for x, y in zip(a, b, strict=True))


@given(plans(), st.integers(0, 2**32 - 1))
def test_hamming_distance_of_thermometer_codes_is_l1_of_level_indices(plan, seed):
    indices = random_indices(plan, 4, seed)
    codes = bits.pack(indices, plan, compact=False)
    flat = np.concatenate(indices, axis=1).astype(int)
    for i in range(4):
        for j in range(4):
            assert hamming(codes[i], codes[j]) == np.abs(flat[i] - flat[j]).sum()


@pytest.mark.parametrize("level", ["0.5", "1", "1.5", "2"])
@pytest.mark.parametrize("compact", [False, True])
def test_a_prefix_of_dims_is_a_prefix_of_the_code(level, compact):
    wide = levels.plan(64, level)
    (q,) = random_indices(wide, 5, 0)
    code = bits.pack([q], wide, compact)
    for dims in range(16, 64, 16):  # 16 dims at half a bit are the first whole byte
        narrow = levels.plan(dims, level)
        prefix = bits.pack([q[:, : narrow.segments[0].values]], narrow, compact)
        np.testing.assert_array_equal(code[:, : narrow.nbytes(compact)], prefix)


def test_hybrid_is_not_a_prefix_of_wider_hybrid():
    wide, narrow = levels.plan(64, "hybrid"), levels.plan(32, "hybrid")
    ones = [
        [np.full((1, s.values), s.level.thresholds // 2, dtype=np.uint8) for s in plan.segments]
        for plan in (wide, narrow)
    ]
    code, short = bits.pack(ones[0], wide, False), bits.pack(ones[1], narrow, False)
    assert code[0, : short.shape[1]].tolist() != short[0].tolist()
