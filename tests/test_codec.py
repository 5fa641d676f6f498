"""The codec: files, codes, scores, refusals."""

from __future__ import annotations

import copy
import json
import multiprocessing
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import mixture
from hypothesis import given, settings
from hypothesis import strategies as st

from qama import Codec, FormatError, Index, container
from qama.quantizers.protocol import fingerprint
from qama.quantizers.thermometer import levels
from qama.quantizers.thermometer.bits import unpack
from qama.quantizers.thermometer.quantizer import ThermometerQuantizer
from qama.quantizers.thermometer.transform import Linear

GOLDEN = Path(__file__).parent / "golden"
PLAIN = ("preset", "transform", "dims", "fractions")  # what of meta the fingerprint covers
CELLS = [(dims, level) for dims in (32, 16, 8) for level in levels.LEVEL_NAMES]


def golden_codec():
    """Eight dims, the levels 1 and 2, made by hand: nothing in it is fitted."""
    w = np.eye(8, dtype=np.float32)[::-1].copy()
    thresholds = {
        "1": np.zeros((8, 1), dtype=np.float32),
        "2": np.tile(np.array([-1, 0, 1], dtype=np.float32), (8, 1)),
    }
    reconstruction = {
        "1": np.tile(np.array([[-1], [1]], dtype=np.float32), (8, 1, 1)),
        "2": np.tile(np.array([[-2], [-0.5], [0.5], [2]], dtype=np.float32), (8, 1, 1)),
    }
    grid = ThermometerQuantizer(Linear(w), thresholds, reconstruction, None, (8,))
    return Codec(thermometer=grid, preset="by hand", facts={"seed": 0})


def golden_rows():
    return np.array([[8, -8, 1, -1, 4, -4, 0, 0], [0] * 8, [1] * 8], dtype=np.float32)


# --- files ------------------------------------------------------------------------------------


def test_the_golden_codec_is_read_and_encodes_literal_bytes():
    codec = Codec.load(GOLDEN / "codec.qama")
    assert codec.fingerprint == "d93863eb0f8c96ee"
    # z is x reversed with length sqrt(8): 0 0 -0.89 0.89 -0.22 0.22 -1.79 1.79
    assert codec.encode(golden_rows(), dims=8, level="1").tolist() == [[0b00010101], [0], [255]]
    thermometer = codec.encode(golden_rows(), dims=8, level="2")
    assert thermometer.tolist() == [
        [0b00100100, 0b10110010, 0b11000111],
        [0b00100100, 0b10010010, 0b01001001],
        [0b01101101, 0b10110110, 0b11011011],
    ]
    compact = codec.encode(golden_rows(), dims=8, level="2", compact=True)
    assert compact.tolist() == [
        [0b01010110, 0b01100011],
        [0b01010101, 0b01010101],
        [0b10101010, 0b10101010],
    ]


