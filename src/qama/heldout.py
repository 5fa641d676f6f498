"""What byte codes leave of rows that a fit saw, and of rows that it did not.

Codewords fitted to few rows remember them, so a code looks better on these rows than it is on
others. A fit records both errors: what it will do for vectors to come is the second.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from qama.checks import Floats
from qama.codec import Codec
from qama.errors import FewRowsWarning
from qama.quantizers.vectors import unit

FACT = "error"  # the key in Codec.facts
LIMIT = 2.0  # times the fitted rows' error
MATTERS = 0.1  # of the variance of held-out rows: codes that leave less rank well all the same
_ROWS = 512  # of the fitted ones


@dataclass(frozen=True)
class Errors:
    """Squared errors of unit vectors over their variance, at the codec's default byte code.

    Attributes:
        nbytes: Length of the code.
        fitted: Of rows that were fitted on.
        held_out: Of rows that were not.
    """

    nbytes: int
    fitted: float
    held_out: float

    def __str__(self) -> str:
        return (
            f"codes of {self.nbytes} bytes leave {self.fitted:.2g} of the variance of fitted rows, "
            f"{self.held_out:.2g} of rows held out"
        )

    def fact(self) -> dict[str, Any]:
        """Return what a fit records: JSON values for `Codec.facts` under the key `FACT`."""
        return {
            "nbytes": self.nbytes,
            "fitted": round(self.fitted, 6),
            "held_out": round(self.held_out, 6),
        }

    def warn(self, rows: int) -> None:
        """Say that they part, after a fit on so many rows.

        Warns:
            FewRowsWarning: held-out rows have twice the error, and more than a tenth of their
                variance; the message says what would do.
        """
        if self.held_out > max(LIMIT * self.fitted, MATTERS):
            warnings.warn(
                f"{self}: {self.held_out / self.fitted:.1f} times as much. {rows} rows are few "
                f"for codes of that length: fit on more, or start from a base= of other vectors of "
                f"the model",
                FewRowsWarning,
                stacklevel=4,  # fit, its decorator, who called it
            )


def measure(codec: Codec, fitted: Floats, held_out: Floats) -> Errors | None:
    """Measure rows float32 (n, d) that a codec was fitted on, and others; None: no byte codes."""
    if codec.additive is None:
        return None
    nbytes = codec.additive.code().nbytes
    some = fitted[np.linspace(0, len(fitted) - 1, min(_ROWS, len(fitted))).astype(np.int64)]
    mean = unit(some).mean(axis=0)
    return Errors(nbytes, *(_error(codec, unit(rows), mean, nbytes) for rows in (some, held_out)))


def _error(codec: Codec, U: Floats, mean: Floats, nbytes: int) -> float:
    left = U - codec.decode(codec.encode(U, nbytes=nbytes), nbytes=nbytes)
    return float(np.square(left).sum() / max(float(np.square(U - mean).sum()), 1e-12))
