"""This machine: qama beside FAISS, USearch and NumPy, on the same vectors, one thread each.

All learn from the same rows, hold the same rows and answer the same queries, in interleaved rounds
of one process. What is not installed is left out.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qama import blas, checks
from qama.checks import Floats, Ids
from qama.codec import Codec
from qama.evaluation import page
from qama.evaluation.baselines import float_hits
from qama.quantizers.vectors import unit
from qama.search.index import Index

K, BATCH, ROUNDS = 10, 64, 5
LENGTHS = (24, 48)  # bytes of the codes to try, where none are asked for
_LEAST_SECONDS = 0.02  # of a round of one engine
_TRAINED = 8_000  # rows that all learn from

Search = Callable[[Floats], Ids]


@dataclass(frozen=True)
class Engine:
    """Something that searches.

    Attributes:
        name: What it is called.
        nbytes: Bytes that it holds of each vector, by its formula.
        build: Returns the search; what it takes is the engine's build.
    """

    name: str
    nbytes: float
    build: Callable[[], Search]


@dataclass(frozen=True)
class Measured:
    """What was measured of an engine.

    Attributes:
        name: What it is called.
        nbytes: Bytes of each vector, by the engine's formula.
        build_seconds: Learning and adding all rows; of qama without the fit.
        ms_one: Milliseconds of a query asked alone, the median of rounds.
        ms_batch: Of a query in a batch of 64.
        recall: Share of the ten nearest by float32 that it finds.
    """

    name: str
    nbytes: float
    build_seconds: float
    ms_one: float
    ms_batch: float
    recall: float


def random_vectors(rows: int, dims: int, seed: int) -> Floats:
    """Return float32 (rows, dims) of 64 clusters in a quarter of the dims, with some noise."""
    random, width = np.random.default_rng(seed), max(1, dims // 4)
    centers = random.standard_normal((64, width), dtype=np.float32)
    basis = random.standard_normal((width, dims), dtype=np.float32)
    made = np.empty((rows, dims), np.float32)
    for some in checks.chunks(made):
        count = len(made[some])
        low = centers[random.integers(64, size=count)]
        low = low + random.standard_normal(low.shape, dtype=np.float32)
        noise = random.standard_normal((count, dims), dtype=np.float32)
        made[some] = low @ basis / np.float32(np.sqrt(width)) + noise / np.float32(2)
    return made


def beside(
    X: Floats,
    Q: Floats,
    fit: Callable[[Floats], Codec],
    lengths: Sequence[int] | None = None,
    tell: Callable[[str], None] = lambda note: None,
) -> list[Measured]:
    """Measure every engine that is installed.

    Args:
        X: float32 (n, d), at least ten rows.
        Q: float32 (m, d), at least one query.
        fit: Makes a codec of rows float32 (n, d): `qama.fit`.
        lengths: Bytes of the codes to try; None: 24 and 48, none above the longest code.
        tell: Called with what is done next.

    Raises:
        ValueError: the codec has no byte codes of a length.
    """
    U, V = unit(X), unit(Q)
    train = U[:_TRAINED]
    tell(f"fitting qama on {len(train)} rows")
    codec = fit(train)
    tried = _lengths(codec) if lengths is None else lengths
    with blas.at_most(1):
        true = float_hits(U, V, K).ids
        ready = []
        for engine in [*_ours(codec, U, tried), *_numpy(U), *_faiss(U, train), *_usearch(U)]:
            tell(f"building {engine.name}")
            began = time.perf_counter()
            ready.append((engine, engine.build(), time.perf_counter() - began))
        tell("searching")
        jobs = [(search, queries) for _, search, _ in ready for queries in (V[:1], V[:BATCH])]
        times = _interleaved([lambda s=s, q=q: s(q) for s, q in jobs])  # type: ignore[misc]
        return [
            Measured(
                engine.name, engine.nbytes, seconds, 1000 * one,
                1000 * batch / len(V[:BATCH]), _recall(true, search(V)),
            )
            for (engine, search, seconds), one, batch in zip(
                ready, times[::2], times[1::2], strict=True
            )
        ]  # fmt: skip


def _lengths(codec: Codec) -> Sequence[int]:
    """Return `LENGTHS`, none of them above the codec's longest code."""
    if codec.additive is None:
        return LENGTHS
    return sorted({min(length, codec.additive.max_bytes) for length in LENGTHS})


def _recall(true: Ids, found: Ids) -> float:
    return float((found[:, :, None] == true[:, None, :]).any(axis=2).sum() / true.size)


