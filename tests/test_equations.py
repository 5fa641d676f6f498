"""Refitting codewords: normal equations against least squares over the rows themselves."""

from __future__ import annotations

import numpy as np
import pytest

from qama.quantizers.additive.equations import Equations, Form
from qama.quantizers.additive.units import UNIT

FULL, LATER = Form((256,), 16.0), Form((4, 4, 16), 4.0)


def drawn(n, nbytes, d=6, seed=0):
    """Return codes and rows at random."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, 256, (n, nbytes), dtype=np.uint8)
    return codes, random.integers(-3000, 3000, (n, d)).astype(np.int16)


def design(form, codes):
    """Return which free codewords each code adds up, float64 (n, w)."""
    layout = form.layout(codes.shape[1])
    chosen = np.zeros((len(codes), layout.codewords))
    for places in layout.places(codes):
        chosen[np.arange(len(codes)), places] = 1
    return chosen if form.full else chosen @ form.summed(np.eye(layout.terms))


def solved(equations, w, prior=None):
    return equations.solved(np.zeros((w, 6), np.float32), passes=600, prior=prior)


@pytest.mark.parametrize("form", [FULL, LATER], ids=["full", "later"])
@pytest.mark.parametrize("drawn_to", [False, True], ids=["to zero", "to a prior"])
def test_the_solution_is_that_of_ridge_regression(form, drawn_to):
    codes, rows = drawn(900, 2)
    equations = Equations(form, 2, 6, threads=1)
    equations.add(codes, rows)
    X, w = design(form, codes), 2 * form.terms
    prior = np.random.default_rng(1).standard_normal((w, 6)).astype(np.float32) * drawn_to
    ridge = form.ridge if not drawn_to else {FULL: 4.0, LATER: 64.0}[form]
    expected = np.linalg.solve(X.T @ X + ridge * np.eye(w), X.T @ (rows * UNIT) + ridge * prior)
    found = solved(equations, w, prior if drawn_to else None)
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("form", [FULL, LATER], ids=["full", "later"])
def test_rows_that_are_taken_out_leave_nothing(form):
    codes, rows = drawn(500, 3)
    others, alone = Equations(form, 3, 6, threads=1), Equations(form, 3, 6, threads=1)
    others.add(codes, rows)
    others.remove(codes[:200], rows[:200])
    alone.add(codes[200:], rows[200:])
    assert others.rows == alone.rows == 300
    w = 3 * form.terms
    np.testing.assert_allclose(solved(others, w), solved(alone, w), atol=1e-4)
