"""Codewords of 4-bit entries: what makes the tables of a query cheap.

To weigh a query is to multiply it with thousands of codewords, and takes as long as it takes to
read them. A codeword is fitted from some hundred rows, so its entries are uncertain by more than
four bits show: rounding them costs about 1 % of the squared error (docs/quality.md), and a quarter
of the memory is read.

Queries are rounded to 8 bits for them (`qama.kernels.nibble_tables`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qama.checks import Bytes, Floats

LOWEST, HIGHEST = -8, 7  # entry
MOST_STEP = 2047  # so that the sum of two codewords fits int16
_STEPS = np.linspace(0.2, 0.6, 9)  # that are tried, in root mean squares of a codeword
_MOST_LOSS = 0.03  # of the codewords' energy: of normal entries, rounding loses 0.0115

Int16s = npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Nibbles:
    """Codewords, or the terms whose sums they are, as whole numbers from -8 to 7 times a step.

    Attributes:
        entries: int8 (w, d).
        steps: int16 (w,), from 1 to 2047, in the units of codewords.
    """

    entries: npt.NDArray[np.int8]
    steps: Int16s

    @classmethod
    def nearest(cls, W: Floats) -> Nibbles:
        """Round codewords float32 (w, d), whole units, each by the step of least error."""
        largest = np.sqrt(np.square(W).mean(axis=1))
        best = np.full(len(W), np.inf, np.float32)
        entries, steps = np.zeros(W.shape, np.int8), np.ones(len(W), np.int16)
        for share in _STEPS:
            tried = np.clip(np.rint(share * largest), 1, MOST_STEP).astype(np.float32)[:, None]
            rounded = np.clip(np.rint(W / tried), LOWEST, HIGHEST)
            error = np.square(rounded * tried - W).sum(axis=1)
            better = error < best
            best[better] = error[better]
            entries[better], steps[better] = rounded[better], tried[better, 0]
        return cls(entries, steps)

    @classmethod
    def suit(cls, W: Floats) -> bool:
        """Whether codewords float32 (w, d) are rounded well: not where a few dims dominate."""
        energy = float(np.square(W).sum())
        return float(np.square(cls.nearest(W).whole() - W).sum()) <= _MOST_LOSS * energy

    def whole(self) -> Int16s:
        """Return the codewords int16 (w, d)."""
        return np.asarray(self.entries * self.steps[:, None], np.int16)

    def packed(self) -> Bytes:
        """Return the entries as a file holds them, uint8 (w, ceil(d / 2)).

        Each byte holds two entries plus 8, the first in the high nibble; of odd d the last is 8.
        """
        nibbles = (self.entries - LOWEST).astype(np.uint8)
        nibbles = np.pad(nibbles, ((0, 0), (0, nibbles.shape[1] % 2)), constant_values=-LOWEST)
        return np.asarray(nibbles[:, ::2] << 4 | nibbles[:, 1::2], np.uint8)

    @classmethod
    def unpacked(cls, packed: Bytes, d: int, steps: Int16s) -> Nibbles:
        """Return what was packed; d says how many entries a codeword has."""
        nibbles = np.stack([packed >> 4, packed & 15], axis=2).reshape(len(packed), -1)
        return cls(nibbles[:, :d].astype(np.int8) + np.int8(LOWEST), steps)
