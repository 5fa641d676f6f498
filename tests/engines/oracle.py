"""The engines that can run here, and what they should find."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

CODE = {"dims": 32, "level": "2"}  # three bits for each dim: 12 bytes

# The modules that an engine needs to run here, how a target in a folder looks, and the kinds of
# index that are approximate.
ENGINES = {
    "faiss": (("faiss",), "faiss:{}/codes.faiss", ("ivf", "hnsw")),
    "usearch": (("usearch",), "usearch:{}/codes.usearch", ("hnsw",)),
    "duckdb": (("duckdb", "pyarrow"), "duckdb:{}/codes.db#docs", ()),
    "sqlite": (("apsw", "sqlite_vec"), "sqlite:{}/codes.sqlite#docs", ()),
}
FILES = {
    "arrow": ("pyarrow",),
    "parquet": ("pyarrow",),
    "safetensors": ("safetensors",),
}
WITH_INDEX = [(name, index) for name, (_, _, indexes) in ENGINES.items() for index in indexes]


def needs(modules):
    """Skip where a module is not installed."""
    lacking = [name for name in modules if importlib.util.find_spec(name) is None]
    if lacking:
        pytest.skip(f"{', '.join(lacking)} not installed")


def target_of(engine, folder):
    """A target in a folder, where the engine can run."""
    modules, form, _ = ENGINES[engine]
    needs(modules)
    return form.format(folder)


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
