"""The paper's losses of vectors that a whole model makes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qama.quantizers.thermometer import transform
from qama.recipe import LossWeights
from qama.training import losses
from qama.training.tuning import GridLosses

NONE = LossWeights(**dict.fromkeys(vars(LossWeights()), 0.0))


def only(**weights):
    return LossWeights(**(vars(NONE) | weights))


def made_of(codec, weights=LossWeights(), steps=10):  # noqa: B008 - it is frozen
    return GridLosses(codec.thermometer, weights, steps, seed=0)


@pytest.fixture
def columns(rows):
    X = torch.from_numpy(rows)
    return [X[:20], X[20:40]]


def test_every_loss_of_the_paper_is_there(any_codec, columns):
    parts = made_of(any_codec).of_batch(columns, None)
    assert set(parts) == set(vars(LossWeights()))
    assert all(torch.isfinite(loss) for loss in parts.values())


def test_losses_are_those_of_the_codecs_own_z(any_codec, rows, columns):
    """What NumPy makes of the vectors says what z is."""
    grid = any_codec.thermometer
    Z = transform.apply(grid.transform, rows[:40])
    views = [Z[:, :dims] for dims in grid.dims]
    views += [grid.pair_net(Z)[:, : dims // 2] for dims in grid.dims]
    base = losses.gram(torch.cat(columns))
    each = [losses.similarity_mse(base, losses.gram(torch.from_numpy(Y))) for Y in views]
    parts = made_of(any_codec, only(similarity=2.0)).of_batch(columns, None)
    assert [*parts] == ["similarity"]
    assert float(parts["similarity"]) == pytest.approx(2 * float(np.mean(each)), rel=1e-4)


def test_what_is_kept_is_a_teachers_where_one_is_given(codec, columns, rows):
    loss = made_of(codec, only(similarity=1.0))
    own, same = loss.of_batch(columns, None), loss.of_batch(columns, torch.cat(columns))
    assert float(own["similarity"]) == float(same["similarity"])
    other = loss.of_batch(columns, torch.from_numpy(np.flip(rows[:40], 0).copy()))
    assert float(other["similarity"]) > float(own["similarity"])


def test_one_column_has_no_answers(codec, columns):
    assert "contrastive" not in made_of(codec).of_batch(columns[:1], None)


def test_gradients_reach_the_vectors_alone_and_make_them_better(codec, columns):
    loss = made_of(codec, only(quantization=1.0, similarity=1.0), steps=60)
    kept = torch.cat(columns)
    x = kept.clone().requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.01)
    loss.steps = 10**9  # weights that do not rise
    before = {name: part.clone() for name, part in loss.state_dict().items()}
    seen = []
    for _ in range(60):
        optimizer.zero_grad()
        total = torch.stack([*loss.of_batch([x[:20], x[20:]], kept).values()]).sum()
        total.backward()
        optimizer.step()
        seen.append(float(total.detach()))
    assert seen[-1] < 0.97 * seen[0]
    moved = {name for name, part in loss.state_dict().items() if not part.equal(before[name])}
    assert moved == {f"adapter.theta_{level}" for level in ("0_5", "1", "1_5", "2")}


def test_losses_rise_with_the_batches_of_training_alone(codec, columns):
    loss = made_of(codec, only(orthogonality=1.0), steps=6)
    assert float(loss.of_batch(columns, None)["orthogonality"]) == 0
    with torch.no_grad():
        loss.of_batch(columns, None)
    loss.eval()
    loss.of_batch(columns, None)
    assert loss.done == 1
    assert float(loss.of_batch(columns, None)["orthogonality"]) > 0


@pytest.mark.parametrize(
    ("given", "message"), [({"steps": 0}, "steps is 0"), ({"seed": -1}, "seed is -1")]
)
def test_what_does_not_fit_is_refused(codec, given, message):
    with pytest.raises(ValueError, match=message):
        GridLosses(codec.thermometer, LossWeights(), **({"steps": 1, "seed": 0} | given))
