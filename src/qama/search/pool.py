"""Rows of many lists in one array of blocks; every block belongs to one list.

A list fills its last block before it takes a new one from the end, so that rows are added to any
list without moving others. A row is block times 64 plus lane; lanes in use are bits of a mask.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qama import kernels
from qama.checks import Bytes, Ids
from qama.search.snapshot import WORD, Mask, blocks_of, with_bits


class Pool:
    """Blocks of codes, their ids and factor steps, by list.

    Args:
        lists: How many lists.
        stored_bytes: Bytes of a code.
    """

    def __init__(self, lists: int, stored_bytes: int) -> None:
        self.used = 0  # blocks
        self.blocks: Bytes = np.zeros((0, stored_bytes, WORD), dtype=np.uint8)
        self.live: Mask = np.zeros(0, dtype=np.uint64)
        self.ids: Ids = np.zeros(0, dtype=np.int64)
        self.factors: Bytes = np.zeros(0, dtype=np.uint8)
        self.owners: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)  # the list of each block
        self._last = np.full(lists, -1, dtype=np.int64)  # the last block of each list
        self._room = np.zeros(lists, dtype=np.int64)  # lanes free in it
        self._by_list: list[Ids] | None = None
        self._sizes: tuple[Mask, Ids] | None = None  # of the lists, for the mask they are of

    def append(self, lists: Ids, stored: Bytes, ids: Ids, factors: Bytes) -> None:
        """Append rows: their lists, codes uint8 (n, bytes), ids and factor steps, each (n,)."""
        order = np.argsort(lists, kind="stable")
        sizes = np.bincount(lists, minlength=len(self._last))
        rows = self._places(sizes)
        fresh = rows >= WORD * self.used
        packed = np.zeros(
            (int(_blocks_for(sizes - self._room).sum()) * WORD, stored.shape[1]), np.uint8
        )
        packed[rows[fresh] - WORD * self.used] = stored[order[fresh]]
        block, lane = np.divmod(rows[~fresh], WORD)
        self._grow(self.used + len(packed) // WORD)
        self.blocks[block, :, lane] = stored[order[~fresh]]
        kernels.to_blocks(packed, out=self.blocks[self.used : self.used + len(packed) // WORD])
        self.ids[rows], self.factors[rows] = ids[order], factors[order]
        self.live = with_bits(self.live, rows, True)
        self._take(sizes)

    def of_lists(self) -> list[Ids]:
        """Return the blocks of each list, ascending."""
        if self._by_list is None:
            order = np.argsort(self.owners[: self.used], kind="stable")
            ends = np.bincount(self.owners[: self.used], minlength=len(self._last)).cumsum()
            self._by_list = np.split(order, ends[:-1])
        return self._by_list

    def sizes(self, mask: Mask) -> Ids:
        """Return how many rows of each list the mask allows."""
        if self._sizes is None or self._sizes[0] is not mask:
            counts = np.bitwise_count(mask[: self.used]).astype(np.int64)
            weighed = np.bincount(self.owners[: self.used], counts, minlength=len(self._last))
            self._sizes = mask, weighed.astype(np.int64)
        return self._sizes[1]

    def rows_of(self, ids: Ids) -> Ids:
        """Return the rows in use that have one of the ids."""
        return np.flatnonzero(np.isin(self.ids, ids) & self.in_use())

    def rows(self) -> tuple[Ids, Bytes, Bytes]:
        """Return ids int64 (n,), codes uint8 (n, bytes) and factor steps uint8 (n,) in use."""
        count = WORD * self.used
        rows = np.flatnonzero(self.in_use()[:count])
        codes = kernels.from_blocks(self.blocks[: self.used], count)[rows]
        return self.ids[rows], codes, self.factors[rows]

    def in_use(self) -> npt.NDArray[np.bool_]:
        """Return which rows are in use."""
        raw = self.live.astype("<u8", copy=False).view(np.uint8)
        return np.unpackbits(raw, bitorder="little").astype(bool)

    def restore(self, owners: Ids) -> None:
        """Take arrays that were set from a file into use."""
        self.used, self.owners = len(owners), owners
        for block, owner in enumerate(owners.tolist()):
            self._last[owner] = block
        held = self._last >= 0
        # lanes that deleted rows held are not used again
        top = np.zeros(len(self._last), dtype=np.int64)
        for owner in np.flatnonzero(held):
            top[owner] = int(self.live[self._last[owner]]).bit_length()
        self._room = np.where(held, WORD - top, 0)

    def _places(self, sizes: Ids) -> Ids:
        """Return the row of each new row, ordered by list."""
        places, next_block = [], self.used
        for owner in np.flatnonzero(sizes):
            size, room = int(sizes[owner]), int(self._room[owner])
            begun = min(size, room)
            start = WORD * self._last[owner] + WORD - room
            places.append(np.arange(start, start + begun))
            places.append(np.arange(WORD * next_block, WORD * next_block + size - begun))
            next_block += blocks_of(size - begun)
        return np.concatenate(places) if places else np.zeros(0, dtype=np.int64)

    def _take(self, sizes: Ids) -> None:
        """Give each list the new blocks that its rows lie in."""
        rest = np.maximum(sizes - self._room, 0)
        taken = _blocks_for(rest)
        self.owners[self.used : self.used + taken.sum()] = np.repeat(np.arange(len(taken)), taken)
        last = self.used + taken.cumsum() - 1
        self._room = np.where(
            taken > 0, taken * WORD - rest, self._room - np.minimum(sizes, self._room)
        )
        self._last = np.where(taken > 0, last, self._last)
        self.used += int(taken.sum())
        self._by_list = None

    def _grow(self, blocks: int) -> None:
        held = len(self.blocks)
        if blocks <= held and self.blocks.flags.writeable:
            return
        wanted = max(blocks, held + held // 4)
        larger_blocks = kernels.zero_blocks(wanted, self.blocks.shape[1])
        larger_blocks[:held] = self.blocks
        self.blocks = larger_blocks
        for name, per_block in (("live", 1), ("owners", 1), ("ids", WORD), ("factors", WORD)):
            old = getattr(self, name)
            larger = np.zeros((wanted * per_block, *old.shape[1:]), dtype=old.dtype)
            larger[: len(old)] = old
            setattr(self, name, larger)


def _blocks_for(rows: Ids) -> Ids:
    return -(-np.maximum(rows, 0) // WORD)
