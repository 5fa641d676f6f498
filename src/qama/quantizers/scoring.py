"""Asymmetric scores: a float query against codes, defined as integers.

A code turns a query into an offset and lookup tables, of 256 entries for each leading ("full") byte
of a stored code and of 16 for each nibble of the other bytes: the score of a code is the offset +
the sum of its bytes' and nibbles' entries, times the code's inverse norm. Entries are whole numbers
with one scale per query, so every kernel, thread count and machine gives the same sums; this file
is the one home of that rounding, with `qama.kernels.round_tables` for split codebooks.

    S = offset + sum of the entries                   int32
    score = (float32(S) * inverse norm of the code) * scale of the query

(`qama.kernels.QueryTables` and `qama.kernels.TableScan`).

The inverse norm, one over the length of the decoded vector (of byte codes of vectors that share a
long mean nearer to the typical one; of grid codes times their calibration scale), is a function of
the code alone. It is one of 256 steps, so that an index may cache it in one byte per row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qama.checks import Bytes, Floats
from qama.kernels import QueryTables

ENTRY_LIMIT = 2**15 - 1  # of a table
WEIGHT_LIMIT = (
    5461  # of a thermometer bit: the six weights of a nibble (two bit pairs) sum to an entry
)
OFFSET_LIMIT = 2**30
NORM_STEPS = 256
WIDEST_RATIO = 1.005  # of an inverse norm and the one before


@dataclass(frozen=True)
class QueryWeights:
    """Queries weighed per thermometer bit of a grid code.

    Attributes:
        weights: int16 (m, thermometer bits), within +-5461.
        offsets: int32 (m,), within +-2^30.
        scales: float32 (m,), powers of two, so that scaling never changes an order.
    """

    weights: npt.NDArray[np.int16]
    offsets: npt.NDArray[np.int32]
    scales: Floats


def joined(parts: Iterable[QueryTables]) -> QueryTables:
    """Put queries behind each other that were weighed for the same codes."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    tables, offsets, scales = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("tables", "offsets", "scales")
    )
    return QueryTables(tables, offsets, scales, parts[0].full)


def integer_weights(weights: npt.NDArray[np.floating], offsets: Floats) -> QueryWeights:
    """Round weights (m, bits) and offsets (m,) with one scale per query."""
    return QueryWeights(*_rounded(weights, offsets, WEIGHT_LIMIT))


def integer_tables(
    entries: npt.NDArray[np.floating], offsets: npt.NDArray[np.floating], full: int = 0
) -> QueryTables:
    """Round entries (m, e), laid out as in `QueryTables`, and offsets (m,): one scale per query.

    Args:
        entries: What each value adds to the score.
        offsets: What every score begins with.
        full: Leading bytes with 256 entries.
    """
    return QueryTables(*_rounded(entries, offsets, ENTRY_LIMIT), full)


def _scales(
    values: npt.NDArray[np.floating], offsets: npt.NDArray[np.floating], limit: int
) -> Floats:
    """Return the least powers of two that bring values (m, e) and offsets (m,) within bounds."""
    magnitudes = np.maximum(values.max(axis=1, initial=0), -values.min(axis=1, initial=0))
    largest = np.maximum(magnitudes / limit, np.abs(offsets) / OFFSET_LIMIT)
    return np.exp2(np.ceil(np.log2(np.where(largest > 0, largest, 1)))).astype(np.float32)


def _rounded_offsets(offsets: npt.NDArray[np.floating], scales: Floats) -> npt.NDArray[np.int32]:
    rounded = np.clip(np.rint(offsets / scales), -OFFSET_LIMIT, OFFSET_LIMIT)
    return np.asarray(rounded, dtype=np.int32)


def _rounded(
    values: npt.NDArray[np.floating], offsets: npt.NDArray[np.floating], limit: int
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int32], Floats]:
    scales = _scales(values, offsets, limit)
    return (
        np.clip(np.rint(values / scales[:, None]), -limit, limit).astype(np.int16),
        _rounded_offsets(offsets, scales),
        scales,
    )


def nibble_tables(queries: QueryWeights, stored_bits: int, bit_pairs: int) -> QueryTables:
    """Turn weights of thermometer bits into tables; a nibble's first bit is the most significant.

    Args:
        queries: The weights, three per leading bit pair and one per other stored bit.
        stored_bits: True bits of a stored code; padding bits weigh nothing.
        bit_pairs: Leading bit pairs (hi, lo) of compact 4-state indices.
    """
    W = queries.weights
    stored = np.zeros((len(W), 8 * -(-stored_bits // 8), 2), dtype=np.int16)
    both = np.zeros((len(W), stored.shape[1] // 2), dtype=np.int16)  # extra where hi and lo are set
    three = W[:, : 3 * bit_pairs].reshape(len(W), bit_pairs, 3)  # weights of q >= 3, q >= 2, q >= 1
    # q = 1 adds w1; q = 2 adds w2 + w1; q = 3 adds all: hi -> w2 + w1, lo -> w1, both -> w3 - w1.
    single = stored[:, :, 0]
    single[:, 0 : 2 * bit_pairs : 2] = three[:, :, 1] + three[:, :, 2]
    single[:, 1 : 2 * bit_pairs : 2] = three[:, :, 2]
    single[:, 2 * bit_pairs : stored_bits] = W[:, 3 * bit_pairs :]
    both[:, :bit_pairs] = three[:, :, 0] - three[:, :, 2]
    patterns = np.unpackbits(np.arange(16, dtype=np.uint8)[:, None], axis=1)[:, 4:]
    both_set = patterns[:, 0::2] & patterns[:, 1::2]
    count = single.shape[1] // 4
    nibbles = single.reshape(len(W), count, 4) @ patterns.T.astype(np.int16)
    tables = nibbles + both.reshape(len(W), count, 2) @ both_set.T.astype(np.int16)
    flat = np.ascontiguousarray(tables.reshape(len(W), 16 * count), np.int16)
    return QueryTables(flat, queries.offsets, queries.scales)


def scores(queries: QueryTables, stored: Bytes, inverse_norms: Floats) -> Floats:
    """Return float32 (m, n) scores of stored codes uint8 (n, bytes): the definition itself."""
    sums = np.repeat(queries.offsets[:, None], len(stored), axis=1)
    for places in queries.layout.places(stored):
        sums += queries.tables[:, places]
    return (sums.astype(np.float32) * inverse_norms) * queries.scales[:, None]


def similarity(distances: npt.NDArray[Any], bits: int) -> Floats:
    """Turn Hamming distances into 1 - distance / true bits, float32."""
    return np.asarray(1 - distances / np.float64(bits), dtype=np.float32)


def inverse_norm_steps(typical: float, ratio: float = WIDEST_RATIO) -> Floats:
    """Return the 256 inverse norms float32 of a code: each so many times the one before.

    They lie around a typical one, by default 0.5 % apart.
    """
    return (typical * ratio ** (np.arange(NORM_STEPS) - NORM_STEPS / 2)).astype(np.float32)


def nearest_step(inverse_norms: npt.NDArray[np.floating], steps: Floats) -> Bytes:
    """Return uint8 (n,): the step nearest to each inverse norm, the lower one in a tie."""
    middles = (steps[1:].astype(np.float64) + steps[:-1]) / 2
    return np.searchsorted(middles, inverse_norms, side="left").astype(np.uint8)
