"""The forward pass in NumPy and the start of training."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import mixture
from hypothesis import given
from hypothesis import strategies as st

from qama.quantizers.thermometer import transform
from qama.quantizers.vectors import unit
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
    U = unit(X)
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
    mean = unit(X).mean(axis=0)
    np.testing.assert_allclose(R[-1], mean / np.linalg.norm(mean), atol=1e-5)


def test_a_strong_leaning_puts_variance_into_the_early_dims():
    X = mixture(400, 32)
    shares = []
    for leaning in (0.0, 2.0):
        Z = unit(X) @ start.rotation(X, (32, 16, 8), 0, leaning).T
        shares.append(Z[:, :8].var(axis=0).sum() / Z.var(axis=0).sum())
    assert shares[0] < 0.6 < shares[1]


@pytest.mark.parametrize("X", [np.zeros((20, 16)), np.ones((20, 16)), np.eye(16)[:4]])
def test_the_rotation_of_degenerate_rows_is_still_orthogonal(X):
    R = start.rotation(X.astype(np.float32), (16, 8), 0, 1.0)
    np.testing.assert_allclose(R @ R.T, np.eye(16), atol=1e-5)


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
