"""Byte codes of wide vectors: of what they are in their leading axes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import qama
from qama import Codec, Index, container
from qama.quantizers.additive import axes as wide
from qama.quantizers.additive import fit as additive
from qama.quantizers.additive.axes import Axes
from qama.quantizers.additive.fit import fit_additive
from qama.quantizers.additive.quantizer import AdditiveQuantizer
from qama.quantizers.vectors import unit


def rows(n, d, rank, seed=0):
    """Vectors around a mean in a subspace of some dims, with a little noise in all."""
    space = np.random.default_rng(99)
    turn = np.linalg.qr(space.standard_normal((d, d)))[0].astype(np.float32)
    mean = space.standard_normal(rank)
    random = np.random.default_rng(seed)
    strong = random.standard_normal((n, rank)) * (1 + np.arange(rank)) ** -0.4 + 0.1 * mean
    weak = 0.003 * random.standard_normal((n, d - rank))
    return (np.concatenate([strong, weak], axis=1) @ turn).astype(np.float32)


@pytest.fixture
def small(monkeypatch):
    """Let narrow vectors be wide, and fits be quick."""
    for name, value in {"MOST": 12, "_STEP": 4, "_LEAST": 8, "_WIDE": 64}.items():
        monkeypatch.setattr(wide, name, value)
    monkeypatch.setattr(additive, "_FULL_TURNS", 5)
    monkeypatch.setattr(additive, "_TURNS", dict.fromkeys(additive._TURNS, 5))


# --- which axes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("d", "rank", "count"), [(640, 100, 256), (640, 290, 320)])
def test_axes_hold_nearly_all_energy_and_are_nearly_orthonormal(d, rank, count):
    U = unit(rows(1500, d, rank))
    found = Axes.of(U, np.random.default_rng(0))
    assert (found.dims, found.count) == (d, count)
    A = found.entries / 2**found.power
    assert np.abs(A.T @ A - np.eye(count)).max() < 0.02
    assert (found.projected(U) ** 2).sum() > 0.995 * len(U)
    spread = np.abs(A).max(axis=0) / A.std(axis=0)
    assert spread.max() < 8  # turned at random: no dim dominates an axis


def test_very_wide_vectors_have_no_more_axes_than_a_codec_has_room_for():
    U = unit(np.random.default_rng(0).standard_normal((1500, 1100)).astype(np.float32))
    assert Axes.of(U, np.random.default_rng(0)).count == wide.MOST


@pytest.mark.parametrize("d", [384, 511, 768, 1024])
def test_vectors_that_need_their_dims_keep_them(d):
    U = unit(np.random.default_rng(0).standard_normal((1500, d)).astype(np.float32))
    assert Axes.of(U, np.random.default_rng(0)) is None


# --- exact products -----------------------------------------------------------------------------


def test_projections_are_exact_products_of_whole_numbers():
    U = unit(rows(70, 33, 9))
    axes = Axes(np.random.default_rng(0).integers(-127, 128, (33, 9)).astype(np.int8), 8)
    whole = np.rint(U.astype(float) * 2**14).astype(int)
    wanted = (whole @ axes.entries.astype(int)) / 2**22
    np.testing.assert_array_equal(axes.projected(U), wanted)
    np.testing.assert_array_equal(axes.projected(U[5:6], threads=1), wanted[5:6])
    totals = np.random.default_rng(1).integers(-(2**15), 2**15, (4, 9)).astype(np.int32)
    spread = (totals @ axes.entries.astype(int).T) / 2**8
    np.testing.assert_array_equal(axes.spread(totals), spread)


def test_axes_are_rounded_to_their_nearest_entries():
    A = np.linalg.qr(np.random.default_rng(0).standard_normal((600, 20)))[0].astype(np.float32)
    rounded = Axes.nearest(A)
    error = np.abs(rounded.entries / 2**rounded.power - A).max()
    assert error <= 0.5 / 2**rounded.power + 1e-6
    assert np.abs(rounded.entries).max() > 64  # as fine as a byte allows


# --- codecs -------------------------------------------------------------------------------------


def test_what_lies_outside_of_the_axes_is_all_that_is_lost(small):
    X, Y = rows(2000, 32, 10), unit(rows(300, 32, 10, seed=5))

    def error(coder):
        return ((Y - coder.decode(coder.encode(Y, 12))) ** 2).sum(axis=1).mean()

    projected = fit_additive(X, 12, seed=0, threads=1)
    assert projected.axes.count == 12
    assert projected.codewords.shape[1] == 12
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Axes, "of", lambda U, random: None)
        plain = fit_additive(X, 12, seed=0, threads=1)
    assert plain.axes is None
    assert error(projected) < 1.1 * error(plain)


@pytest.mark.parametrize("bits", [4, 16])
def test_a_codec_of_wide_vectors_does_what_every_codec_does(small, tmp_path, bits):
    X, Q = rows(1500, 32, 10), rows(7, 32, 10, seed=5)
    codec = qama.fit(X, max_bytes=24, codeword_bits=bits, threads=1)
    assert codec.additive.axes.count == 12
    assert codec.dims_in == 32
    codes = codec.encode(X, nbytes=24)
    np.testing.assert_array_equal(codec.encode(X, nbytes=12), codes[:, :12])
    np.testing.assert_array_equal(codec.encode(X[3:5], nbytes=24, threads=1), codes[3:5])
    decoded = codec.decode(codes, nbytes=24)
    assert decoded.shape == X.shape
    cosines = unit(Q) @ unit(decoded).T
    scores = codec.score(Q, codes, nbytes=24)
    assert np.abs(scores - cosines).max() < 0.02  # 8-bit queries, steps of inverse norms
    index = Index(codec, nbytes=24)
    index.add(X)
    found = index.search(Q, 5)
    np.testing.assert_array_equal(found.ids, np.argsort(-scores, axis=1, kind="stable")[:, :5])
    np.testing.assert_array_equal(
        found.scores, np.take_along_axis(scores, found.ids, axis=1), strict=True
    )
    codec.save(tmp_path / "codec")
    assert container.read(tmp_path / "codec", "codec", 6, 1).version == 6
    index.save(tmp_path / "index")
    assert container.read(tmp_path / "index", "index", 9, 1).version == 9
    for again in (Codec.load(tmp_path / "codec"), pickle.loads(pickle.dumps(codec))):
        assert again.fingerprint == codec.fingerprint
        np.testing.assert_array_equal(again.encode(X, nbytes=24), codes)
    with Index.open(tmp_path / "index", mode="a") as again:
        again.partition(4)
        found = again.search(Q, 5, nprobe=4)
        np.testing.assert_array_equal(np.sort(found.scores), np.sort(index.search(Q, 5).scores))


def test_a_fit_from_a_base_keeps_its_axes(small):
    base = qama.fit(rows(1500, 32, 10), max_bytes=12, threads=1)
    refined = qama.fit(rows(1200, 32, 10, seed=3), max_bytes=12, base=base, threads=1)
    assert refined.additive.axes is base.additive.axes
    assert refined.fingerprint != base.fingerprint


# --- parts of files -----------------------------------------------------------------------------


def parts(**changes):
    held = {
        "center": np.zeros(8, np.int16), "words": np.zeros((64, 8), np.int16),
        "lengths": np.ones(2, np.float32), "axes": np.full((20, 8), 129, np.uint8),
        "power": np.array([9], np.int16),
    }  # fmt: skip
    return {f"bytes.{name}": array for name, array in (held | changes).items()}


def test_axes_are_stored_as_bytes():
    read = AdditiveQuantizer.from_parts(parts())
    assert read.axes.entries.tolist() == [[1] * 8] * 20
    assert (read.dims_in, read.axes.power) == (20, 9)
    written = read.parts()[1]
    np.testing.assert_array_equal(written["bytes.axes"], np.full((20, 8), 129, np.uint8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": np.zeros((20, 7), np.uint8)}, r"bytes.axes is uint8 of shape \(20, 7\)"),
        ({"axes": np.zeros((20, 8), np.int16)}, "bytes.axes is int16"),
        ({"axes": np.zeros((7, 8), np.uint8)}, "bytes.axes are 8 of 7 dims"),
        ({"power": np.array([15], np.int16)}, "in units of 2\\^-15"),
        ({"power": np.array([0], np.int16)}, "in units of 2\\^-0"),
        ({"power": np.array([9, 9], np.int16)}, r"bytes.power is int16 of shape \(2,\)"),
    ],
)
def test_axes_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        AdditiveQuantizer.from_parts(parts(**changes))


def test_axes_without_their_power_are_refused():
    held = parts()
    del held["bytes.power"]
    with pytest.raises(KeyError, match="power"):
        AdditiveQuantizer.from_parts(held)
