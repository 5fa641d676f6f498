"""Byte counts of the paper's table, grids, plans, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qama.quantizers.thermometer import levels


@pytest.mark.parametrize(
    ("dims", "level", "thermometer", "compact"),
    [
        (768, "2", 288, 192),
        (768, "1.5", 192, 192),
        (768, "1", 96, 96),
        (768, "hybrid", 156, 132),
        (768, "0.5", 48, 48),
        (384, "2", 144, 96),
        (384, "1.5", 96, 96),
        (384, "1", 48, 48),
        (384, "hybrid", 78, 66),
        (384, "0.5", 24, 24),
        (96, "hybrid", 20, 17),  # 19.5 and 16.5 bytes, rounded up
        (48, "hybrid", 10, 9),  # 9.75 and 8.25
    ],
)
def test_bytes_are_those_of_the_paper(dims, level, thermometer, compact):
    plan = levels.plan(dims, level)
    assert plan.nbytes() == thermometer
    assert plan.nbytes(compact=True) == compact


@pytest.mark.parametrize(
    ("level", "bits_per_dim"), [("2", 3), ("1.5", 2), ("1", 1), ("0.5", 0.5), ("hybrid", 1.625)]
)
def test_true_bits_exclude_padding(level, bits_per_dim):
    for dims in (8, 48, 96, 384):
        assert levels.plan(dims, level).bits() == bits_per_dim * dims


@pytest.mark.parametrize(
    ("d", "grid"),
    [
        (256, (256, 128, 88, 64, 32)),
        (384, (384, 192, 128, 96, 48)),
        (768, (768, 384, 256, 192, 96)),
        (16, (16, 8)),
        (8, (8,)),
    ],
)
def test_the_grid_of_prefixes(d, grid):
    assert levels.dims_grid(d) == grid


def test_hybrid_has_its_quarters_in_order():
    segments = levels.plan(384, "hybrid").segments
    assert [(s.level.name, s.start, s.stop) for s in segments] == [
        ("2", 0, 96),
        ("1.5", 96, 192),
        ("1", 192, 288),
        ("0.5", 288, 384),
    ]


def test_the_quarters_of_hybrid_move_with_its_dims():
    narrow, wide = levels.plan(192, "hybrid"), levels.plan(384, "hybrid")
    assert narrow.segments[0].stop == 48
    assert wide.segments[0].stop == 96


def test_a_share_of_nothing_leaves_its_segment_out():
    plan = levels.plan(64, "hybrid", (0.5, 0, 0.5, 0))
    assert [(s.level.name, s.start, s.stop) for s in plan.segments] == [("2", 0, 32), ("1", 32, 64)]
    assert plan.bits() == 3 * 32 + 32


@given(
    st.integers(1, 96).map(lambda i: 8 * i),
    st.lists(st.integers(0, 20), min_size=4, max_size=4).filter(any),
)
def test_segments_cover_every_dim_once_and_never_cut_a_pair(dims, weights):
    shares = levels.check_fractions([w / sum(weights) for w in weights])
    segments = levels.plan(dims, "hybrid", shares).segments
    covered = [dim for s in segments for dim in range(s.start, s.stop)]
    assert covered == list(range(dims))
    assert all(s.start % 2 == 0 and s.stop % 2 == 0 for s in segments)


@given(st.integers(1, 128).map(lambda i: 8 * i))
def test_a_grid_falls_from_all_dims_to_an_eighth_in_whole_bytes(d):
    grid = levels.dims_grid(d)
    assert grid[0] == d
    assert list(grid) == sorted(set(grid), reverse=True)
    assert all(dims % 8 == 0 for dims in grid)
    assert d / 8 <= grid[-1] < d / 8 + 8


@pytest.mark.parametrize(
    ("given_as", "name"),
    [(2, "2"), (1.0, "1"), (1.5, "1.5"), (0.5, "0.5"), ("hybrid", "hybrid"),
     (np.int64(2), "2"), (np.float32(1.5), "1.5")],
)  # fmt: skip
def test_a_level_is_a_name_or_a_number(given_as, name):
    assert levels.level_name(given_as) == name


@pytest.mark.parametrize("level", [3, "4", "", None, True, float("nan"), "Hybrid", [2]])
def test_an_unknown_level_is_refused_with_the_list(level):
    with pytest.raises(ValueError, match=r"level is .*'0\.5', '1', '1\.5', '2', 'hybrid'"):
        levels.level_name(level)


@pytest.mark.parametrize(
    "shares",
    [(1,), (0.5, 0.5), (0.5, 0.5, 0.5, -0.5), (0.3,) * 4, (np.nan,) * 4, 1, None, "abcd", "1000",
     [None] * 4],
)  # fmt: skip
def test_fractions_that_are_no_shares_are_refused(shares):
    with pytest.raises(ValueError, match=r"fractions is .* sum to 1"):
        levels.check_fractions(shares)


@pytest.mark.parametrize(("d", "wide"), [(100, 104), (7, 8), (0, 8), (-8, 8), (385, 392)])
def test_dims_that_do_not_divide_are_refused_with_advice(d, wide):
    with pytest.raises(ValueError, match=f"dims is {d}, .* zero columns up to {wide}"):
        levels.check_dims(d, "dims")
