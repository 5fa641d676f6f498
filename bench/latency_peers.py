"""The engines that bench/latency.py sets beside qama, each with some of its documented settings.

All learn from the same vectors, hold the same unit vectors and answer on one thread. What is not
installed, or refuses this processor, is left out with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np


class Engine(NamedTuple):
    """Something that searches: its name, setting, bytes a row with ids, and the search itself."""

    name: str
    setting: str
    nbytes: float
    search: Callable[[Any, int], Any]


class Task(NamedTuple):
    """What an engine is asked for: vectors to learn from, rows, lists (None: none) and probes.

    Graphs over the vectors themselves are built where `graphs` says so: one of a million vectors
    takes most of an hour here, and many times the memory of codes.
    """

    train: Any
    rows: Any
    nlist: int | None
    probes: tuple[int, ...]
    graphs: bool


def peers(task: Task) -> Iterator[Engine]:
    """Yield every engine that works here."""
    for make in (_faiss, _hnswlib, _usearch, _scann, _rabitq, _turbovec, _glass):
        try:
            yield from make(task)
        except Exception as error:  # of a library that is missing, or not for this processor
            print(f"left out: {make.__name__[1:]}: {error}", flush=True)


def _faiss(task: Task) -> Iterator[Engine]:
    import faiss

    faiss.omp_set_num_threads(1)
    d = task.rows.shape[1]
    flat = faiss.IndexFlatIP(d)
    flat.add(task.rows)
    yield Engine("FAISS float32", "", 4 * d, lambda Q, k: flat.search(Q, k)[1])
    kinds = [("FAISS PQ fast-scan", f"PQ{d // 4}x4fs", d // 8, "", (0,))]
    if task.nlist is not None:
        lists = f"IVF{task.nlist}"
        kinds += [
            (
                "FAISS IVF PQ fast-scan",
                f"{lists},PQ{d // 4}x4fs",
                d // 8 + 8,
                "nprobe",
                task.probes,
            ),
            ("FAISS IVF RaBitQ fast-scan", f"{lists},RaBitQfs", d // 8 + 16, "nprobe", task.probes),
        ]
    if task.graphs:
        each = d + 16 * 2 * 4 + 8
        kinds.append(("FAISS HNSW SQ8", "HNSW16_SQ8", each, "efSearch", (16, 32, 64, 128)))
    for name, factory, each, parameter, values in kinds:
        index = faiss.index_factory(d, factory, faiss.METRIC_L2)
        index.train(task.train)
        index.add(task.rows)
        for value in values:
            setting = f"{parameter} {value}" if parameter else ""
            yield Engine(name, setting, each, partial(_asked, index, parameter, value))


def _asked(index: Any, parameter: str, value: int, Q: Any, k: int) -> Any:
    import faiss

    if parameter == "nprobe":
        faiss.extract_index_ivf(index).nprobe = value
    elif parameter:
        index.hnsw.efSearch = value
    return index.search(Q, k)[1]


def _hnswlib(task: Task) -> Iterator[Engine]:
    import hnswlib

    if not task.graphs:
        return
    d = task.rows.shape[1]
    index = hnswlib.Index(space="ip", dim=d)
    index.init_index(len(task.rows), M=16, ef_construction=100)
    index.add_items(task.rows)
    index.set_num_threads(1)
    for ef in (16, 32, 64, 128):

        def search(Q: Any, k: int, ef: int = ef) -> Any:
            index.set_ef(ef)
            return index.knn_query(Q, k, num_threads=1)[0]

        yield Engine("hnswlib", f"ef {ef}", 4 * d + 16 * 2 * 4 + 8, search)


def _usearch(task: Task) -> Iterator[Engine]:
    from usearch.index import Index

    if not task.graphs:
        return
    d = task.rows.shape[1]
    index = Index(ndim=d, metric="ip", dtype="i8", connectivity=16)
    index.add(np.arange(len(task.rows)), task.rows, threads=2)
    for ef in (16, 64, 128):

        def search(Q: Any, k: int, ef: int = ef) -> Any:
            index.expansion_search = ef
            found = index.search(Q, k, threads=1).keys
            return found.reshape(len(Q), -1)

        yield Engine("USearch i8", f"expansion {ef}", d + 16 * 2 * 4 + 8, search)


def _scann(task: Task) -> Iterator[Engine]:
    import scann

    d = task.rows.shape[1]
    made = scann.scann_ops_pybind.builder(task.rows, 10, "dot_product").set_n_training_threads(1)
    if task.nlist is not None:
        made = made.tree(task.nlist, 16, training_sample_size=len(task.train))
    made = made.score_ah(
        4, anisotropic_quantization_threshold=0.2, training_sample_size=len(task.train)
    )
    searcher = made.build()
    for probe in task.probes if task.nlist is not None else (0,):

        def search(Q: Any, k: int, probe: int = probe) -> Any:
            given = {"leaves_to_search": probe} if probe else {}
            if len(Q) == 1:
                return searcher.search(Q[0], final_num_neighbors=k, **given)[0][None]
            return searcher.search_batched(Q, final_num_neighbors=k, **given)[0]

        yield Engine(
            "ScaNN", f"{probe} leaves" if probe else "", d / 8 + (4 if probe else 0), search
        )


def _rabitq(task: Task) -> Iterator[Engine]:
    import faiss
    import rabitqlib

    if task.nlist is None:
        return
    d = task.rows.shape[1]
    means = faiss.Kmeans(d, task.nlist, niter=10, seed=0)
    means.train(task.train)
    owners = means.index.search(task.rows, 1)[1][:, 0].astype(np.uint32)
    for bits in (1, 2):
        index = rabitqlib.IvfIndex(d, len(task.rows), task.nlist, bits, "ip")
        index.build(task.rows, np.asarray(means.centroids, np.float32), owners, 1)
        for probe in task.probes:

            def search(Q: Any, k: int, index: Any = index, probe: int = probe) -> Any:
                return index.search(Q, k, probe, None, 1)[0]

            yield Engine(f"RaBitQ library, {bits} bit", f"{probe} read", d * bits / 8 + 24, search)


def _turbovec(task: Task) -> Iterator[Engine]:
    import turbovec

    d = task.rows.shape[1]
    index = turbovec.TurboQuantIndex(d, 2)
    index.add(task.rows)
    yield Engine("turbovec, 2 bit", "", d / 4 + 7, lambda Q, k: index.search(Q, k)[1])


def _glass(task: Task) -> Iterator[Engine]:
    import glass

    if not task.graphs:
        return
    d = task.rows.shape[1]
    graph = glass.Index("HNSW", "IP", R=32, L=100).build(task.rows)
    searcher = glass.Searcher(graph, task.rows, "IP", "SQ4U")
    searcher.optimize(1)
    glass.set_num_threads(1)
    for ef in (16, 32, 64, 128):

        def search(Q: Any, k: int, ef: int = ef) -> Any:
            searcher.set_ef(ef)
            if len(Q) == 1:
                return np.asarray(searcher.search(Q[0], k)).reshape(1, -1)[:, :k]
            found = searcher.batch_search(Q, k)
            return np.asarray(found[0] if isinstance(found, tuple) else found).reshape(len(Q), -1)

        yield Engine("Glass HNSW SQ4U", f"ef {ef}", d / 2 + 32 * 4 + 8, search)
