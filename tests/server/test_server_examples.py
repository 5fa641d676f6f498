"""The page about the server: its examples, as they stand there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("fastapi", reason="FastAPI is not installed: make test-server")

from pages import DOCS, named
from serving import Live

PAGE = (DOCS / "server.md").read_text()
BLOCKS = named(DOCS / "server.md")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("page")
    (home / "models.py").write_text(BLOCKS["models.py"])
    subprocess.run([sys.executable, "-c", BLOCKS["make"]], check=True, cwd=home)
    return home


@pytest.fixture(scope="module")
def live(home):
    arguments = (home / "library", "--write", "--embed", "models:embed")
    with Live(*arguments, PYTHONPATH=str(home)) as served:
        yield served


def run(live, *command):
    """What a block prints, asked of the port that was free."""
    at = [part.replace("localhost:8000", f"localhost:{live.port}") for part in command]
    return subprocess.run(at, check=True, capture_output=True, text=True).stdout.splitlines()


def test_the_requests_of_the_page(live):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    lines = run(live, "bash", "-euc", BLOCKS["ask"])
    near, both, added, replaced, got, count, deleted = map(json.loads, lines)
    assert near["results"][0][0]["text"] == "taste of tea"
    assert [hit["metadata"]["number"] >= 5 for hit in both["results"][0]] == [True, True]
    assert added == replaced == {"ids": ["new"]}
    texts = [document["text"] for document in got["documents"]]
    assert texts == ["smell of coffee", "life of oil"]
    assert (count, deleted) == ({"count": 10}, {"deleted": 1})


def test_what_the_page_asks_for(live):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    curve, found = map(json.loads, run(live, "bash", "-euc", BLOCKS["look"]))
    assert (curve["queries"], curve["points"][-1]["nbytes"]) == (16, 16)
    assert found["collection"]["name"] == "library"


def test_the_client_of_the_page(live):
    (line,) = run(live, sys.executable, "-c", BLOCKS["openai"])
    dims, codes = re.fullmatch(r"(\d+) \[(.*)\]", line).groups()
    assert dims == "64"
    assert len(codes.split(",")) == 16


def test_the_limits_of_the_page_are_those_of_the_server():
    from dataclasses import asdict

    from qama.server.limits import Limits
    from qama.server.run import HEAD_SECONDS

    (limits,) = re.findall(r"^\| limit \|.*?\n\n", PAGE, re.M | re.S)
    table = [
        int(n.replace(",", ""))
        for n in re.findall(r"^\| [^|]+ \| ([\d,]+)(?: MiB)? \|", limits, re.M)
    ]
    own = asdict(Limits())
    own["body"] //= 2**20
    names = ("body", "rows", "k", "hits", "candidates", "sample", "requests", "seconds", "seconds")
    wanted = [own[name] for name in names]
    assert table == [*wanted, HEAD_SECONDS, own["wait_ms"]]


def test_the_names_in_python_are_there():
    code = PAGE.split("## In Python")[1]
    (block,) = re.findall(r"```python\n(.*?)```", code, flags=re.S)
    exec(block, {})
