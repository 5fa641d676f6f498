"""Averages and verdicts of docs/: from made results files, never from memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "bench" / "tables"))
import paper_figures
import paper_results
import paper_tables
import paper_verdicts


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Write results files where the tables look for them."""
    monkeypatch.setattr(paper_results, "RESULTS", tmp_path)

    def write(name, rows):
        (tmp_path / f"{name}.json").write_text(json.dumps({"results": rows}))

    return write


def cell(retention, half=0.01, **changes):
    made = {"method": "paper", "dims": 384, "level": "2", "scorer": "hamming", "bytes": 144}
    ends = {"low": retention - half, "high": retention + half}
    return made | {"retention": retention, **ends} | changes


def row(collection, *cells, model=paper_results.MINILM, seed=0, **more):
    return {"model": model, "collection": collection, "seed": seed, "cells": list(cells), **more}


def test_seeds_are_averaged_within_collections_first(results):
    results("paper_main", [row("a", cell(0.9)), row("a", cell(0.94), seed=1), row("b", cell(0.8))])
    means = paper_results.averages(paper_results.rows("paper_main"))
    (found,) = means.values()
    assert found.value == pytest.approx(100 * (0.92 + 0.8) / 2)
    assert found.half == pytest.approx(100 * (2 * 0.01**2) ** 0.5 / 2)
    assert (found.collections, found.seeds) == (2, 1)


@pytest.mark.parametrize(
    ("measured", "word"), [(97.5, "better"), (96.5, "holds"), (95, "holds"), (94, "does not hold")]
)
def test_verdict_words(measured, word):
    assert paper_verdicts.verdict(measured, 96, 1) == word


def found(claim):
    return {name: result for name, result, *_ in paper_verdicts.claims()}[claim]


def test_a_claim_reads_its_own_cell(results):
    claim = "2 bit at 384 of 384 dims keeps (paper preset)"
    assert found(claim) is None  # no file: nothing is said
    results("paper_main", [row("a", cell(0.95), cell(0.99, level="1"))])
    assert found(claim) == ("does not hold", "95.0 ± 1.0 against 97.6")
    assert found("1 bit at 384 of 384 dims keeps (paper preset)")[0] == "better"
    assert found("hybrid at 384 of 384 dims keeps (paper preset)") is None


def test_a_claim_is_judged_with_a_float_query_too(results):
    results("paper_main", [row("a", cell(0.95), cell(0.99, scorer="asymmetric"))])
    said = next(line for line in paper_verdicts.verdicts().splitlines() if "2 bit at 384" in line)
    assert "| VERDICT: does not hold | 95.0 ± 1.0 against 97.6 |" in said
    assert "| VERDICT: better | 99.0 ± 1.0 against 97.6 |" in said


def test_a_part_helps_where_it_does_with_every_seed(results):
    def kept(variant, *retentions):
        return [row("a", cell(r, method=variant, dims=96), variant=variant, seed=seed)
                for seed, r in enumerate(retentions)]  # fmt: skip

    results("paper_ablation", [*kept("untrained start", 0.5, 0.5, 0.5), *kept("+ FFN", 0.6, 0.7),
                               *kept("+ quantization", 0.59, 0.9)])  # fmt: skip
    said = "ablation at 96 dims, 2 bit: {} helps"
    assert found(said.format("+ FFN")) == ("holds", "+15.0 (+10.0, +20.0) points")
    assert found(said.format("+ quantization")) == ("does not hold", "+9.5 (-1.0, +20.0) points")
    assert found(said.format("+ matryoshka")) is None


def test_less_time_is_better(results):
    def timed(dims, method, scorer, seconds):
        part = {"method": method, "scorer": scorer, "seconds": seconds}
        return {"dims": dims, "kind": method.removeprefix("qama "), "rows": [part]}

    results("paper_speed", [timed(768, "float32", "inner product", 10.0),
                            timed(768, "qama 2", "hamming", 1.0),
                            timed(768, "int8", "inner product", 12.0)])  # fmt: skip
    assert found("time of 2 at 768 dims over float32 at 768") == ("better", "0.100 against 0.90")
    assert found("time of int8 at 768 dims over float32 at 768")[0] == "does not hold"


