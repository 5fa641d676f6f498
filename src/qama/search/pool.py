"""Rows of many lists in one array of blocks; every block belongs to one list.

A list fills its last block before it takes a new one from the end, so that rows are added to any
list without moving others. A row is block times 64 plus lane; lanes in use are bits of a mask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from qama import kernels
from qama.checks import Bytes, Ids
from qama.search import ids as idmap
from qama.search.snapshot import WORD, Mask, blocks_of, with_bits

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, eq=False)
class View:
    """The rows of a pool at one moment; what the pool does later leaves them as they are.

    Attributes:
        lists: How many lists.
        owners: int64 (blocks,), the list of each block.
        blocks: uint8 (blocks, bytes, 64), the codes.
        live: uint64 (blocks,), the rows in use.
        ids: int64 (64 blocks,), of each row.
        factors: uint8 (64 blocks,), factor steps of each row.
    """

    lists: int
    owners: Ids
    blocks: Bytes
    live: Mask
    ids: Ids
    factors: Bytes

    def __len__(self) -> int:
        """Rows in use."""
        return int(np.bitwise_count(self.live).sum())

    @cached_property
    def by_list(self) -> list[Ids]:
        """The blocks of each list, ascending."""
        order = np.argsort(self.owners, kind="stable")
        return np.split(order, np.bincount(self.owners, minlength=self.lists).cumsum()[:-1])

    def sizes(self, mask: Mask) -> Ids:
        """Return how many rows of each list the mask allows."""
        return self._sizes if mask is self.live else self._counted(mask)

    @cached_property
    def _sizes(self) -> Ids:
        return self._counted(self.live)

    def _counted(self, mask: Mask) -> Ids:
        counts = np.bitwise_count(mask).astype(np.int64)
        return np.bincount(self.owners, counts, minlength=self.lists).astype(np.int64)

    def in_use(self) -> npt.NDArray[np.bool_]:
        """Return which rows are in use."""
        raw = self.live.astype("<u8", copy=False).view(np.uint8)
        return np.unpackbits(raw, bitorder="little").astype(bool)

    def rows_of(self, ids: Ids) -> Ids:
        """Return the rows in use that have one of the ids."""
        return np.flatnonzero(np.isin(self.ids, ids) & self.in_use())

    def rows(self) -> tuple[Ids, Bytes, Bytes]:
        """Return ids int64 (n,), codes uint8 (n, bytes) and factor steps uint8 (n,) in use."""
        rows = np.flatnonzero(self.in_use())
        codes = kernels.from_blocks(self.blocks, len(self.ids))[rows]
        return self.ids[rows], codes, self.factors[rows]


@dataclass(frozen=True, eq=False)
class Spare:
    """The arrays of a view, with room for further blocks behind it."""

    owners: Ids
    blocks: Bytes
    ids: Ids
    factors: Bytes

    def room_for(self, blocks: int) -> Spare:
        """Return arrays that can be written, with room for so many blocks: these, or a copy.

        Arrays mapped from a file are copied.
        """
        held = len(self.blocks)
        if blocks <= held and self.blocks.flags.writeable:
            return self
        wanted = max(blocks, held + held // 4)
        larger = kernels.zero_blocks(wanted, self.blocks.shape[1])
        larger[:held] = self.blocks
        return Spare(
            _padded(self.owners, wanted), larger,
            _padded(self.ids, WORD * wanted), _padded(self.factors, WORD * wanted),
        )  # fmt: skip

    def write(self, used: int, end: int, rows: Ids, stored: Bytes) -> None:
        """Write codes uint8 (n, bytes) into rows of the first used blocks, or of new ones."""
        fresh = rows >= WORD * used
        packed = np.zeros((WORD * (end - used), stored.shape[1]), np.uint8)
        packed[rows[fresh] - WORD * used] = stored[fresh]
        kernels.to_blocks(packed, out=self.blocks[used:end])
        block, lane = np.divmod(rows[~fresh], WORD)
        self.blocks[block, :, lane] = stored[~fresh]


@dataclass(frozen=True, eq=False)
class Pool:
    """Rows, and where the next ones go. It never changes: a change returns the next pool.

    New rows are written where no view looks, and the mask of rows in use is made anew. A writer
    keeps the pool that a change returned; where the change ended in an exception it keeps the old
    one, which is as it was. Any number of threads may read a view meanwhile.

    Attributes:
        view: The rows.
        following: The id that the next row gets by default.
        spare: Owners, blocks, ids and factors with room behind those of the view.
        last: int64 (lists,), the last block of each list, or -1.
        room: int64 (lists,), lanes free in it; those of deleted rows before others are not used
            again.
    """

    view: View
    following: int
    spare: Spare
    last: Ids
    room: Ids

    @classmethod
    def of(cls, view: View, following: int) -> Pool:
        """Return the pool of rows, mapped from a file or not, and the next default id."""
        last = np.full(view.lists, -1, dtype=np.int64)
        last[view.owners] = np.arange(len(view.owners))
        room = np.zeros(view.lists, dtype=np.int64)
        for owner in np.flatnonzero(last >= 0):
            room[owner] = WORD - int(view.live[last[owner]]).bit_length()
        spare = Spare(view.owners, view.blocks, view.ids, view.factors)
        return cls(view, following, spare, last, room)

    @classmethod
    def empty(cls, lists: int, stored_bytes: int) -> Pool:
        """Return a pool of lists without rows."""
        view = View(
            lists, np.zeros(0, np.int64), np.zeros((0, stored_bytes, WORD), np.uint8),
            np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.uint8),
        )  # fmt: skip
        return cls.of(view, 0)

    def with_rows(self, lists: Ids, stored: Bytes, ids: Ids, factors: Bytes) -> Pool:
        """Return the pool with more rows.

        Args:
            lists: The list of each, int64 (n,).
            stored: Their codes, uint8 (n, bytes).
            ids: Their ids, int64 (n,).
            factors: Their factor steps, uint8 (n,).
        """
        used = len(self.view.owners)
        sizes = np.bincount(lists, minlength=self.view.lists)
        rest = np.maximum(sizes - self.room, 0)  # rows that need new blocks
        taken = -(-rest // WORD)
        end = used + int(taken.sum())
        rows = self._places(sizes)
        order = np.argsort(lists, kind="stable")
        spare = self.spare.room_for(end)
        spare.write(used, end, rows, stored[order])
        spare.ids[rows], spare.factors[rows] = ids[order], factors[order]
        spare.owners[used:end] = np.repeat(np.arange(len(taken)), taken)
        live = np.concatenate([self.view.live, np.zeros(end - used, np.uint64)])
        view = View(
            self.view.lists, spare.owners[:end], spare.blocks[:end], with_bits(live, rows, True),
            spare.ids[: WORD * end], spare.factors[: WORD * end],
        )  # fmt: skip
        last = np.where(taken > 0, used + taken.cumsum() - 1, self.last)
        room = np.where(taken > 0, taken * WORD - rest, self.room - np.minimum(sizes, self.room))
        return Pool(view, idmap.after(self.following, ids), spare, last, room)

    def without(self, rows: Ids) -> Pool:
        """Return the pool with rows taken out of use."""
        view = replace(self.view, live=with_bits(self.view.live, rows, False))
        return replace(self, view=view)

    def _places(self, sizes: Ids) -> Ids:
        """Return the row of each new row, ordered by list."""
        places, next_block = [np.zeros(0, dtype=np.int64)], len(self.view.owners)
        for owner in np.flatnonzero(sizes):
            size, room = int(sizes[owner]), int(self.room[owner])
            begun = min(size, room)
            start = WORD * self.last[owner] + WORD - room
            places.append(np.arange(start, start + begun))
            places.append(np.arange(WORD * next_block, WORD * next_block + size - begun))
            next_block += blocks_of(size - begun)
        return np.concatenate(places)


def _padded(values: npt.NDArray[T], size: int) -> npt.NDArray[T]:
    larger = np.zeros(size, dtype=values.dtype)
    larger[: len(values)] = values
    return larger
