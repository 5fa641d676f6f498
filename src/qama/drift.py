"""Drift: whether vectors are still like those that a codec was fitted on.

The measure is what a user loses by it: the cosine of a vector with what its code stands for, at the
codec's default code. A fit records mean and deviation of it over rows that it did not train on.
Vectors whose mean lies more than `LIMIT` deviations below, and three standard errors more, have
drifted.

Of a fit on 3000 SciFact abstracts (MiniLM-L6, byte codes), other collections lie 8 to 10 deviations
below, medical ones (NFCorpus) 0.8; of a fit without byte codes 1.5 to 1.9 and 0.2.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks
from qama.checks import Floats
from qama.codec import Codec
from qama.errors import DriftWarning

FACT = "reconstruction"  # the key in Codec.facts
LIMIT = 1.0  # deviations
STRIDE = 64  # of so many added rows one is looked at
LOOK = 16  # rows, at least, that are looked at together: a look costs more than its rows
WINDOW = 128  # rows looked at last that are judged together; of one addition at most so many
_LEAST_DEVIATION = 0.0015  # the rounding of a score, whose inverse norms are 0.5 % apart


@dataclass(frozen=True)
class Drift:
    """How far vectors are from those of the fit.

    Attributes:
        rows: Vectors looked at.
        mean: Their mean cosine with what their codes stand for.
        fitted: The same at the fit.
        deviation: Standard deviation of the cosine at the fit.
        fitted_rows: Vectors that the fit looked at.
    """

    rows: int
    mean: float
    fitted: float
    deviation: float
    fitted_rows: int

    @property
    def shift(self) -> float:
        """How many deviations the mean lies below that of the fit."""
        return (self.fitted - self.mean) / max(self.deviation, _LEAST_DEVIATION)

    @property
    def drifted(self) -> bool:
        """Whether that is more than sampling explains and quality bears."""
        return self.shift > LIMIT + 3 * math.sqrt(1 / self.rows + 1 / self.fitted_rows)

    def __str__(self) -> str:
        verdict = "drifted: refit the codec on a sample of them" if self.drifted else "no drift"
        return (
            f"{self.rows} vectors have a mean cosine of {self.mean:.3f} with what their codes "
            f"stand for; at the fit it was {self.fitted:.3f} +- {self.deviation:.3f} "
            f"({self.shift:+.1f} deviations worse): {verdict}"
        )


def quality(codec: Codec, X: Floats) -> npt.NDArray[np.float64]:
    """Return each vector's cosine with what its code stands for, float64 (n,); X float32 (n, d)."""
    code = codec.code()
    return code.fidelity(X, code.encode(X, compact=True))


def reference(codec: Codec, validation: Floats) -> dict[str, Any]:
    """Return what a fit records: JSON values for `Codec.facts` under the key `FACT`.

    Args:
        codec: The codec.
        validation: Vectors like the fitted ones that it was not fitted on, float32 (n, d).
    """
    found = quality(codec, validation)
    return {
        "rows": len(found),
        "mean": round(float(found.mean()), 6),
        "deviation": round(float(found.std()), 6),
    }


@checks.default_errstate()
def measure(codec: Codec, X: object, rows: int = 1024) -> Drift | None:
    """Compare vectors with those that a codec was fitted on.

    Args:
        codec: The codec.
        X: Floats (n, d).
        rows: Vectors to look at, evenly spread over X.

    Returns:
        The measure; None where the codec records nothing to compare with.

    Raises:
        ValueError: X is not finite floats (n, d).
    """
    recorded = _recorded(codec)
    if recorded is None:
        return None
    found = quality(codec, _some(checks.matrix(X, "X", codec.dims_in), rows))
    return Drift(len(found), float(found.mean()), *recorded)


class Watch:
    """Looks at few of the vectors that are added, and warns once."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._recorded = _recorded(codec)
        self._warned = self._recorded is None
        self._skip = 0  # rows to come that are not looked at
        self._waiting: list[Floats] = []  # rows to be looked at
        self._seen = np.zeros(0)

    def look(self, X: npt.NDArray[np.floating]) -> None:
        """Look at added vectors, floats (n, d) that the codec has accepted.

        Warns:
            DriftWarning: those looked at last have drifted; the message has the measure.
        """
        if self._warned:
            return
        picked = X[self._skip :: STRIDE]
        self._skip = (self._skip - len(X)) % STRIDE
        if not len(picked):
            return
        self._waiting.append(_some(picked, WINDOW))
        if sum(map(len, self._waiting)) < LOOK:
            return
        found = self._measured()
        if found.drifted:
            self._warned = True
            warnings.warn(str(found), DriftWarning, stacklevel=3)

    def _measured(self) -> Drift:
        """Measure the rows that wait, together with those seen before."""
        assert self._recorded is not None
        fresh = quality(self._codec, np.concatenate(self._waiting))
        self._waiting = []
        self._seen = np.concatenate([self._seen, fresh])[-WINDOW:]
        return Drift(len(self._seen), float(self._seen.mean()), *self._recorded)


def _some(X: npt.NDArray[Any], rows: int) -> Floats:
    chosen = np.unique(np.linspace(0, len(X) - 1, min(rows, len(X))).astype(np.int64))
    return checks.finite(X[chosen], "X", rows=chosen)


def _recorded(codec: Codec) -> tuple[float, float, int] | None:
    """Return mean, deviation and rows of the fit; None where a file holds no such numbers."""
    found: Any = codec.facts.get(FACT)
    try:
        mean, deviation, rows = float(found["mean"]), float(found["deviation"]), int(found["rows"])
    except (TypeError, KeyError, ValueError, OverflowError):
        return None
    usable = math.isfinite(mean) and math.isfinite(deviation) and rows > 0
    return (mean, deviation, rows) if usable else None