def test_ablation_and_advice(results):
    cells = {"+ bottleneck": 0.90, "+ variance": 0.93, "- matryoshka": 0.80}
    results("paper_ablation", [row("a", cell(r, method=v, dims=192), variant=v, diagnostics={})
                               for v, r in cells.items()])  # fmt: skip
    assert found("ablation at 192 dims, 2 bit: + variance helps")[0] == "holds"
    assert found("without matryoshka more than 5 % is lost (192 dims, 2 bit)")[0] == "holds"
    assert found("without orthogonality more than 5 % is lost (192 dims, 2 bit)") is None
    results("paper_main", [row("a", cell(0.80, dims=96, level="1.5", bytes=24),
                               cell(0.85, dims=192, level="1", bytes=24),
                               cell(0.99, dims=192, level="2", bytes=72))])  # fmt: skip
    word, numbers = found("advice: 1.5 at 96 dims for small devices")
    assert word == "does not hold"
    assert "best of no more bytes: 1 at 192 dims, 85.0" in numbers


def test_tables_say_what_was_not_measured(results):
    for name in paper_tables.__all__:
        assert "not measured" in getattr(paper_tables, name)()


def test_the_ablation_is_drawn_for_the_cumulative_variants(results, tmp_path, monkeypatch):
    figures = {name: [0.1, 0.2, 0.3] for name in ("variance", "imbalance", "margin")}
    results("paper_ablation", [row("a", variant=v, diagnostics=figures) for v in ("+ x", "- y")])
    monkeypatch.setattr(paper_figures, "DOCS", tmp_path)
    assert "![by dims, for each variant](paper_ablation.svg)" in paper_figures.ablation_figure()
    drawn = (tmp_path / "paper_ablation.svg").read_text()
    assert "<svg" in drawn
    assert "+ x" in drawn
    assert "- y" not in drawn


def test_pictures_are_drawn_of_what_was_measured(results, tmp_path, monkeypatch):
    monkeypatch.setattr(paper_figures, "DOCS", tmp_path)
    for name in paper_figures.__all__:
        assert "Not measured yet" in getattr(paper_figures, name)()
    results("paper_main", [row("a", cell(0.95), cell(0.7, method="int8", level="int8"))])
    timing = {"method": "float32", "scorer": "inner product", "seconds": 2.0}
    results("paper_speed", [{"dims": 768, "kind": "float32", "rows": [timing]}])
    budget = {"bytes": 48, "retention": 0.9, "ms": 1.0}
    results("paper_dynamic", [{"rows": [budget | {"funnel": 0}, budget | {"funnel": 20}]}])
    for name in ("main", "speed", "dynamic"):
        assert f"(paper_{name}.svg)" in getattr(paper_figures, f"{name}_figure")()
        assert "<svg" in (tmp_path / f"paper_{name}.svg").read_text()


def test_tables_show_what_was_measured(results):
    results("paper_main", [row("a", cell(0.951), cell(0.99, method="float16", level="float16",
                                                      scorer="cosine"))])  # fmt: skip
    text = paper_tables.main_minilm()
    assert "| paper | 384 |  |  |  | 95.1 |  |" in text
    assert "| float16 | all |  |  |  |  | 99.0 |" in text
    row_of = {"task": "cluster", "model": "m", "data": "d", "bytes": 1, "seconds": 2.0}
    pairs = (("float32", 0.8), ("x", 0.6))
    results("tasks", [{**row_of, "method": m, "v_measure": v} for m, v in pairs])
    assert "| cluster | m | x | 1 | 0.6000 v_measure | 75.0 | 2 seconds | 1 |" in (
        paper_tables.tasks_table()
    )
    results("paper_dynamic", [{"rows": [{"bytes": 48, "funnel": 0, "retention": 0.9, "ms": 1.0}]}])
    assert "| 48 | all rows | 90.0 | 1.00 |" in paper_tables.dynamic_table()
