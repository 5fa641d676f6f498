"""The forward pass in NumPy and the start of training."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import mixture
from hypothesis import given
from hypothesis import strategies as st

from qama.encoding import transform
from qama.training import start


def made(kind, d=16, seed=0):
    random = np.random.default_rng(seed)
    if kind == "linear":
        return transform.Linear(random.standard_normal((d, d)).astype(np.float32))
    w1 = random.standard_normal((4 * d, d)).astype(np.float32)
    return transform.FeedForward(w1, random.standard_normal((d, 4 * d)).astype(np.float32))


@pytest.fixture(params=["linear", "feedforward"])
def adapter(request):
    return made(request.param)


def test_gelu_at_known_points():
    a = np.array([-3, -1, 0, 1, 3], dtype=np.float32)
    exact = [x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in a.tolist()]
    np.testing.assert_allclose(transform.gelu(a), exact, atol=1e-3)  # the tanh form is that close


@given(st.floats(-20, 20, width=32))
def test_gelu_of_a_minus_gelu_of_minus_a_is_a(value):
    a = np.float32([value])
    np.testing.assert_allclose(transform.gelu(a) - transform.gelu(-a), a, rtol=1e-6, atol=1e-6)


def test_the_untrained_feedforward_is_exactly_the_rotation():
    X = mixture(200, 16)
    R = start.rotation(X, (16, 8), 0, 0.7)
    w1, w2 = start.feedforward(R, expansion=4, seed=0)
    assert w1.shape == (64, 16)
    assert w2.shape == (16, 64)
    U = transform.unit(X)
    np.testing.assert_allclose(transform.FeedForward(w1, w2).raw(U), U @ R.T, atol=1e-6)


def test_the_small_rows_of_the_start_are_not_zero_so_that_they_can_learn():
    w1, w2 = start.feedforward(np.eye(8, dtype=np.float32), expansion=4, seed=0)
    assert (np.abs(w1[16:]).max(axis=1) > 0).all()
    assert not w2[:, 16:].any()


@pytest.mark.parametrize("leaning", [0.0, 0.7, 3.0])
def test_the_rotation_is_orthogonal(leaning):
    R = start.rotation(mixture(100, 24), (24, 16, 8), 0, leaning)
    np.testing.assert_allclose(R @ R.T, np.eye(24), atol=1e-5)


def test_the_rotation_ends_with_the_mean_direction():
    X = mixture(100, 16)
    R = start.rotation(X, (16, 8), 0, 0.7)
    mean = transform.unit(X).mean(axis=0)
    np.testing.assert_allclose(R[-1], mean / np.linalg.norm(mean), atol=1e-5)


def test_a_strong_leaning_puts_variance_into_the_early_dims():
    X = mixture(400, 32)
    shares = []
    for leaning in (0.0, 2.0):
        Z = transform.unit(X) @ start.rotation(X, (32, 16, 8), 0, leaning).T
        shares.append(Z[:, :8].var(axis=0).sum() / Z.var(axis=0).sum())
    assert shares[0] < 0.6 < shares[1]


@pytest.mark.parametrize("X", [np.zeros((20, 16)), np.ones((20, 16)), np.eye(16)[:4]])
def test_the_rotation_of_degenerate_rows_is_still_orthogonal(X):
    R = start.rotation(X.astype(np.float32), (16, 8), 0, 1.0)
    np.testing.assert_allclose(R @ R.T, np.eye(16), atol=1e-5)


def test_water_filled_directions_have_unit_variance_and_leave_the_mean_out():
    X = mixture(400, 32)
    W = start.water_filled(X, (32, 16, 8), 0)
    U = transform.unit(X)
    mean = start.mean_direction(X)
    Z = (U - np.outer(U @ mean, mean)) @ W.T
    variances = (Z**2).mean(axis=0)
    np.testing.assert_allclose(variances, variances.mean(), rtol=0.2)


def test_water_filling_weighs_axes_as_the_noise_at_that_many_dims_asks():
    variances = np.array([4.0, 2.0, 1.0, 0.01])
    for dims in (1, 4, 1000):
        kept = start._shrink(variances, dims)
        level = start._NOISE / dims * (kept @ variances)
        np.testing.assert_allclose(kept, np.maximum(0, 1 - level / variances), atol=1e-6)
    assert start._shrink(variances, 1)[3] == 0
    np.testing.assert_allclose(start._shrink(variances, 10**6), 1, atol=1e-3)


def test_water_filled_codes_of_the_narrowest_and_of_all_dims_follow_the_cosine_best():
    X = mixture(2000, 64)
    variances, axes = start.axes(X)

    def correlation(W, dims):
        """Of x^T G y plus the noise of rounding with x^T y, over Gaussian x and y."""
        W = (W[:dims].astype(np.float64) @ axes) * np.sqrt(variances)
        W /= np.linalg.norm(W, axis=1, keepdims=True)
        G = W.T @ W / dims
        noisy = np.sqrt((G**2).sum() + start._NOISE / dims)
        return (np.diag(G) @ variances) / noisy / np.linalg.norm(variances)

    grid = (64, 32, 16, 8)
    filled = start.water_filled(X, grid, 0)
    for leaning in (0.0, 1.0):
        R = start.rotation(X, grid, 0, leaning)
        R[-1] = R[-2]  # the mean direction, which has no variance
        for dims in (64, 8):  # those between must complete narrower ones, which costs them
            assert correlation(filled, dims) > correlation(R, dims)


@pytest.mark.parametrize("X", [np.zeros((20, 16)), np.ones((20, 16)), np.eye(16)[:4]])
def test_water_filling_of_degenerate_rows_is_finite(X):
    assert np.isfinite(start.water_filled(X.astype(np.float32), (16, 8), 0)).all()


def test_rows_of_z_have_length_sqrt_d(adapter):
    X = mixture(50, 16)
    Z = transform.apply(adapter, X)
    assert Z.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(Z, axis=1), 4, rtol=1e-6)


def test_a_zero_row_stays_zero_and_finite(adapter):
    X = np.stack([np.zeros(16), np.ones(16)]).astype(np.float32)
    Z = transform.apply(adapter, X)
    assert not Z[0].any()
    assert np.linalg.norm(Z[1]) == pytest.approx(4)


@pytest.mark.parametrize("length", [1e-36, 1e-20, 1e-3, 1e3, 1e20, 1e36])
def test_the_length_of_x_does_not_matter(adapter, length):
    X = mixture(5, 16)
    np.testing.assert_allclose(
        transform.apply(adapter, (X * length).astype(np.float32)),
        transform.apply(adapter, X),
        atol=1e-4,
    )


def test_the_input_is_left_as_it_is(adapter):
    X = mixture(5, 16) * np.float32(1e20)
    before = X.copy()
    transform.apply(adapter, X)
    np.testing.assert_array_equal(X, before)


def test_chunks_change_nothing(monkeypatch):
    adapter = made("feedforward")
    X = mixture(40, 16)
    whole = transform.apply(adapter, X)
    monkeypatch.setattr(transform.FeedForward, "chunk_rows", 7)
    np.testing.assert_allclose(transform.apply(adapter, X), whole, atol=1e-5)


def test_a_stored_transform_is_rebuilt(adapter):
    again = transform.from_arrays(adapter.kind, adapter.arrays())
    X = mixture(5, 16)
    np.testing.assert_array_equal(transform.apply(again, X), transform.apply(adapter, X))
    assert again.dims == 16


@pytest.mark.parametrize(
    ("kind", "shapes", "message"),
    [
        ("feedforward", {"w1": (8, 4), "w2": (8, 4)}, "do not fit"),
        ("feedforward", {"w1": (8,), "w2": (8,)}, "do not fit"),
        ("linear", {"w": (8, 4)}, "square"),
        ("linear", {"w": (8,)}, "square"),
        ("cubic", {"w": (8, 8)}, "'cubic'; this version knows"),
    ],
)
def test_stored_parts_that_do_not_fit_are_refused(kind, shapes, message):
    arrays = {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}
    with pytest.raises(ValueError, match=message):
        transform.from_arrays(kind, arrays)
