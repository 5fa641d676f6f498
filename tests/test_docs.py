"""What README and docs/ say: examples run, links lead somewhere, tables are filled."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import mixture
from pages import DOCS, PAGES, ROOT, program

import qama

sys.path.insert(0, str(ROOT / "bench" / "tables"))
import drawings

ELSEWHERE = {  # by the tests of these folders
    "distributed.md",
    "engines.md",
    "integrations.md",
    "server.md",
}
MODEL = '''
import zlib
import numpy as np

def embed(texts):
    """A vector of each text, from its words."""
    X = np.zeros((len(texts), 64), dtype=np.float32)
    for row, text in zip(X, texts):
        for word in text.lower().replace("?", "").replace(".", "").split():
            row += np.random.default_rng(zlib.crc32(word.encode())).standard_normal(64)
    return X
'''
SENTENCE_TRANSFORMERS = (
    MODEL
    + """
class SentenceTransformer:
    def __init__(self, name):
        assert name == "all-MiniLM-L6-v2"

    def encode(self, texts):
        return embed(texts)
"""
)
OPENAI = (
    MODEL
    + """
from types import SimpleNamespace

class OpenAI:
    def __init__(self, **options):
        self.embeddings = self

    def create(self, model, input):
        made = [SimpleNamespace(index=i, embedding=x) for i, x in enumerate(embed(input))]
        return SimpleNamespace(data=made, usage=SimpleNamespace(total_tokens=sum(map(len, input))))
"""
)
NOTES = {
    "notes/garden.md": "# Garden\nroses\n" + "".join(f"## Month {i}\ndig {i}\n" for i in range(30)),
    "notes/server.md": "# Server\n## Backup\nnightly\n## To restore a backup\nhow to restore\n",
}
TEXTS = "\n".join(
    [f"note {i} about {what}" for i in range(150) for what in ("tea", "rice", "salt", "my garden")]
    + ["change your address here"]
)
BEGINNING = """
import numpy as np
import qama
X = np.load("vectors.npy")
Q = X[:3]
Q_sample = X[:200]
codec = qama.fit(X, max_bytes=48)
"""
FILES = {  # what a page takes for granted
    "tutorials/documents.md": {"sentence_transformers.py": SENTENCE_TRANSFORMERS} | NOTES,
    "tutorials/api.md": {"openai.py": OPENAI, "texts.txt": TEXTS},
    "vectors.md": {"openai.py": OPENAI},
}
BEFORE = {"inner_product.md": BEGINNING, "scale.md": BEGINNING}
SMALLER = {"scale.md": ("4096", "64")}  # what would be more than there are vectors
SAYS = {  # a line of what a page prints
    "documents.md": r"a question of taste",
    "tutorials/documents.md": r"\d\.\d\d notes/server\.md#2 To restore a backup",
    "tutorials/api.md": r"0\.\d+ change your address here",
    "tutorials/database.md": r"\d+ % of the floats' ten nearest",
    "tutorials/paper.md": r"\(800, \d+\) of 192 bytes",
    "vectors.md": r"note 7",
}


def _name(page):
    return str(page.relative_to(DOCS)) if page.is_relative_to(DOCS) else page.name


RUNNING = [page for page in PAGES if _name(page) not in ELSEWHERE and program(page)]


@pytest.mark.parametrize("page", RUNNING, ids=_name)
def test_the_examples_of_a_page_run_one_after_the_other(page, tmp_path):
    name = _name(page)
    np.save(tmp_path / "vectors.npy", mixture(800, 48))
    for file, text in FILES.get(name, {}).items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    code = BEFORE.get(name, "") + program(page).replace(*SMALLER.get(name, ("", "")))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PATH": path, "OPENAI_API_KEY": "none", "MPLBACKEND": "agg"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(SAYS.get(name, ""), done.stdout)


def test_pages_that_run_are_known():
    assert {*FILES, *BEFORE, *SMALLER, *SAYS} <= {_name(page) for page in RUNNING}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_every_page_of_the_site_is_in_its_contents():
    contents = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.M)
    assert sorted(contents) == sorted(_name(page) for page in PAGES[1:])


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_no_generated_table_is_empty(page):
    text = page.read_text()
    names = re.findall(r"<!-- table: (\w+) -->", text)
    filled = re.findall(r"<!-- table: (\w+) -->\n[|!*].*?\n<!-- end -->", text, flags=re.S)
    assert names == filled


def test_the_drawings_are_made_by_code_and_shown(tmp_path):
    drawings.draw(tmp_path)  # which compares what it draws with what qama computes
    for path in tmp_path.iterdir():
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    kept = {path.name for path in (DOCS / "drawings").iterdir()}
    shown = re.findall(r"drawings/(\w+\.svg)", "".join(page.read_text() for page in PAGES))
    assert {path.name for path in tmp_path.iterdir()} == kept == set(shown)


def test_the_readme_fits_two_screens():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


def test_the_citation_names_this_version():
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), flags=re.M)
    assert cited is not None
    assert cited[1] == qama.__version__


def test_the_reference_has_everything_that_is_offered():
    page = (DOCS / "reference" / "python.md").read_text()
    documented = set(re.findall(r"^::: qama\.(?:\w+\.)*(\w+)$", page, flags=re.M))
    rooms = {"distributed", "embedders", "engines", "tasks"}
    offered = {name for room in rooms for name in getattr(qama, room).__all__} | {*qama.__all__}
    assert offered - documented == rooms | {"STORES"}


def test_every_command_is_documented():
    documented = set(re.findall(r"^## qama (\w+)", (DOCS / "cli.md").read_text(), re.M))
    shown = subprocess.run(
        [sys.executable, "-m", "qama", "--help"], check=True, capture_output=True, text=True
    ).stdout
    commands = {line.split()[1] for line in shown.splitlines() if re.match(r"│ \w+ {2,}", line)}
    assert documented == commands
