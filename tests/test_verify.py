"""verify and inspect of partitioned indexes, names, and logs alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_cli import call, done
from test_trust import CELL, GOLDEN, damage, sections

from qama import Codec, FormatError, Index, container
from qama.search.storage import base, names
from qama.search.storage.repair import repair
from qama.search.storage.verify import verify

X = np.random.default_rng(0).standard_normal((600, 8)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    """A partitioned index of 500 vectors in 4 lists, every seventh deleted."""
    index = Index(Codec.load(GOLDEN), **CELL, nlist=4)
    index.add(X[:500])
    index.delete(np.arange(0, 500, 7))
    index.save(tmp_path / "partitions")
    return tmp_path / "partitions"


def rewrite(path, meta=None, **arrays):
    """Write a file again with other values, its checksums right."""
    whole = container.read(path, base.KIND, base.LISTS)
    meta, arrays = (
        whole.meta | (meta or {}),
        {n: np.array(a) for n, a in whole.arrays.items()} | arrays,
    )
    container.write(path, base.KIND, base.LISTS, meta, arrays)


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
    whole = container.read(path, base.KIND, base.LISTS)
    arrays = {name: np.array(whole.arrays[name]) for name in ("ids", "rows", "factors", "blocks")}
    live = np.flatnonzero(arrays["rows"] >= 0)
    raw = path.read_bytes()

    def problems(name, change):
        made = arrays[name].copy()
        change(made)
        rewrite(path, **{name: made})
        found = verify(path).problems
        path.write_bytes(raw)
        return found

    def set_to(at, value):
        return lambda made: made.__setitem__(at, value)

    proofs = f"{path}: places 0 to 511 are not proven"
    unlike = f"{path}: ids repeat or are negative"
    assert problems("ids", set_to(0, arrays["ids"][1])) == [proofs, unlike]
    assert problems("ids", set_to(0, -1)) == [proofs, unlike]
    assert problems("rows", set_to(live[0], arrays["rows"][live[1]])) == [
        proofs,
        f"{path}: rows without a place",
    ]
    assert problems("blocks", lambda made: made.__ixor__(1))[0] == proofs
    assert problems("factors", lambda made: made[live[:3]].__ixor__(1)) == []  # a copy
    assert problems("factors", lambda made: made.__setitem__(live[:3], made[live[:3]] ^ 1)) == [
        f"{path}: inverse norms of 3 vectors do not follow from their codes"
    ]
    assert verify(path).whole


def test_an_empty_partitioned_index_is_whole(path):
    with Index.open(path, mode="a") as index:
        index.delete(index.ids)
        index.compact()
        assert (len(index), index.nlist) == (0, 4)
    assert verify(path, None, X).problems == []
    assert len(Index.open(path).search(X[:2], 3).ids[0]) == 0


@pytest.mark.parametrize("damaged", ["rows", "blocks", "owners", "centroids", "live"])
def test_a_repair_of_a_partitioned_index_keeps_what_is_proven(path, tmp_path, damaged):
    whole = Index.open(path)
    with Index.open(path, mode="a") as index:
        index.add(X[500:520])
    damage(path, sections(path)[damaged]["offset"])
    found = repair(path, tmp_path / "repaired")
    made = Index.open(tmp_path / "repaired", verify=True)
    assert verify(tmp_path / "repaired").whole
    lost = {"rows": 428, "blocks": 428}.get(damaged, 0)  # all rows lie in one chunk
    assert (found.lost_rows, found.vectors) == (lost, 448 - lost)
    assert made.nlist == (None if damaged in ("owners", "centroids") else 4)
    if not lost:
        found = [index.search(X[:5], 448, nprobe=index.nlist).scores for index in (index, made)]
        np.testing.assert_array_equal(*found)
        assert len(whole) == 428


def test_names_are_verified(tmp_path):
    shutil.copy(Path(__file__).parent / "golden" / "names-1.qama", tmp_path / "names")
    assert verify(tmp_path / "names").passed == ["4 names: checksums fit, none occurs twice"]
    damage(tmp_path / "names", sections(tmp_path / "names")["text"]["offset"])
    with pytest.raises(FormatError, match="'text' is damaged"):
        names.read(tmp_path / "names")
    assert not verify(tmp_path / "names").whole


@pytest.mark.parametrize(
    "ends", [[4, 0, 3], [1, 5], [1, 3], [-1, 4], [], [[4]], [2.0, 4.0]], ids=repr
)
def test_ends_that_do_not_divide_the_text_are_refused(tmp_path, ends):
    kind = np.float64 if ends == [2.0, 4.0] else np.int64
    arrays = {"text": np.frombuffer(b"abcd", np.uint8), "ends": np.array(ends, kind)}
    container.write(tmp_path / "names", "names", 1, {}, arrays)
    with pytest.raises(FormatError, match="the names are inconsistent"):
        names.read(tmp_path / "names")


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
    assert (facts["kind"], facts["vectors"], facts["lists"]) == ("index", 428, 4)
    assert facts["fingerprint"] == Codec.load(GOLDEN).fingerprint
    shutil.copy(Path(__file__).parent / "golden" / "names-1.qama", tmp_path / "names")
    assert json.loads(done("inspect", tmp_path / "names", "--json").stdout)["names"] == 4
    assert "ok: 428 vectors can be found" in done("verify", path).stderr
    damage(path, sections(path)["blocks"]["offset"])
    assert call("verify", path).exit_code == 1


@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_a_torso_of_a_partitioned_index_keeps_whole_chunks(tmp_path, share):
    index = Index(Codec.load(GOLDEN), **CELL, nlist=4)
    index.add(np.resize(X, (9000, 8)))
    index.save(tmp_path / "x")
    blocks = sections(tmp_path / "x")["blocks"]
    with (tmp_path / "x").open("r+b") as file:
        file.truncate(blocks["offset"] + int(share * blocks["nbytes"]))
    found = repair(tmp_path / "x", tmp_path / "y")
    assert 0.7 * share < found.vectors / 9000 < share + 0.05
    made = Index.open(tmp_path / "y", verify=True)
    assert made.nlist == 4
    assert np.isin(made.ids, index.ids).all()
    kept = index.search(X[:3], 9000, nprobe=4, filter=made.ids)
    np.testing.assert_array_equal(made.search(X[:3], 9000, nprobe=4).scores, kept.scores)


def test_a_damaged_recall_is_not_written_again(tmp_path):
    index = Index(Codec.load(GOLDEN), **CELL, nlist=4)
    index.add(X)
    index.calibrate(X[:9])
    index.save(tmp_path / "x")
    damage(tmp_path / "x", sections(tmp_path / "x")["recall"]["offset"] + 3)
    assert repair(tmp_path / "x", tmp_path / "y").vectors == 600
    with pytest.raises(ValueError, match="a recall needs calibrate"):
        Index.open(tmp_path / "y").search(X[:3], recall=0.9)


def test_rows_of_partitions_that_nothing_says_are_not_guessed(tmp_path):
    path = tmp_path / "x"
    path.write_bytes((GOLDEN.parent / "partitions-1.qama").read_bytes())
    damage(path, sections(path)["live"]["offset"])
    with pytest.raises(FormatError, match="'live' is damaged"):
        repair(path, tmp_path / "y")
    assert not verify(path).whole
