"""Vectors in .npz, .fvecs, .bvecs, JSON lines, and in Parquet files of several parts."""

from __future__ import annotations

import contextlib
import json
import pickle
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import qama
from qama import checks, sources, vectorfiles

VECTORS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


def vecs(path, rows, dtype):
    """Write rows as TEXMEX defines .fvecs and .bvecs: the dims of each, then its values."""
    parts = [np.int32(len(row)).tobytes() + np.array(row, dtype).tobytes() for row in rows]
    path.write_bytes(b"".join(parts))
    return path


def lines(path, *values):
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


# --- what is read -----------------------------------------------------------------------------

WRITERS = {
    "x.npz": lambda path, X: npz(path, names=np.array(["a"]), v=X, ids=np.arange(len(X))),
    "x.fvecs": lambda path, X: vecs(path, X, "<f4"),
    "x.bvecs": lambda path, X: vecs(path, X, "u1"),
    "x.jsonl": lambda path, X: lines(path, *X.tolist()),
    "x.ndjson": lambda path, X: lines(path, *({"id": 7, "v": row} for row in X.tolist())),
    "x.parquet": lambda path, X: parquet.write_table(
        pa.table({"text": ["a"] * len(X), "v": X.tolist()}), path, row_group_size=64
    ),
}


@pytest.fixture(name="X")
def whole_numbers():
    """Whole numbers that all of these files can hold."""
    return np.random.default_rng(0).integers(0, 256, (300, 8)).astype(np.float32)


@pytest.mark.parametrize("name", [*WRITERS, "X.FVECS"])
def test_every_file_gives_its_vectors_and_the_same_codec(tmp_path, X, name, monkeypatch):
    monkeypatch.setattr(vectorfiles, "_JSON_ROWS", 70)
    monkeypatch.setattr(checks, "CHUNK_ROWS", 70)
    WRITERS[name.lower()](tmp_path / name, X)
    assert sources.open_vectors(tmp_path / name).tolist() == X.tolist()
    given = qama.fit(str(tmp_path / name), threads=1)
    assert given.fingerprint == qama.fit(X, threads=1).fingerprint
    assert given.facts["rows"] == 300


@pytest.mark.parametrize("name", WRITERS)
def test_an_index_takes_every_file_and_one_array_of_ids(tmp_path, X, name):
    WRITERS[name](tmp_path / name, X)
    codec = qama.fit(X, threads=1)
    index, other = qama.Index(codec, nbytes=8), qama.Index(codec, nbytes=8)
    ids = np.arange(300) * 2
    assert index.add_from(tmp_path / name, ids) == 300
    other.add(X, ids)
    found, expected = index.search(X[:9], 3), other.search(X[:9], 3)
    assert found.ids.tolist() == expected.ids.tolist()
    assert found.scores.tolist() == expected.scores.tolist()


@pytest.mark.parametrize(("count", "why"), [(299, "299 ids, for more"), (301, "301 ids for 300")])
def test_ids_of_all_batches_must_be_as_many_as_vectors(X, count, why):
    index = qama.Index(qama.fit(X, threads=1), nbytes=8)
    with pytest.raises(ValueError, match=f"there are {why} vectors; give one for each"):
        index.add_from(iter([X[:100], X[:0], X[100:]]), np.arange(count))


def test_files_of_rows_are_mapped_or_streamed(tmp_path, X, monkeypatch):
    monkeypatch.setattr(checks.chunks, "__defaults__", (70,))
    monkeypatch.setattr(checks, "CHUNK_ROWS", 70)
    monkeypatch.setattr(vectorfiles, "_JSON_ROWS", 70)
    for name in ("x.bvecs", "x.jsonl", "x.parquet"):
        WRITERS[name](tmp_path / name, X)
        sizes = [len(batch) for batch in vectorfiles.opened(tmp_path / name)]
        assert sum(sizes) == 300
        assert max(sizes) <= 70
    mapped = vectorfiles.opened(WRITERS["x.fvecs"](tmp_path / "x.fvecs", X))
    assert isinstance(mapped.base, np.memmap)


def test_of_json_lines_empty_ones_are_passed_over(tmp_path):
    (tmp_path / "x.jsonl").write_text("\n[1, 2]\n \n[3.5, 4]\r\n\n")
    assert sources.open_vectors(tmp_path / "x.jsonl").tolist() == [[1, 2], [3.5, 4]]


@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet"])
def test_a_file_without_rows_is_an_array_without_rows(tmp_path, name):
    if name == "x.jsonl":
        (tmp_path / name).touch()
    else:
        parquet.write_table(pa.table({"v": pa.array([], pa.list_(pa.float32()))}), tmp_path / name)
    assert sources.open_vectors(tmp_path / name).shape == (0, 0)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=name):
        qama.fit(tmp_path / name)


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(("arrays", "why"), [
    ({"ids": np.arange(3)}, "0 of its arrays are of floats with two axes (there is 'ids.npy')"),
    ({}, "0 of its arrays are of floats with two axes (there is none)"),
    ({"a": np.ones((2, 2)), "b": np.ones((2, 2))}, "2 of its arrays are of floats with two axes "
     "(there is 'a.npy' and 'b.npy')"),
])  # fmt: skip
def test_an_archive_has_one_array_of_vectors(tmp_path, arrays, why):
    with pytest.raises(ValueError, match=r"x\.npz cannot be read as \.npz") as refused:
        sources.open_vectors(npz(tmp_path / "x.npz", **arrays))
    assert why in str(refused.value)


