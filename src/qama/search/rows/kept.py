"""Kept vectors, row by row: those that a file has, mapped, and those of later rows in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from qama import mapping
from qama.checks import Bytes, Ids
from qama.quantizers.kept import Form
from qama.search.rows.ids import grown

PIECE_ROWS = 1024  # whose vectors share a checksum in a file, and are copied together


@dataclass(frozen=True, eq=False)
class Kept:
    """The kept vectors of the first rows of an index; they never change.

    New ones are written where these do not look: only one may follow them.

    Attributes:
        form: What their bytes mean.
        count: Rows.
        base: uint8 (n, width), which may be mapped: it has the vectors of the first rows.
        chosen: int64 (m,), ascending: where in the base those of the first m rows are; None: all n
            are, in order.
        tail: uint8 (at least count - m, width), those of the other rows.
    """

    form: Form
    count: int
    base: Bytes
    chosen: Ids | None
    tail: Bytes

    @classmethod
    def of(cls, form: Form, base: Bytes | None = None) -> Kept:
        """Return vectors uint8 (n, width); None: no rows."""
        none = np.zeros((0, form.width), dtype=np.uint8)
        base = none if base is None else base
        return cls(form, len(base), base, None, none)

    @property
    def first(self) -> int:
        """Rows whose vectors are in the base."""
        return len(self.base if self.chosen is None else self.chosen)

    def at(self, rows: Ids) -> Bytes:
        """Return the vectors uint8 (..., width) of rows of any shape; no others are read."""
        early = rows < self.first
        if early.all():
            return np.take(self.base, self._places(rows), axis=0)
        found = np.empty((*rows.shape, self.form.width), dtype=np.uint8)
        found[early] = self.base[self._places(rows[early])]
        found[~early] = self.tail[rows[~early] - self.first]
        return found

    def read_soon(self, rows: Ids) -> None:
        """Let the system fetch the vectors of rows of any shape, where they are in a file."""
        mapping.read_soon(self.base, self._places(rows[rows < self.first]))

    def pieces(self, rows: Ids | None = None) -> Iterator[Bytes]:
        """Yield the vectors of rows int64 (n,), ascending (None: all), 1024 at a time."""
        count = self.count if rows is None else len(rows)
        for start in range(0, count, PIECE_ROWS):
            stop = min(start + PIECE_ROWS, count)
            some = np.arange(start, stop) if rows is None else rows[start:stop]
            places = self._places(some[some < self.first])
            if len(places):
                mapping.read_soon(self.base[places[0] : places[-1] + 1])
            yield self.at(some)

    def taken(self, rows: Ids) -> Kept:
        """Return those of some rows, ascending: the base is shared, what is in memory is copied."""
        early = rows < self.first
        tail = self.tail[rows[~early] - self.first]
        return Kept(self.form, len(rows), self.base, self._places(rows[early]), tail)

    def appended(self, vectors: Bytes) -> Kept:
        """Return them with vectors uint8 (n, width) of more rows."""
        held, count = self.count - self.first, self.count + len(vectors)
        tail = self._tail_for(count)
        tail[held : held + len(vectors)] = vectors
        return replace(self, count=count, tail=tail)

    def with_room(self, count: int) -> Kept:
        """Return the same with room for so many more."""
        return replace(self, tail=self._tail_for(self.count + count))

    def _places(self, rows: Ids) -> Ids:
        """Return where in the base the vectors of first rows are."""
        return rows if self.chosen is None else self.chosen[rows]

    def _tail_for(self, count: int) -> Bytes:
        return grown(self.tail, count - self.first)
