"""Files of every version, kept for ever: they open and answer as recorded.

index-1: version 1, of the first release; a row was deleted before it was saved. index-2: version 2
with a log of a delete, an upsert and an add. index-3: version 2, its codec, codec-2, with full
bytes. index-4: version 3, whose leading bytes are apart; a row was deleted. codes-1: version 1.
The vectors were drawn by `default_rng(11)`, the queries by `default_rng(12)`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from qama import Codec, Index, codefile
from qama.search.verify import verify

GOLDEN = Path(__file__).parent / "golden"
ANSWERS = json.loads((GOLDEN / "answers.json").read_text())


def opened(tmp_path, name, mode="r"):
    for file in GOLDEN.glob(f"{name}.qama*"):
        shutil.copy(file, tmp_path)
    return Index.open(tmp_path / f"{name}.qama", mode, verify=True)


@pytest.mark.parametrize(
    ("name", "dims"), [("index-1", 8), ("index-2", 16), ("index-3", 8), ("index-4", 16)]
)
def test_an_index_of_every_version_answers_as_recorded(tmp_path, name, dims):
    index, answers = opened(tmp_path, name), ANSWERS[name]
    queries = np.random.default_rng(12).standard_normal((3, dims)).astype(np.float32)
    assert index.codec.fingerprint == answers["codec"]
    assert len(index) == answers["length"]
    assert index.ids.tolist() == answers["ids"]
    found = index.search(queries, 5)
    assert found.ids.tolist() == answers["found"]
    assert found.scores.tolist() == answers["scores"]


@pytest.mark.parametrize(
    ("name", "first"), [("index-1", 70), ("index-2", 75), ("index-3", 70), ("index-4", 70)]
)
def test_an_index_of_every_version_can_be_changed(tmp_path, name, first):
    with opened(tmp_path, name, "a") as index:
        X = np.eye(index.codec.dims_in, dtype=np.float32)
        assert index.add(X[:2]).tolist() == [first, first + 1]
        index.compact()
    again = Index.open(tmp_path / f"{name}.qama")
    assert again.ids.tolist() == [*ANSWERS[name]["ids"], first, first + 1]
    assert verify(tmp_path / f"{name}.qama").whole


def test_codes_are_read_and_follow_from_the_vectors():
    codec = Codec.load(GOLDEN / "codec-all.qama")
    opened = codefile.read(GOLDEN / "codes-1.qama", codec)
    assert opened.codes.tolist() == ANSWERS["codes-1"]["codes"]
    assert (opened.code.label, opened.compact) == ("8 dims at level 1.5", False)
    X = np.random.default_rng(11).standard_normal((90, 16)).astype(np.float32)
    np.testing.assert_array_equal(codec.encode(X[:20], dims=8, level="1.5"), opened.codes)


@pytest.mark.parametrize(
    "name", ["codec", "codec-all", "codec-2", "index-1", "index-2", "index-3", "index-4"]
)
def test_the_golden_files_are_whole(name):
    assert verify(GOLDEN / f"{name}.qama").problems == []
