"""From a code back to a vector: what the bits stand for."""

from __future__ import annotations

import numpy as np

from qama.checks import Bytes, Floats
from qama.encoding import bits
from qama.encoding.bytecode import UNIT, ByteCode, ByteCoder
from qama.encoding.grid import GridCode


def decode(code: GridCode | ByteCode, stored: Bytes) -> Floats:
    """Return the vectors that codes stand for.

    Args:
        code: The kind of the codes.
        stored: uint8 (n, stored bytes), in the compact form.

    Returns:
        float32: of byte codes (n, d), estimates of the unit vectors; of grid codes (n, dims),
        estimates of the adapted z[:, :dims].
    """
    if isinstance(code, ByteCode):
        return _sum_of_words(code.coder, stored)
    parts = []
    indices = bits.unpack(stored, code.plan, compact=True)
    for q, segment in zip(indices, code.plan.segments, strict=True):
        group = segment.level.group
        rows = slice(segment.start // group, segment.stop // group)
        centers = code.coder.centers[segment.level.name][rows]  # (values, states, group)
        parts.append(centers[np.arange(len(centers)), q].reshape(len(q), -1))
    return np.concatenate(parts, axis=1)


def _sum_of_words(coder: ByteCoder, stored: Bytes) -> Floats:
    """Return c plus the word of every nibble; whole numbers until the end, so exact."""
    total = np.tile(coder.center.astype(np.int32), (len(stored), 1))
    nibbles = np.stack([stored >> 4, stored & 15], axis=2).reshape(len(stored), -1)
    for words, chosen in zip(coder.words, nibbles.T, strict=False):  # a prefix has fewer nibbles
        total += words[chosen]
    return np.asarray(total * UNIT, dtype=np.float32)
