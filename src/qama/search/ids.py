"""Which id is in which row: the one home of ids."""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import arrays, checks
from qama.checks import Ids

LARGEST = 2**63 - 1
_WHAT_IDS_ARE = "ids are whole numbers from 0 to 2^63 - 1"
_TAIL_ROWS = 4096  # newest rows kept in a dict; older ones are found in a sorted array


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
        ValueError: not whole numbers >= 0 on one axis, another count than rows, or repeated.
    """
    A = whole(ids, name)
    if rows is not None and len(A) != rows:
        raise ValueError(f"{name} has {len(A)} entries for {rows} vectors; give one for each")
    unique, counts = np.unique(A, return_counts=True)
    if len(unique) != len(A):
        raise ValueError(f"{name} holds {unique[counts > 1][0]} more than once; give each id once")
    return A


@dataclass(frozen=True, eq=False)
class Settled:
    """The older rows, to be found by their ids; sorted when first needed.

    Attributes:
        given: The ids int64 (at least count,).
        count: Rows.
    """

    given: Ids
    count: int

    def rows_of(self, ids: Ids) -> Ids:
        """Return the newest row of each id, or -1."""
        return _newest(self.given[: self.count], self._order, ids)

    @cached_property
    def _order(self) -> Ids | None:
        """The rows by (id, row); None where ids ascend, as they do unless they were mixed."""
        given = self.given[: self.count]
        runs = (given[rows.start : rows.stop + 1] for rows in checks.chunks(given))
        ascend = all((run[1:] >= run[:-1]).all() for run in runs)
        return None if ascend else np.argsort(given, kind="stable")


@dataclass(frozen=True, eq=False)
class IdView:
    """The ids of the first rows of an `IdMap`: it stays as it is while the map grows.

    Attributes:
        count: Rows.
        given: The ids int64 (at least count,), or None while ids are row numbers.
        settled: The older rows.
    """

    count: int
    given: Ids | None
    settled: Settled

    def of_rows(self, rows: Ids) -> Ids:
        """Return the ids of rows."""
        return rows if self.given is None else self.given[rows]

    def rows_of(self, ids: Ids) -> Ids:
        """Return the newest row of each id, or -1."""
        if self.given is None:
            return np.where(ids < self.count, ids, -1)
        old = self.settled.rows_of(ids)
        first = self.settled.count
        new = _newest(self.given[first : self.count], self._tail, ids)
        return np.where(new >= 0, first + new, old)

    @cached_property
    def _tail(self) -> Ids:
        """The newer rows, by (id, row), counted from the first of them."""
        assert self.given is not None
        return np.argsort(self.given[self.settled.count : self.count], kind="stable")


class IdMap:
    """Ids of rows in insertion order; a row's newest holder of an id is the valid one.

    While all ids are row numbers, nothing is stored.

    Args:
        rows: Rows that there are.
        ids: Their ids; None: row numbers.
        following: The id that the next row gets by default, see `after`.
    """

    def __init__(self, rows: int = 0, ids: Ids | None = None, following: int | None = None) -> None:
        self.following = rows if following is None else following
        self._rows = rows
        self._ids = ids
        self._settled = Settled(np.empty(0, dtype=np.int64), 0)
        self._tail: dict[int, int] = {}
        self._settle()

    def view(self) -> IdView:
        """Return the ids as they are now."""
        return IdView(self._rows, self._ids, self._settled)

    def rows_of(self, ids: Ids) -> Ids:
        """Return the newest row of each id, or -1."""
        if self._ids is None:
            return np.where(ids < self._rows, ids, -1)
        found = self._settled.rows_of(ids)
        for i, key in enumerate(ids.tolist() if self._tail else ()):
            found[i] = self._tail.get(key, found[i])
        return found

    def fresh(self, count: int) -> Ids:
        """Return the default ids of the next rows.

        Raises:
            ValueError: they would pass 2^63 - 1.
        """
        return counted(self.following, count)

    def append(self, ids: Ids) -> None:
        """Give the next rows these ids."""
        end = self._rows + len(ids)
        if self._ids is None and not np.array_equal(ids, np.arange(self._rows, end)):
            self._ids = np.arange(self._rows, dtype=np.int64)
            self._settle()
        if self._ids is not None:
            self._ids = _grown(self._ids, end)
            self._ids[self._rows : end] = ids
        first, self._rows = self._rows, end
        self.following = after(self.following, ids)
        if end - self._settled.count > max(_TAIL_ROWS, end // 8):
            self._settle()
        elif self._ids is not None:
            self._tail.update(zip(ids.tolist(), range(first, end), strict=True))

    def _settle(self) -> None:
        if self._ids is not None:
            self._settled = Settled(self._ids, self._rows)
            self._tail = {}


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


def _grown(array: Ids, rows: int) -> npt.NDArray[np.int64]:
    if rows <= len(array) and array.flags.writeable:
        return array
    larger = np.empty(max(rows, len(array) + len(array) // 4), dtype=np.int64)
    larger[: len(array)] = array
    return larger
