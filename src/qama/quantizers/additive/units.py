"""Whole numbers of 2^-14: what byte codes are computed in; and some of many rows."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

UNIT = 2.0**-14

Int16s = npt.NDArray[np.int16]
Rows = TypeVar("Rows", bound=npt.NDArray[Any])


def whole(V: npt.NDArray[np.floating]) -> Int16s:
    """Return floats as whole numbers of UNIT, int16, clamped to +-2."""
    rounded = V / UNIT
    np.rint(rounded, out=rounded)
    np.maximum(rounded, -(2**15), out=rounded)  # np.clip takes longer than all of the rest
    return np.asarray(np.minimum(rounded, 2**15 - 1, out=rounded), dtype=np.int16)


def evened(A: Int16s) -> Int16s:
    """Return A (n, d) with a column of zeros more where d is odd, as the kernels need it."""
    return np.pad(A, ((0, 0), (0, 1))) if A.shape[1] % 2 else A


def evenly(rows: Rows, most: int) -> Rows:
    """Return rows (n, d) where there are at most so many, else so many at even distances."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]  # type: ignore[return-value]
