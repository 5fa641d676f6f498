"""Each loss by hand, and the direction in which its gradient pushes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qama.training import losses


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slope(loss, at):
    """The gradient of a scalar loss at a tensor."""
    leaf = at.clone().requires_grad_()
    loss(leaf).backward()
    return leaf.grad


# --- Gram matrices ----------------------------------------------------------------------------


def test_a_gram_matrix_holds_cosines():
    S = losses.gram(torch.tensor([[2.0, 0], [0, 5], [3, 3]]))
    half = math.sqrt(0.5)
    torch.testing.assert_close(S, torch.tensor([[1, 0, half], [0, 1, half], [half, half, 1]]))


def test_the_diagonal_is_masked_row_by_row():
    S = torch.arange(9.0).reshape(3, 3)
    assert losses._off_diagonal(S).tolist() == [[1, 2], [3, 5], [6, 7]]


# --- similarity -------------------------------------------------------------------------------


def test_similarity_by_hand():
    base, adapted = torch.tensor([[1.0, 0.5], [0.5, 1]]), torch.tensor([[1.0, 0.1], [0.3, 1]])
    expected = (0.4**2 + 0.2**2) / 4
    assert losses.similarity_mse(base, adapted).item() == pytest.approx(expected)


def test_similarity_pulls_cosines_towards_those_of_the_base():
    base = losses.gram(random(6, 8))
    assert losses.similarity_mse(base, base).item() == 0
    pushed = slope(lambda S: losses.similarity_mse(base, S), base + 0.1)
    assert (pushed > 0).all()  # descent lowers cosines that are too high


# --- symmetric KL -----------------------------------------------------------------------------


def test_symmetric_kl_by_hand():
    base = torch.tensor([[9.0, 0.2, 0.1], [0.2, 9, 0.1], [0.1, 0.3, 9]])
    adapted = torch.tensor([[7.0, 0.0, 0.4], [0.1, 7, 0.1], [0.2, 0.2, 7]])
    tau, total = 0.5, 0.0
    for x, y in (((0.2, 0.1), (0.0, 0.4)), ((0.2, 0.1), (0.1, 0.1)), ((0.1, 0.3), (0.2, 0.2))):
        p, q = ([math.exp(v / tau) for v in row] for row in (x, y))
        p, q = [v / sum(p) for v in p], [v / sum(q) for v in q]
        there = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        back = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
        total += (there + back) / 2
    assert losses.symmetric_kl(base, adapted, tau).item() == pytest.approx(total / 3, rel=1e-5)


def test_symmetric_kl_ignores_the_diagonal_is_symmetric_and_zero_at_equality():
    base, adapted = losses.gram(random(5, 4)), losses.gram(random(5, 4, seed=1))
    value = losses.symmetric_kl(base, adapted, 0.1)
    assert value > 0
    torch.testing.assert_close(losses.symmetric_kl(adapted, base, 0.1), value)
    torch.testing.assert_close(losses.symmetric_kl(base + 5 * torch.eye(5), adapted, 0.1), value)
    assert losses.symmetric_kl(base, base, 0.1).item() == 0


def test_symmetric_kl_raises_a_neighbour_that_is_too_far():
    base = losses.gram(random(5, 4))
    adapted = base.clone()
    adapted[0, 3] -= 0.2
    assert slope(lambda S: losses.symmetric_kl(base, S, 0.1), adapted)[0, 3] < 0


# --- ranks ------------------------------------------------------------------------------------


def test_rank_preservation_by_hand():
    base = torch.tensor([[1.0, 0.8, 0.5], [0.8, 1, 0], [0.5, 0, 1]])
    adapted = torch.tensor([[1.0, 0.5, 0.7], [0.5, 1, 0], [0.7, 0, 1]])
    p, q = (1 / (1 + math.exp(-10 * m)) for m in (0.3, -0.2))
    expected = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    triple = torch.tensor([[0], [1], [2]])
    assert losses.rank_preservation(base, adapted, triple).item() == pytest.approx(expected, 1e-5)


def test_rank_preservation_is_zero_at_equality_and_smaller_where_orders_agree():
    base = losses.gram(random(8, 6))
    triples = losses.sample_triples(8, 500, torch.Generator().manual_seed(0))
    assert losses.rank_preservation(base, base, triples).item() == pytest.approx(0, abs=1e-6)
    agreeing = losses.rank_preservation(base, 0.5 * base, triples)
    opposite = losses.rank_preservation(base, -0.5 * base, triples)
    assert 0 < agreeing < opposite


def test_rank_preservation_widens_a_margin_that_is_too_small():
    base = torch.tensor([[1.0, 0.8, 0.5], [0.8, 1, 0], [0.5, 0, 1]])
    flat = torch.zeros(3, 3)
    triple = torch.tensor([[0], [1], [2]])
    pushed = slope(lambda S: losses.rank_preservation(base, S, triple), flat)
    assert pushed[0, 1] < 0 < pushed[0, 2]  # descent raises s_01 and lowers s_02


@given(st.integers(3, 40), st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_triples_name_three_different_rows(rows, seed):
    triples = losses.sample_triples(rows, 200, torch.Generator().manual_seed(seed))
    assert triples.shape[0] == 3
    assert triples.shape[1] > 0
    i, j, k = triples
    assert ((i != j) & (i != k) & (j != k)).all()
    assert triples.min() >= 0
    assert triples.max() < rows


# --- contrastive ------------------------------------------------------------------------------


def test_contrastive_by_hand():
    anchors = torch.tensor([[1.0, 0], [0, 2]])
    positives = torch.tensor([[3.0, 0], [1, 1]])
    half, tau = math.sqrt(0.5), 0.5
    first = -math.log(math.exp(1 / tau) / (math.exp(1 / tau) + math.exp(half / tau)))
    second = -math.log(math.exp(half / tau) / (math.exp(half / tau) + math.exp(0)))
    expected = (first + second) / 2
    assert losses.contrastive(anchors, positives, tau).item() == pytest.approx(expected, rel=1e-5)


def test_contrastive_falls_as_positives_align():
    anchors, other = random(6, 8), random(6, 8, seed=1)
    values = [
        losses.contrastive(anchors, (1 - share) * other + share * anchors, 0.1).item()
        for share in (0, 0.25, 0.5, 1)
    ]
    assert values == sorted(values, reverse=True)


def test_contrastive_moves_an_anchor_towards_its_positive():
    anchors, positives = random(6, 8), random(6, 8, seed=1)
    step = -slope(lambda A: losses.contrastive(A, positives, 0.5), anchors)
    before = torch.cosine_similarity(anchors, positives)
    after = torch.cosine_similarity(anchors + 0.1 * step, positives)
    assert (after > before).all()


# --- information bottleneck -------------------------------------------------------------------


def test_bottleneck_by_hand():
    Z = torch.tensor([[1.0, -2.0], [0.5, 0.0]])
    terms = [
        0.5 * (1 / 1.1 + 1e-6) ** 0.3,
        1.0 * (4 / 2.1 + 1e-6) ** 0.3,
        0.5 * (0.25 / 0.6 + 1e-6) ** 0.3,
        1.0 * (1e-6) ** 0.3,
    ]
    assert losses.information_bottleneck(Z).item() == pytest.approx(sum(terms) / 4, rel=1e-5)


def test_bottleneck_shrinks_late_dims_harder():
    pushed = slope(losses.information_bottleneck, torch.full((3, 8), 0.7))
    assert (pushed > 0).all()
    assert (pushed.diff(dim=1) > 0).all()
    negative = slope(losses.information_bottleneck, torch.full((3, 8), -0.7))
    torch.testing.assert_close(negative, -pushed)


def test_bottleneck_is_finite_at_zero():
    assert torch.isfinite(slope(losses.information_bottleneck, torch.zeros(2, 4))).all()


# --- orthogonality ----------------------------------------------------------------------------


def test_orthogonality_by_hand():
    a, b = [1.0, 0, 0], [0, 2.0, 0]
    c = [3.0, 4.0, 0]  # cosines 0.6 and 0.8 with a and b
    Z = torch.tensor([a, b, c]).T
    # levels 1, 2, 3: (b with a), (c with a), (c with a and b)
    expected = (0 + 0.6 + math.sqrt((0.36 + 0.64) / 2)) / 3
    assert losses.inter_level_orthogonality(Z, (3, 2, 1)).item() == pytest.approx(expected)


def test_orthogonality_turns_new_dims_away_from_old_ones():
    Z = torch.cat([random(50, 4), random(50, 4)], dim=1)  # the new dims repeat the old ones
    again = losses.inter_level_orthogonality(Z, (8, 4))
    moved = Z.clone()
    moved[:, 4:] -= slope(lambda V: losses.inter_level_orthogonality(V, (8, 4)), Z)[:, 4:]
    assert losses.inter_level_orthogonality(moved, (8, 4)) < again
    fresh = torch.linalg.qr(random(50, 8))[0]
    assert losses.inter_level_orthogonality(fresh, (8, 4)).item() == pytest.approx(0, abs=1e-6)


def test_one_level_has_nothing_to_be_orthogonal_to():
    Z = random(5, 8)
    assert losses.inter_level_orthogonality(Z, (8,)).item() == 0
    assert not slope(lambda V: losses.inter_level_orthogonality(V, (8,)), Z).any()


# --- variance ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("progress", "strength"),
    [(0.0, 0.2), (0.1, 0.2), (0.5, math.expm1(0.5) / math.expm1(1)), (1.0, 1.0)],
)
def test_variance_control_by_hand(progress, strength):
    Z = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])  # sigma sqrt(8 / 3) and 0
    expected = strength * (math.exp(-math.sqrt(8 / 3)) + 1) / 2
    assert losses.variance_control(Z, progress).item() == pytest.approx(expected, abs=1e-3)


def test_variance_control_raises_sigma():
    Z = 0.3 * random(20, 6)
    step = -slope(lambda V: losses.variance_control(V, 1.0), Z)
    assert ((Z + step).std(dim=0) > Z.std(dim=0)).all()


def test_variance_control_is_finite_where_all_rows_are_equal():
    assert torch.isfinite(slope(lambda V: losses.variance_control(V, 1.0), torch.ones(4, 3))).all()


# --- quantization -----------------------------------------------------------------------------


@pytest.mark.parametrize(("progress", "weight"), [(0.0, 0.2), (0.5, 0.6), (1.0, 1.0)])
def test_quantization_regularisation_by_hand(progress, weight):
    values = torch.tensor([[0.1, 4.0], [-0.6, -5.0]])
    thresholds = torch.tensor([[0.0, 0.5], [0.0, 1.0]])
    near = [math.exp(-0.1), math.exp(-3.0), math.exp(-0.6), math.exp(-5.0)]
    outside = [0, 0.1 * 1**2, 0, 0.1 * 2**2]
    expected = weight * (sum(near) + sum(outside)) / 4
    found = losses.quantization_regularisation(values, thresholds, progress)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("value", "sign"), [(0.1, -1), (-0.1, 1), (0.9, 1), (1.2, -1)])
def test_quantization_pushes_a_value_away_from_its_nearest_threshold(value, sign):
    thresholds = torch.tensor([[0.0, 1.0]])
    pushed = slope(
        lambda v: losses.quantization_regularisation(v, thresholds, 1.0), torch.tensor([[value]])
    )
    assert pushed.sign().item() == sign  # descent goes the other way


@pytest.mark.parametrize(("value", "sign"), [(9.0, 1), (-9.0, -1)])
def test_quantization_pulls_a_value_back_into_the_range(value, sign):
    pushed = slope(
        lambda v: losses.quantization_regularisation(v, torch.tensor([[0.0]]), 1.0),
        torch.tensor([[value]]),
    )
    assert pushed.sign().item() == sign


# --- all of them ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss",
    [
        lambda Z: losses.similarity_mse(losses.gram(random(6, 8, seed=3)), losses.gram(Z)),
        lambda Z: losses.symmetric_kl(losses.gram(random(6, 8, seed=3)), losses.gram(Z), 0.05),
        lambda Z: losses.contrastive(Z, random(6, 8, seed=3), 0.05),
        lambda Z: losses.information_bottleneck(Z),
        lambda Z: losses.inter_level_orthogonality(Z, (8, 4, 2)),
        lambda Z: losses.variance_control(Z, 0.5),
        lambda Z: losses.quantization_regularisation(Z, torch.zeros(8, 1), 0.5),
    ],
)
def test_every_loss_is_a_finite_scalar_that_falls_down_its_gradient(loss):
    Z = random(6, 8)
    value, gradient = loss(Z), slope(loss, Z)
    assert value.shape == ()
    assert torch.isfinite(gradient).all()
    assert loss(Z - 1e-3 * gradient / gradient.norm()) < value
