"""A self-test: what the native kernels compute equals the NumPy reference, bit for bit.

Every native path of this CPU is given random work of random sizes, until the time is up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import kernels
from qama.kernels.layout import BYTE_SIZE, NIBBLE_SIZE, CodebookLayout

Arrays = tuple[npt.NDArray[Any], ...]
Work = Callable[[str], Arrays]  # of a path: what it computes
_MOST_ROWS, _MOST_BYTES, _MOST_DIMS = 500, 64, 64


def compared(paths: tuple[str, ...], seconds: float, seed: int = 0) -> tuple[int, str | None]:
    """Compare native paths with the reference for a time, each kernel once at least.

    Args:
        paths: The native paths.
        seconds: How long.
        seed: Of the work.

    Returns:
        How many results were compared, and what differs first, if anything.
    """
    random, until, count = np.random.default_rng(seed), time.monotonic() + seconds, 0
    while count == 0 or time.monotonic() < until:
        for name, work in _WORK.items():
            ask = work(random)
            wanted = ask("numpy")
            for path in paths:
                if not _same(ask(path), wanted):
                    return count, f"{name} on path {path} differs from the NumPy reference"
                count += 1
    return count, None


def _same(found: Arrays, wanted: Arrays) -> bool:
    return all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(found, wanted, strict=True)
    )


def _blocks(random: np.random.Generator) -> Work:
    rows, nbytes = random.integers(1, _MOST_ROWS), random.integers(1, _MOST_BYTES)
    codes = random.integers(0, 256, (rows, nbytes), dtype=np.uint8)

    def ask(path: str) -> Arrays:
        blocks = kernels.to_blocks(codes, path=path)
        return blocks, kernels.from_blocks(blocks, len(codes), path=path)

    return ask


def _hamming(random: np.random.Generator) -> Work:
    blocks, rows, nbytes = _stored(random)
    queries = random.integers(0, 256, (5, nbytes), dtype=np.uint8)
    pairs, k = int(random.integers(0, 4 * nbytes + 1)), int(random.integers(1, 50))

    def ask(path: str) -> Arrays:
        stored = kernels.StoredCodes(blocks, rows)
        scan = kernels.HammingScan(stored, queries, 8 * nbytes, pairs)
        return kernels.hamming_topk(scan, k, path=path)

    return ask


def _tables(random: np.random.Generator) -> Work:
    blocks, rows, nbytes = _stored(random)
    queries, steps, norms = _queries(random, nbytes), _steps(), random.integers(0, 256, rows)
    k = int(random.integers(1, 50))

    def ask(path: str) -> Arrays:
        stored = kernels.StoredCodes(blocks, rows, None, norms.astype(np.uint8), steps)
        scan = kernels.TableScan(stored, kernels.nibble_tables(queries, path=path))
        return kernels.table_topk(scan, k, path=path)

    return ask


def _query_tables(random: np.random.Generator) -> Work:
    queries = _queries(random, int(random.integers(1, _MOST_BYTES)))

    def ask(path: str) -> Arrays:
        made = kernels.nibble_tables(queries, path=path)
        return made.tables, made.offsets, made.scales

    return ask


def _codewords(random: np.random.Generator) -> Work:
    size = int(random.choice([NIBBLE_SIZE, BYTE_SIZE]))
    count, dims = size * 2, 2 * int(random.integers(1, _MOST_DIMS // 2))
    rows = _whole(random, (int(random.integers(1, 60)), dims))
    reach = float(np.linalg.norm(rows.astype(np.float64), axis=1).max())
    codebooks = kernels.prepare_codebooks(_whole(random, (count, dims)), reach, size)

    def ask(path: str) -> Arrays:
        return kernels.choose_codewords(rows, codebooks, beam=2, sweeps=2, path=path)

    return ask


_WORK: dict[str, Callable[[np.random.Generator], Work]] = {
    "laying codes out": _blocks,
    "Hamming search": _hamming,
    "asymmetric search": _tables,
    "lookup tables": _query_tables,
    "encoding": _codewords,
}


def _stored(random: np.random.Generator) -> tuple[npt.NDArray[np.uint8], int, int]:
    """Return blocks of random codes, how many, and of how many bytes."""
    rows, nbytes = int(random.integers(1, _MOST_ROWS)), int(random.integers(1, _MOST_BYTES))
    codes = random.integers(0, 256, (rows, nbytes), dtype=np.uint8)
    return kernels.to_blocks(codes, path="numpy"), rows, nbytes


def _queries(random: np.random.Generator, nbytes: int) -> kernels.NibbleQueries:
    layout = CodebookLayout(nbytes, int(random.integers(0, nbytes + 1)))
    dims = int(random.integers(1, _MOST_DIMS))
    entries = random.integers(-8, 8, (layout.terms, dims)).astype(np.int8)
    steps = random.integers(1, 2048, layout.terms).astype(np.int16)
    codewords = kernels.NibbleCodewords.of(entries, steps, _whole(random, (dims,)))
    return kernels.NibbleQueries(_whole(random, (3, dims)), codewords, layout)


def _whole(random: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.int16]:
    return np.clip(random.standard_normal(shape) * 2000, -(2**14), 2**14).astype(np.int16)


def _steps() -> npt.NDArray[np.float32]:
    return (1.005 ** np.arange(-128, 128)).astype(np.float32)
