"""The examples of docs/engines.md run."""

from __future__ import annotations

import pytest
from oracle import ENGINES, FILES, needs
from pages import DOCS, python

BEGINNING, *EXAMPLES = python(DOCS / "engines.md")
NAMES = [example.splitlines()[0].removeprefix("# ") for example in EXAMPLES]

pytestmark = pytest.mark.filterwarnings("default")  # what clients of engines warn of is theirs


def test_every_engine_has_an_example():
    assert set(NAMES) == {*ENGINES, "parquet"}


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
