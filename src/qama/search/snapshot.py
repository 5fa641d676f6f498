"""Rows in memory: what a search reads, and what a change makes of them.

A `Snapshot` never changes. A change makes the next one: it writes new rows where no snapshot looks
(behind the rows of them all) and makes a new bitmap of deleted rows, so that any number of searches
may run beside one writer. A row that a snapshot can see is never written again, and a change that
fails midway leaves nothing that can be seen. Only one snapshot may follow another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qama import checks
from qama.checks import Bytes, Ids
from qama.codec import Code
from qama.search import ids as idmap
from qama.search.blocks import WORD as WORD
from qama.search.blocks import Blocks
from qama.search.blocks import blocks_of as blocks_of

Mask = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The rows of an index at one moment.

    Attributes:
        rows: Rows, the deleted ones included.
        room: The stored codes, at least ceil(rows / 64) blocks, mapped from a file or not; what
            lies past the last row is not defined.
        live: uint64 (ceil(rows / 64),), the rows that were not deleted; None while none was.
        deleted: How many were.
        ids: The ids of the rows.
        following: The id that the next row gets by default.
        cache: Factors by stored bytes, for all snapshots of these rows.
    """

    rows: int
    room: Blocks
    live: Mask | None
    deleted: int
    ids: idmap.IdColumn
    following: int
    cache: dict[int, Bytes]

    @classmethod
    def of(
        cls, blocks: Blocks, rows: int, ids: Ids | None = None, following: int | None = None
    ) -> Snapshot:
        """Return rows of which none was deleted.

        Args:
            blocks: At least ceil(rows / 64) blocks.
            rows: Rows.
            ids: Their ids, int64 (rows,); None: row numbers.
            following: The id that the next row gets by default; None: ``rows``.
        """
        after = rows if following is None else following
        return cls(rows, blocks, None, 0, idmap.IdColumn.of(rows, ids), after, {})

    @classmethod
    def empty(cls, stored_bytes: int, leading: int | None = None) -> Snapshot:
        """Return no rows, ``leading`` (None: all) bytes of their codes apart."""
        return cls.of(Blocks.zeros(0, stored_bytes, leading or stored_bytes), 0)

    @cached_property
    def blocks(self) -> Blocks:
        """The blocks in use."""
        return self.room[: blocks_of(self.rows)]

    def __len__(self) -> int:
        """Rows that can be found."""
        return self.rows - self.deleted

    def live_rows(self) -> Ids:
        """Return the rows that can be found, ascending."""
        if self.live is None:
            return np.arange(self.rows, dtype=np.int64)
        return np.flatnonzero(_bits(self.live, self.rows))

    def live_ids(self) -> Ids:
        """Return their ids, int64 (len,)."""
        return self.ids.of_rows(self.live_rows())

    def find(self, ids: Ids) -> Ids:
        """Return the row of each id, or -1."""
        return alive(self.ids.rows_of(ids), self.live)

    def codes(self, first: int = 0, stop: int | None = None) -> Bytes:
        """Return the stored codes uint8 (n, bytes) of rows [first, stop); first starts a block."""
        stop = self.rows if stop is None else stop
        return self.blocks[first // WORD : blocks_of(stop)].codes(stop - first)

    def live_codes(self) -> Bytes:
        """Return the stored codes uint8 (len, bytes) of the rows that can be found."""
        return self.codes() if self.live is None else self.codes()[self.live_rows()]

    def factors(self, code: Code) -> Bytes:
        """Return the factor steps uint8 (rows,) of a code or of a prefix of it.

        They follow from the codes and are made when first needed.
        """
        held = self.cache.get(code.stored_bytes, np.zeros(0, dtype=np.uint8))
        if len(held) >= self.rows:
            return held[: self.rows]
        first = len(held) // WORD * WORD  # whole blocks are read
        parts = [held[:first]]
        for start in range(first, self.rows, checks.CHUNK_ROWS):
            stop = min(start + checks.CHUNK_ROWS, self.rows)
            blocks = self.blocks[start // WORD : blocks_of(stop)]
            parts.append(code.factor_indices(blocks.codes(stop - start, code.stored_bytes)))
        made = np.concatenate(parts)
        self.cache[code.stored_bytes] = made
        return made

    # -- what follows ------------------------------------------------------------------------

    def changed(self, ids: Ids, codes: Bytes | None) -> Snapshot:
        """Return the rows after a change: ids are deleted, then codes, if any, added under them.

        Args:
            ids: int64 (n,), each once; unknown ones are ignored.
            codes: uint8 (n, bytes), or None.
        """
        after = self._without(self.find(ids))
        return after if codes is None else after._appended(codes, ids)

    def with_room(self, count: int) -> Snapshot:
        """Return the same rows with room for more; blocks mapped from a file are copied."""
        return replace(self, room=self.room.room_for(self.rows + count))

    def _appended(self, stored: Bytes, ids: Ids) -> Snapshot:
        end = self.rows + len(stored)
        room = self.room.room_for(end)
        room.write(stored, self.rows)
        live = self.live
        if live is not None:
            grown = np.zeros(blocks_of(end), dtype=np.uint64)
            grown[: len(live)] = live
            live = with_bits(grown, np.arange(self.rows, end), True)
        return replace(
            self, rows=end, room=room, live=live, ids=self.ids.appended(ids),
            following=idmap.after(self.following, ids),
        )  # fmt: skip

    def _without(self, rows: Ids) -> Snapshot:
        """Return the rows with some deleted (-1 is ignored)."""
        rows = rows[rows >= 0]
        if not len(rows):
            return self
        live = with_bits(live_bits(self), rows, False)
        return replace(self, live=live, deleted=self.deleted + len(rows))


def compacted(snapshot: Snapshot) -> Snapshot:
    """Return the rows that can be found alone, in their order."""
    blocks, ids = snapshot.blocks, snapshot.ids.given
    if snapshot.deleted:
        blocks = Blocks.of(snapshot.live_codes(), blocks.leading.shape[1])
        ids = snapshot.live_ids()
    rows = len(snapshot)
    ids = None if ids is None else ids[:rows]
    if ids is None and snapshot.following != rows:
        ids = np.arange(rows, dtype=np.int64)
    return Snapshot.of(blocks, rows, ids, snapshot.following)


def mask_of(allowed: npt.NDArray[np.bool_]) -> Mask:
    """Return bools (rows,) as the words of a kernel's mask, uint64 (blocks,)."""
    padded = np.zeros(blocks_of(len(allowed)) * 8, dtype=np.uint8)
    packed = np.packbits(allowed, bitorder="little")
    padded[: len(packed)] = packed
    return padded.view("<u8").astype(np.uint64, copy=False)


def alive(rows: Ids, live: Mask | None) -> Ids:
    """Return rows with -1 in place of the deleted ones."""
    if live is None or not len(live):
        return rows
    bits = live[rows // WORD] >> (rows % WORD).astype(np.uint64) & np.uint64(1)
    return np.where((rows >= 0) & (bits == 1), rows, -1)


def _bits(words: Mask, rows: int) -> npt.NDArray[np.bool_]:
    raw = words.astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(raw, count=rows, bitorder="little").astype(bool)


def live_bits(snapshot: Snapshot) -> Mask:
    """Return the rows that can be found as a mask, also where none was deleted."""
    if snapshot.live is not None:
        return snapshot.live
    words = np.full(blocks_of(snapshot.rows), ~np.uint64(0))
    if snapshot.rows % WORD:
        words[-1] >>= np.uint64(WORD - snapshot.rows % WORD)
    return words


def with_bits(words: Mask, rows: Ids, value: bool) -> Mask:
    """Return a copy of the words with the bits of rows set or cleared."""
    changed = words.copy()
    bits = np.uint64(1) << (rows % WORD).astype(np.uint64)
    if value:
        np.bitwise_or.at(changed, rows // WORD, bits)
    else:
        np.bitwise_and.at(changed, rows // WORD, ~bits)
    return changed
