"""What codes are compared with: floats, int8 and bits that nobody trained.

Every baseline stores documents in its own form and searches them exactly; ties go to the lower
row. Vectors are compared by cosine, so all are scaled to unit length first (zeros stay zero).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qama import kernels
from qama.checks import Bytes, Floats
from qama.evaluation.topk import Hits, chunked_top_k

__all__ = ["BASELINES", "Baseline", "float_hits", "unit"]

Search = Callable[[Floats, Floats, int], Hits]


@dataclass(frozen=True, slots=True)
class Baseline:
    """One way to store vectors without training.

    Attributes:
        name: Name in tables.
        level: Level of its codes, or how its numbers are stored.
        scorer: ``cosine`` or ``hamming``.
        stored_bytes: Bytes per vector of d dims, as thermometer codes where they are codes.
        compact_bytes: The same in the shortest form that ranks identically.
        search: Maps unit documents (n, d), unit queries (m, d) and k to the best rows.
    """

    name: str
    level: str
    scorer: str
    stored_bytes: Callable[[int], int]
    compact_bytes: Callable[[int], int]
    search: Search


def unit(X: npt.ArrayLike) -> Floats:
    """Scale rows to unit length.

    Args:
        X: Floats (n, d).

    Returns:
        float32 (n, d); a zero row stays zero.
    """
    A = np.asarray(X, dtype=np.float32)
    lengths: Floats = np.linalg.norm(A, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return A / lengths


def float_hits(docs: Floats, queries: Floats, k: int) -> Hits:
    """Exact search by inner product in float32.

    Args:
        docs: float32 (n, d).
        queries: float32 (m, d).
        k: How many rows per query, at least 1.

    Returns:
        Rows and scores (m, min(k, n)).
    """
    return chunked_top_k(lambda part: queries[part] @ docs.T, len(queries), len(docs), k)


def _float16(docs: Floats, queries: Floats, k: int) -> Hits:
    return float_hits(docs.astype(np.float16).astype(np.float32), queries, k)


def _int8(docs: Floats, queries: Floats, k: int) -> Hits:
    """256 even steps between each dim's least and greatest value; the query stays in float."""
    low, high = docs.min(axis=0), docs.max(axis=0)
    step = np.maximum((high - low) / np.float32(255), np.float32(1e-12))
    codes = np.rint((docs - low) / step).astype(np.uint8)
    return float_hits(codes * step + low, queries, k)


def _thresholds(states: int) -> Search:
    """Level indices by even quantiles of the documents, compared as thermometer bits."""

    def search(docs: Floats, queries: Floats, k: int) -> Hits:
        shares = np.arange(1, states) / states
        cuts = np.quantile(docs, shares, axis=0).astype(np.float32)
        return _hamming(_above(docs, cuts), _above(queries, cuts), k)

    return search


def _sign(docs: Floats, queries: Floats, k: int) -> Hits:
    zero = np.zeros((1, docs.shape[1]), np.float32)
    return _hamming(_above(docs, zero), _above(queries, zero), k)


def _above(X: Floats, cuts: Floats) -> Bytes:
    """Bits ``cut < X`` of every cut (t, d), packed to whole bytes (n, bytes)."""
    return np.packbits(np.concatenate([cut < X for cut in cuts], axis=1), axis=1)


def _hamming(docs: Bytes, queries: Bytes, k: int) -> Hits:
    """Exact search by minus the Hamming distance."""

    def score(part: slice) -> Floats:
        distances = kernels.hamming_distances(queries[part], docs, bits=8 * docs.shape[1])
        return -distances.astype(np.float32)

    return chunked_top_k(score, len(queries), len(docs), k)


def _bytes_of(bits: int) -> Callable[[int], int]:
    """Whole bytes of d dims at so many bits."""
    return lambda d: -(-d * bits // 8)


BASELINES: tuple[Baseline, ...] = (
    Baseline("float32", "float32", "cosine", _bytes_of(32), _bytes_of(32), float_hits),
    Baseline("float16", "float16", "cosine", _bytes_of(16), _bytes_of(16), _float16),
    Baseline("int8", "int8", "cosine", _bytes_of(8), _bytes_of(8), _int8),
    Baseline("fixed thresholds", "2", "hamming", _bytes_of(3), _bytes_of(2), _thresholds(4)),
    Baseline("fixed thresholds", "1.5", "hamming", _bytes_of(2), _bytes_of(2), _thresholds(3)),
    Baseline("fixed thresholds", "1", "hamming", _bytes_of(1), _bytes_of(1), _thresholds(2)),
    Baseline("sign", "1", "hamming", _bytes_of(1), _bytes_of(1), _sign),
)
