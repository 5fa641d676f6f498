"""The grid of (dims, level): cells, reconstruction values, weights of queries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import mixture

from qama.quantizers import scoring
from qama.quantizers.thermometer import levels
from qama.quantizers.thermometer.quantize import digitize, quantile_thresholds
from qama.quantizers.thermometer.quantizer import PairNet, ThermometerQuantizer
from qama.quantizers.thermometer.transform import Linear, apply

D = 16


def made(names=tuple(levels.LEVELS), dims=(16, 8)):
    """A coder without training: identity, quantile thresholds, dim pairs valued z_2i + z_2i+1."""
    X = mixture(200, D)
    adapter = Linear(np.eye(D, dtype=np.float32))
    w1 = np.array([[1, 1], [-1, -1]], dtype=np.float32)
    pair = PairNet(w1, np.zeros(2, dtype=np.float32), np.array([1, -1], dtype=np.float32))
    Z = apply(adapter, X)
    values = {"0.5": pair(Z)}
    thresholds = {
        name: quantile_thresholds(values.get(name, Z), levels.LEVELS[name].thresholds)
        for name in names
    }
    coder = ThermometerQuantizer(adapter, thresholds, {}, pair if "0.5" in names else None, dims)
    return coder.with_reconstruction(X), X, Z


def test_the_pair_network_adds_its_two_coordinates_here():
    coder, _, Z = made()
    np.testing.assert_allclose(coder.pair_net(Z), Z[:, 0::2] + Z[:, 1::2], atol=1e-5)


def test_hybrid_comes_with_all_four_levels_only():
    assert made()[0].levels == ("0.5", "1", "1.5", "2", "hybrid")
    assert made(("1", "2"))[0].levels == ("1", "2")


def test_the_defaults_are_all_dims_and_the_most_precise_level():
    code = made()[0].code(None, None)
    assert (code.dims, code.level) == (16, "2")
    assert made(("0.5", "1"))[0].code(None, None).level == "1"


@pytest.mark.parametrize(
    ("dims", "level", "message"),
    [
        (12, "2", r"dims is 12; choose one of 16, 8"),
        (0, "2", r"dims is 0"),
        (8.0, "2", r"dims is 8\.0; give a whole number"),
        (True, "2", r"dims is True"),
        (8, "1.5", r"level is '1\.5'; choose one of '1', '2'"),
        (8, "hybrid", r"level is 'hybrid'; choose one of '1', '2'"),
        (8, 3, r"level is '3'"),
    ],
)
def test_cells_outside_the_grid_are_refused_with_the_list(dims, level, message):
    with pytest.raises(ValueError, match=message):
        made(("1", "2"))[0].code(dims, level)


def test_indices_are_those_of_each_segment():
    coder, _, Z = made()
    code = coder.code(16, "hybrid")
    found = code.indices(Z)
    for q, segment in zip(found, code.plan.segments, strict=True):
        name, group = segment.level.name, segment.level.group
        every = digitize(coder.values(Z, segment.level), coder.thresholds[name])
        expected = every[:, segment.start // group : segment.stop // group]
        np.testing.assert_array_equal(q, expected)


@pytest.mark.parametrize("level", ["0.5", "1", "1.5", "2"])
def test_narrow_codes_are_prefixes_of_wide_ones(level):
    coder, X, _ = made()
    wide, narrow = coder.code(16, level), coder.code(8, level)
    assert wide.prefixes() == [narrow]
    assert narrow.prefixes() == []
    bits = [np.unpackbits(c.encode(X), axis=1, count=c.similarity_bits) for c in (wide, narrow)]
    np.testing.assert_array_equal(bits[0][:, : bits[1].shape[1]], bits[1])


def test_hybrid_has_no_prefixes():
    assert made()[0].code(16, "hybrid").prefixes() == []


@pytest.mark.parametrize("level", ["0.5", "1", "1.5", "2"])
def test_reconstruction_values_are_the_means_of_z_by_state(level):
    coder, _, Z = made()
    kind = levels.LEVELS[level]
    q = digitize(coder.values(Z, kind), coder.thresholds[level])
    reconstruction = coder.reconstruction[level]
    assert reconstruction.shape == (D // kind.group, kind.thresholds + 1, kind.group)
    grouped = Z.reshape(len(Z), -1, kind.group)
    for value in range(q.shape[1]):
        for state in range(kind.thresholds + 1):
            mean = grouped[q[:, value] == state, value].mean(axis=0)
            np.testing.assert_allclose(reconstruction[value, state], mean, atol=1e-5)


def test_a_state_without_rows_has_its_reconstruction_value_at_zero():
    coder, X, _ = made(("1",))
    never = {"1": np.full((D, 1), 100, dtype=np.float32)}
    reconstruction = replace(coder, thresholds=never).with_reconstruction(X).reconstruction["1"]
    assert not reconstruction[:, 1].any()
    assert np.isfinite(reconstruction).all()


@pytest.mark.parametrize("level", levels.LEVEL_NAMES)
@pytest.mark.parametrize("dims", [16, 8])
def test_a_score_estimates_the_cosine_of_the_query_and_the_decoded_code(level, dims):
    coder, X, Z = made()
    code = coder.code(dims, level)
    Q = mixture(10, D, seed=1)
    decoded = np.zeros((len(Z), dims))
    for q, s in zip(code.indices(Z), code.plan.segments, strict=True):
        group = s.level.group
        reconstruction = coder.reconstruction[s.level.name][s.start // group : s.stop // group]
        for value in range(s.values):
            at = s.start + value * group
            decoded[:, at : at + group] = reconstruction[value][q[:, value]]
    z = apply(coder.transform, Q)[:, :dims].astype(np.float64)
    lengths = np.linalg.norm(z, axis=1)[:, None] * np.linalg.norm(decoded, axis=1)
    stored = code.encode(X, compact=True)
    steps = code.inverse_norm_indices(stored)
    found = scoring.scores(code.query_tables(Q), stored, code.inverse_norm_steps[steps])
    within = (steps > 0) & (steps < 255)  # shorter decodings than the last step's are clamped
    assert within.mean() > 0.98
    # steps are 0.5 % apart, weights are rounded to 12 bits
    expected = (z @ decoded.T / lengths)[:, within]
    np.testing.assert_allclose(found[:, within], expected, atol=5e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"thresholds": {}}, "levels are"),
        ({"thresholds": {"3": np.zeros((16, 1))}}, "levels are"),
        ({"thresholds": {"1": np.zeros((8, 1))}}, r"thresholds\.1 is float64 of shape \(8, 1\)"),
        ({"calibration_scales": {"2": np.ones(2)}}, r"calibration scales are of levels \['2'\]"),
        ({"calibration_scales": {"1": np.ones(3)}}, r"slopes\.1 is float64 of shape \(3,\)"),
        ({"calibration_scales": {"1": np.array([1, 0], np.float32)}}, "each must be above 0"),
        (
            {"reconstruction": {"1": np.zeros((16, 3, 1))}},
            r"centers\.1 is float64 of shape \(16, 3, 1\)",
        ),
        ({"pair_net": PairNet(np.zeros((2, 2)), np.zeros(2), np.zeros(2))}, "come together"),
        ({"dims": ()}, "fall strictly"),
        ({"dims": (8, 16)}, "fall strictly"),
        ({"dims": (16, 16)}, "fall strictly"),
        ({"dims": (12,)}, "not a multiple of 8"),
        ({"dims": (24, 16)}, "vectors have 16"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    coder = made(("1",))[0]
    coder.check()
    with pytest.raises(ValueError, match=message):
        replace(coder, **changes).check()
