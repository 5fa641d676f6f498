"""verify and inspect of partitioned indexes, names, and logs alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_cli import call, done
from test_trust import CELL, GOLDEN, damage, sections

from qama import Codec, FormatError, Index, Names, PartitionedIndex, container
from qama.search import base, partitioned
from qama.search.verify import verify

X = np.random.default_rng(0).standard_normal((600, 8)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    """A partitioned index of 500 vectors in 4 lists, every seventh deleted."""
    index = PartitionedIndex(Codec.load(GOLDEN), **CELL, nlist=4)
    index.train(X)
    index.add(X[:500])
    index.delete(np.arange(0, 500, 7))
    index.save(tmp_path / "partitions")
    return tmp_path / "partitions"


def rewrite(path, meta=None, **arrays):
    """Write a file again with other values, its checksums right."""
    whole = container.read(path, partitioned.KIND, partitioned.FORMAT)
    meta, arrays = (
        whole.meta | (meta or {}),
        {n: np.array(a) for n, a in whole.arrays.items()} | arrays,
    )
    container.write(path, partitioned.KIND, partitioned.FORMAT, meta, arrays)


def test_a_whole_partitioned_index_is_whole(path):
    findings = verify(path, None, X)
    assert findings.problems == []
    assert "428 vectors can be found" in findings.passed
    assert "ids are unique" in findings.passed
    assert "428 vectors encode to what is stored" in findings.passed


def test_every_section_of_a_partitioned_index_is_looked_at(path):
    whole = path.read_bytes()
    for name, entry in sections(path).items():
        damage(path, entry["offset"])
        problems = verify(path).problems
        assert any(f"section {name!r} is damaged" in problem for problem in problems)
        path.write_bytes(whole)
    assert verify(path).whole


def test_other_vectors_are_noticed(path):
    problems = verify(path, None, -X).problems
    assert problems == ["428 of 428 vectors encode to other codes"]


def test_rows_that_contradict_each_other_are_noticed(path):
    whole = container.read(path, partitioned.KIND, partitioned.FORMAT)
    ids, factors = np.array(whole.arrays["ids"]), np.array(whole.arrays["factors"])
    live = np.flatnonzero(PartitionedIndex.open(path)._pool.view.in_use())
    raw = path.read_bytes()
    twice = ids.copy()
    twice[live[0]] = ids[live[1]]
    rewrite(path, ids=twice)
    assert verify(path).problems == [f"{path}: ids repeat or are negative"]
    path.write_bytes(raw)
    below = ids.copy()
    below[live[0]] = -1
    rewrite(path, ids=below)
    assert verify(path).problems == [f"{path}: ids repeat or are negative"]
    path.write_bytes(raw)
    other = factors.copy()
    other[live[:3]] ^= 1
    rewrite(path, factors=other)
    assert verify(path).problems == [f"{path}: factors of 3 vectors do not follow from their codes"]
    path.write_bytes(raw)
    rewrite(path, {"following": 499})
    assert verify(path).problems == [f"{path}: id 499 would be given a second time"]


def test_an_empty_partitioned_index_is_whole(tmp_path):
    index = PartitionedIndex(Codec.load(GOLDEN), **CELL, nlist=4)
    index.train(X)
    index.save(tmp_path / "empty")
    assert verify(tmp_path / "empty", None, X).problems == []


def test_a_number_of_lists_that_the_file_cannot_hold_allocates_nothing(path):
    rewrite(path, {"nlist": 2**50})
    with pytest.raises(FormatError, match=f"nlist is {2**50}"):
        PartitionedIndex.open(path)


def test_names_are_verified(tmp_path):
    names = Names(["a", "b\u00e9", ""])
    names.save(tmp_path / "names")
    assert verify(tmp_path / "names").passed == ["3 names: checksums fit, none occurs twice"]
    damage(tmp_path / "names", sections(tmp_path / "names")["text"]["offset"])
    with pytest.raises(FormatError, match="'text' is damaged"):
        Names.load(tmp_path / "names")
    assert not verify(tmp_path / "names").whole


@pytest.mark.parametrize(
    "ends", [[4, 0, 3], [1, 5], [1, 3], [-1, 4], [], [[4]], [2.0, 4.0]], ids=repr
)
def test_ends_that_do_not_divide_the_text_are_refused(tmp_path, ends):
    kind = np.float64 if ends == [2.0, 4.0] else np.int64
    arrays = {"text": np.frombuffer(b"abcd", np.uint8), "ends": np.array(ends, kind)}
    container.write(tmp_path / "names", "names", 1, {}, arrays)
    with pytest.raises(FormatError, match="the names are inconsistent"):
        Names.load(tmp_path / "names")


def test_a_log_alone_is_verified(tmp_path):
    index = Index(Codec.load(GOLDEN), **CELL)
    index.save(tmp_path / "index")
    with Index.open(tmp_path / "index", mode="a") as opened:
        opened.add(X[:10], durable=True)
        opened.add(X[10:20], durable=True)
    log = base.log_path(tmp_path / "index")
    assert verify(log).passed == ["index.qama-log: 2 changes follow each other"]
    damage(log, 70)
    assert "whole records follow it" not in verify(log).passed
    assert not verify(log).whole


def test_a_kind_that_is_not_known_is_refused(tmp_path):
    container.write(tmp_path / "x", "poems", 1, {}, {})
    assert "'poems'" in verify(tmp_path / "x").problems[0]


def test_the_command_line_inspects_and_verifies_them(path, tmp_path):
    facts = json.loads(done("inspect", path, "--json").stdout)
    assert (facts["kind"], facts["vectors"], facts["lists"]) == ("partitions", 428, 4)
    assert facts["fingerprint"] == Codec.load(GOLDEN).fingerprint
    Names(["a", "b"]).save(tmp_path / "names")
    assert json.loads(done("inspect", tmp_path / "names", "--json").stdout)["names"] == 2
    assert "ok: 428 vectors can be found" in done("verify", path).stderr
    damage(path, sections(path)["blocks"]["offset"])
    assert call("verify", path).exit_code == 1
