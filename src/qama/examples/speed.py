"""How fast codes are searched beside float32, on as many rows as it takes to tell.

The rows are a collection's vectors with noise. A part of them is made and repeated: that changes
what is found, and not how long finding it takes, which is all that is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import qama
from qama.checks import Floats
from qama.quantizers.vectors import unit

_DISTINCT = 131_072  # rows that are made and encoded
_NOISE = 0.5  # length of the noise beside vectors of length 1
_LENGTHS = (48, 24)  # bytes of the codes
_K = 10
_BATCH = 64  # queries asked at once
_ONCE = 9  # queries asked one by one


@dataclass(frozen=True)
class Timing:
    """What one way of searching cost.

    Attributes:
        name: Of the way.
        nbytes: Of memory for all rows.
        ms: Of a query that is asked alone, the median.
        per_second: Queries of a batch.
    """

    name: str
    nbytes: int
    ms: float
    per_second: float


def timings(codec: qama.Codec, X: Floats, Q: Floats, rows: int, seed: int) -> Iterator[Timing]:
    """Time searches for ten rows: NumPy and FAISS (if it is there) on floats, qama on codes.

    Args:
        codec: Has byte codes.
        X: float32 (n, d), the vectors that the rows are like.
        Q: float32 (m, d), queries.
        rows: How many to search; made a multiple of what is made and repeated.
        seed: Of the noise.
    """
    made = _like(X, min(rows, _DISTINCT), seed)
    times = max(1, round(rows / len(made)))
    asked = unit(np.resize(Q, (_BATCH, Q.shape[1])))
    nbytes, count = made.nbytes * times, times * len(made)
    yield _timed("float32, NumPy", nbytes, lambda q: _by_floats(made, times, q), asked)
    flat = _faiss(made, times)
    if flat is not None:
        yield _timed("float32, FAISS", nbytes, lambda q: flat.search(q, _K), asked)
        del flat
    codes = codec.encode(made, nbytes=max(_lengths(codec)))
    for length in _lengths(codec):
        index = qama.Index(codec, nbytes=length)
        for _ in range(times):
            index.add_codes(codes[:, :length])
        yield _timed(f"qama, {length} bytes", length * count, partial(_by_codes, index), asked)


def _lengths(codec: qama.Codec) -> list[int]:
    longest = codec.byte_budgets[-1]
    return [length for length in _LENGTHS if length <= longest] or [longest]


def _like(X: Floats, count: int, seed: int) -> Floats:
    """Return rows of X with noise, of length 1."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal((count, X.shape[1]), dtype=np.float32)
    noise *= _NOISE / np.sqrt(X.shape[1])
    return unit(unit(X)[random.integers(len(X), size=count)] + noise)


def _by_floats(made: Floats, times: int, asked: Floats) -> None:
    """Find the best ten of all rows as NumPy does it."""
    scores = np.concatenate([asked @ made.T for _ in range(times)], axis=1)
    best = np.argpartition(scores, -_K, axis=1)[:, -_K:]
    np.argsort(np.take_along_axis(scores, best, axis=1), axis=1)


def _by_codes(index: qama.Index, asked: Floats) -> qama.SearchResult:
    return index.search(asked, _K)


def _faiss(made: Floats, times: int) -> Any:
    try:
        import faiss
    except ImportError:
        return None
    index = faiss.IndexFlatIP(made.shape[1])
    for _ in range(times):
        index.add(made)
    return index


def _timed(name: str, nbytes: int, search: Callable[[Floats], object], asked: Floats) -> Timing:
    search(asked[:1])
    alone = [_seconds(search, asked[i : i + 1]) for i in range(_ONCE)]
    return Timing(name, nbytes, 1000 * float(np.median(alone)), _BATCH / _seconds(search, asked))


def _seconds(search: Callable[[Floats], object], asked: Floats) -> float:
    began = time.perf_counter()
    search(asked)
    return time.perf_counter() - began
