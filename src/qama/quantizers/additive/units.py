"""Whole numbers of 2^-14: what byte codes are computed in; and some of many rows."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from qama.kernels import UNIT, whole

__all__ = ["UNIT", "evened", "evenly", "whole"]

Int16s = npt.NDArray[np.int16]
Rows = TypeVar("Rows", bound=npt.NDArray[Any])


def evened(A: Int16s) -> Int16s:
    """Return A (n, d) with a column of zeros more where d is odd, as the kernels need it."""
    return np.pad(A, ((0, 0), (0, 1))) if A.shape[1] % 2 else A


def evenly(rows: Rows, most: int) -> Rows:
    """Return rows (n, d) where there are at most so many, else so many at even distances."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]  # type: ignore[return-value]
