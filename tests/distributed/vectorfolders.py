"""Folders of vectors in Parquet, and what is expected of their codes."""

from __future__ import annotations

import importlib.util
import os

import numpy as np
import pytest
from conftest import mixture

NBYTES = 8
DIMS = 32
NAMES = ("a.parquet", "b/c.parquet", "b/d.parquet", "e.pq")


def needs(*modules):
    """Skip where a module is not installed; fail where all should be (QAMA_CLUSTERS)."""
    lacking = [name for name in modules if importlib.util.find_spec(name) is None]
    if lacking:
        end = pytest.fail if os.environ.get("QAMA_CLUSTERS") else pytest.skip
        end(
            f"{', '.join(lacking)} not installed: make test-distributed has all",
            **({} if os.environ.get("QAMA_CLUSTERS") else {"allow_module_level": True}),
        )


def vectors(count, seed=1):
    """Vectors like those that the codec of the tests was fitted on."""
    return mixture(count, DIMS, seed=seed)


def table(X, ids, dtype=np.float32):
    """A table of ids and vectors."""
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(X, dtype=dtype).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, DIMS)
    return pa.table({"id": pa.array(ids), "text": ["a text"] * len(X), "embedding": column})


def write(file, X, ids, rows=100, dtype=np.float32):
    """Write a file of ids and vectors, some rows to a group."""
    from pyarrow import parquet

    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table(X, ids, dtype), file, row_group_size=rows)


def folder(path, count=1000, names=NAMES):
    """Write vectors in some files of a folder; returns the rows of each file by its name."""
    X, cuts = vectors(count), np.linspace(0, count, len(names) + 1).astype(int)
    held = {name: slice(cuts[i], cuts[i + 1]) for i, name in enumerate(names)}
    for name, rows in held.items():
        write(path / name, X[rows], np.arange(count)[rows])
    return {name: X[rows] for name, rows in held.items()}


def codes_of(path):
    """The codes of a file, uint8 (n, bytes), and its ids."""
    from pyarrow import parquet

    held = parquet.read_table(path)
    joined = b"".join(held.column("code").to_pylist())
    return np.frombuffer(joined, np.uint8).reshape(-1, NBYTES), held.column("id").to_pylist()


def check_codes(out, held, codec):
    """Check that a folder holds the codes of all rows, each once and in order."""
    first = 0
    for name in sorted(held):
        codes, ids = codes_of(out / name)
        np.testing.assert_array_equal(codes, codec.encode(held[name], nbytes=NBYTES))
        assert ids == list(range(first, first + len(codes)))
        first += len(codes)
    found = {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}
    assert found == {*held, "_manifest.json"}


def times(out):
    """When each file of codes was written."""
    return {file.name: file.stat().st_mtime_ns for file in out.rglob("*.p*q*")}