class Trap:
    """What a pickle would run."""

    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


def test_pickles_of_an_archive_are_passed_over_and_not_run(tmp_path):
    texts = np.array([Trap()], dtype=object)
    path = npz(tmp_path / "x.npz", texts=texts, v=np.array(VECTORS))
    assert sources.open_vectors(path).tolist() == VECTORS
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"cannot be read as \.npz \(File is not a zip file\)"):
        sources.open_vectors(path)


def test_damaged_archives_are_refused(tmp_path):
    path = npz(tmp_path / "x.npz", v=np.ones((50, 8)))
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        with contextlib.suppress(ValueError):  # unless the byte says nothing of the array
            assert sources.open_vectors(path).tolist() == np.ones((50, 8)).tolist()


def test_a_member_that_claims_a_long_header_is_refused(tmp_path):
    raw = b"\x93NUMPY\x02\x00" + (2**32 - 1).to_bytes(4, "little") + b"{}"
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("v.npy", raw)
    with pytest.raises(ValueError, match="claims a header of 4294967295 bytes and has 14"):
        sources.open_vectors(tmp_path / "x.npz")


@pytest.mark.parametrize("name", ["x.fvecs", "x.bvecs"])
def test_rows_of_several_widths_are_refused_by_their_number(tmp_path, name):
    dtype = "<f4" if name == "x.fvecs" else "u1"
    raw = vecs(tmp_path / name, [[1, 2], [3, 4], [5, 6]], dtype).read_bytes()
    size = len(raw) // 3
    (tmp_path / name).write_bytes(raw[:size] + b"\3" + raw[size + 1 :])
    with pytest.raises(ValueError, match=rf"row 1 of .*{name} has 3 dims, the first one 2"):
        sources.open_vectors(tmp_path / name)
    for cut in (b"", raw[:3], raw[:-1], b"\0" * 12, b"\xff" * 12):
        (tmp_path / name).write_bytes(cut)
        with pytest.raises(ValueError, match=rf"{name} is no \.[fb]vecs file: its {len(cut)} byt"):
            sources.open_vectors(tmp_path / name)


@pytest.mark.parametrize(("line", "why"), [
    ("[1, 2", "line 2 of {} holds no vector: Expecting"),
    ("3", "it is no list of numbers"),
    ('["1", "2"]', "it is no list of numbers"),
    ("[true, false]", "it is no list of numbers"),
    ("[1, null]", "it is no list of numbers"),
    ("[1, [2]]", "it is no list of numbers"),
    ("[1, 2, 3]", "it has 3 numbers; give 2, as the lines before it"),
    ("[]", "it has 0 numbers; give 2"),
    ('{"v": "text", "w": {}}', "it has 0 lists of numbers; give objects with one"),
    ('{"v": [1, 2], "w": [3, 4]}', "it has 2 lists of numbers, 'v' and 'w'; give objects with one"),
    ("[1, 1" + 400 * "0" + "]", "int too large to convert to float"),
    ("[" * 100_000, "line 2 of {} holds no vector"),
    ("\x00", "line 2 of {} holds no vector"),
])  # fmt: skip
def test_a_line_that_is_no_vector_is_named(tmp_path, line, why):
    path = tmp_path / "x.jsonl"
    path.write_text(f"[1, 2]\n{line}\n")
    with pytest.raises(ValueError, match=r"^line 2 of .*x\.jsonl holds no vector: ") as refused:
        sources.open_vectors(path)
    assert why.format(path) in str(refused.value)


def test_every_object_has_the_key_of_the_first(tmp_path):
    path = lines(tmp_path / "x.jsonl", {"v": [1, 2]}, {"w": [1, 2]})
    with pytest.raises(ValueError, match=r"line 2 of .*: 'v' is no list of numbers"):
        sources.open_vectors(path)


def test_a_value_that_is_not_finite_is_refused_by_its_row(tmp_path, X):
    path = lines(tmp_path / "x.jsonl", *X.tolist(), [float("nan"), *X[0, 1:].tolist()])
    with pytest.raises(ValueError, match=r"X\[300, 0\] is nan"):
        qama.fit(path)


def test_a_fault_in_a_later_part_of_a_parquet_file_names_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "CHUNK_ROWS", 2)
    parquet.write_table(pa.table({"v": [[1.0], [2.0], [3.0], None]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x\.parquet from row 2 on has 1 nulls"):
        sources.open_vectors(tmp_path / "x.parquet")
    parquet.write_table(pa.table({"v": [[1.0], [2.0], [3.0, 4.0]]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"rows of .*x\.parquet differ in length, from 1 to 2"):
        sources.open_vectors(tmp_path / "x.parquet")
