"""The order of codewords, against a list of every (byte, part of it, value)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qama.kernels.layout import CodebookLayout, split_sums, split_terms

layouts = st.integers(0, 9).flatmap(
    lambda nbytes: st.builds(CodebookLayout, st.just(nbytes), st.integers(0, nbytes))
)


def listed(layout):
    """Every codeword in order: its byte, which part of the byte chooses it, by which value."""
    found = []
    for byte in range(layout.nbytes):
        whole = byte < layout.full
        for part in ["byte"] if whole else ["high", "low"]:
            found += [(byte, part, value) for value in range(256 if whole else 16)]
    return found


def part_of(byte, part):
    return {"byte": byte, "high": byte // 16, "low": byte % 16}[part]


@given(layouts)
def test_codewords_are_numbered_in_order(layout):
    every = listed(layout)
    assert layout.codewords == len(every)
    assert [every[first][2] for first in layout.offsets] == [0] * len(layout.offsets)
    ends = [*layout.offsets, layout.codewords][1:]
    assert [1 << bits for bits in layout.bits] == list(np.subtract(ends, layout.offsets))
    assert layout.codebooks == len(layout.bits)
    assert sum(layout.bits) == 8 * layout.nbytes


@given(layouts, st.integers(0, 99))
def test_a_code_chooses_one_codeword_of_each_codebook(layout, seed):
    codes = np.random.default_rng(seed).integers(0, 256, (5, layout.nbytes)).astype(np.uint8)
    every = listed(layout)
    places = list(layout.places(codes))
    assert len(places) == len(layout.bits)
    for row, code in enumerate(codes):
        chosen = [every[place[row]] for place in places]
        assert all(value == part_of(code[byte], part) for byte, part, value in chosen)
        assert sorted({(byte, part) for byte, part, _ in chosen}) == sorted(
            {(byte, part) for byte, part, _ in every}
        )
    by_byte = list(layout.places_of_bytes(codes))
    assert [len(byte) for byte in by_byte] == [1 if b < layout.full else 2 for b in
                                               range(layout.nbytes)]  # fmt: skip
    for place, again in zip(places, [p for byte in by_byte for p in byte], strict=True):
        np.testing.assert_array_equal(place, again)
    np.testing.assert_array_equal(layout.packed(layout.chosen(codes)), codes)


@given(layouts, st.data())
def test_a_prefix_of_a_code_has_the_first_codewords(layout, data):
    start = data.draw(st.integers(0, layout.nbytes))
    stop = data.draw(st.integers(start, layout.nbytes))
    every = listed(layout)
    assert listed(layout.leading(stop)) == every[: layout.leading(stop).codewords]
    assert every[layout.of_bytes(start, stop)] == [c for c in every if start <= c[0] < stop]


@given(layouts)
def test_a_layout_follows_from_the_number_of_codewords(layout):
    assert CodebookLayout.with_bytes(layout.codewords, layout.nbytes) == layout
    assert CodebookLayout.with_full(layout.codewords, layout.full) == layout


@given(layouts, st.sampled_from([0, 1, 2]))
def test_entries_of_later_bytes_are_a_view_by_nibble(layout, axis):
    shape = np.insert([2, 3], axis, layout.codewords)
    entries = np.zeros(shape, np.int32)
    view = layout.later(entries, axis)
    assert view.shape == (*shape[:axis], layout.nbytes - layout.full, 2, 16, *shape[axis + 1 :])
    view[:] = 7
    changed = entries.any(axis=tuple({0, 1, 2} - {axis}))
    assert changed.tolist() == [part != "byte" for _, part, _ in listed(layout)]


@pytest.mark.parametrize("size", [16, 256])
def test_uniform_codebooks_have_one_size(size):
    assert {1 << bits for bits in CodebookLayout.uniform(3, size).bits} == {size}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_split_codewords_are_sums_of_two_terms(axis):
    rng = np.random.default_rng(axis)
    first, second = (rng.integers(-9, 9, np.insert([2, 3], axis, 4)) for _ in "ab")
    sums = np.moveaxis(split_sums(first, second, axis), axis, 0)
    for value, codeword in enumerate(sums):
        i, j = divmod(value, 4)
        np.testing.assert_array_equal(codeword, first.take(i, axis) + second.take(j, axis))
    back = split_terms(np.moveaxis(sums, 0, axis), axis)
    assert not back[1].take(0, axis).any()
    np.testing.assert_array_equal(np.moveaxis(split_sums(*back, axis), axis, 0), sums)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CodebookLayout(3, 4), "full is 4; 0 to 3 of the bytes can be full"),
        (lambda: CodebookLayout(3, -1), "full is -1"),
        (lambda: CodebookLayout.with_bytes(97, 3), "97 codewords do not fill the codebooks of 3"),
        (lambda: CodebookLayout.with_bytes(1024, 3), "1024 codewords"),
        (lambda: CodebookLayout.with_bytes(64, 3), "64 codewords"),
        (lambda: CodebookLayout.with_full(96, 1), "96 codewords do not fill codebooks with 1 full"),
        (lambda: CodebookLayout.with_full(280, 1), "280 codewords"),
    ],
)
def test_layouts_that_no_code_has_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
