"""From a code back to a vector: what the bits stand for."""

from __future__ import annotations

import numpy as np

from qama.checks import Bytes, Floats
from qama.quantizers.additive.quantizer import AdditiveCode
from qama.quantizers.thermometer import bits
from qama.quantizers.thermometer.quantizer import ThermometerCode


def decode(code: ThermometerCode | AdditiveCode, stored: Bytes) -> Floats:
    """Return the vectors that codes stand for.

    Args:
        code: The kind of the codes.
        stored: uint8 (n, stored bytes), in the compact form.

    Returns:
        float32: of byte codes (n, d), estimates of the unit vectors; of grid codes (n, dims),
        estimates of the adapted z[:, :dims].
    """
    if isinstance(code, AdditiveCode):
        return code.coder.decode(stored)
    parts = []
    indices = bits.unpack(stored, code.plan, compact=True)
    for q, segment in zip(indices, code.plan.segments, strict=True):
        group = segment.level.group
        rows = slice(segment.start // group, segment.stop // group)
        centers = code.coder.centers[segment.level.name][rows]  # (values, states, group)
        values = centers[np.arange(len(centers)), q]  # (n, values, group)
        parts.append(values.reshape(len(q), segment.stop - segment.start))
    return np.concatenate(parts, axis=1)
