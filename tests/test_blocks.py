"""Codes in blocks with the leading bytes apart: what is written is read, whatever the pieces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qama import checks, kernels
from qama.search.rows.blocks import Blocks, blocks_of, from_arrays


def some_codes(rows, columns, seed=0):
    return np.random.default_rng(seed).integers(1, 256, (rows, columns), dtype=np.uint8)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 150), max_size=6), st.integers(1, 20), st.integers(1, 20))
def test_rows_written_in_pieces_are_those_written_at_once(pieces, columns, leading):
    leading = min(leading, columns)
    codes = some_codes(sum(pieces), columns)
    held, row = Blocks.zeros(0, columns, leading), 0
    for count in pieces:
        held = held.room_for(row + count)
        held.write(codes[row : row + count], row)
        row += count
    used = held[: blocks_of(row)]
    assert (used.rest is None) == (leading == columns)
    np.testing.assert_array_equal(used.codes(row), codes)
    np.testing.assert_array_equal(used.codes(row, leading), codes[:, :leading])
    np.testing.assert_array_equal(used.apart(columns).leading, kernels.to_blocks(codes))
    np.testing.assert_array_equal(Blocks.of(codes, leading).codes(row, 1), codes[:, :1])


def test_rows_are_read_piece_by_piece_and_parted_anew():
    codes = some_codes(2 * checks.CHUNK_ROWS + 65, 5)
    held = Blocks.of(codes, 2)
    np.testing.assert_array_equal(held.codes(len(codes)), codes)
    np.testing.assert_array_equal(held.codes(len(codes), 4), codes[:, :4])
    other = held.apart(4)
    assert [part.shape[1] for part in other.parts] == [4, 1]
    assert len(other) == len(held)
    np.testing.assert_array_equal(other.codes(len(codes)), codes)
    assert held.apart(2) is held


def test_zeros_follow_the_last_row_only_in_copies():
    held = Blocks.of(some_codes(128, 5), 2)
    assert held.has_behind(70)
    padded = held.padded(70)
    assert not padded.has_behind(70)
    np.testing.assert_array_equal(padded.codes(70), held.codes(70))
    assert held.codes(128)[70:].all()
    assert held.padded(128) is held


def test_a_checksum_depends_on_every_part():
    held = Blocks.of(some_codes(300, 5), 2)
    before = held.checksum(0, 2), held.checksum(2, 5)
    held.rest[1, 0, 3] ^= 1
    assert held.checksum(0, 2) != before[0]
    assert held.checksum(2, 5) == before[1]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"blocks": np.zeros((2, 3, 64), np.uint8)}, "3 bytes a code; codes have 5"),
        ({"blocks": np.zeros((1, 5, 64), np.uint8)}, r"of shape \(1, 5, 64\) for 70 rows"),
        ({"blocks": np.zeros((2, 5, 64), np.int8)}, "blocks are int8"),
        ({"blocks": np.zeros(2, np.uint8)}, "of shape"),
        (
            {"blocks": np.zeros((2, 5, 64), np.uint8), "rest": np.zeros((2, 0, 64), np.uint8)},
            r"of shape \(2, 0, 64\)",
        ),
    ],
)
def test_unfitting_sections_are_refused(arrays, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(arrays, 70, 5)
