"""Cosines of vectors; how they are brought to length 1 is the kernels' to say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qama.checks import Floats
from qama.kernels import unit

__all__ = ["cosines", "unit"]


def cosines(A: Floats, B: Floats) -> npt.NDArray[np.float64]:
    """Return the cosine float64 (n,) of each row of A (n, d) with that row of B (n, d)."""
    return np.asarray(np.einsum("nd,nd->n", unit(A), unit(B), dtype=np.float64))
