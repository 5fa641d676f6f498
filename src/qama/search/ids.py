"""Which id is in which row: the one home of ids."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qama.checks import Ids

_TAIL_ROWS = 4096  # newest rows kept in a dict; older ones are found in a sorted array


def checked(ids: object, name: str, rows: int | None = None) -> Ids:
    """Return ids as int64 (rows,), refusing what cannot be an id.

    Raises:
        ValueError: not whole numbers >= 0 on one axis, another count than rows, or repeated.
    """
    A = np.asarray(ids)
    if A.ndim != 1 or (A.dtype.kind not in "iu" and A.size):
        raise ValueError(f"{name} is {A.dtype} with {A.ndim} axes; give whole numbers on one axis")
    if rows is not None and len(A) != rows:
        raise ValueError(f"{name} has {len(A)} entries for {rows} vectors; give one for each")
    if A.size and (A.min() < 0 or A.max() > np.iinfo(np.int64).max):
        bad = A.min() if A.min() < 0 else A.max()
        raise ValueError(f"{name} holds {bad}; ids are whole numbers from 0 to 2^63 - 1")
    A = A.astype(np.int64)
    unique, counts = np.unique(A, return_counts=True)
    if len(unique) != len(A):
        raise ValueError(f"{name} holds {unique[counts > 1][0]} more than once; give each id once")
    return A


class IdMap:
    """Ids of rows in insertion order; a row's newest holder of an id is the valid one.

    While no id was ever given, ids are row numbers and nothing is stored.
    """

    def __init__(self, rows: int = 0, ids: Ids | None = None) -> None:
        self._rows = rows
        self._ids = ids
        self._order: Ids = np.empty(0, dtype=np.int64)  # rows of the settled part, by (id, row)
        self._tail: dict[int, int] = {}
        self._settle()

    @property
    def given(self) -> Ids | None:
        """The stored ids int64 (rows,), or None while ids are row numbers."""
        return None if self._ids is None else self._ids[: self._rows]

    def of_rows(self, rows: Ids) -> Ids:
        """Return the ids of rows."""
        return rows if self._ids is None else self._ids[rows]

    def rows_of(self, ids: Ids) -> Ids:
        """Return the newest row of each id, or -1."""
        if self._ids is None:
            return np.where(ids < self._rows, ids, -1)
        keys = self._ids[self._order]
        at = np.searchsorted(keys, ids, side="right") - 1
        found = np.full(len(ids), -1, dtype=np.int64)
        if len(keys):
            hit = (at >= 0) & (keys[at] == ids)
            found[hit] = self._order[at[hit]]
        for i, key in enumerate(ids.tolist() if self._tail else ()):
            found[i] = self._tail.get(key, found[i])
        return found

    def append(self, ids: Ids | None, count: int) -> Ids:
        """Give the next ``count`` rows these ids, or their row numbers; return them."""
        fresh = np.arange(self._rows, self._rows + count, dtype=np.int64) if ids is None else ids
        if ids is not None and self._ids is None:
            self._ids = np.arange(self._rows, dtype=np.int64)
            self._settle()
        if self._ids is not None:
            self._ids = _grown(self._ids, self._rows + count)
            self._ids[self._rows : self._rows + count] = fresh
            self._tail.update(
                zip(fresh.tolist(), range(self._rows, self._rows + count), strict=True)
            )
        self._rows += count
        if len(self._tail) > max(_TAIL_ROWS, self._rows // 8):
            self._settle()
        return fresh

    def _settle(self) -> None:
        if self._ids is not None:
            self._order = np.argsort(self._ids[: self._rows], kind="stable")
            self._tail = {}


def _grown(array: Ids, rows: int) -> npt.NDArray[np.int64]:
    if rows <= len(array) and array.flags.writeable:
        return array
    larger = np.empty(max(rows, len(array) + len(array) // 4), dtype=np.int64)
    larger[: len(array)] = array
    return larger
