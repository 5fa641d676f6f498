"""Step 4, level indices -> bytes: the one home of bit order.

Bits are MSB first within a byte, as in np.packbits. Codes are dimension-major: all bits of dim 0,
then all bits of dim 1, and so on; a code is padded to whole bytes with zero bits.

Thermometer form of an index q with T thresholds: the bits (q >= T), ..., (q >= 1), so that
0, 1, 2, 3 are 000, 001, 011, 111 and the Hamming distance of two codes is the L1 distance of their
indices. Compact form: the same, except that a 4-state index is stored as the two bits of q (hi,
lo); its three thermometer bits are hi & lo, hi, hi | lo, so no information is lost.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qama.checks import Bytes
from qama.quantizers.thermometer.levels import Plan, Segment


def pack(indices: list[Bytes], plan: Plan, compact: bool) -> Bytes:
    """Pack level indices, one array (n, values) per segment, into codes (n, nbytes)."""
    bits = [_bits(q, s, compact) for q, s in zip(indices, plan.segments, strict=True)]
    return np.packbits(bits[0] if len(bits) == 1 else np.concatenate(bits, axis=1), axis=1)


def unpack(codes: Bytes, plan: Plan, compact: bool) -> list[Bytes]:
    """Return the level indices of codes, one array (n, values) per segment; inverts `pack`."""
    bits = np.unpackbits(codes, axis=1, count=plan.bits(compact))
    ends = np.cumsum([segment.bits(compact) for segment in plan.segments])[:-1]
    parts = np.split(bits, ends, axis=1)
    return [_indices(part, s, compact) for part, s in zip(parts, plan.segments, strict=True)]


def expand(codes: Bytes, plan: Plan) -> Bytes:
    """Turn compact codes into thermometer codes."""
    return pack(unpack(codes, plan, compact=True), plan, compact=False)


def squeeze(codes: Bytes, plan: Plan) -> Bytes:
    """Turn thermometer codes into compact codes; inverts `expand`."""
    return pack(unpack(codes, plan, compact=False), plan, compact=True)


def _is_bit_pair(segment: Segment, compact: bool) -> bool:
    return compact and segment.level.compact != segment.level.thresholds


def _bits(q: Bytes, segment: Segment, compact: bool) -> npt.NDArray[np.bool_]:
    if _is_bit_pair(segment, compact):
        planes = [q >= 2, (q & 1).astype(bool)]
    else:
        planes = [q >= step for step in range(segment.level.thresholds, 0, -1)]
    return np.asarray(np.stack(planes, axis=2)).reshape(len(q), segment.bits(compact))


def _indices(bits: Bytes, segment: Segment, compact: bool) -> Bytes:
    planes = bits.reshape(len(bits), segment.values, segment.bits(compact) // segment.values)
    if _is_bit_pair(segment, compact):
        return np.asarray(planes[:, :, 0] * np.uint8(2) + planes[:, :, 1])
    return np.asarray(planes.sum(axis=2, dtype=np.uint8))
