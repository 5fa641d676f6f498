"""Where the rows of a partitioned index lie: every block of 64 belongs to one inverted list.

Rows count in insertion order, as everywhere; the *place* of a row is its block times 64 plus its
lane. A list fills its last block before it takes a new one behind all others, so that rows join
any list without moving others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qama import kernels
from qama.checks import Floats, Ids
from qama.errors import FormatError
from qama.search.rows.blocks import BLOCK_ROWS, blocks_of
from qama.search.rows.ids import grown

Int32s = npt.NDArray[np.int32]

MOST_PLACES = 2**31 - 1


@dataclass(eq=False)
class Centroids:
    """What lists lie around, and how many of them a recall needs.

    Attributes:
        vectors: float32 (nlist, width), of length 1: a row belongs to the list whose centroid is
            nearest to what its code stands for.
        recall: float32 (nlist,), see `Index.calibrate`; None before it. All that ever changes.
    """

    vectors: Floats
    recall: Floats | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def units(self) -> kernels.CentroidUnits:
        """The vectors as queries are multiplied with them, in whole numbers of 2^-14."""
        units = kernels.whole(self.vectors)
        return kernels.CentroidUnits.of(np.pad(units, ((0, 0), (0, units.shape[1] % 2))))


@dataclass(frozen=True, eq=False)
class Lists:
    """The inverted lists of an index at one moment; they never change.

    New rows are written where these lists do not look: only one may follow them.

    Attributes:
        centroids: The centroid of each list.
        count: Rows, the deleted ones included.
        blocks: Blocks in use.
        owners: int32 (at least blocks,), the list of each block.
        rows_at: int32 (at least 64 blocks,), the row at each place; -1 where none ever was.
        places_given: int32 (at least count,), the place of each row; None: follows from
            ``rows_at`` and is made when it is first needed.
        last: int64 (nlist,), the last block of each list, or -1.
        room: int64 (nlist,), lanes free in it; those of tombstones before others are not used
            again.
    """

    centroids: Centroids
    count: int
    blocks: int
    owners: Int32s
    rows_at: Int32s
    places_given: Int32s | None
    last: Ids
    room: Ids

    @classmethod
    def empty(cls, centroids: Centroids) -> Lists:
        """Return lists without rows."""
        none, nlist = np.zeros(0, dtype=np.int32), len(centroids)
        last, room = np.full(nlist, -1, dtype=np.int64), np.zeros(nlist, dtype=np.int64)
        return cls(centroids, 0, 0, none, none, none, last, room)

    @classmethod
    def of(
        cls, centroids: Centroids, owners: Int32s, rows_at: Int32s, filled: npt.NDArray[np.uint64]
    ) -> Lists:
        """Return lists whose arrays are those of a file.

        Args:
            centroids: The centroid of each list.
            owners: int32 (blocks,), each below nlist.
            rows_at: int32 (64 blocks,).
            filled: uint64 (blocks,), the lanes that hold rows, the lower ones of each block.
        """
        last = np.full(len(centroids), -1, dtype=np.int64)
        last[owners] = np.arange(len(owners))
        room = np.zeros(len(centroids), dtype=np.int64)
        for owner in np.flatnonzero(last >= 0):
            room[owner] = BLOCK_ROWS - int(filled[last[owner]]).bit_length()
        count = int(np.bitwise_count(filled).sum())
        return cls(centroids, count, len(owners), owners, rows_at, None, last, room)

    @property
    def nlist(self) -> int:
        """How many lists."""
        return len(self.centroids)

    @cached_property
    def places(self) -> Int32s:
        """The place of each row, int32 (at least count,).

        Raises:
            FormatError: a damaged file gives some rows no place.
        """
        if self.places_given is not None:
            return self.places_given
        held = self.rows_at[: BLOCK_ROWS * self.blocks]
        used = np.flatnonzero((held >= 0) & (held < self.count))
        places = np.full(self.count, -1, dtype=np.int32)
        places[held[used]] = used
        if len(used) != self.count or (places < 0).any():
            raise FormatError("the lists are inconsistent: rows without a place")
        return places

    def rows_of(self, places: Ids) -> Ids:
        """Return the row int64 at each place, of any shape.

        Raises:
            FormatError: a damaged file has no row there.
        """
        rows = self.rows_at[places].astype(np.int64)
        if np.count_nonzero(rows.view(np.uint64) >= self.count):  # negative ones are large
            raise FormatError("the lists are inconsistent: places without a row")
        return rows

    def numbers_of(self, rows: Ids) -> Ids:
        """Return the number of the list, int64 (n,), that holds each row."""
        return self.owners[self.places[rows] // BLOCK_ROWS].astype(np.int64)

    @property
    def is_compact(self) -> bool:
        """Whether the blocks of each list lie together, all but its last are full, in order.

        So is what a file has; an interrupted change may have left rows where none are.
        """
        whole = self.blocks == int((-(-self._rows_by_list // BLOCK_ROWS)).sum())
        held = int(np.count_nonzero(self.rows_at[: BLOCK_ROWS * self.blocks] >= 0))
        return whole and held == self.count and self._in_order

    @cached_property
    def _in_order(self) -> bool:
        """Whether the blocks of each list lie together and before those of later lists."""
        owners = self.owners[: self.blocks]
        return bool((owners[1:] >= owners[:-1]).all())

    @cached_property
    def _block_counts(self) -> Ids:
        return np.bincount(self.owners[: self.blocks], minlength=self.nlist)

    @cached_property
    def _by_list(self) -> tuple[Ids, Ids]:
        """The blocks by list, ascending in each, and where each list ends among them."""
        order = np.argsort(self.owners[: self.blocks], kind="stable")
        return order, self._block_counts.cumsum()

    @cached_property
    def inverted(self) -> kernels.InvertedLists:
        """What a search reads of them."""
        return kernels.InvertedLists(self.centroids.units, *self._by_list)

    @property
    def _rows_by_list(self) -> Ids:
        """How many places each list has taken, those of deleted rows included."""
        return BLOCK_ROWS * self._block_counts - self.room

    def sizes(self, mask: npt.NDArray[np.uint64]) -> Ids:
        """Return how many rows of each list, int64 (nlist,), a mask uint64 (blocks,) allows."""
        for counted, sizes in self._counted:
            if counted is mask:
                return sizes
        counts = np.bitwise_count(mask).astype(np.int64)
        owners = self.owners[: self.blocks]
        sizes = np.bincount(owners, counts, minlength=self.nlist).astype(np.int64)
        self._counted[:] = [(mask, sizes)]
        return sizes

    @cached_property
    def _counted(self) -> list[tuple[npt.NDArray[np.uint64], Ids]]:
        """The mask that was counted last: searches without a filter have the same."""
        return []

    def appended(self, numbers: Ids) -> tuple[Lists, Ids]:
        """Return the lists with more rows, whose list numbers are given, and the rows' places.

        Raises:
            ValueError: a number of no list, or more rows than lists can hold.
        """
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < self.nlist:
            raise ValueError(f"list {numbers.max()} is none of the {self.nlist} lists")
        sizes = np.bincount(numbers, minlength=self.nlist)
        rest = np.maximum(sizes - self.room, 0)  # rows that need new blocks
        taken = -(-rest // BLOCK_ROWS)
        end = self.blocks + int(taken.sum())
        if BLOCK_ROWS * end > MOST_PLACES:
            raise ValueError(f"a partitioned index holds at most {MOST_PLACES} rows")
        count = self.count + len(numbers)
        places = np.empty(len(numbers), dtype=np.int64)
        places[np.argsort(numbers, kind="stable")] = self._free_places(sizes)
        column = grown(self.places, count)
        column[self.count : count] = places
        rows_at = grown(self.rows_at, BLOCK_ROWS * end, -1)
        rows_at[places] = np.arange(self.count, count)
        owners = grown(self.owners, end)
        owners[self.blocks : end] = np.repeat(np.arange(self.nlist), taken)
        last = np.where(taken > 0, self.blocks + taken.cumsum() - 1, self.last)
        room = np.where(
            taken > 0, taken * BLOCK_ROWS - rest, self.room - np.minimum(sizes, self.room)
        )
        return Lists(self.centroids, count, end, owners, rows_at, column, last, room), places

    def _free_places(self, sizes: Ids) -> Ids:
        """Return the places of new rows, so many of each list, ordered by list."""
        places, next_block = [np.zeros(0, dtype=np.int64)], self.blocks
        for owner in np.flatnonzero(sizes):
            size, room = int(sizes[owner]), int(self.room[owner])
            begun = min(size, room)
            start = BLOCK_ROWS * self.last[owner] + BLOCK_ROWS - room
            places.append(np.arange(start, start + begun))
            places.append(
                np.arange(BLOCK_ROWS * next_block, BLOCK_ROWS * next_block + size - begun)
            )
            next_block += blocks_of(size - begun)
        return np.concatenate(places)
