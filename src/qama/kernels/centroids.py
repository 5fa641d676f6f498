"""Centroids of inverted lists, prepared for finding the nearest ones of a query."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qama.kernels import _check
from qama.kernels._arrays import F32, I16
from qama.kernels.codebooks import NibbleCodewords

_STEP = 0.36  # of 4-bit entries, in root mean squares of what is rounded: of normal ones the best
_LOWEST, _HIGHEST = -8, 7  # entry
_ROWS = 4096  # that are rounded at a time
_UP = np.float32(1.0001)  # more than what is lost of a length in float32


@dataclass(frozen=True, eq=False)
class CentroidUnits:
    """Centroids as queries are multiplied with them, and what spares most of that; made by `of`.

    The nearest centroids of a query are those of greatest product with ``units``, ties to the lower
    one. ``rough`` never changes which these are: native kernels read it, a quarter of the bytes,
    first, and multiply only centroids that can be among them, as a VA-file does (Weber, Schek and
    Blott, VLDB 1998).

    Attributes:
        units: int16 ``(nlist, w)``.
        rough: Their mean, and their differences from it, each rounded to 4-bit entries times a
            step.
        lengths: float32 ``(nlist,)``: of the rounded differences, rounded up.
        left: float32 ``(nlist,)``: of what rounding left of the differences, rounded up.
        native: What the native module made of them, when first needed.
    """

    units: I16
    rough: NibbleCodewords
    lengths: F32
    left: F32
    native: Any = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, units: I16) -> CentroidUnits:
        """Prepare centroids.

        Args:
            units: int16 ``(nlist, w)``, at least one.

        Raises:
            ValueError: another dtype or shape.
        """
        units = _check.array("units", units, np.int16, (None, None))
        _check.at_least("units.shape[0]", len(units), 1)
        _check.at_least("units.shape[1]", units.shape[1], 1)
        mean = np.rint(units.mean(axis=0, dtype=np.float64)).astype(np.int16)
        entries, steps = np.empty(units.shape, np.int8), np.empty(len(units), np.int16)
        lengths, left = np.empty(len(units), np.float32), np.empty(len(units), np.float32)
        for start in range(0, len(units), _ROWS):
            some = slice(start, start + _ROWS)
            others = units[some].astype(np.float32) - mean
            own = np.maximum(np.rint(_STEP * _lengths(others) / np.sqrt(units.shape[1])), 1)
            rounded = np.clip(np.rint(others / own[:, None]), _LOWEST, _HIGHEST)
            entries[some], steps[some] = rounded, own
            lengths[some] = _UP * own * _lengths(rounded)
            left[some] = _UP * _lengths(others - rounded * own[:, None])
        return cls(units, NibbleCodewords.of(entries, steps, mean), lengths, left)

    def __len__(self) -> int:
        """How many centroids."""
        return len(self.units)


def _lengths(rows: F32) -> F32:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows)), np.float32)
