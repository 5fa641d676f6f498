"""Which id is in which row: the one home of ids."""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import arrays, checks
from qama.checks import Ids

LARGEST = 2**63 - 1
NONE: Ids = np.empty(0, dtype=np.int64)
_WHAT_IDS_ARE = "ids are whole numbers from 0 to 2^63 - 1"


def whole(ids: object, name: str) -> Ids:
    """Return whole numbers as a user holds them, int64 (n,): the one door of ids.

    Args:
        ids: One number, or an array, list, range, set, generator, column or tensor of them.
        name: What messages call them.

    Raises:
        ValueError: more than one axis, or an entry that is no whole number from 0 to 2^63 - 1.
    """
    if ids is None or isinstance(ids, str | bytes):
        raise ValueError(f"{name} is {ids!r}; give whole numbers")
    if isinstance(ids, range):
        _entries([*ids[:1], *ids[-1:]], name)
        return np.arange(ids.start, ids.stop, ids.step, dtype=np.int64)
    if isinstance(ids, list | tuple) or (isinstance(ids, Iterable) and not arrays.is_one(ids)):
        return _entries(list(ids), name)
    A = arrays.plain(ids, name)
    if A.ndim > 1 and A.size:
        raise ValueError(f"{name} is {A.dtype} with {A.ndim} axes; give whole numbers on one axis")
    A = A.reshape(-1)
    if A.dtype == object:
        return _entries(A.tolist(), name)
    if A.size and A.dtype.kind not in "iu":
        odd = A[np.floor(A) != A] if A.dtype.kind == "f" else A
        value = (odd if len(odd) else A)[0].item()
        raise ValueError(f"{name} is {A.dtype} and holds {value!r}; {_WHAT_IDS_ARE}")
    if A.size and (A.min() < 0 or A.max() > LARGEST):
        bad = A.min() if A.min() < 0 else A.max()
        raise ValueError(f"{name} holds {bad}; {_WHAT_IDS_ARE}")
    return A.astype(np.int64)


def _entries(values: list[Any], name: str) -> Ids:
    """Return the entries of a list, refusing by value what no id can be."""
    out = np.empty(len(values), dtype=np.int64)
    for i, value in enumerate(values):
        try:
            number = -1 if isinstance(value, bool) else operator.index(value)
        except TypeError:
            number = -1
        if not 0 <= number <= LARGEST:
            raise ValueError(f"{name} holds {reprlib.repr(value)}; {_WHAT_IDS_ARE}")
        out[i] = number
    return out


def checked(ids: object, name: str, rows: int | None = None) -> Ids:
    """Return ids as int64 (rows,), refusing what cannot be an id; see `whole`.

    Raises:
        ValueError: not whole numbers >= 0 on one axis, another count than rows, or repeated; or,
            where there are rows, a set, which has no order to give them by.
    """
    if rows is not None:
        checks.ordered(ids, name)
    A = whole(ids, name)
    if rows is not None and len(A) != rows:
        raise ValueError(f"{name} has {len(A)} entries for {rows} vectors; give one for each")
    unique, counts = np.unique(A, return_counts=True)
    if len(unique) != len(A):
        raise ValueError(f"{name} holds {unique[counts > 1][0]} more than once; give each id once")
    return A


class Run:
    """Rows [first, stop) of a column of ids, sorted by id when they are first looked up.

    Args:
        first: The first row.
        stop: The row behind the last one.
    """

    def __init__(self, first: int, stop: int) -> None:
        self.first = first
        self.stop = stop
        self._order: Ids | None = None  # the rows by (id, row), None where ids ascend
        self._counts = False  # whether each id is the one before plus 1
        self._ready = False

    def __len__(self) -> int:
        return self.stop - self.first

    def rows_of(self, given: Ids, ids: Ids) -> Ids:
        """Return the newest row of each id, or -1; ``given`` is the column that the run is of."""
        own = given[self.first : self.stop]
        if not self._ready:
            self._order = None if _steps(own, operator.ge, 0) else np.argsort(own, kind="stable")
            self._counts = _steps(own, operator.eq, 1)
            self._ready = True
        found = _counted_from(own, ids) if self._counts else _newest(own, self._order, ids)
        return np.where(found >= 0, self.first + found, -1)


