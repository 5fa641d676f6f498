"""Vectors and ids from .npy, Parquet and texts; what streams and samples do: test_training."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from qama import sources

VECTORS = [[1.0, 2.0], [3.0, 4.0]]


# --- .npy -------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [b"{'descr': \0", b"(" * 5000, b"{'descr': (1,", b"[" * 100])
def test_a_npy_file_of_a_hostile_header_is_refused(tmp_path, header):
    raw = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    (tmp_path / "x.npy").write_bytes(raw)
    with pytest.raises(ValueError, match=r"not a \.npy file of plain numbers"):
        sources.open_vectors(tmp_path / "x.npy")


@pytest.mark.parametrize("version", [2, 3])
def test_a_header_longer_than_the_file_is_refused_before_it_is_read(tmp_path, monkeypatch, version):
    monkeypatch.setattr(np, "load", None)  # would allocate what the header claims
    raw = b"\x93NUMPY" + bytes([version, 0]) + (2**32 - 1).to_bytes(4, "little") + b"{}"
    (tmp_path / "x.npy").write_bytes(raw)
    with pytest.raises(ValueError, match="claims a header of 4294967295 bytes and has 14"):
        sources.open_vectors(tmp_path / "x.npy")


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_npy_is_read(tmp_path, version):
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array(file, np.array(VECTORS), version)
    assert sources.open_vectors(tmp_path / "x.npy").tolist() == VECTORS


class Trap:
    """What a pickle would run."""

    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


def test_pickles_are_refused_and_not_run(tmp_path):
    np.save(tmp_path / "x.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    (tmp_path / "bare.npy").write_bytes(pickle.dumps(Trap()))
    for name, why in (("x.npy", "Python objects in dtype"), ("bare.npy", "it does not begin as")):
        for read in (sources.open_vectors, sources.read_ids):
            with pytest.raises(ValueError, match=r"not a \.npy file of plain numbers") as refused:
                read(tmp_path / name)
            assert why in str(refused.value)
            assert "allow_pickle" not in str(refused.value)  # no advice to load it unsafely


def test_an_archive_of_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.array(VECTORS))
    (tmp_path / "x.npz").rename(tmp_path / "x.npy")
    with pytest.raises(ValueError, match=r'is an \.npz archive: end its name in "\.npz"'):
        sources.open_vectors(tmp_path / "x.npy")


# --- Parquet ----------------------------------------------------------------------------------


def write(path, **columns):
    parquet.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.list_(pa.float64(), 2), pa.large_list(pa.float32())]
)
def test_the_one_column_of_lists_is_read(tmp_path, kind):
    path = write(tmp_path / "x.parquet", text=["a", "b"], v=pa.array(VECTORS, kind))
    assert sources.open_vectors(path).tolist() == VECTORS


def test_columns_that_are_not_asked_for_are_not_read(tmp_path, monkeypatch):
    read, kept = parquet.ParquetFile.iter_batches, []

    def noting(self, rows, columns):
        kept.append(columns)
        return read(self, rows, columns=columns)

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", noting)
    sources.open_vectors(write(tmp_path / "x.parquet", text=["a", "b"], v=VECTORS))
    assert kept == [["v"]]


@pytest.mark.parametrize("name", ["x.parquet", "x.PARQUET", "x.Parquet", "x.pq", "x.PQ"])
def test_its_suffix_has_any_case(tmp_path, name):
    path = write(tmp_path / name, v=VECTORS)
    assert sources.open_vectors(path).tolist() == VECTORS
    assert sources.open_vectors(str(path)).tolist() == VECTORS


@pytest.mark.parametrize("name", ["x.npy", "x.NPY", "x", "x.bin"])
def test_parquet_of_another_name_is_told_its_suffix(tmp_path, name):
    with pytest.raises(ValueError, match=r'it begins as a Parquet file does: .* "\.parquet"'):
        sources.open_vectors(write(tmp_path / name, v=VECTORS))


def test_a_wide_table_is_read_where_all_its_columns_are_floats(tmp_path):
    columns = {"a": [1.0, 3.0], "b": pa.array([2.0, 4.0], pa.float32())}
    assert sources.open_vectors(write(tmp_path / "x.parquet", **columns)).tolist() == VECTORS
    with pytest.raises(ValueError, match=r"0 columns of lists of numbers; .* without 'id'"):
        sources.open_vectors(write(tmp_path / "y.parquet", id=[1, 2], **columns))


def test_lists_of_other_things_do_not_count(tmp_path):
    tokens, tags = [[1, 2]] * 2, [["a"]] * 2
    path = write(tmp_path / "x.parquet", v=VECTORS, tokens=tokens, tags=tags)
    assert sources.open_vectors(path).tolist() == VECTORS


def test_a_table_without_rows_is_an_array_without_rows(tmp_path):
    path = write(tmp_path / "x.parquet", v=pa.array([], pa.list_(pa.float32())))
    assert len(sources.open_vectors(path)) == 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a"]}, "0 columns of lists"),
        ({"v": VECTORS, "w": VECTORS}, "2 columns of lists"),
        ({"v": [[1.0], None]}, "1 nulls"),
        ({"v": [[1.0], [1.0, 2.0]]}, "differ in length"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_tables_without_vectors_are_refused(tmp_path, columns, message):
    with pytest.raises(ValueError, match=message):
        sources.open_vectors(write(tmp_path / "x.parquet", **columns))


def test_what_is_no_parquet_is_refused_by_name(tmp_path):
    whole = write(tmp_path / "x.parquet", v=VECTORS).read_bytes()
    for raw in (b"", b"PAR1", b"x" * 100, whole[:-9], whole[:-8] + b"\xff\xff\xff\x7fPAR1"):
        (tmp_path / "x.parquet").write_bytes(raw)
        with pytest.raises(ValueError, match=r"x\.parquet cannot be read as Parquet"):
            sources.open_vectors(tmp_path / "x.parquet")
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises((ValueError, OSError)):
        sources.open_vectors(tmp_path / "folder.parquet")


# --- ids --------------------------------------------------------------------------------------


def test_ids_are_one_a_line(tmp_path):
    (tmp_path / "ids").write_text("3\n\n 5 \r\n9223372036854775807")
    ids = sources.read_ids(tmp_path / "ids")
    assert ids.tolist() == [3, 5, 2**63 - 1]
    assert ids.dtype == np.int64


@pytest.mark.parametrize("text", ["1 2", "x", "1.5", "9223372036854775808", "9" * 5000, "\x00"])
def test_what_is_no_whole_number_is_refused(tmp_path, text):
    (tmp_path / "ids").write_text(text)
    with pytest.raises(ValueError, match="ids are whole numbers, one a line"):
        sources.read_ids(tmp_path / "ids")


def test_ids_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "ids").write_bytes(b"\xff\xfe1\n")
    with pytest.raises(ValueError, match="ids are whole numbers, one a line"):
        sources.read_ids(tmp_path / "ids")