def test_saving_gives_the_golden_bytes(tmp_path):
    golden_codec().save(tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == (GOLDEN / "codec.qama").read_bytes()


@pytest.mark.parametrize("name", ["codec.qama", "codec", "a b.npy", ".hidden", "ü.txt"])
def test_a_loaded_codec_is_the_saved_one_under_any_name(any_codec, rows, tmp_path, name):
    any_codec.save(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    loaded = Codec.load(str(tmp_path / name))
    assert loaded.fingerprint == any_codec.fingerprint
    assert loaded.facts == any_codec.facts
    assert (loaded.preset, loaded.dims, loaded.levels, loaded.dims_in) == (
        any_codec.preset, any_codec.dims, any_codec.levels, any_codec.dims_in,
    )  # fmt: skip
    for dims, level in CELLS:
        np.testing.assert_array_equal(
            loaded.encode(rows, dims=dims, level=level),
            any_codec.encode(rows, dims=dims, level=level),
        )


def test_a_process_that_cannot_import_torch_loads_and_encodes_the_same(
    any_codec, rows, queries, tmp_path
):
    any_codec.save(tmp_path / "codec")
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "queries.npy", queries)
    program = """
import sys
sys.modules["torch"] = None
import numpy as np, qama
folder = sys.argv[1]
codec = qama.Codec.load(folder + "/codec")
rows, queries = np.load(folder + "/rows.npy"), np.load(folder + "/queries.npy")
index = qama.Index(codec, dims=16, level="2")
index.add(rows)
np.save(folder + "/ids.npy", index.search(queries, 5).ids)
np.save(folder + "/codes.npy", codec.encode(rows, dims=32, level="hybrid"))
try:
    qama.fit(rows, codes="grid")
except qama.MissingExtraError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == 'fitting grid codes needs PyTorch: pip install "qama[train]"'
    expected = any_codec.encode(rows, dims=32, level="hybrid")
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), expected)
    assert np.load(tmp_path / "ids.npy").shape == (20, 5)


def test_the_fingerprint_changes_with_every_part(paper_codec):
    grid = paper_codec.thermometer
    first = paper_codec.fingerprint
    assert len(first) == 16
    assert int(first, 16) >= 0
    others = [
        replace(paper_codec, thermometer=replace(grid, dims=(32, 16))),
        replace(paper_codec, thermometer=replace(grid, fractions=(0.5, 0.5, 0, 0))),
        replace(paper_codec, preset="another"),
    ]
    meta, arrays = paper_codec._parts()
    for name in arrays:
        parts = {n: np.array(a) for n, a in arrays.items()}
        flat = parts[name].reshape(-1)
        flat[-1] += 1
        others.append(Codec(thermometer=ThermometerQuantizer.from_parts(meta, parts)))
    assert len({first, *(other.fingerprint for other in others)}) == 1 + len(others)


def test_facts_do_not_change_the_fingerprint(codec):
    assert replace(codec, facts={}).fingerprint == codec.fingerprint


def test_facts_are_plain_json(any_codec):
    assert json.loads(json.dumps(any_codec.facts))["rows"] == 300


# --- damaged files ----------------------------------------------------------------------------


def test_truncated_anywhere(tmp_path):
    path = tmp_path / "x"
    raw = (GOLDEN / "codec.qama").read_bytes()
    for length in range(0, len(raw), 7):  # every byte: see test_container
        path.write_bytes(raw[:length])
        with pytest.raises(FormatError):
            Codec.load(path)


def test_any_flipped_bit_is_refused_or_lies_in_padding(tmp_path):
    path = tmp_path / "x"
    raw = bytearray((GOLDEN / "codec.qama").read_bytes())
    first = Codec.load(GOLDEN / "codec.qama").fingerprint
    harmless = 0
    for at in range(0, len(raw), 5):
        raw[at] ^= 1 << at % 8
        path.write_bytes(raw)
        try:
            assert Codec.load(path).fingerprint == first
            harmless += 1
        except FormatError:
            pass
        raw[at] ^= 1 << at % 8
    assert harmless < 64 * 6 / 5  # zeros between the sections


def write_codec(path, meta=None, arrays=None, *, drop=()):
    """Write a codec file with parts changed and a header that fits them."""
    codec = golden_codec()
    stored_meta, stored = codec.parts()
    stored_meta |= meta or {}
    stored |= {name: np.asarray(array) for name, array in (arrays or {}).items()}
    container.write(
        path, "codec", 1,
        {k: v for k, v in stored_meta.items() if k not in drop},
        {k: v for k, v in stored.items() if k not in drop},
    )  # fmt: skip
    return path


@pytest.mark.parametrize(
    "damage",
    [
        {"drop": ["preset"]}, {"drop": ["fingerprint"]}, {"drop": ["dims"]},
        {"drop": ["transform"]},
        {"drop": ["fractions"]}, {"drop": ["transform.w"]}, {"drop": ["centers.1"]},
        {"drop": ["thresholds.1"]}, {"drop": ["thresholds.1", "thresholds.2"]},
        {"meta": {"fingerprint": "0" * 16}}, {"meta": {"fingerprint": 3}},
        {"meta": {"preset": "another"}}, {"meta": {"transform": "feedforward"}},
        {"meta": {"transform": ["linear"]}}, {"meta": {"dims": 8}}, {"meta": {"dims": []}},
        {"meta": {"dims": [16, 8]}}, {"meta": {"dims": ["8"]}}, {"meta": {"dims": [8.0]}},
        {"meta": {"dims": [2**70]}}, {"meta": {"dims": None}}, {"meta": {"fractions": [1]}},
        {"meta": {"fractions": [10**400, 0, 0, 0]}}, {"meta": {"fractions": "1000"}},
        {"meta": {"facts": [1]}}, {"meta": {"facts": 3}},
        {"arrays": {"transform.w": np.zeros((8, 4), np.float32)}},
        {"arrays": {"transform.w": np.zeros(8, np.float32)}},
        {"arrays": {"transform.w": np.zeros((0, 0), np.float32)}},
        {"arrays": {"thresholds.1": np.zeros((8, 2), np.float32)}},
        {"arrays": {"thresholds.3": np.zeros((8, 4), np.float32)}},
        {"arrays": {"centers.1": np.zeros((8, 2), np.float32)}},
        {"arrays": {"pair.w1": np.zeros((8, 2), np.float32)}},
        {"arrays": {"pair.extra": np.zeros(8, np.float32)}},
    ],
    ids=repr,
)  # fmt: skip
def test_parts_that_do_not_fit_each_other(tmp_path, damage):
    with pytest.raises(FormatError):
        Codec.load(write_codec(tmp_path / "x", **damage))


def test_an_index_is_not_a_codec(tmp_path):
    container.write(tmp_path / "x", "index", 1, {}, {})
    with pytest.raises(FormatError, match="holds a qama 'index'; this needs a 'codec'"):
        Codec.load(tmp_path / "x")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Codec.load(tmp_path / "nothing")


# --- encoding ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("dims", "level"), CELLS)
@pytest.mark.parametrize("compact", [False, True])
def test_codes_are_dense_bytes_of_the_planned_length(any_codec, rows, dims, level, compact):
    codes = any_codec.encode(rows, dims=dims, level=level, compact=compact)
    assert codes.dtype == np.uint8
    assert codes.flags.c_contiguous
    assert codes.shape == (len(rows), levels.plan(dims, level).nbytes(compact))


@pytest.mark.parametrize("level", ["0.5", "1", "1.5", "2"])
def test_a_prefix_of_dims_is_a_prefix_of_the_bytes(any_codec, rows, level):
    wide = any_codec.encode(rows, dims=32, level=level)
    narrow = any_codec.encode(rows, dims=16, level=level)
    np.testing.assert_array_equal(wide[:, : narrow.shape[1]], narrow)


@pytest.mark.parametrize("part", [slice(0, 1), slice(17, 18), slice(3, 50), slice(None, None, 7)])
@pytest.mark.parametrize("level", ["1", "1.5", "2"])
def test_codes_of_a_slice_are_the_slice_of_codes(any_codec, rows, part, level):
    """Products of other shapes round differently: only a value on a threshold may differ."""
    plan = levels.plan(32, level)
    (q,) = unpack(any_codec.encode(rows, dims=32, level=level)[part], plan, compact=False)
    (again,) = unpack(any_codec.encode(rows[part], dims=32, level=level), plan, compact=False)
    thresholds = any_codec.thermometer.thresholds[level]
    distance = np.abs(any_codec.transform(rows[part])[:, :, None] - thresholds).min(axis=2)
    np.testing.assert_array_equal(q[distance > 1e-5], again[distance > 1e-5])
    on_threshold = (distance <= 1e-5).sum()  # rare, though thresholds lie on rows of the fit
    assert on_threshold <= max(1, 0.02 * distance.size)


def test_the_length_of_a_vector_and_its_float_type_do_not_matter(any_codec, rows):
    halves = rows.astype(np.float16)
    expected = any_codec.encode(halves.astype(np.float32), dims=32, level="2")
    for same in (halves, halves.astype(np.float64), halves.astype(np.float32) * 1024):
        np.testing.assert_array_equal(any_codec.encode(same, dims=32, level="2"), expected)
    strided = np.asfortranarray(halves.astype(np.float32))
    np.testing.assert_array_equal(any_codec.encode(strided, dims=32, level="2"), expected)


@pytest.mark.parametrize("level", levels.LEVEL_NAMES)
def test_zero_vectors_encode_and_score_without_nan(any_codec, rows, level):
    X = rows[:5].copy()
    X[2] = 0
    codes = any_codec.encode(X, dims=16, level=level)
    for scorer in ("asymmetric", "hamming"):
        scores = any_codec.score(X, codes, dims=16, level=level, scorer=scorer)
        assert np.isfinite(scores).all()
    assert not any_codec.score(X, codes, dims=16, level=level)[2].any()


def test_transform_returns_prefixes_of_rows_of_length_sqrt_d(any_codec, rows):
    Z = any_codec.transform(rows)
    np.testing.assert_allclose(np.linalg.norm(Z, axis=1), np.sqrt(32), rtol=1e-5)
    np.testing.assert_array_equal(any_codec.transform(rows, dims=16), Z[:, :16])


# --- scoring ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("dims", "level"), CELLS)
def test_hamming_scores_are_one_minus_distance_over_true_bits(
    any_codec, rows, queries, dims, level
):
    codes = any_codec.encode(rows[:30], dims=dims, level=level)
    asked = any_codec.encode(queries, dims=dims, level=level)
    distances = np.bitwise_count(asked[:, None, :] ^ codes[None]).sum(axis=2)
    expected = (1 - distances / levels.plan(dims, level).bits()).astype(np.float32)
    for compact in (False, True):
        given_codes = any_codec.encode(rows[:30], dims=dims, level=level, compact=compact)
        found = any_codec.score(
            queries, given_codes, dims=dims, level=level, scorer="hamming", compact=compact
        )
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("dims", "level"), CELLS)
def test_compact_codes_score_as_thermometer_codes(any_codec, rows, queries, dims, level):
    cell = {"dims": dims, "level": level}
    found = any_codec.score(queries, any_codec.encode(rows, **cell), **cell)
    compact = any_codec.encode(rows, compact=True, **cell)
    np.testing.assert_array_equal(any_codec.score(queries, compact, compact=True, **cell), found)
    assert found.dtype == np.float32
    assert found.shape == (20, 300)


def test_no_codes_have_no_scores(codec, queries):
    codes = np.zeros((0, 12), dtype=np.uint8)
    for scorer in ("asymmetric", "hamming"):
        assert codec.score(queries, codes, dims=32, level="2", scorer=scorer).shape == (20, 0)


def test_asymmetric_scores_follow_the_cosine_closer_than_hamming(codec, rows, queries):
    unit = [X / np.linalg.norm(X, axis=1, keepdims=True) for X in (queries, rows)]
    cosine = (unit[0] @ unit[1].T).ravel()
    codes = codec.encode(rows, dims=32, level="2")
    follows = {
        scorer: np.corrcoef(
            codec.score(queries, codes, dims=32, level="2", scorer=scorer).ravel(), cosine
        )[0, 1]
        for scorer in ("asymmetric", "hamming")
    }
    assert follows["asymmetric"] > follows["hamming"] > 0.5


# --- refusals ---------------------------------------------------------------------------------


def with_value(value):
    X = mixture(4, 32).astype(np.float64)
    X[2, 5] = value
    return X


BAD_VECTORS = [
    (with_value(np.nan), r"X\[2, 5\] is nan; every value must be finite"),
    (with_value(-np.inf), r"X\[2, 5\] is -inf"),
    (with_value(1e300), r"X\[2, 5\] is 1e\+300; .* float32"),
    (mixture(4, 32) * np.float64([[1], [1], [1e-60], [0]]), r"X\[2\] has values of at most"),
    (np.zeros((4, 24), np.float32), r"X has 24 columns; this codec was fitted on 32"),
    (np.zeros(32, np.float32), r"X has one axis of 32; give \(rows, dims\)"),
    (np.zeros((2, 2, 32), np.float32), r"X has 3 axes; give 2"),
    (np.zeros((4, 32), np.int64), r"X has dtype int64; give floats"),
    (np.zeros((4, 32), np.bool_), r"X has dtype bool; give floats"),
    (np.zeros((4, 32), np.complex64), r"X has dtype complex64"),
    (np.array([["a"] * 32]), r"X has dtype <U1"),
    (np.float32(3), r"X has 0 axes"),
]


@pytest.mark.parametrize(("X", "message"), BAD_VECTORS, ids=[m for _, m in BAD_VECTORS])
def test_unfitting_vectors_are_refused_by_name(codec, X, message):
    with pytest.raises(ValueError, match=message):
        codec.encode(X, dims=32, level="2")
    with pytest.raises(ValueError, match=message):
        codec.transform(X)
    with pytest.raises(ValueError, match=message.replace("X", "Q", 1)):
        codec.score(X, np.zeros((1, 12), np.uint8), dims=32, level="2")


def test_a_bad_value_far_down_is_named_by_its_own_row(codec, monkeypatch):
    monkeypatch.setattr("qama.checks.chunks.__defaults__", (50,))
    X = mixture(300, 32)
    X[277, 3] = np.nan
    with pytest.raises(ValueError, match=r"X\[277, 3\] is nan"):
        codec.encode(X, dims=32, level="2")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"dims": 24, "level": "2"}, r"dims is 24; choose one of 32, 16, 8"),
        ({"dims": 0, "level": "2"}, r"dims is 0"),
        ({"dims": 16.0, "level": "2"}, r"dims is 16\.0"),
        ({"level": "3"}, r"level is '3'; choose one of"),
        ({"level": 4}, r"level is '4'; choose one of '0\.5', '1', '1\.5', '2', 'hybrid'"),
        ({"nbytes": 12}, r"nbytes is 12, .*give dims from \[32, 16, 8\] and level from"),
    ],
)
def test_codes_that_the_codec_lacks_are_refused_with_what_it_has(paper_codec, rows, cell, message):
    with pytest.raises(ValueError, match=message):
        paper_codec.encode(rows, **cell)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((3, 11), np.uint8), "codes has 11 bytes a row; this code has 12"),
        (np.zeros(12, np.uint8), "codes is uint8 with 1 axes"),
        (np.zeros((3, 12), np.int64), "codes is int64 with 2 axes"),
    ],
)
def test_unfitting_codes_are_refused(codec, queries, codes, message):
    with pytest.raises(ValueError, match=message):
        codec.score(queries, codes, dims=32, level="2")


def test_an_unknown_scorer_is_refused(codec, queries):
    codes = np.zeros((3, 12), np.uint8)
    with pytest.raises(ValueError, match="scorer is 'cosine'; choose one of 'hamming', 'asymm"):
        codec.score(queries, codes, dims=32, level="2", scorer="cosine")


@given(st.integers(-3, 40), st.sampled_from([*levels.LEVEL_NAMES, "3", "x", 2, 1.5, None]))
@settings(deadline=None, max_examples=60)
def test_every_cell_either_encodes_or_is_refused_with_a_list(dims, level):
    codec = golden_codec()
    fits = dims == 8 and level in ("1", "2", 2, None)
    if fits:
        assert len(codec.encode(golden_rows(), dims=dims, level=level)) == 3
    else:
        with pytest.raises(ValueError, match=r"choose one of|give a whole number"):
            codec.encode(golden_rows(), dims=dims, level=level)


# --- every part of a file is what the format says ----------------------------------------------


def all_parts():
    codec = Codec.load(GOLDEN / "codec-all.qama")
    return codec.parts()


def spoilt(array):
    """Yield what a stranger's file may hold in an array's place."""
    yield array.astype(np.float64)
    yield array.astype(np.uint8)
    yield array[:-1]
    if array.dtype.kind == "f":
        for value in (np.nan, np.inf, -np.inf):
            other = array.copy()
            other.flat[-1] = value
            yield other


@pytest.mark.parametrize("name", sorted(all_parts()[1]))
def test_an_array_of_another_dtype_or_shape_or_not_finite_is_refused(tmp_path, name):
    meta, arrays = all_parts()
    for array in spoilt(arrays[name]):
        changed = {**arrays, name: array}
        told = {**meta, "fingerprint": fingerprint({k: meta[k] for k in PLAIN}, changed)}
        container.write(tmp_path / "x", "codec", 2, told, changed)
        with pytest.raises(FormatError, match="inconsistent"):
            Codec.load(tmp_path / "x")


@pytest.mark.parametrize("name", ["thresholds.1.5", "thresholds.2"])
def test_thresholds_may_come_in_any_order(tmp_path, name):
    meta, arrays = all_parts()
    changed = {**arrays, name: np.ascontiguousarray(arrays[name][:, ::-1])}
    told = {**meta, "fingerprint": fingerprint({k: meta[k] for k in PLAIN}, changed)}
    container.write(tmp_path / "x", "codec", 2, told, changed)
    first, other = Codec.load(GOLDEN / "codec-all.qama"), Codec.load(tmp_path / "x")
    X, level = mixture(50, first.dims_in), name.removeprefix("thresholds.")
    np.testing.assert_array_equal(other.encode(X, level=level), first.encode(X, level=level))


# --- copies ------------------------------------------------------------------------------------


def copies():
    return [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]


@pytest.mark.parametrize("copied", copies(), ids=["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("name", ["byte_codec", "bytes_codec"])
def test_a_used_codec_can_be_copied_and_pickled(request, rows, copied, name):
    byte_codec = request.getfixturevalue(name)
    codes = byte_codec.encode(rows, nbytes=16)
    byte_codec.score(rows[:2], codes, nbytes=16)  # what was prepared for it cannot be pickled
    again = copied(byte_codec)
    assert again.fingerprint == byte_codec.fingerprint
    assert again.facts == byte_codec.facts
    np.testing.assert_array_equal(again.encode(rows, nbytes=16), codes)


def _encoded(codec, X):
    return codec.encode(X, nbytes=16)


def test_a_process_pool_can_be_given_a_codec(byte_codec, rows):
    expected = byte_codec.encode(rows, nbytes=16)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(_encoded, (byte_codec, rows))
    np.testing.assert_array_equal(found, expected)


# --- a codec that opens can be written again ---------------------------------------------------


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


EDGES = {
    "length": [{"model": "m" * (container.MAX_HEADER - 2**16 + spare)} for spare in (-600, 0)],
    "length escaped": [{"model": "\u00e9" * n} for n in (163_000, 164_000)],
    "depth": [{"x": nested(n)} for n in (30, 31)],
}


@pytest.mark.parametrize("edge", EDGES)
def test_facts_that_open_can_be_written_again_in_an_index_too(tmp_path, edge):
    most, beyond = EDGES[edge]
    replace(golden_codec(), facts=most).save(tmp_path / "x")
    again = Codec.load(tmp_path / "x")
    again.save(tmp_path / "y")
    for kind in (
        Index(again, dims=8, level="2"),
        Index(again, dims=8, level="2", nlist=2),
    ):
        kind.add(mixture(50, 8))
        kind.save(tmp_path / "z")
        assert type(kind).open(tmp_path / "z").codec.facts == most
    with pytest.raises(ValueError, match="facts cannot be stored"):
        replace(golden_codec(), facts=beyond).save(tmp_path / "x")
    assert Codec.load(tmp_path / "x").facts == most


@pytest.mark.parametrize("edge", EDGES)
def test_a_strangers_codec_that_could_not_be_written_again_is_refused(tmp_path, edge):
    with pytest.raises(FormatError, match="facts cannot be stored"):
        Codec.load(write_codec(tmp_path / "x", meta={"facts": EDGES[edge][1]}))
