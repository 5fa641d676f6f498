"""The examples of docs/engines.md run, and the tutorial with every engine as its target."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import ENGINES, FILES, needs, target_of
from pages import DOCS, program, python

BEGINNING, *EXAMPLES = python(DOCS / "engines.md")
NAMES = [example.splitlines()[0].removeprefix("# ") for example in EXAMPLES]

pytestmark = pytest.mark.filterwarnings("default")  # what clients of engines warn of is theirs


def test_every_engine_has_an_example():
    assert set(NAMES) == {*ENGINES, "parquet"}
    assert max(len((BEGINNING + example).splitlines()) for example in EXAMPLES) <= 40


@pytest.fixture(scope="module")
def beginning():
    names = {}
    exec(BEGINNING, names)
    return names


@pytest.mark.parametrize(("name", "example"), [*zip(NAMES, EXAMPLES, strict=True)], ids=NAMES)
def test_an_example_runs(name, example, beginning, tmp_path, monkeypatch):
    needs(FILES[name] if name in FILES else ENGINES[name].modules)
    monkeypatch.chdir(tmp_path)
    names = dict(beginning)
    exec(example, names)
    assert len(names["found"].ids) == (2000 if name in FILES else 5)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_tutorial_needs_one_other_line_for_another_engine(engine, tmp_path, monkeypatch):
    target, line = target_of(engine, tmp_path), 'target = "duckdb:codes.db#docs"'
    np.save(tmp_path / "vectors.npy", np.random.default_rng(0).standard_normal((400, 32)))
    monkeypatch.chdir(tmp_path)
    code = program(DOCS / "tutorials" / "database.md")
    assert line in code
    names = {}
    exec(code.replace(line, f"target = {target!r}"), names)
    assert names["found"].ids[:, 0].tolist() == [0, 1, 2]  # each query is a row