def _interleaved(jobs: Sequence[Callable[[], Any]]) -> list[float]:
    """Return the median seconds of each job, all of them once a round."""
    for job in jobs:
        job()  # the first call warms up
    seen: list[list[float]] = [[] for _ in jobs]
    for _ in range(ROUNDS):
        for job, own in zip(jobs, seen, strict=True):
            until = time.perf_counter() + _LEAST_SECONDS
            while True:
                began = time.perf_counter()
                job()
                now = time.perf_counter()
                own.append(now - began)
                if now >= until:
                    break
    return [float(np.median(own)) for own in seen]


# -- engines ------------------------------------------------------------------------------------


def _ours(codec: Codec, U: Floats, lengths: Sequence[int]) -> Iterator[Engine]:
    def build(nbytes: int) -> Search:
        index = Index(codec, nbytes=nbytes)
        index.add(U, threads=1)
        return lambda Q: index.search(Q, K, threads=1).ids

    for nbytes in lengths:
        codec.code(nbytes=nbytes)  # before any long work
        yield Engine(f"qama, {nbytes} bytes", nbytes + 1, lambda n=nbytes: build(n))  # type: ignore[misc]


def _numpy(U: Floats) -> Iterator[Engine]:
    yield Engine("NumPy float32", 4 * U.shape[1], lambda: lambda Q: float_hits(U, Q, K).ids)


def _faiss(U: Floats, train: Floats) -> Iterator[Engine]:
    if importlib.util.find_spec("faiss") is None:
        return
    import faiss

    d = U.shape[1]

    def build(factory: str) -> Search:
        faiss.omp_set_num_threads(1)
        index = faiss.index_factory(d, factory, faiss.METRIC_INNER_PRODUCT)
        if not index.is_trained:
            index.train(train)
        index.add(U)
        return lambda Q: index.search(Q, K)[1]

    kinds = [("FAISS float32", "Flat", 4.0 * d), ("FAISS SQ8", "SQ8", float(d))]
    if d % 4 == 0:
        kinds.append(("FAISS PQ fast-scan", f"PQ{d // 4}x4fs", d / 8))
    for name, factory, nbytes in kinds:
        yield Engine(f"{name}", nbytes, lambda f=factory: build(f))  # type: ignore[misc]


def _usearch(U: Floats) -> Iterator[Engine]:
    if importlib.util.find_spec("usearch") is None:
        return
    from usearch.index import Index as Graph

    def build() -> Search:
        graph = Graph(ndim=U.shape[1], metric="cos", dtype="i8", connectivity=16)
        graph.add(np.arange(len(U)), U, threads=1)
        return lambda Q: np.atleast_2d(graph.search(Q, K, threads=1).keys).astype(np.int64)

    # 16 neighbours below and 32 at the lowest layer, of 5 bytes each; the key
    yield Engine("USearch HNSW, int8", U.shape[1] + 32 * 5 + 8, build)


# -- what is said -------------------------------------------------------------------------------

HEADINGS = ("engine", "bytes a vector", "recall@10 %", "ms, 1 query", "ms, of 64", "build s")


def rows(found: Sequence[Measured]) -> list[list[str]]:
    """Return the table of what was measured."""
    return [
        [
            each.name,
            f"{each.nbytes:.0f}",
            f"{100 * each.recall:.1f}",
            f"{each.ms_one:.3f}",
            f"{each.ms_batch:.3f}",
            f"{each.build_seconds:.1f}",
        ]
        for each in found
    ]


def sections(found: Sequence[Measured], about: str, machine: str) -> list[page.Section]:
    """Return what was measured as sections of a page."""
    largest = max(each.nbytes for each in found)
    ticks = [8, *(t for t in (32, 128, 512, 2048, 8192) if t < largest), largest]
    lowest = int(10 * min(each.recall for each in found)) * 10
    plot = page.Plot(
        [page.Line(each.name, [(max(8, each.nbytes), 100 * each.recall)]) for each in found],
        "bytes a vector", "recall@10 %", ticks, range(min(lowest, 90), 101, 10), x_log=True,
    )  # fmt: skip
    note = (
        "One thread each; medians of interleaved rounds in one process. Recall is the share of the "
        "ten nearest by float32 that were found. Bytes follow from each engine's layout. qama's "
        "build is without its fit, which is done once for all collections of a model; FAISS "
        "learned from the same rows. Every engine is as it comes: lists and graphs that are tuned "
        "are faster, qama's too."
    )
    return [
        page.Section("Side by side", about, table=[list(HEADINGS), *rows(found)], note=note),
        page.Section("Recall against memory", plot=plot),
        page.Section("The machine", machine),
    ]
