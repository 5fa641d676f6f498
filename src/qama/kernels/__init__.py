"""Search kernels: the narrow seam between Python and the native scans.

Scans work on *blocks*: uint8 ``(ceil(n / 64), nbytes, 64)``, 64 rows per block, one
byte column at a time, rows past ``n`` zero (see ``docs/kernels.md``). Bits run from the most
significant one down, as in `numpy.packbits`. Results are ordered best first, ties by lower row,
and are the same, bit for bit, for every path and number of threads.

Every function checks its arguments and raises `ValueError` naming the one that does not fit.
``threads=0`` means all cores, fewer for little work. ``path`` forces one path for one call
(`info` lists them); otherwise the environment variable ``QAMA_KERNEL`` decides, or else the best
path of this CPU.
"""

from __future__ import annotations

import numpy as np

from qama.kernels import _check, reference
from qama.kernels._arrays import F32, I32, I64, U8, zero_blocks
from qama.kernels._dispatch import backend, chosen_path, native_paths
from qama.kernels.centroids import CentroidUnits
from qama.kernels.choosing import (
    choose_codewords,
    codeword_sums,
    count_pairs,
    multiply,
    prepare_codebooks,
    squared_norms,
)
from qama.kernels.codebooks import Codebooks, NibbleCodewords, panels
from qama.kernels.lists import blocks_to_visit
from qama.kernels.queries import nibble_tables, round_tables, whole_units
from qama.kernels.reference_vectors import UNIT, unit, whole
from qama.kernels.scans import (
    HammingScan,
    InvertedLists,
    NibbleQueries,
    Probes,
    QueryTables,
    StoredCodes,
    TableScan,
)

__all__ = [
    "UNIT",
    "CentroidUnits",
    "Codebooks",
    "HammingScan",
    "InvertedLists",
    "NibbleCodewords",
    "NibbleQueries",
    "Probes",
    "QueryTables",
    "StoredCodes",
    "TableScan",
    "blocks_to_visit",
    "choose_codewords",
    "codeword_sums",
    "count_pairs",
    "from_blocks",
    "hamming_distances",
    "hamming_rows",
    "hamming_topk",
    "info",
    "multiply",
    "native_paths",
    "nibble_tables",
    "panels",
    "prepare_codebooks",
    "round_tables",
    "squared_norms",
    "table_rows",
    "table_topk",
    "to_blocks",
    "unit",
    "whole",
    "whole_units",
    "zero_blocks",
]


def info() -> dict[str, object]:
    """Say which kernels run: ``native``, the ``path`` in use and the ``available`` paths.

    Raises:
        ValueError: ``QAMA_KERNEL`` names no path, or one that this machine lacks.
    """
    path = chosen_path()
    return {"native": path != "numpy", "path": path, "available": [*native_paths(), "numpy"]}


def to_blocks(codes: U8, *, out: U8 | None = None, path: str | None = None) -> U8:
    """Rearrange rows of bytes into blocks.

    Args:
        codes: uint8 ``(n, nbytes)``; may be some columns of a longer array, which is not copied.
        out: Where to write, C-contiguous and of the shape below; None: a new array.
        path: Force one path; None chooses.

    Returns:
        uint8 ``(ceil(n / 64), nbytes, 64)``; rows past ``n`` are zero.
    """
    codes = _check.columns("codes", codes)
    _check.at_least("codes.shape[1]", codes.shape[1], 1)
    if out is None:
        out = zero_blocks(-(-len(codes) // 64), codes.shape[1])
    _check.blocks(out, len(codes))
    _check.array("out", out, np.uint8, (None, codes.shape[1], 64))
    backend(path).to_blocks(codes, out)
    return out


def from_blocks(blocks: U8, n: int, *, path: str | None = None) -> U8:
    """Rearrange blocks into rows of bytes: the inverse of `to_blocks`.

    Args:
        blocks: uint8 ``(ceil(n / 64), nbytes, 64)``, C-contiguous.
        n: Number of rows.
        path: Force one path; None chooses.

    Returns:
        uint8 ``(n, nbytes)``.
    """
    _check.blocks(blocks, n)
    return backend(path).from_blocks(blocks, n)


def hamming_distances(queries: U8, codes: U8, *, bits: int, bit_pairs: int = 0) -> I32:
    """Compute the Hamming distance of every query and every code, in NumPy.

    This is what a Hamming distance means; the other functions find the same numbers in blocks.

    Args:
        queries: uint8 ``(m, b)``.
        codes: uint8 ``(n, b)``.
        bits: As for `HammingScan`.
        bit_pairs: As for `HammingScan`.

    Returns:
        int32 ``(m, n)``.
    """
    codes = _check.array("codes", codes, np.uint8, (None, None))
    queries = _check.queries(queries, codes, bits, bit_pairs)
    codes = codes[:, : queries.shape[1]]
    return reference.hamming_distances(queries, codes, bits=bits, bit_pairs=bit_pairs)


def hamming_topk(
    scan: HammingScan, k: int, *, threads: int = 0, path: str | None = None
) -> tuple[I64, I32]:
    """Find the ``k`` rows of least Hamming distance for each query.

    Args:
        scan: The rows and the queries.
        k: Rows to return for each query, at least 1.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        Rows, int64 ``(m, k')``, and distances, int32 ``(m, k')``, with
        ``k' = min(k, number of allowed rows that are visited)``.
    """
    _check.at_least("k", k, 1)
    _check.at_least("threads", threads, 0)
    return backend(path).hamming_topk(scan, k, threads=threads)


def hamming_rows(scan: HammingScan, rows: I64, *, threads: int = 0, path: str | None = None) -> I32:
    """Compute the Hamming distances of chosen rows.

    Args:
        scan: The rows and the queries; ``mask`` and ``visited`` do not matter.
        rows: int64 ``(m, c)``, each in ``0 .. n - 1``: the rows for each query.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        int32 ``(m, c)``.
    """
    rows = _check.rows(rows, len(scan.queries), scan.stored.n)
    _check.at_least("threads", threads, 0)
    return backend(path).hamming_rows(scan, rows, threads=threads)


def table_topk(
    scan: TableScan, k: int, *, threads: int = 0, path: str | None = None
) -> tuple[I64, F32]:
    """Find the ``k`` rows of highest asymmetric score for each query.

    Args:
        scan: The rows and the queries.
        k: Rows to return for each query, at least 1.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        Rows, int64 ``(m, k')``, and scores, float32 ``(m, k')``, with
        ``k' = min(k, number of allowed rows that are visited)``.
    """
    _check.at_least("k", k, 1)
    _check.at_least("threads", threads, 0)
    return backend(path).table_topk(scan, k, threads=threads)


def table_rows(scan: TableScan, rows: I64, *, threads: int = 0, path: str | None = None) -> F32:
    """Compute the asymmetric scores of chosen rows.

    Args:
        scan: The rows and the queries; ``mask`` and ``visited`` do not matter.
        rows: int64 ``(m, c)``, each in ``0 .. n - 1``: the rows for each query.
        threads: Threads to use.
        path: Force one path; None chooses.

    Returns:
        float32 ``(m, c)``.
    """
    rows = _check.rows(rows, len(scan.queries), scan.stored.n)
    _check.at_least("threads", threads, 0)
    return backend(path).table_rows(scan, rows, threads=threads)
