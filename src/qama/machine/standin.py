"""A codec of random codewords, at once: as fast as a fitted one, and good for nothing else."""

from __future__ import annotations

import numpy as np

from qama.codec import Codec
from qama.kernels.layout import CodebookLayout
from qama.quantizers.additive.axes import Axes
from qama.quantizers.additive.nibbles import Nibbles
from qama.quantizers.additive.quantizer import FULL, STAGE_ENDS, AdditiveQuantizer
from qama.quantizers.additive.units import UNIT
from qama.quantizers.vectors import unit

_ROWS = 512  # that axes of wide vectors are found from


def codec(dims: int, nbytes: int, seed: int = 0) -> Codec:
    """Return a codec of byte codes for vectors of so many dims, its longest of so many bytes."""
    random = np.random.default_rng(seed)
    rows = unit(random.standard_normal((_ROWS, dims), dtype=np.float32))
    axes = Axes.of(rows, random)
    width = dims if axes is None else axes.entries.shape[1]
    full = FULL if nbytes >= FULL else max(end for end in (0, *STAGE_ENDS) if end <= nbytes)
    layout = CodebookLayout(nbytes, full)
    lengths = np.full(layout.terms, 1 / np.sqrt(nbytes * width))
    terms = random.standard_normal((layout.terms, width)) * lengths[:, None] / UNIT
    nibbles = Nibbles.nearest(terms.astype(np.float32))
    mean = np.zeros(width, np.int16)
    lengths = np.ones(nbytes, np.float32)
    return Codec(AdditiveQuantizer.of_nibbles(mean, nibbles, lengths, axes))
