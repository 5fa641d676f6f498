"""Whether vectors' lengths say something that cosines do not."""

from __future__ import annotations

import warnings

import numpy as np

from qama import checks
from qama.checks import Floats
from qama.errors import NormWarning

# Above what chance makes of few dims (normal values in 16 dims: 1.8), so that models that are meant
# for cosines and do not normalise pass in silence.
LIMIT = 3.0


def spread(X: Floats) -> float:
    """Return the 95th over the 5th percentile of the lengths of nonzero rows float32 (n, d)."""
    parts = [np.linalg.norm(X[rows].astype(np.float64), axis=1) for rows in checks.chunks(X)]
    low, high = np.quantile(np.concatenate(parts), (0.05, 0.95))
    return float(high / low)


def warn(X: Floats) -> None:
    """Say once that vectors float32 (n, d), none of them zero, have very different lengths.

    Warns:
        NormWarning: the message says by what factor, and what would do.
    """
    factor = spread(X)
    if factor > LIMIT:
        warnings.warn(
            f"the vectors' lengths vary by a factor of {factor:.3g} (95th over 5th percentile), "
            f"and qama ranks by cosine, which does not see them. If you rank by inner product, "
            f"bring the vectors to one length first by a further dim: see docs/inner_product.md",
            NormWarning,
            stacklevel=4,  # fit, its decorator, who called it
        )
