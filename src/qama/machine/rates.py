"""How fast this machine is: constants that plans are made from, measured in some ten seconds."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qama import blas, checks, kernels
from qama.checks import Floats
from qama.machine import standin
from qama.search.index import Index

_CODES = 12 * 2**20  # bytes of codes that are scanned: more than a core's own caches
_LISTS = 4_096  # whose centroids queries and rows are multiplied with
_PROBED = 16  # of them, the nearest ones of a query
_FEW = 1_000  # rows among which a query costs what it costs beside the scan
_ENCODED = 4_096  # rows encoded at a time
_WRITTEN = 128 * 2**20  # bytes written to the disk
_BATCH = 64
K = 10


@dataclass(frozen=True)
class Rates:
    """What was measured, on one core unless it is said otherwise.

    Attributes:
        dims: Dims of the vectors.
        nbytes: Length of the codes.
        cores: Cores that this process may use.
        memory: Bytes of the machine's memory; None where the system does not tell.
        encode: Vectors encoded a second.
        query_ms: Milliseconds of a query beside its scan.
        scan_ns: Nanoseconds of a code, for a query asked alone.
        batch_ns: Nanoseconds of a code, for a query in a batch of 64.
        all_ns: Nanoseconds of a code, for a query asked alone of all cores.
        probe_ns: Nanoseconds of a list, whose centroid a query is compared with.
        assign_ns: The same of a row that is added, among many.
        disk: Bytes written a second, until they are on the disk.
    """

    dims: int
    nbytes: int
    cores: int
    memory: int | None
    encode: float
    query_ms: float
    scan_ns: float
    batch_ns: float
    all_ns: float
    probe_ns: float
    assign_ns: float
    disk: float


def measured(
    dims: int,
    nbytes: int,
    folder: Path | None = None,
    seconds: float = 1.0,
    tell: Callable[[str], None] = lambda note: None,
) -> Rates:
    """Measure this machine.

    Args:
        dims: Dims of the vectors.
        nbytes: Length of the codes.
        folder: Of the disk that is written to; None: where temporary files are.
        seconds: Of each measurement, at least.
        tell: Called with what is done next.

    Raises:
        OSError: nothing can be written there.
    """
    tell("measuring: encoding")
    random, codec = np.random.default_rng(0), standin.codec(dims, nbytes)
    X = random.standard_normal((_ENCODED, dims), dtype=np.float32)
    encoding = _seconds(lambda: codec.encode(X, nbytes=nbytes, threads=1), seconds)
    tell("measuring: searching")
    few, many = Index(codec, nbytes=nbytes), Index(codec, nbytes=nbytes)
    few.add(X[:_FEW])
    rows = _CODES // nbytes
    many.add_codes(random.integers(0, 256, (rows, nbytes), dtype=np.uint8))

    def search(index: Index, queries: int, threads: int) -> float:
        """Return the seconds of a query."""
        Q = X[:queries]
        return _seconds(lambda: index.search(Q, K, threads=threads), seconds) / queries

    alone, query = search(many, 1, 1), search(few, 1, 1)
    of_batch, of_all = search(many, _BATCH, 1), search(many, 1, 0)
    probe, assign = _centroids(X, seconds)
    tell("measuring: the disk")
    return Rates(
        dims=dims, nbytes=nbytes, cores=checks.threads(0), memory=memory(),
        encode=_ENCODED / encoding, query_ms=1000 * query,
        scan_ns=1e9 * max(alone - query, 0) / rows, batch_ns=1e9 * of_batch / rows,
        all_ns=1e9 * max(of_all - query, 0) / rows, probe_ns=1e9 * probe / _LISTS,
        assign_ns=1e9 * assign / _LISTS, disk=_disk(folder),
    )  # fmt: skip


def _centroids(X: Floats, seconds: float) -> tuple[float, float]:
    """Return the seconds in which a query, and a row among many, finds the nearest centroids."""
    centroids = np.random.default_rng(1).standard_normal((_LISTS, X.shape[1]), dtype=np.float32)
    lists = kernels.InvertedLists(
        kernels.CentroidUnits.of(kernels.whole_units(centroids)),
        np.arange(_LISTS), np.arange(1, _LISTS + 1),
    )  # fmt: skip
    query = kernels.whole_units(centroids[:1] + centroids[1:2])
    probes = kernels.Probes(lists, query, np.ones(_LISTS, np.int64), _PROBED)
    probe = _seconds(lambda: kernels.blocks_to_visit(probes, 1, threads=1), seconds / 3)
    with blas.at_most(1):
        assign = _seconds(lambda: X[:_FEW] @ centroids.T, seconds / 3)
    return probe, assign / _FEW


def _seconds(job: Callable[[], object], least: float) -> float:
    """Return the median seconds of a job that is repeated for a time, twice at least."""
    job()
    seen: list[float] = []
    until = time.perf_counter() + least
    while len(seen) < 2 or time.perf_counter() < until:
        began = time.perf_counter()
        job()
        seen.append(time.perf_counter() - began)
    return float(np.median(seen))


def _disk(folder: Path | None) -> float:
    """Return the bytes a second in which a file is written and on the disk."""
    piece = np.random.default_rng(0).bytes(2**22)
    with tempfile.TemporaryFile(dir=folder) as file:
        began = time.perf_counter()
        for _ in range(_WRITTEN // len(piece)):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        return _WRITTEN / (time.perf_counter() - began)


def memory() -> int | None:
    """Return the bytes of the machine's memory, where the system tells it."""
    if sys.platform == "win32":
        return None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
