"""Rows in memory: what a search reads, and what a change makes of them.

A `Snapshot` never changes. A change makes the next one: it writes new rows where no snapshot looks
(behind the rows of them all) and marks deleted ones by tombstones in a new bitmap, so that any
number of searches may run beside one writer. A row that a snapshot can see is never written again,
and a change that fails midway leaves nothing that can be seen. Only one snapshot may follow
another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qama import checks, kernels, mapping
from qama.checks import Bytes, Ids
from qama.codec import Code
from qama.quantizers.kept import Form
from qama.search.rows import entries as rowwise
from qama.search.rows import ids as idmap
from qama.search.rows.blocks import BLOCK_ROWS as BLOCK_ROWS
from qama.search.rows.blocks import Blocks
from qama.search.rows.blocks import blocks_of as blocks_of
from qama.search.rows.kept import Kept
from qama.search.rows.lists import Lists

Mask = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The rows of an index at one moment.

    A row counts in insertion order. Where it lies in the blocks is its *place*: the same number, or
    what the lists of a partitioned index say.

    Attributes:
        rows: Rows, the deleted ones included.
        room: The stored codes, at least ``blocks`` of them, mapped from a file or not; what lies at
            no row's place is not defined.
        live: uint64 (blocks,), a bit for each place: 1 for a row that can be found, 0 for a
            tombstone, the mark of a deleted row; None: no row was deleted.
        deleted: How many were.
        ids: The ids of the rows.
        following: The id that the next row gets by default.
        cache: Inverse norm indices by stored bytes, and of how many rows; all snapshots of these
            rows share it.
        lists: The inverted lists; None: row i is at place i.
        kept: The kept vectors, by row; None where none are.
    """

    rows: int
    room: Blocks
    live: Mask | None
    deleted: int
    ids: idmap.IdColumn
    following: int
    cache: dict[int, tuple[Bytes, int]]
    lists: Lists | None = None
    kept: Kept | None = None

    @classmethod
    def of(
        cls,
        blocks: Blocks,
        rows: int,
        ids: Ids | None = None,
        following: int | None = None,
        kept: Kept | None = None,
    ) -> Snapshot:
        """Return rows of which none was deleted, row i at place i.

        Args:
            blocks: At least ceil(rows / 64) blocks.
            rows: Rows.
            ids: Their ids, int64 (rows,); None: row numbers.
            following: The id that the next row gets by default; None: ``rows``.
            kept: Their vectors, where they are kept.
        """
        after = rows if following is None else following
        return cls(rows, blocks, None, 0, idmap.IdColumn.of(rows, ids), after, {}, None, kept)

    @classmethod
    def empty(
        cls, stored_bytes: int, leading: int | None = None, form: Form | None = None
    ) -> Snapshot:
        """Return no rows, ``leading`` (None: all) bytes of their codes apart.

        Args:
            stored_bytes: Bytes of a code.
            leading: See above.
            form: In which their vectors are kept; None: not at all.
        """
        kept = None if form is None else Kept.of(form)
        return cls.of(Blocks.zeros(0, stored_bytes, leading or stored_bytes), 0, kept=kept)

    @property
    def extent(self) -> int:
        """Places in use: the free lanes of lists count too."""
        return self.rows if self.lists is None else BLOCK_ROWS * self.lists.blocks

    @cached_property
    def blocks(self) -> Blocks:
        """The blocks in use."""
        return self.room[: blocks_of(self.extent)]

    @property
    def kept_bytes(self) -> int:
        """Bytes of a kept vector; 0 where none are."""
        return 0 if self.kept is None else self.kept.form.width

    @property
    def entry_bytes(self) -> int:
        """Bytes that a log keeps of a row, see `qama.search.rows.entries`."""
        number = 0 if self.lists is None else rowwise.NUMBER_BYTES
        return self.room.columns + self.kept_bytes + number

    @cached_property
    def mapped(self) -> tuple[Bytes, ...]:
        """The arrays of codes and kept vectors that are mapped from a file."""
        parts = self.blocks.parts if self.kept is None else (*self.blocks.parts, self.kept.base)
        return tuple(part for part in parts if mapping.is_mapped(part))

    def __len__(self) -> int:
        """Rows that can be found."""
        return self.rows - self.deleted

    def places(self, rows: Ids) -> Ids:
        """Return the place of each row; -1 stays."""
        if self.lists is None or not self.rows:
            return rows
        return np.where(rows < 0, -1, self.lists.places[rows])

    def rows_at(self, places: Ids) -> Ids:
        """Return the row at each place, of any shape."""
        return places if self.lists is None else self.lists.rows_of(places)

    def live_rows(self) -> Ids:
        """Return the rows that can be found, ascending."""
        if self.live is None:
            return np.arange(self.rows, dtype=np.int64)
        places = np.flatnonzero(_bits(self.live, self.extent))
        return places if self.lists is None else np.sort(self.lists.rows_of(places))

    def live_ids(self) -> Ids:
        """Return their ids, int64 (len,)."""
        return self.ids.of_rows(self.live_rows())

    def find(self, ids: Ids) -> Ids:
        """Return the row of each id, or -1."""
        rows = self.ids.rows_of(ids)
        return np.where(self._lives(self.places(rows)), rows, -1)

    def codes(self, first: int, stop: int, columns: int | None = None) -> Bytes:
        """Return the first bytes (None: all) of the codes of rows [first, stop), uint8 (n, bytes).

        Args:
            first: The first row.
            stop: The row behind the last one.
            columns: How many bytes.
        """
        if self.lists is not None:
            return self.blocks.codes_at(self.lists.places[first:stop].astype(np.int64), columns)
        begun = first % BLOCK_ROWS  # whole blocks are read
        blocks = self.blocks[first // BLOCK_ROWS : blocks_of(stop)]
        return blocks.codes(begun + stop - first, columns)[begun:]

    def live_codes(self) -> Bytes:
        """Return the stored codes uint8 (len, bytes) of the rows that can be found."""
        codes = self.codes(0, self.rows)
        return codes if not self.deleted else codes[self.live_rows()]

    def inverse_norms(self, code: Code, threads: int = 0) -> Bytes:
        """Return the inverse norm indices uint8 (extent,), by place, of a code or a prefix of it.

        They follow from the codes and are made when first needed.
        """
        held, done = self.cache.get(code.stored_bytes, (np.zeros(0, dtype=np.uint8), 0))
        if done < self.rows:
            held = idmap.grown(held, self.extent)
            for first in range(done, self.rows, checks.CHUNK_ROWS):
                stop = min(first + checks.CHUNK_ROWS, self.rows)
                codes = self.codes(first, stop, code.stored_bytes)
                made = code.inverse_norm_indices(codes, threads)
                held[self.places(np.arange(first, stop))] = made
            self.cache[code.stored_bytes] = held, self.rows
        return held[: self.extent]

    def stored(self, code: Code | None, threads: int = 0) -> kernels.StoredCodes:
        """Return the codes as a scan by a code or a prefix of it reads them, by place.

        Args:
            code: What the scan scores by, with the inverse norms that this takes; None: without.
            threads: Threads that make these, when first needed.
        """
        columns = 0 if code is None else code.stored_bytes
        if columns not in self._stored:
            norms, steps = None, None
            if code is not None:
                norms, steps = self.inverse_norms(code, threads), code.inverse_norm_steps
            leading, rest = self.blocks.leading, self.blocks.rest
            self._stored[columns] = kernels.StoredCodes(leading, self.extent, rest, norms, steps)
        return self._stored[columns]

    @cached_property
    def _stored(self) -> dict[int, kernels.StoredCodes]:
        return {}  # by the bytes that are scored

    # -- what follows ------------------------------------------------------------------------

    def changed(self, ids: Ids, entries: Bytes | None) -> Snapshot:
        """Return the rows after a change: ids are deleted, then rows, if any, added under them.

        Args:
            ids: int64 (n,), each once; unknown ones are ignored.
            entries: uint8 (n, entry_bytes), see `qama.search.rows.entries`; or None.

        Raises:
            ValueError: a list that there is not.
        """
        after = self._without(self.find(ids))
        if entries is None:
            return after
        listed = self.lists is not None
        columns = rowwise.parted(entries, self.room.columns, self.kept_bytes, listed)
        return after._appended(columns, ids)

    def with_room(self, count: int) -> Snapshot:
        """Return the same rows with room for more; blocks mapped from a file are copied."""
        kept = None if self.kept is None else self.kept.with_room(count)
        return replace(self, room=self.room.room_for(self.extent + count), kept=kept)

    def partitioned(self, lists: Lists, codes: Bytes, numbers: Ids) -> Snapshot:
        """Return the rows that can be found alone, in their order, in lists.

        Args:
            lists: The lists, empty.
            codes: uint8 (len, bytes), the codes of these rows.
            numbers: int64 (len,), the list of each row.
        """
        empty = Snapshot.empty(self.room.columns)
        empty = replace(empty, lists=lists, live=np.zeros(0, dtype=np.uint64))
        made = empty._appended(rowwise.Columns(codes, None, numbers), self.live_ids())
        ids = idmap.IdColumn.of(len(self), self.kept_ids())
        return replace(made, ids=ids, following=self.following, kept=self.live_kept())

    def live_kept(self) -> Kept | None:
        """Return the kept vectors of the rows that can be found, in their order."""
        if self.kept is None or not self.deleted:
            return self.kept
        return self.kept.taken(self.live_rows())

    def _appended(self, columns: rowwise.Columns, ids: Ids) -> Snapshot:
        codes, vectors, numbers = columns
        lists, places = self.lists, np.arange(self.rows, self.rows + len(codes), dtype=np.int64)
        if lists is not None:
            assert numbers is not None
            lists, places = lists.appended(numbers)
        kept = self.kept
        if kept is not None:
            assert vectors is not None
            kept = kept.appended(vectors)
        after = replace(
            self, rows=self.rows + len(codes), lists=lists, ids=self.ids.appended(ids),
            following=idmap.after(self.following, ids), kept=kept,
        )  # fmt: skip
        room = self.room.room_for(after.extent)
        if lists is None:
            room.write(codes, self.rows)
        else:
            room.write_at(codes, places)
        live = self.live
        if live is not None:
            wider = np.zeros(blocks_of(after.extent), dtype=np.uint64)
            wider[: len(live)] = live
            live = with_bits(wider, places, True)
        return replace(after, room=room, live=live)

    def _without(self, rows: Ids) -> Snapshot:
        """Return the rows with some deleted (-1 is ignored)."""
        rows = rows[rows >= 0]
        if not len(rows):
            return self
        live = with_bits(live_bits(self), self.places(rows), False)
        return replace(self, live=live, deleted=self.deleted + len(rows))

    def kept_ids(self) -> Ids | None:
        """Return the ids of the rows that can be found; None where they are row numbers again."""
        if self.deleted:
            return self.live_ids()
        if self.ids.given is not None:
            return self.ids.given[: self.rows]
        return None if self.following == self.rows else np.arange(self.rows, dtype=np.int64)

    def _lives(self, places: Ids) -> npt.NDArray[np.bool_]:
        """Return whether the row at each place was not deleted; False for -1."""
        if self.live is None or not len(self.live):
            return places >= 0
        bits = self.live[places // BLOCK_ROWS] >> (places % BLOCK_ROWS).astype(
            np.uint64
        ) & np.uint64(1)
        return np.asarray((places >= 0) & (bits == 1))


def compacted(snapshot: Snapshot) -> Snapshot:
    """Return the rows that can be found alone, in their order; blocks of a list lie together."""
    lists = snapshot.lists
    if lists is not None:
        if lists.is_compact and not snapshot.deleted:
            return snapshot
        numbers, empty = lists.numbers_of(snapshot.live_rows()), Lists.empty(lists.centroids)
        return snapshot.partitioned(empty, snapshot.live_codes(), numbers)
    blocks, rows = snapshot.blocks, snapshot.live_rows()
    if snapshot.deleted:
        blocks = Blocks.of(snapshot.live_codes(), blocks.leading.shape[1])
    cache = {  # copies: what comes later is written behind them
        size: (held[rows], len(rows))
        for size, (held, done) in snapshot.cache.items()
        if done == snapshot.rows
    }
    now = Snapshot.of(
        blocks, len(snapshot), snapshot.kept_ids(), snapshot.following, snapshot.live_kept()
    )
    return replace(now, cache=cache)


def mask_of(allowed: npt.NDArray[np.bool_]) -> Mask:
    """Return bools (rows,) as the words of a kernel's mask, uint64 (blocks,)."""
    padded = np.zeros(blocks_of(len(allowed)) * 8, dtype=np.uint8)
    packed = np.packbits(allowed, bitorder="little")
    padded[: len(packed)] = packed
    return padded.view("<u8").astype(np.uint64, copy=False)


def _bits(words: Mask, rows: int) -> npt.NDArray[np.bool_]:
    raw = words.astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(raw, count=rows, bitorder="little").astype(bool)


def live_bits(snapshot: Snapshot) -> Mask:
    """Return the places of the rows that can be found as a mask, also where none was deleted."""
    if snapshot.live is not None:
        return snapshot.live
    words = np.full(blocks_of(snapshot.rows), ~np.uint64(0))
    if snapshot.rows % BLOCK_ROWS:
        words[-1] >>= np.uint64(BLOCK_ROWS - snapshot.rows % BLOCK_ROWS)
    return words


def with_bits(words: Mask, places: Ids, value: bool) -> Mask:
    """Return a copy of the words with the bits of places set or cleared."""
    changed = words.copy()
    bits = np.uint64(1) << (places % BLOCK_ROWS).astype(np.uint64)
    if value:
        np.bitwise_or.at(changed, places // BLOCK_ROWS, bits)
    else:
        np.bitwise_and.at(changed, places // BLOCK_ROWS, ~bits)
    return changed
