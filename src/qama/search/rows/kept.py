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
        base: uint8 (n, width), n <= count, those of the first rows, which may be mapped.
        tail: uint8 (at least count - n, width), those of the others.
    """

    form: Form
    count: int
    base: Bytes
    tail: Bytes

    @classmethod
    def of(cls, form: Form, base: Bytes | None = None) -> Kept:
        """Return vectors uint8 (n, width); None: no rows."""
        none = np.zeros((0, form.width), dtype=np.uint8)
        base = none if base is None else base
        return cls(form, len(base), base, none)

    def at(self, rows: Ids) -> Bytes:
        """Return the vectors uint8 (..., width) of rows of any shape; no others are read."""
        first = len(self.base)
        if not (rows >= first).any():
            return np.take(self.base, rows, axis=0)
        found = np.empty((*rows.shape, self.form.width), dtype=np.uint8)
        late = rows >= first
        found[late] = self.tail[rows[late] - first]
        found[~late] = self.base[rows[~late]]
        return found

    def pieces(self, rows: Ids | None = None) -> Iterator[Bytes]:
        """Yield the vectors of rows int64 (n,), ascending (None: all), 1024 at a time."""
        count = self.count if rows is None else len(rows)
        for start in range(0, count, PIECE_ROWS):
            stop = min(start + PIECE_ROWS, count)
            some = np.arange(start, stop) if rows is None else rows[start:stop]
            mapping.read_soon(self.base[some[0] : some[-1] + 1])
            yield self.at(some)

    def taken(self, rows: Ids) -> Kept:
        """Return a copy, in memory, of those of some rows, in the order given."""
        return Kept.of(self.form, self.at(rows))

    def appended(self, vectors: Bytes) -> Kept:
        """Return them with vectors uint8 (n, width) of more rows."""
        held, count = self.count - len(self.base), self.count + len(vectors)
        tail = self._tail_for(count)
        tail[held : held + len(vectors)] = vectors
        return replace(self, count=count, tail=tail)

    def with_room(self, count: int) -> Kept:
        """Return the same with room for so many more."""
        return replace(self, tail=self._tail_for(self.count + count))

    def _tail_for(self, count: int) -> Bytes:
        return grown(self.tail, count - len(self.base))
