"""One index in several files: the same answers, ties included; folders half made; refusals."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from conftest import mixture
from hypothesis import given, settings
from hypothesis import strategies as st

import qama
from qama.search.sharding import _cuts
from qama.search.shards import MANIFEST, Shards
from qama.search.storage.verify import verify


@pytest.fixture(scope="module")
def repeated():
    """300 vectors of which every one is there three times: every score is a tie."""
    return np.tile(mixture(100, 32), (3, 1))


def made(codec, X, nlist=None, keep=None, ids=None):
    index = qama.Index(codec, nbytes=8, keep=keep)
    index.add(X, ids)
    if nlist is not None:
        index.partition(nlist)
    return index


def same(one, many):
    np.testing.assert_array_equal(one.ids, many.ids)
    np.testing.assert_array_equal(one.scores.view(np.uint32), many.scores.view(np.uint32))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("scorer", ["asymmetric", "hamming"])
def test_rows_in_any_number_of_files_answer_as_one_index(
    bytes_codec, codec, repeated, queries, tmp_path, count, scorer
):
    if scorer == "hamming":
        index = qama.Index(codec, dims=32, level="2")
        index.add(repeated)
    else:
        index = made(bytes_codec, repeated)
    shards = qama.shard(index, tmp_path / "shards", count)
    assert (len(shards), shards.rows, shards.by) == (count, 300, "rows")
    found = qama.search_many(shards.open(verify=True), queries, 50, scorer=scorer)
    same(index.search(queries, 50, scorer=scorer), found)


def test_lists_answer_as_one_index_that_lies_in_order(bytes_codec, repeated, queries, tmp_path):
    index = made(bytes_codec, repeated, nlist=9)
    shards = qama.shard(index, tmp_path / "shards", 4, by="lists")
    one = index.search(queries, 50, nprobe=9)
    same(one, qama.search_many(shards.open(), queries, 50, nprobe=9))
    assert [part.first for part in shards.files[1:]] == [p.last + 1 for p in shards.files[:-1]]
    assert shards.files[-1].last == 8
    assert sum(part.rows for part in shards.files) == 300


def test_what_few_lists_find_is_never_worse_in_several_files(bytes_codec, rows, queries, tmp_path):
    index = made(bytes_codec, rows, nlist=16)
    one = index.search(queries, 20, nprobe=2)
    for by in ("rows", "lists"):
        opened = qama.shard(index, tmp_path / by, 3, by=by).open()
        assert {part.nlist for part in opened} == {16}
        many = qama.search_many(opened, queries, 20, nprobe=2)
        assert (many.scores >= one.scores).all()


def test_filters_and_exclusions_are_those_of_one_index(bytes_codec, repeated, queries, tmp_path):
    index = made(bytes_codec, repeated, ids=np.arange(300)[::-1] + 7)
    opened = qama.shard(index, tmp_path / "shards", 4).open()
    chosen = {"filter": lambda ids: ids % 3 == 0, "exclude": [9, 12]}
    same(index.search(queries, 40, **chosen), qama.search_many(opened, queries, 40, **chosen))
    few = {"filter": [8, 20, 301, 9999]}
    same(index.search(queries, 40, **few), qama.search_many(opened, queries, 40, **few))


def test_ids_kept_vectors_and_the_next_id_stay_and_deleted_rows_go(bytes_codec, rows, tmp_path):
    index = made(bytes_codec, rows, keep="float16", ids=np.arange(300) * 2)
    index.delete([0, 10, 598])
    opened = qama.shard(index, tmp_path / "shards", 3).open(verify=True)
    np.testing.assert_array_equal(np.concatenate([part.ids for part in opened]), index.ids)
    for part in opened:
        np.testing.assert_array_equal(part.vectors(part.ids), index.vectors(part.ids))
    assert {int(part.add(rows[:1])[0]) for part in map(writable, opened)} == {599}
    for path in Shards.read(tmp_path / "shards").paths:
        assert verify(path).whole


def writable(index):
    return qama.Index.open(index._path, "c")


def test_several_indexes_become_another_number_of_files(bytes_codec, repeated, queries, tmp_path):
    index = made(bytes_codec, repeated, keep="int8")
    first = qama.shard(index, tmp_path / "three", 3)
    again = qama.shard(first.paths, tmp_path / "five", 5)
    assert [part.rows for part in again.files] == [60] * 5
    same(index.search(queries, 30), qama.search_many(again.open(), queries, 30))
    back = qama.shard(again.paths, tmp_path / "one", 1)
    straight = qama.shard(index, tmp_path / "straight", 1)
    assert back.files[0].identity == straight.files[0].identity


def test_lists_of_several_indexes_become_another_number_of_files(
    bytes_codec, repeated, queries, tmp_path
):
    index = made(bytes_codec, repeated, nlist=8)
    first = qama.shard(index, tmp_path / "three", 3, by="lists")
    again = qama.shard(first.paths, tmp_path / "two", 2, by="lists")
    one = index.search(queries, 30, nprobe=8)
    same(one, qama.search_many(again.open(), queries, 30, nprobe=8))
    other = made(bytes_codec, mixture(80, 32, seed=5), nlist=4, ids=np.arange(1000, 1080))
    mixed = qama.shard([index, other], tmp_path / "mixed", 2, by="lists")
    assert {part.nlist for part in mixed.open()} == {8}
    assert mixed.rows == 380


def test_what_calibrate_saw_is_kept_of_one_index(bytes_codec, rows, queries, tmp_path):
    index = made(bytes_codec, rows, nlist=8)
    curve = index.calibrate(queries, 5)
    for part in qama.shard(index, tmp_path / "shards", 2, by="lists").open():
        np.testing.assert_array_equal(part._now.lists.centroids.recall, curve)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.data())
def test_every_run_of_lists_has_one_and_none_is_in_two(sizes, data):
    count = data.draw(st.integers(1, len(sizes)))
    ends = np.cumsum(sizes)
    cuts = _cuts(ends, count)
    assert (cuts[0], cuts[-1], len(cuts)) == (0, len(sizes), count + 1)
    assert all(a < b for a, b in pairwise(cuts))
    counts = np.diff([0, *ends[np.array(cuts[1:]) - 1]])
    if len(sizes) >= count:  # no file is larger than its share and one list more, on either side
        assert counts.max() <= ends[-1] / count + 2 * max(sizes) or count > len(sizes) // 2


@settings(max_examples=15)
@given(
    total=st.integers(0, 200), count=st.integers(1, 9), deleted=st.sets(st.integers(0, 199)),
    sources=st.integers(1, 3),
)  # fmt: skip
def test_any_split_holds_every_row_once_and_in_order(
    bytes_codec, tmp_path_factory, total, count, deleted, sources
):
    X = np.tile(mixture(20, 32), (10, 1))[:total]
    index = made(bytes_codec, X, keep="int8")
    index.delete(sorted(deleted))
    folder = tmp_path_factory.mktemp("split")
    given_ = qama.shard(index, folder / "a", sources).paths
    opened = qama.shard(given_, folder / "b", count).open()
    sizes = [len(part) for part in opened]
    assert max(sizes) - min(sizes) <= 1
    np.testing.assert_array_equal(np.concatenate([part.ids for part in opened]), index.ids)
    np.testing.assert_array_equal(np.concatenate([part.codes for part in opened]), index.codes)
    same(index.search(X[:3], 20), qama.search_many(opened, X[:3], 20))


def test_a_folder_half_made_is_recognised_and_made_anew(bytes_codec, rows, tmp_path, monkeypatch):
    index, folder = made(bytes_codec, rows), tmp_path / "shards"
    from qama.search import sharding

    write, written = sharding.base.write, []

    def killed(path, *args):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *args)

    monkeypatch.setattr(sharding.base, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        qama.shard(index, folder, 5)
    monkeypatch.undo()
    assert len(list(folder.glob("*.qama"))) == 2
    with pytest.raises(qama.FormatError, match="half made: run `qama shard` into it again"):
        Shards.read(folder)
    shards = qama.shard(index, folder, 3)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*(part.file for part in shards.files), MANIFEST]
    )
    with pytest.raises(FileExistsError, match="holds shards already"):
        qama.shard(index, folder, 3)


def test_what_does_not_fit_is_refused_by_name(bytes_codec, rows, tmp_path):
    index = made(bytes_codec, rows)
    with pytest.raises(ValueError, match="shards"):
        qama.shard(index, tmp_path / "a", 0)
    with pytest.raises(ValueError, match="by is 'columns'"):
        qama.shard(index, tmp_path / "a", 2, by="columns")
    with pytest.raises(ValueError, match="needs inverted lists"):
        qama.shard(index, tmp_path / "a", 2, by="lists")
    with pytest.raises(ValueError, match="id 0 is in two"):
        qama.shard([index, index], tmp_path / "a", 2)
    with pytest.raises(ValueError, match="give at least one"):
        qama.shard([], tmp_path / "a", 2)
    with pytest.raises(ValueError, match="there are 4 lists"):
        qama.shard(made(bytes_codec, rows, nlist=4), tmp_path / "a", 5, by="lists")
    assert not (tmp_path / "a").exists()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes").touch()
    with pytest.raises(FileExistsError, match="not empty, it holds 'notes'"):
        qama.shard(index, tmp_path / "b", 2)


def test_a_manifest_that_lies_is_refused(bytes_codec, rows, tmp_path):
    folder = tmp_path / "shards"
    qama.shard(made(bytes_codec, rows), folder, 2)
    path, said = folder / MANIFEST, json.loads((folder / MANIFEST).read_text())
    for change, message in (
        ({"format": "x"}, "another format"), ({"version": 9}, "of version 9"),
        ({"by": "x"}, "by is"), ({"files": [{"file": "x"}]}, "damaged"),
        ({"files": [said["files"][0] | {"file": "../x"}]}, "no name of a file"),
        ({"files": [said["files"][0] | {"rows": "x"}]}, "rows"),
    ):  # fmt: skip
        path.write_text(json.dumps(said | change))
        with pytest.raises(qama.FormatError, match=message):
            Shards.read(folder)
    outside = tmp_path / "x"
    outside.touch()
    lying = said["files"][0] | {"file": "../x"}
    path.write_text(json.dumps(said | {"complete": False, "files": [lying]}))
    with pytest.raises(qama.FormatError, match="no name of a file"):
        qama.shard(made(bytes_codec, rows), folder, 2)  # which would remove what was left
    assert outside.exists()
    path.write_text("[")
    with pytest.raises(qama.FormatError, match="no manifest"):
        Shards.read(folder)
    with pytest.raises(FileNotFoundError):
        Shards.read(tmp_path)


def test_a_file_that_is_not_as_it_was_made_is_named(bytes_codec, rows, tmp_path):
    shards = qama.shard(made(bytes_codec, rows), tmp_path / "shards", 2)
    with qama.Index.open(shards.paths[0], "a") as index:
        index.delete(0)
        index.compact()
    assert [len(part) for part in shards.open()] == [149, 150]
    with pytest.raises(qama.FormatError, match=r"shard-0-of-2.* was changed or replaced"):
        shards.open(verify=True)
    raw = bytearray(shards.paths[1].read_bytes())
    raw[-70] ^= 1
    shards.paths[1].write_bytes(raw)
    with pytest.raises(qama.FormatError, match="is damaged"):
        Shards(shards.folder, "rows", shards.codec, shards.files[1:]).open(verify=True)
