"""From one embedding space into another: queries of one model against documents of another.

A linear map is fitted on vectors of the same things by both models, by ridge regression on unit
vectors. Mapped queries then search codes of the other model's codec like any float query. The ridge
is chosen by how often validation vectors find their own twin. Fit on the documents that are to be
searched, embedded by both models once: general text makes a far poorer bridge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qama import checks
from qama.checks import Floats
from qama.quantizers.vectors import unit
from qama.shown import one_line

_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)  # times the mean eigenvalue
_VALIDATION = 1024  # rows that the ridge is chosen on, at most; of few an eighth

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Bridge:
    """A map between spaces; call it.

    Attributes:
        weights: float32 (d_here, d_there).
        mean_here: float32 (d_here,), the mean unit vector of the one model.
        mean_there: float32 (d_there,), of the other.
        found: Share of validation vectors whose nearest vector, once mapped, was their own twin.
    """

    weights: Floats
    mean_here: Floats
    mean_there: Floats
    found: float

    def __repr__(self) -> str:
        return one_line("Bridge", **vars(self))

    @checks.default_errstate()
    def __call__(self, X: object) -> Floats:
        """Map floats (n, d_here) to unit float32 (n, d_there).

        Raises:
            ValueError: X is not finite floats (n, d_here).
        """
        U = unit(checks.vectors(X, "X", len(self.mean_here), empty=True))
        mapped = (U - self.mean_here) @ self.weights + self.mean_there
        return unit(np.asarray(mapped, dtype=np.float32))

    @classmethod
    @checks.default_errstate()
    def fit(cls, here: object, there: object, seed: int = 0) -> Bridge:
        """Fit on vectors of the same things, row by row.

        Args:
            here: Floats (n, d_here), n >= 16.
            there: Floats (n, d_there); row i is of the same thing as row i of here.
            seed: Of the draw of validation rows.

        Raises:
            ValueError: unfitting arrays, not as many rows, or fewer than 16.
        """
        A, B = unit(checks.vectors(here, "here")), unit(checks.vectors(there, "there"))
        if len(A) != len(B) or len(A) < 16:
            raise ValueError(
                f"here has {len(A)} rows and there {len(B)}; give as many, at least 16, paired"
            )
        order = np.random.default_rng(seed).permutation(len(A))
        unseen, kept = np.split(order, [min(_VALIDATION, len(A) // 8)])
        tried = [cls(*_ridge(A[kept], B[kept], ridge), 0.0) for ridge in _RIDGES]
        shares = [_twins(bridge(A[unseen]), B[unseen]) for bridge in tried]
        best = int(np.argmax(shares))
        return cls(*_ridge(A, B, _RIDGES[best]), shares[best])


def _ridge(A: Floats, B: Floats, ridge: float) -> tuple[Floats, Floats, Floats]:
    """Return the map and both means, by ridge least squares about the means."""
    a, b = A.mean(axis=0), B.mean(axis=0)
    X: Doubles = (A - a).astype(np.float64)
    gram = X.T @ X
    gram[np.diag_indices(len(gram))] += ridge * max(np.trace(gram) / len(gram), 1e-12)
    return np.linalg.solve(gram, X.T @ (B - b)).astype(np.float32), a, b


def _twins(mapped: Floats, there: Floats) -> float:
    return float(((mapped @ there.T).argmax(axis=1) == np.arange(len(there))).mean())