@dataclass(frozen=True, eq=False)
class IdColumn:
    """The ids of the first rows of an index, in insertion order; it never changes.

    The newest row with an id is the valid one. Ids are found in sorted runs, each at least twice as
    long as the next, so that appending costs little however many rows there are.

    Attributes:
        count: Rows.
        given: The ids int64 (at least count,); None while ids are row numbers. What lies behind
            ``count`` is room for the column that follows this one.
        runs: What covers the rows, oldest first; empty while ids are row numbers.
    """

    count: int
    given: Ids | None
    runs: tuple[Run, ...]

    @classmethod
    def of(cls, rows: int, given: Ids | None = None) -> IdColumn:
        """Return the column of so many rows; ``given`` int64 (rows,), None: row numbers."""
        return cls(rows, given, (Run(0, rows),) if given is not None and rows else ())

    def of_rows(self, rows: Ids) -> Ids:
        """Return the ids of rows."""
        return rows if self.given is None else self.given[rows]

    def rows_of(self, ids: Ids) -> Ids:
        """Return the newest row of each id, or -1."""
        if self.given is None:
            return np.where(ids < self.count, ids, -1)
        found = np.full(len(ids), -1, dtype=np.int64)
        for run in reversed(self.runs):
            missing = np.flatnonzero(found < 0)
            if not len(missing):
                break
            found[missing] = run.rows_of(self.given, ids[missing])
        return found

    def appended(self, ids: Ids) -> IdColumn:
        """Return the column with more ids behind its own.

        They are written where this column does not look: only one column may follow it.
        """
        end = self.count + len(ids)
        given, runs = self.given, self.runs
        if given is None:
            if np.array_equal(ids, np.arange(self.count, end)):
                return IdColumn(end, None, ())
            given = np.arange(self.count, dtype=np.int64)
            runs = IdColumn.of(self.count, given).runs
        if not len(ids):
            return self
        given = grown(given, end)
        given[self.count : end] = ids
        return IdColumn(end, given, _with(runs, Run(self.count, end)))


def _with(runs: tuple[Run, ...], run: Run) -> tuple[Run, ...]:
    """Return runs with one more, joined with those before it that are not twice as long."""
    kept = len(runs)
    while kept and len(runs[kept - 1]) < 2 * len(run):
        kept -= 1
        run = Run(runs[kept].first, run.stop)
    return (*runs[:kept], run)


def counted(following: int, count: int) -> Ids:
    """Return the default ids of so many rows, from ``following`` on.

    Raises:
        ValueError: they would pass 2^63 - 1.
    """
    if following > LARGEST - count:
        raise ValueError(f"the next default id would be {following}; give ids")
    return np.arange(following, following + count, dtype=np.int64)


def after(following: int, ids: Ids) -> int:
    """Return the default id of the next row when these were given: behind every id so far."""
    return min(LARGEST, max(following, int(ids.max(initial=-1)) + 1))


def _newest(given: Ids, order: Ids | None, ids: Ids) -> Ids:
    """Return the last row with each id, or -1; order sorts the rows' ids stably, None: they are."""
    found = np.full(len(ids), -1, dtype=np.int64)
    if len(given):
        at = np.searchsorted(given, ids, side="right", sorter=order) - 1
        rows = at if order is None else order[at]
        hit = (at >= 0) & (given[rows] == ids)
        found[hit] = rows[hit]
    return found


def _counted_from(given: Ids, ids: Ids) -> Ids:
    """Return the row with each id, or -1, where each row's id is the one before plus 1."""
    rows = ids - given[0]
    return np.where((rows >= 0) & (rows < len(given)), rows, -1)


def _steps(given: Ids, fits: Callable[[Ids, int], Any], step: int) -> bool:
    """Return whether every step from an id to the next one compares so with a number."""
    runs = (given[rows.start : rows.stop + 1] for rows in checks.chunks(given))
    return all(fits(run[1:] - run[:-1], step).all() for run in runs)


def grown(array: npt.NDArray[Any], size: int, fill: int = 0) -> npt.NDArray[Any]:
    """Return an array that can be written, with room for so many: this one, or a larger copy."""
    if size <= len(array) and array.flags.writeable:
        return array
    rows = max(size, len(array) + len(array) // 4)
    larger = np.full((rows, *array.shape[1:]), fill, dtype=array.dtype)
    larger[: len(array)] = array
    return larger
