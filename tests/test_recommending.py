"""Which code to take: lines through measured sizes, by hand, and a growth that is measured."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from conftest import mixture
from typer.testing import CliRunner

from qama.cli import options
from qama.cli.main import app
from qama.evaluation import recommending
from qama.evaluation.quantisability import Budget, Grown, Quantisability, quantisability
from qama.evaluation.spectrum import Spectrum


def made(growth):
    """Estimates 0.01 about, of lengths 8, 16, ... among each number of rows."""
    grown = [
        Grown(n, tuple(Budget(8 * (i + 1), 0.5, k, k - 0.01, k + 0.01) for i, k in enumerate(kept)))
        for n, kept in growth.items()
    ]
    last = grown[-1]
    flat = Spectrum((1.0,), 1, 1, 0)
    return Quantisability(90, last.rows, 10, 32, 0, "f", flat, last.budgets, tuple(grown))


GROWN = made({1000: [0.95, 0.99], 10_000: [0.90, 0.98], 100_000: [0.84, 0.97]})


def test_estimates_lie_on_lines_in_the_logarithm_of_the_rows():
    for rows, kept, low, measured in (
        (10_000, 0.90, 0.89, True), (100_000, 0.84, 0.83, True), (10, 0.95, 0.94, True),
        (round(10**3.5), 0.925, 0.915, True), (10**6, 0.78, 0.71, False),
        (10**7, 0.72, 0.59, False),
    ):  # fmt: skip
        found = recommending.estimates(GROWN, rows)[0]
        assert (found.kept, found.low) == pytest.approx((kept, low), abs=1e-4)
        assert (found.rows, found.measured) == (rows, measured)
        assert found.low <= found.kept <= found.high


def test_what_grows_better_is_not_taken_for_a_rise():
    rising = made({1000: [0.9], 10_000: [0.92]})
    found = recommending.estimates(rising, 10**6)[0]
    assert (found.kept, found.low) == pytest.approx((0.92, 0.91))
    assert not found.measured


def test_the_smallest_code_for_a_goal_depends_on_the_rows():
    advice = recommending.smallest(GROWN, 0.9, 10_000)
    assert (advice.likely.nbytes, advice.sure.nbytes) == (8, 16)
    advice = recommending.smallest(GROWN, 0.9, 100_000)
    assert (advice.likely.nbytes, advice.sure.nbytes) == (16, 16)
    advice = recommending.smallest(GROWN, 0.965, 100_000)
    assert (advice.likely.nbytes, advice.sure) == (16, None)
    assert recommending.smallest(GROWN, 0.99, 100_000).likely is None


def test_the_best_code_within_a_memory_has_its_inverse_norms_counted():
    rows = 3_000_000
    assert recommending.best_within(GROWN, 17 * rows, rows).nbytes == 16
    assert recommending.best_within(GROWN, 17 * rows - 1, rows).nbytes == 8
    assert recommending.best_within(GROWN, 9 * rows - 1, rows) is None


def test_growth_is_what_a_report_on_so_many_rows_finds(byte_codec, monkeypatch):
    monkeypatch.setattr("qama.evaluation.quantisability.SIZES", (100, 200))
    X = mixture(400, 32)
    found = quantisability(X, lambda _: byte_codec, sample=80, largest=400, budgets=(2, 8))
    assert [grown.rows for grown in found.growth] == [100, 200, 390]
    assert (found.held_out, found.searched) == (10, 70)
    kept = np.array([[b.ndcg for b in grown.budgets] for grown in found.growth])
    assert (kept[:, 0] < kept[:, 1]).all()
    # all that were looked at, by a codec of which they are no part, are those of a plain report
    validation = np.array([row for row in X if row.tobytes() in _held_out(X, 80, 400)])
    rest = np.array([row for row in X if row.tobytes() not in _held_out(X, 80, 400)])
    U, V = (A / np.linalg.norm(A, axis=1, keepdims=True) for A in (rest, validation))
    cosines = V @ U.T
    scores = byte_codec.score(validation, byte_codec.encode(rest, nbytes=8), nbytes=8)
    kept_sum = best_sum = 0.0
    for row, score in zip(cosines, scores, strict=True):
        order, ours = np.argsort(-row), np.argsort(-score, kind="stable")[:10]
        gain = np.maximum(row - row[order[20]], 0)
        kept_sum += sum(gain[r] / math.log2(i + 2) for i, r in enumerate(ours))
        best_sum += sum(gain[r] / math.log2(i + 2) for i, r in enumerate(order[:10]))
    assert found.growth[-1].budgets[1].ndcg == pytest.approx(kept_sum / best_sum, abs=1e-5)


def _held_out(X, sample, largest):
    from qama.evaluation.quantisability import _split

    return {row.tobytes() for row in _split(X, sample, 0, largest)[0]}


def test_amounts_and_counts_are_read_as_people_write_them():
    for text, wanted in (
        ("64MB", 64_000_000), ("1.5 GB", 1_500_000_000), ("1000", 1000), ("2k", 2000),
        ("1GiB", 2**30), ("1e9", 10**9), ("3TB", 3 * 10**12),
    ):  # fmt: skip
        assert options.amount(text, "--memory") == wanted
    for text in ("", "MB", "-3MB", "3 parsecs", "1.2.3MB", "0"):
        with pytest.raises(ValueError, match="such as 64MB"):
            options.amount(text, "--memory")
    for text, wanted in (("3e6", 3_000_000), ("1_000", 1000), ("7", 7)):
        assert options.count(text, "--rows") == wanted
    for text in ("0", "1.5", "many", "nan", "inf", "1e16"):
        with pytest.raises(ValueError, match="such as 3000000 or 3e6"):
            options.count(text, "--rows")


def test_the_command_recommends(tmp_path, byte_codec):
    np.save(tmp_path / "rows.npy", mixture(3000, 32))
    byte_codec.save(tmp_path / "codec")
    asked = [
        "report", tmp_path / "rows.npy", "--codec", tmp_path / "codec", "--sample", 300,
        "--threads", 1, "--goal", 0.8, "--memory", "36MB", "--rows", "3e6",
    ]  # fmt: skip
    page = tmp_path / "r.html"
    run = CliRunner().invoke(app, [*map(str, asked), "--json", "-o", str(page)])
    assert run.exit_code == 0, run.output
    found = json.loads(run.stdout)
    assert [grown["rows"] for grown in found["growth"]] == [1000, 2963]
    told = found["recommended"]
    assert (told["rows"], told["memory"]) == (3_000_000, 36_000_000)
    assert told["best_within"]["nbytes"] == 11  # 12 bytes each
    assert not told["best_within"]["measured"]
    assert [each["nbytes"] for each in told["estimates"]] == [11, 12]  # the one that just fits, too
    (goal,) = told["goals"]
    assert goal["goal"] == 0.8
    text = page.read_text("utf-8")
    assert "recommended for 3,000,000 rows" in text
    assert "extrapolated" in text
    assert text.count("<svg") == 3
    run = CliRunner().invoke(app, [*map(str, asked)])
    assert "best under 36 MB: 11 bytes" in run.stdout
    assert "2,963 rows" in run.stdout
    run = CliRunner().invoke(app, [*map(str, asked[:-1]), "some"])
    assert run.exit_code == 2
    assert "--rows is 'some'" in run.stderr
