"""qama plan: the arithmetic by hand; the constants are measured, and are numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import qama
from qama.cli.main import app
from qama.machine import planning, rates, standin
from qama.machine.planning import Asked
from qama.machine.rates import Rates

RATES = Rates(
    dims=1000, nbytes=47, cores=4, memory=10**11, encode=10_000.0, query_ms=0.5, scan_ns=4.0,
    batch_ns=1.0, all_ns=2.0, probe_ns=50.0, assign_ns=10.0, disk=1e8,
)  # fmt: skip


def figures(**changes):
    asked = Asked(1_000_000, 100, None, 10**11, 4)
    return {each.name: each for each in planning.plan(replace(asked, **changes), RATES)}


def test_a_million_rows_by_hand():
    found = figures()
    assert found["memory"].value == 48e6
    assert found["disk"].value == 55e6
    assert found["as float32"].value == 4e9
    assert "lists" not in found
    assert found["a query"].value == pytest.approx(0.5 + 2.0)  # all cores read 1e6 codes
    assert found["core time of a query"].value == pytest.approx(0.5 + 1.0)  # as one of a batch
    assert found["queries of a node"].value == pytest.approx(1000 * 0.7 * 4 / 1.5)
    assert found["nodes"].value == 1
    assert found["build"].value * 3600 == pytest.approx(1e6 / 10_000 / 4)
    assert found["writing"].value * 3600 == pytest.approx(0.55)
    assert figures(keep="float16")["disk"].value == 55e6 + 2e9
    assert figures(qps=5000)["nodes"].value == 3
    assert "a month" not in found
    assert figures(qps=5000, price=0.25)["a month"].value == pytest.approx(3 * 0.25 * 730)


def test_a_billion_rows_lie_in_lists_on_several_nodes():
    count = planning.lists(10**9)
    assert count == 65_536
    one = figures(rows=10**9)
    each = 0.5 + (count * 50 + 1e9 * 32 / count * 4) / 1e6
    assert one["memory"].value == 1e9 * (47 + 1 + 8) + count * 4000
    assert one["disk"].value == 1e9 * (47 + 8 + 4)
    assert one["lists"].value == count
    assert one["core time of a query"].value == one["a query"].value == pytest.approx(each)
    assert one["build"].value * 3600 == pytest.approx(1e9 * (1e-4 + 1e-8 * count) / 4)
    small = figures(rows=10**9, memory=16 * 10**9)
    parts = planning.shards(Asked(10**9, 100, None, 16 * 10**9, 4), RATES)
    assert parts == 5
    assert small["nodes"].value % parts == 0
    assert small["build"].value < one["build"].value / parts  # fewer lists, too
    assert "200,000,000 rows of a node" in small["a query"].why


def test_more_of_anything_never_takes_less():
    for name in ("memory", "disk", "a query", "build", "nodes"):
        values = [figures(rows=rows)[name].value for rows in (10**5, 10**6, 9 * 10**6)]
        assert values == sorted(values)
    assert planning.lists(planning.LISTS_FROM - 1) is None


def test_every_figure_says_how_it_was_found():
    found = figures(rows=10**9)
    assert {each.how for each in found.values()} == {"measured", "modelled", "assumed"}
    measured = [each.value for each in found.values() if each.how == "measured"]
    held = {v for n, v in vars(RATES).items() if n not in ("dims", "nbytes", "cores", "memory")}
    assert {*measured} == held
    assert all(each.why for each in found.values())


@pytest.mark.parametrize(("value", "unit", "said"), [
    (4.1e12, "B", "4.1 TB"), (950, "B", "950 B"), (1.3e8, "B/s", "130 MB/s"), (0.05, "h", "3 min"),
    (156.2, "h", "156 h"), (65_536, "", "65,536"), (0.374, "ms", "0.374 ms"),
    (5e15, "B", "5,000 TB"),
])  # fmt: skip
def test_numbers_are_said_as_people_read_them(value, unit, said):
    assert planning.said(planning.Figure("", value, unit, "modelled", "")) == said


@pytest.mark.parametrize(("dims", "nbytes"), [(32, 1), (33, 16), (384, 48), (600, 100)])
def test_a_stand_in_encodes_and_is_searched_as_any_codec(dims, nbytes):
    codec = standin.codec(dims, nbytes)
    X = np.random.default_rng(0).standard_normal((50, dims)).astype(np.float32)
    index = qama.Index(codec, nbytes=nbytes)
    index.add(X)
    assert index.code_size == nbytes
    assert index.search(X, 5).ids.shape == (50, 5)
    if nbytes > 30:  # so many random codewords still tell vectors apart
        assert (index.search(X, 1).ids[:, 0] == np.arange(50)).mean() > 0.9


def test_what_is_measured_are_numbers_above_zero(tmp_path, monkeypatch):
    monkeypatch.setattr(rates, "_CODES", 2**16)
    monkeypatch.setattr(rates, "_WRITTEN", 2**22)
    monkeypatch.setattr(rates, "_LISTS", 64)
    noted = []
    found = rates.measured(32, 8, tmp_path, seconds=0, tell=noted.append)
    assert (found.dims, found.nbytes) == (32, 8)
    assert found.cores >= 1
    for name in ("encode", "query_ms", "batch_ns", "probe_ns", "assign_ns", "disk"):
        assert getattr(found, name) > 0
    assert min(found.scan_ns, found.all_ns) >= 0
    assert [*tmp_path.iterdir()] == []
    assert len(noted) == 3


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(rates, "measured", lambda *_, **__: RATES)
    asked = ["plan", "--rows", "1e9", "--dims", "1000", "--nbytes", "47", "--memory", "100GB"]
    page = tmp_path / "plan.html"
    run = CliRunner().invoke(
        app, [*asked, "--cores", "4", "--price", "0.5", "--json", "-o", str(page)]
    )
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert told["asked"] == {
        "rows": 10**9, "qps": 10, "keep": None, "memory": 10**11, "cores": 4, "price": 0.5,
    }  # fmt: skip
    assert told["rates"]["encode"] == 10_000
    assert {"name", "value", "unit", "how", "why"} == {*told["figures"][0]}
    text = page.read_text("utf-8")
    assert "A plan for 1,000,000,000 vectors" in text
    assert "65,536" in text
    assert "assumed" in CliRunner().invoke(app, asked).stdout
    for more, said in (
        (["--rows", "some"], "--rows is 'some'"), (["--memory", "lots"], "--memory is 'lots'"),
        (["--keep", "int4"], "--keep is 'int4'"), (["-o", str(tmp_path / "no" / "p")], "no folder"),
    ):  # fmt: skip
        run = CliRunner().invoke(app, [*asked, *more])
        assert run.exit_code == 2
        assert said in run.stderr
