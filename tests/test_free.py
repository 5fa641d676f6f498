"""What costs nothing: what a fit starts from, and what it never falls below."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import mixture

pytest.importorskip("torch", reason="PyTorch trains grid codes")

import qama
from qama import recipe
from qama.fitting import _split
from qama.quantizers.thermometer.transform import Linear, apply
from qama.quantizers.vectors import unit
from qama.training import agreement
from qama.training.free import Begun
from qama.training.nn import adapter_of

D = 32
WHOLE = {"steps": 4, "epochs": 0, "threads": 1, "device": "cpu", "codes": "grid", "dims": [D]}


def whole(X, **options):
    return qama.fit(X, **(WHOLE | options))


def of_signs(count, seed=0):
    """Rows that are clear in their own dims and in no others: their neighbours differ in signs."""
    random = np.random.default_rng(seed)
    near = random.choice([-1, 1], (count // 4, D)).repeat(4, axis=0)
    flips = np.where(random.random(near.shape) < 0.1, -1, 1)
    return (near * flips + 0.2 * random.standard_normal(near.shape)).astype(np.float32)


def shares(codec, X):
    kept, validation = _split(X, codec.facts["config"]["held_out"], 0)
    return agreement.Validation.make(validation, kept, 0, whole=True).of(codec.thermometer)


HARSH = {"steps": 20, "learning_rate": 0.1, "evaluate_every": 1, "held_out": 0.3}


@pytest.mark.parametrize("options", [HARSH, HARSH | {"levels": ["1"]}, {"held_out": 0.3}])
@pytest.mark.parametrize("X", [of_signs(80), of_signs(400), mixture(300, D)], ids=len)
def test_no_cell_of_all_dims_finds_fewer_neighbours_than_centred_signs(X, options):
    codec, signs = whole(X, **options), whole(X, **options | {"start": "signs", "steps": 0})
    floor = shares(signs, X)
    assert len(floor) == (1 if "levels" in options else 4)
    for cell, found in shares(codec, X).items():
        assert found.mean() >= floor[cell].mean()


def test_a_rotation_alone_falls_below_signs():
    X = of_signs(400)
    plain = whole(X, start="rotation", held_out=0.3)
    signs = whole(X, start="signs", steps=0, held_out=0.3)
    assert agreement.below(shares(plain, X), shares(signs, X))
    assert whole(X, held_out=0.3).facts["start"] in ("centred signs", "medians of the dims")


def test_what_is_shipped_gains_clearly_and_has_no_cell_below_signs(rows):
    adapter = adapter_of(recipe.preset("default", "grid"), rows, (D,), seed=0)
    start = {"a": np.full(4, 0.5), "b": np.full(4, 0.5)}
    signs = {"a": np.full(4, 0.4), "b": np.full(4, 0.49)}
    begun = Begun(adapter, "start", start, signs)
    swing = np.array([0.1, -0.1, 0.1, -0.1])
    assert begun.refused({"a": np.full(4, 0.6), "b": np.full(4, 0.5)}) == ()
    assert begun.refused({"a": np.full(4, 0.6), "b": np.full(4, 0.489)}) == ("b",)
    assert begun.refused({"a": 0.55 + swing, "b": 0.5 + swing}) == ("a", "b")  # that may be chance
    assert begun.refused(start) == ("a", "b")
    assert Begun(adapter, "start", start).refused(start) == ()


def test_validation_rows_off_the_mean_have_half_of_it(rows):
    made = agreement.Validation.make
    plain, off = made(rows[:20], rows[20:], 0), made(rows[:20], rows[20:], 0, whole=True)
    mean = unit(unit(rows[20:]).mean(axis=0, keepdims=True))[0]
    across = [v.queries - np.outer(v.queries @ mean, mean) for v in (plain, off)]
    slopes = [(v.queries @ mean) / np.linalg.norm(a, axis=1)
              for v, a in zip((plain, off), across, strict=True)]  # fmt: skip
    np.testing.assert_allclose(slopes[1], slopes[0] / 2, rtol=1e-3)
    np.testing.assert_allclose(unit(across[1]), unit(across[0]), atol=1e-4)
    nearest = np.argsort(-off.queries @ off.rows.T, axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(off.wanted, nearest)


def test_signs_are_those_of_the_dims_less_their_mean(rows):
    codec = whole(rows, start="signs", steps=0, levels=["1"])
    kept, _ = _split(rows, codec.facts["config"]["held_out"], 0)
    identity = Linear(np.eye(D, dtype=np.float32))
    mean = apply(identity, kept).mean(axis=0, dtype=np.float64).astype(np.float32)
    np.testing.assert_array_equal(
        codec.encode(rows, level="1"), np.packbits(apply(identity, rows) > mean, axis=1)
    )


def test_a_codec_of_all_dims_is_the_same_after_it_was_saved(rows, tmp_path):
    codec = whole(rows)
    codec.save(tmp_path / "whole.qama")
    loaded = qama.Codec.load(tmp_path / "whole.qama")
    assert loaded.fingerprint == codec.fingerprint
    assert loaded.facts == codec.facts
    for level in codec.levels:
        np.testing.assert_array_equal(
            loaded.encode(rows, level=level), codec.encode(rows, level=level)
        )


def test_shorter_dims_a_base_and_the_paper_start_as_before(rows, paper_codec):
    nested = whole(rows, dims=None)
    assert nested.dims == (32, 16, 8)
    assert nested.fingerprint == whole(rows, dims=None, start="rotation").fingerprint
    assert recipe.PAPER.start == paper_codec.facts["start"] == "rotation"
    assert whole(rows, dims=None, base=whole(rows)).facts["start"] == "base"


def test_the_dims_as_they_are_need_a_linear_adapter(rows):
    with pytest.raises(ValueError, match="start is 'signs', which architecture 'linear' alone"):
        whole(rows, preset="paper", start="signs")
