"""Quantisability: spectrum, estimates against a brute-force count, the page, the command."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from conftest import mixture
from typer.testing import CliRunner

from qama import Codec, drift
from qama.cli.main import app
from qama.evaluation.page import Line, Plot, Section, page
from qama.evaluation.quantisability import Budget, Quantisability, _Truth, gains, quantisability
from qama.evaluation.spectrum import Spectrum

# --- spectrum ---------------------------------------------------------------------------------


def test_spectrum_of_equal_directions_has_full_ranks():
    rows = np.concatenate([np.eye(8), -np.eye(8)]).astype(np.float32)
    found = Spectrum.of(rows)
    assert found.cumulative == pytest.approx(np.arange(1, 9) / 8)
    assert (found.participation, found.effective_rank) == pytest.approx((8, 8))
    assert found.mean_share == pytest.approx(0)
    assert [found.dims_for(share) for share in (0.125, 0.5, 0.51, 1)] == [1, 4, 5, 8]


def test_spectrum_of_two_directions_by_hand():
    rows = np.array([[1, 0, 0], [-1, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 5, 0], [0, -2, 0]])
    found = Spectrum.of(rows.astype(np.float32))
    assert found.cumulative == pytest.approx((2 / 3, 1, 1))
    assert found.participation == pytest.approx(1 / (4 / 9 + 1 / 9))
    entropy = -(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3))
    assert found.effective_rank == pytest.approx(np.exp(entropy))


def test_a_large_mean_and_a_dominant_direction_are_named():
    random = np.random.default_rng(0)
    plain = random.standard_normal((500, 16)).astype(np.float32)
    assert Spectrum.of(plain).oddities() == []
    (said,) = Spectrum.of(plain + 2 * np.eye(16, dtype=np.float32)[0] * 4).oddities()
    assert "The mean of the vectors has length 0.9" in said
    steep = plain * np.array([4, 3, *[1] * 14], np.float32)
    (said,) = Spectrum.of(steep).oddities()
    assert "lies in one direction, and 2 hold more than 10 % each" in said


def test_spectrum_of_one_point_has_no_rank():
    found = Spectrum.of(np.ones((5, 4), np.float32))
    assert (found.participation, found.effective_rank) == (0, 0)
    assert found.mean_share == pytest.approx(1)


# --- estimates --------------------------------------------------------------------------------


def test_gains_are_similarity_above_the_21st_nearest():
    rows = np.eye(2, dtype=np.float32)[np.zeros(50, int)]
    rows[:, 1] = np.random.default_rng(0).permutation(50) / 50
    truth = _Truth.of(np.array([[1.0, 0]], np.float32), rows)
    cosines = rows[:, :1].T / np.linalg.norm(rows, axis=1)
    found = gains(cosines, truth.base)
    assert (found > 0).sum() == 20
    assert truth.base[0, 0] == pytest.approx(np.sort(cosines[0])[-21])
    assert truth.nearest.tolist() == [np.argsort(-cosines[0])[:10].tolist()]
    assert truth.gained(truth.nearest) == pytest.approx(truth.best, abs=1e-6)
    few = _Truth.of(np.array([[1.0, 0]], np.float32), rows[:4])
    assert gains(cosines[:, :4], few.base).min() == 0  # of fewer rows than that the last


def test_estimates_equal_a_brute_force_count(byte_codec):
    X = mixture(200, 32)
    seen = []

    def fit(rows):
        seen.append(rows)
        return byte_codec

    found = quantisability(X, fit, budgets=(1, 4, 99), seed=3)
    rest = seen[0]
    validation = np.array([row for row in X if not (rest == row).all(1).any()])
    assert (found.rows, found.searched, found.held_out) == (200, 175, 25)
    assert len(validation) == 25
    assert [b.nbytes for b in found.budgets] == [1, 4]
    unit = [A / np.linalg.norm(A, axis=1, keepdims=True) for A in (validation, rest)]
    cosines = unit[0] @ unit[1].T
    for budget in found.budgets:
        n = budget.nbytes
        scores = byte_codec.score(validation, byte_codec.encode(rest, nbytes=n), nbytes=n)
        shared, kept, best = 0, 0.0, 0.0
        for i in range(25):
            true = np.argsort(-cosines[i])
            ours = np.argsort(-scores[i], kind="stable")[:10]
            shared += len(set(true[:10]) & set(ours))
            gain = np.maximum(cosines[i] - cosines[i, true[20]], 0)
            kept += sum(gain[row] / np.log2(rank + 2) for rank, row in enumerate(ours))
            best += sum(gain[row] / np.log2(rank + 2) for rank, row in enumerate(true[:10]))
        assert budget.overlap == pytest.approx(shared / 250)
        assert budget.ndcg == pytest.approx(kept / best, abs=1e-5)
        assert budget.low <= budget.ndcg <= budget.high
    assert found.budgets[0].ndcg < found.budgets[1].ndcg < 1


def test_zero_rows_are_left_out_and_counted(byte_codec):
    X = np.concatenate([mixture(80, 32), np.zeros((20, 32), np.float32)])
    found = quantisability(X, lambda rows: byte_codec, budgets=(4,))
    assert (found.rows, found.searched + found.held_out, found.zeros) == (100, 80, 20)
    with pytest.raises(ValueError, match="63 rows that are not zero; the estimate needs"):
        quantisability(X[17:], lambda rows: byte_codec)
    with pytest.raises(ValueError, match="sample is 63"):
        quantisability(X, lambda rows: byte_codec, sample=63)


def test_a_codec_without_byte_codes_is_refused(codec):
    with pytest.raises(ValueError, match="codec has no byte codes of"):
        quantisability(mixture(80, 32), lambda rows: codec)


@pytest.mark.parametrize("distinct", [1, 3])
def test_vectors_that_are_alike_are_refused_before_the_fit(distinct):
    X = np.repeat(mixture(distinct, 32), 120 // distinct, axis=0)
    with pytest.raises(ValueError, match=r"all vectors are alike, .* nothing can be told apart"):
        quantisability(X, None)


def made(*kept):
    budgets = [Budget(8 * (i + 1), 0.5, k, k - 0.01, k + 0.01) for i, k in enumerate(kept)]
    return Quantisability(90, 80, 10, 32, 0, "f", Spectrum((1.0,), 1, 1, 0), tuple(budgets))


def perfect():
    budgets = tuple(Budget(n, 1.0, 1.0, 1.0, 1.0) for n in (8, 16))
    return replace(made(), budgets=budgets)


def test_smallest_asks_every_longer_code_too():
    assert made(0.9, 0.96, 0.97).smallest(0.95) == 16
    assert made(0.96, 0.94, 0.97).smallest(0.95) == 24
    assert made(0.9, 0.91).smallest(0.95) is None
    assert made(0.9, np.nan).smallest(0.95) is None
    assert made(0.9, 0.99).to_json()["smallest"] == {"0.95": 16, "0.98": 16, "0.99": 16}


# --- page -------------------------------------------------------------------------------------


def test_plots_put_points_where_the_ticks_are():
    svg = Plot([Line("a", [(0, 0), (10, 1)])], "x", "y", [0, 10], [0, 1]).svg()
    circles = [e for e in ET.fromstring(svg) if e.tag == "circle"]
    at = [(float(c.get("cx")), float(c.get("cy"))) for c in circles]
    assert at == [(52, 256), (548, 12)]


def test_the_page_is_standalone_and_escaped():
    plot = Plot([Line("<a>", [(0, 0), (1, 1)]), Line("b", [(0, 1)])], "x", "y & z", [0, 1], [0, 1])
    text = page("<t>", [Section("h", "<p>", [["a", "b"], ["<1>", "2"]], plot, "n&m")])
    assert "<t>" not in text
    assert "&lt;1&gt;" in text
    assert "n&amp;m" in text
    assert "src=" not in text
    assert "href=" not in text
    assert "http" not in text
    ET.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])


# --- command ----------------------------------------------------------------------------------


def call(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path, byte_codec):
    np.save(tmp_path / "rows.npy", mixture(300, 32))
    byte_codec.save(tmp_path / "codec")
    return tmp_path


def test_the_command_prints_json_and_writes_a_page(folder):
    options = ["--codec", folder / "codec", "--sample", 200, "--threads", 1]
    result = call(folder / "rows.npy", *options, "--json", "-o", folder / "r.html")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["rows"], found["searched"], found["held_out"]) == (300, 175, 25)
    assert found["codec"] == Codec.load(folder / "codec").fingerprint
    text = (folder / "r.html").read_text("utf-8")
    for budget in found["budgets"]:
        assert f"<td>{100 * budget['ndcg']:.1f}</td>" in text
    assert text.count("<svg") == 2
    assert "the report as a page" in result.stderr


def test_the_command_plots_what_is_kept_whole(folder, monkeypatch):
    monkeypatch.setattr("qama.cli.reporting.quantisability", lambda *_, **__: perfect())
    result = call(folder / "rows.npy", "--codec", folder / "codec", "-o", folder / "r.html")
    assert result.exit_code == 0, result.output
    assert ">90</text>" in (folder / "r.html").read_text("utf-8")


def test_the_command_fits_a_codec_where_none_is_given(tmp_path):
    np.save(tmp_path / "rows.npy", mixture(80, 32))
    result = call(tmp_path / "rows.npy", "--threads", 1)
    assert result.exit_code == 0, result.output
    assert "80 vectors of 32 dims" in result.stdout
    assert "nDCG kept %" in result.stdout
    assert "95 % kept:" in result.stdout


def test_the_command_refuses_before_long_work(folder):
    for arguments, message in (
        ([folder / "none.npy"], "none.npy"),
        ([folder / "rows.npy", "-o", folder / "no" / "r.html"], "there is no folder"),
        ([folder / "rows.npy", "--codec", folder / "rows.npy"], "rows.npy"),
        ([folder / "rows.npy", "--drift", "-o", folder / "r.html"], "--drift writes no page"),
    ):
        result = call(*arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert result.stdout == ""


def test_the_command_tells_drift(folder, byte_codec):
    for recorded, drifted in ((1.5, True), (0.5, False)):  # no cosine is as high, none as low
        fact = {"rows": 1000, "mean": recorded, "deviation": 0.1}
        facts = {**byte_codec.facts, drift.FACT: fact}
        replace(byte_codec, facts=facts).save(folder / "codec")
        result = call(folder / "rows.npy", "--codec", folder / "codec", "--drift", "--json")
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert found["drifted"] == drifted
        assert found["shift"] == pytest.approx((recorded - found["mean"]) / 0.1)
        said = call(folder / "rows.npy", "--codec", folder / "codec", "--drift").stdout
        assert ("refit the codec" in " ".join(said.split())) == drifted
    assert "give --codec" in call(folder / "rows.npy", "--drift").stderr
    replace(byte_codec, facts={}).save(folder / "codec")
    result = call(folder / "rows.npy", "--codec", folder / "codec", "--drift")
    assert "records nothing" in result.stderr
