"""The axes of wide vectors: their byte codes are of what a vector is in its leading axes.

Most dims of a wide vector say less than a code has room for, and codewords of all of them would
weigh more than the codes of a whole collection. So vectors are projected to the axes in which they
vary most; these are turned at random among themselves, so that all matter alike and codewords are
rounded well (`nibbles`). What lies outside of them is what no code of theirs keeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qama import checks, kernels
from qama.checks import Bytes, Floats
from qama.quantizers.additive.units import UNIT, evened, evenly, whole
from qama.quantizers.vectors import unit

MOST = 896  # axes; of 3,072 dims a codec of 256 bytes then weighs less than 8 MB
_STEP = 64  # of the number of axes
_LEAST = 256
_WIDE = 1024  # dims; narrower vectors are projected only where this leaves out half of them
_OUTSIDE = 0.005  # share of the vectors' energy that may lie outside of the axes
_ROWS = 16_384  # that axes are found from
_SPREAD = 4.5  # standard deviations of an entry that fit its byte
_TOGETHER = 4096  # rows that are projected together
_ZERO = 128  # how a file holds an entry of 0

Int8s = npt.NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Axes:
    """Nearly orthonormal axes.

    Attributes:
        entries: int8 (d, axes), in units of 2^-power.
        power: From 1 to 14.
    """

    entries: Int8s
    power: int

    @classmethod
    def of(cls, X: Floats, random: np.random.Generator) -> Axes | None:
        """Return the axes that hold nearly all of rows X (n, d) at length 1; None: all are needed.

        They are those of the largest second moments, at most 896: fewer where the others hold less
        than 0.5 % of the energy.
        """
        d = X.shape[1]
        if d < 2 * _LEAST:
            return None
        energy, found = np.linalg.eigh(_second_moments(unit(evenly(X, _ROWS))))
        outside = np.maximum(energy, 0).cumsum() / energy.sum()  # of the axes up to here
        needed = d - int(np.searchsorted(outside, _OUTSIDE))
        count = min(max(_LEAST, -(-needed // _STEP) * _STEP), MOST)
        if d <= _WIDE and 2 * count > d:
            return None
        turn = np.linalg.qr(random.standard_normal((count, count), dtype=np.float32))[0]
        return cls.nearest(found[:, -count:] @ turn)

    @classmethod
    def nearest(cls, A: Floats) -> Axes:
        """Round axes float32 (d, axes), orthonormal columns."""
        power = int(np.log2(127 * np.sqrt(len(A)) / _SPREAD))
        entries = np.clip(np.rint(A * np.float32(2**power)), -127, 127).astype(np.int8)
        return cls(entries, power)

    def packed(self) -> Bytes:
        """Return the entries as a file holds them, uint8 (d, axes): each plus 128."""
        return self.entries.view(np.uint8) ^ np.uint8(_ZERO)

    @classmethod
    def unpacked(cls, packed: Bytes, power: int) -> Axes:
        """Return what was packed."""
        return cls((packed ^ np.uint8(_ZERO)).view(np.int8), power)

    def check(self) -> None:
        """Refuse what a damaged or foreign file may hold.

        Raises:
            ValueError: more axes than dims, or another power.
        """
        d, count = self.entries.shape
        if not 1 <= count <= d or not 1 <= self.power <= 14:
            raise ValueError(f"bytes.axes are {count} of {d} dims in units of 2^-{self.power}")

    @property
    def dims(self) -> int:
        """Width of the vectors."""
        return len(self.entries)

    @property
    def count(self) -> int:
        """How many axes."""
        return int(self.entries.shape[1])

    def projected(self, U: Floats, threads: int = 0) -> npt.NDArray[np.float64]:
        """Return unit vectors float32 (n, d), rounded to 2^-14, in the axes, float64 (n, axes).

        The products are exact.
        """
        projected = np.empty((len(U), self.count))
        for rows in checks.chunks(U, _TOGETHER):
            products = kernels.multiply(evened(whole(U[rows])), self._panels, threads=threads)
            projected[rows] = products[:, : self.count]
        projected *= UNIT / 2**self.power
        return projected

    def spread(self, totals: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """Return whole numbers (n, axes) that count axes as vectors of all dims, float64 (n, d).

        The sums are exact.
        """
        return np.asarray(totals.astype(np.float64) @ self._floats.T / 2**self.power)

    @cached_property
    def _panels(self) -> npt.NDArray[np.int32]:
        return kernels.panels(evened(np.ascontiguousarray(self.entries.T.astype(np.int16))))

    @cached_property
    def _floats(self) -> npt.NDArray[np.float64]:
        return self.entries.astype(np.float64)


def _second_moments(U: Floats) -> Floats:
    total = np.zeros((U.shape[1], U.shape[1]), np.float32)
    for rows in checks.chunks(U, _TOGETHER):
        total += U[rows].T @ U[rows]
    return total / np.float32(len(U))
