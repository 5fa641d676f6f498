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


class Pool:
    """What one writer changes; any number of threads may read ``view`` meanwhile.

    New rows are written where no view looks, and the mask of rows in use is replaced as a whole.

    Args:
        view: The rows to begin with; mapped from a file or not.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self._owners, self._blocks = view.owners, view.blocks  # these with room behind the view's
        self._ids, self._factors = view.ids, view.factors
        self._last = np.full(view.lists, -1, dtype=np.int64)  # the last block of each list
        self._last[view.owners] = np.arange(len(view.owners))
        # lanes free in it; those of deleted rows before others are not used again
        self._room = np.zeros(view.lists, dtype=np.int64)
        for owner in np.flatnonzero(self._last >= 0):
            self._room[owner] = WORD - int(view.live[self._last[owner]]).bit_length()

    @classmethod
    def empty(cls, lists: int, stored_bytes: int) -> Pool:
        """Return a pool of lists without rows."""
        return cls(
            View(
                lists, np.zeros(0, np.int64), np.zeros((0, stored_bytes, WORD), np.uint8),
                np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.uint8),
            )
        )  # fmt: skip

    def append(self, lists: Ids, stored: Bytes, ids: Ids, factors: Bytes) -> None:
        """Append rows: their lists, codes uint8 (n, bytes), ids and factor steps, each (n,)."""
        used = len(self.view.owners)
        sizes = np.bincount(lists, minlength=self.view.lists)
        rest = np.maximum(sizes - self._room, 0)  # rows that need new blocks
        taken = -(-rest // WORD)
        end = used + int(taken.sum())
        rows = self._places(sizes)
        order = np.argsort(lists, kind="stable")
        fresh = rows >= WORD * used
        packed = np.zeros((WORD * (end - used), stored.shape[1]), np.uint8)
        packed[rows[fresh] - WORD * used] = stored[order[fresh]]
        block, lane = np.divmod(rows[~fresh], WORD)
        self._grow(end)
        self._blocks[block, :, lane] = stored[order[~fresh]]
        kernels.to_blocks(packed, out=self._blocks[used:end])
        self._ids[rows], self._factors[rows] = ids[order], factors[order]
        self._owners[used:end] = np.repeat(np.arange(len(taken)), taken)
        self._last = np.where(taken > 0, used + taken.cumsum() - 1, self._last)
        self._room = np.where(
            taken > 0, taken * WORD - rest, self._room - np.minimum(sizes, self._room)
        )
        live = np.concatenate([self.view.live, np.zeros(end - used, np.uint64)])
        self.view = View(
            self.view.lists, self._owners[:end], self._blocks[:end], with_bits(live, rows, True),
            self._ids[: WORD * end], self._factors[: WORD * end],
        )  # fmt: skip

    def bury(self, rows: Ids) -> None:
        """Take rows out of use."""
        self.view = replace(self.view, live=with_bits(self.view.live, rows, False))

    def _places(self, sizes: Ids) -> Ids:
        """Return the row of each new row, ordered by list."""
        places, next_block = [np.zeros(0, dtype=np.int64)], len(self.view.owners)
        for owner in np.flatnonzero(sizes):
            size, room = int(sizes[owner]), int(self._room[owner])
            begun = min(size, room)
            start = WORD * self._last[owner] + WORD - room
            places.append(np.arange(start, start + begun))
            places.append(np.arange(WORD * next_block, WORD * next_block + size - begun))
            next_block += blocks_of(size - begun)
        return np.concatenate(places)

    def _grow(self, blocks: int) -> None:
        """Make room for so many blocks; those mapped from a file are copied first."""
        held = len(self._blocks)
        if blocks <= held and self._blocks.flags.writeable:
            return
        wanted = max(blocks, held + held // 4)
        larger = kernels.zero_blocks(wanted, self._blocks.shape[1])
        larger[:held] = self._blocks
        self._blocks = larger
        self._owners = _padded(self._owners, wanted)
        self._ids = _padded(self._ids, WORD * wanted)
        self._factors = _padded(self._factors, WORD * wanted)


def _padded(values: npt.NDArray[T], size: int) -> npt.NDArray[T]:
    larger = np.zeros(size, dtype=values.dtype)
    larger[: len(values)] = values
    return larger
