"""Asymmetric scores: a float query against codes, defined as integers.

A coder turns a query into one weight per thermometer bit and an offset, so that the score of a
code is offset + the sum of the weights of its set bits, times one factor of the code. Weights are
rounded to whole numbers with one scale per query, so every kernel, thread count and machine gives
the same sums; this file is the one home of that rounding.

    S = offset + sum of weights of the set bits        int32
    score = (float32(S) * factor of the code) * scale of the query

The factor, one over the length of the decoded vector, is a function of the code alone. It is one
of 256 steps, so that an index may cache it in one byte per row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qama.checks import Bytes, Floats

# The six weights of a nibble (two pairs) sum within int16; 4096 of them and the offset in int32.
WEIGHT_LIMIT = 5461
OFFSET_LIMIT = 2**30
FACTOR_STEPS = 256


@dataclass(frozen=True)
class QueryWeights:
    """Queries made ready for asymmetric scoring.

    Attributes:
        weights: int16 (m, thermometer bits), within +-5461.
        offsets: int32 (m,), within +-2^30.
        scales: float32 (m,), powers of two, so that scaling never changes an order.
    """

    weights: npt.NDArray[np.int16]
    offsets: npt.NDArray[np.int32]
    scales: Floats

    def __getitem__(self, rows: slice) -> QueryWeights:
        """Some of the queries."""
        return QueryWeights(self.weights[rows], self.offsets[rows], self.scales[rows])


def integer_weights(weights: npt.NDArray[np.floating], offsets: Floats) -> QueryWeights:
    """Round weights (m, bits) and offsets (m,) with one scale per query."""
    largest = np.maximum(
        np.abs(weights).max(axis=1, initial=0) / WEIGHT_LIMIT, np.abs(offsets) / OFFSET_LIMIT
    )
    exponents = np.ceil(np.log2(np.where(largest > 0, largest, 1)))
    scales = np.exp2(exponents).astype(np.float32)
    return QueryWeights(
        np.clip(np.rint(weights / scales[:, None]), -WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int16),
        np.clip(np.rint(offsets / scales), -OFFSET_LIMIT, OFFSET_LIMIT).astype(np.int32),
        scales,
    )


def nibble_tables(queries: QueryWeights, stored_bits: int, pairs: int) -> npt.NDArray[np.int16]:
    """Return tables int16 (m, 2 * stored bytes, 16): what each value of each nibble adds to S.

    Table 2j is for the high nibble of byte j, 2j + 1 for the low one; of a nibble's four bits the
    first is the most significant.

    Args:
        queries: The weights, three per leading compact pair and one per other stored bit.
        stored_bits: True bits of a stored code; padding bits weigh nothing.
        pairs: Leading two-bit pairs (hi, lo) of compact 4-state indices.
    """
    W = queries.weights
    stored = np.zeros((len(W), 8 * -(-stored_bits // 8), 2), dtype=np.int16)
    both = np.zeros((len(W), stored.shape[1] // 2), dtype=np.int16)  # extra where hi and lo are set
    three = W[:, : 3 * pairs].reshape(len(W), pairs, 3)  # weights of q >= 3, q >= 2, q >= 1
    # q = 1 adds w1; q = 2 adds w2 + w1; q = 3 adds all: hi -> w2 + w1, lo -> w1, both -> w3 - w1.
    single = stored[:, :, 0]
    single[:, 0 : 2 * pairs : 2] = three[:, :, 1] + three[:, :, 2]
    single[:, 1 : 2 * pairs : 2] = three[:, :, 2]
    single[:, 2 * pairs : stored_bits] = W[:, 3 * pairs :]
    both[:, :pairs] = three[:, :, 0] - three[:, :, 2]
    patterns = np.unpackbits(np.arange(16, dtype=np.uint8)[:, None], axis=1)[:, 4:]
    set_pairs = patterns[:, 0::2] & patterns[:, 1::2]
    nibbles = single.reshape(len(W), -1, 4) @ patterns.T.astype(np.int16)
    return np.ascontiguousarray(
        nibbles + both.reshape(len(W), -1, 2) @ set_pairs.T.astype(np.int16), dtype=np.int16
    )


def scores(queries: QueryWeights, bits: Bytes, factors: Floats) -> Floats:
    """Return float32 (m, n) scores of thermometer bits uint8 (n, bits): the definition itself."""
    products = queries.weights.astype(np.float64) @ bits.T.astype(np.float64)  # exact: < 2^53
    sums = products.astype(np.int32) + queries.offsets[:, None]
    return (sums.astype(np.float32) * factors) * queries.scales[:, None]


def factor_steps(typical: float) -> Floats:
    """Return the 256 factors float32 that a code can have: 0.5 % apart, around a typical one."""
    return (typical * 1.005 ** (np.arange(FACTOR_STEPS) - FACTOR_STEPS / 2)).astype(np.float32)


def nearest_step(factors: npt.NDArray[np.floating], steps: Floats) -> Bytes:
    """Return uint8 (n,): the index of the step nearest to each factor, the lower one in a tie."""
    middles = (steps[1:].astype(np.float64) + steps[:-1]) / 2
    return np.searchsorted(middles, factors, side="left").astype(np.uint8)
