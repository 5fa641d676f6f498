import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_readme_example_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    assert len(blocks) == 1
    code = blocks[0] + "\nassert result.ids.shape == again.search(X[:3], 5).ids.shape == (3, 5)\n"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_the_examples_of_documents_run_one_after_the_other(tmp_path):
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/documents.md").read_text(), flags=re.S
    )
    code = "\n".join(blocks) + "\nassert len(hits) and docs.code_size == 8\n"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "a question of taste"


def test_the_examples_of_notebooks_run_one_after_the_other(tmp_path):
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/notebooks.md").read_text(), flags=re.S
    )
    code = "\n".join(blocks) + "\nassert len(frame) == 15 and axes.get_xlabel()\n"
    surroundings = os.environ | {"MPLBACKEND": "agg"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=surroundings)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text())
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_no_generated_table_is_empty(path):
    text = path.read_text()
    names = re.findall(r"<!-- table: (\w+) -->", text)
    filled = re.findall(r"<!-- table: (\w+) -->\n[|!*].*?\n<!-- end -->", text, flags=re.S)
    assert names == filled


def test_every_command_is_documented():
    documented = set(re.findall(r"^## qama (\w+)", (ROOT / "docs" / "cli.md").read_text(), re.M))
    shown = subprocess.run(
        [sys.executable, "-m", "qama", "--help"], check=True, capture_output=True, text=True
    ).stdout
    commands = {line.split()[1] for line in shown.splitlines() if re.match(r"│ \w+ {2,}", line)}
    assert documented == commands
