"""The parts of bench/paper.py that take time: storage and speed, and budgets that change."""

from __future__ import annotations

import time

import numpy as np
from paper_quality import GRID_LEVELS, Judge
from quality_data import Scene, load_scene

import qama
from qama.quantizers.thermometer.levels import plan

ROWS, QUERIES, CHUNK = 1_000_000, 1_000, 50_000
FLOATS = {"float32": np.float32, "float16": np.float16, "int8": np.int8}
BUDGETS = (12, 24, 48, 96, 192)
FUNNELS = (20, 50, 100, 200, 500, 1000, 2000)


def synthetic(rows, dims, seed):
    """Vectors with a falling spectrum, float32."""
    spectrum = (1 + np.arange(dims)) ** -0.5
    return (np.random.default_rng(seed).standard_normal((rows, dims)) * spectrum).astype("f4")


def speed(dims: int, kind: str, threads: int):
    """Return the rows of one number format, or of one level under both scorers."""
    if kind in FLOATS:
        return [_float_row(dims, kind, threads)]
    codec = qama.fit(
        synthetic(2_000, dims, 0), preset="paper", steps=0, epochs=0, architecture="linear"
    )
    index = qama.Index(codec, dims=dims, level=kind)
    for chunk in range(ROWS // CHUNK):
        index.add(synthetic(CHUNK, dims, chunk))
    Q = synthetic(QUERIES, dims, ROWS)
    bits = plan(dims, kind).bits()
    work = {
        "hamming": f"{bits} bits: XOR, POPCOUNT",
        "asymmetric": f"{2 * index.code_size} look-ups",
    }
    rows = []
    for scorer, operations in work.items():
        index.search(Q[:8], 10, scorer=scorer, threads=threads)  # inverse norms are cached by now
        started = time.perf_counter()
        index.search(Q, 10, scorer=scorer, threads=threads)
        rows.append({"method": f"qama {kind}", "scorer": scorer, "bytes": index.code.nbytes,
                     "compact_bytes": index.code_size, "operations": operations,
                     "seconds": time.perf_counter() - started})  # fmt: skip
    return rows


def _float_row(dims: int, kind: str, threads: int):
    """Exact search by FAISS, chunk by chunk; int8 and float16 are widened a chunk at a time."""
    import faiss

    faiss.omp_set_num_threads(threads)
    Q = synthetic(QUERIES, dims, ROWS)
    seconds = 0.0
    for chunk in range(ROWS // CHUNK):
        X = synthetic(CHUNK, dims, chunk)
        scale = np.abs(X).max() / 127 if kind == "int8" else 1
        X = np.rint(X / scale).astype(np.int8) if kind == "int8" else X.astype(FLOATS[kind])
        started = time.perf_counter()
        faiss.knn(Q, X.astype(np.float32, copy=False), 10, metric=faiss.METRIC_INNER_PRODUCT)
        seconds += time.perf_counter() - started
    size = dims * np.dtype(FLOATS[kind]).itemsize
    return {"method": kind, "scorer": "inner product", "bytes": size, "compact_bytes": size,
            "operations": f"{2 * dims} FLOPs", "seconds": seconds}  # fmt: skip


KINDS = (*FLOATS, *GRID_LEVELS)


def dynamic(scene: Scene, seed: int):
    """Return quality and latency per budget and per number of funnel candidates: one codec.

    The codec is fitted on the collection; searched are the collection and the general passages.
    Latency: one query at a time, one thread, the median.
    """
    codec = qama.fit(scene.fit, seed=seed, threads=1)
    wide = load_scene(scene.model, scene.collection.name, "wide")
    judged = Judge(wide)
    longest = min(BUDGETS[-1], codec.byte_budgets[-1])
    rows = []
    for nbytes in sorted({n for n in BUDGETS if n < longest} | {longest}):
        index = qama.Index(codec, nbytes=nbytes)
        index.add(wide.docs)
        rows.append(_dynamic_row(judged, index, False))
    rows += [_dynamic_row(judged, index, candidates) for candidates in FUNNELS]
    return [{"rows": len(wide.docs), **row} for row in rows]


def _dynamic_row(judged, index, funnel):
    times = []
    for query in judged.scene.queries[:200]:
        started = time.perf_counter()
        index.search(query[None], 10, threads=1, funnel=funnel)
        times.append(time.perf_counter() - started)
    ids = index.search(judged.scene.queries, 10, threads=1, funnel=funnel).ids
    found = judged.cell("qama", index.codec.dims_in, "bytes", "asymmetric", index.code_size, ids)
    return {**found, "funnel": int(funnel), "ms": 1e3 * float(np.median(times))}
