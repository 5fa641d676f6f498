"""What a search may return: compiled to one bit per row, applied inside the scan.

A scan skips every block of 64 rows that has no bit set without reading it, so that its cost falls
with the share of rows that are allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qama.checks import Ids
from qama.search import ids as idmap
from qama.search.snapshot import Mask, Snapshot, live_bits, mask_of, with_bits


@dataclass(frozen=True, eq=False, repr=False)
class Filter:
    """A filter that `Index.filter` compiled, for any number of searches.

    Rows added later are not allowed by it, rows deleted later are not found. When the index is
    compacted or read anew, rows move and the filter is refused.

    Attributes:
        words: uint64 (blocks,), bit i of word b allows row 64 b + i.
        rows: How many rows it allows.
    """

    words: Mask
    rows: int
    _of: object

    def __repr__(self) -> str:
        return f"<qama.Filter: allows {self.rows} rows>"

    def __len__(self) -> int:
        """Rows that it allows."""
        return self.rows


Choice = npt.NDArray[Any] | Callable[[Ids], npt.NDArray[np.bool_]] | Filter | None


def compiled(now: Snapshot, choice: Choice, exclude: object = None) -> Filter:
    """Compile what may be returned; see `Index.filter`.

    Raises:
        ValueError: not a filter, of another length, or compiled before rows moved.
    """
    words = live_bits(now) if choice is None else _chosen(now, choice)
    if exclude is not None:
        rows = now.find(idmap.checked(np.unique(np.asarray(exclude)), "exclude"))
        words = with_bits(words, rows[rows >= 0], False)
    return Filter(words, int(np.bitwise_count(words).sum()), now.cache)


def allowed(now: Snapshot, choice: Choice, exclude: object = None) -> Mask | None:
    """Return the mask of what may be returned; None allows all rows."""
    if choice is None and exclude is None:
        return now.live
    if isinstance(choice, Filter) and exclude is None:
        return _still_valid(now, choice)
    return compiled(now, choice, exclude).words


def _chosen(now: Snapshot, choice: Choice) -> Mask:
    if isinstance(choice, Filter):
        return _still_valid(now, choice)
    chosen = np.asarray(choice(now.live_ids()) if callable(choice) else choice)
    if callable(choice) and chosen.dtype != np.bool_:
        raise ValueError(
            f"the filter's function returned {chosen.dtype}; it takes ids int64 (n,) and returns "
            f"bool (n,)"
        )
    if chosen.dtype != np.bool_:
        rows = now.find(idmap.checked(np.unique(chosen), "filter"))
        none = np.zeros(len(now.blocks), dtype=np.uint64)
        return with_bits(none, rows[rows >= 0], True)
    if chosen.shape != (len(now),):
        raise ValueError(
            f"filter has shape {chosen.shape}; a boolean filter has one entry for each of "
            f"the {len(now)} vectors, in insertion order"
        )
    if now.live is None:
        return mask_of(chosen)
    every = np.zeros(now.rows, dtype=bool)
    every[now.live_rows()[chosen]] = True
    return mask_of(every)


def _still_valid(now: Snapshot, choice: Filter) -> Mask:
    if choice._of is not now.cache:
        raise ValueError(
            "filter was compiled for other rows: another index, or before this one was compacted "
            "or read anew; compile it again"
        )
    if len(choice.words) > len(now.blocks):
        raise ValueError("filter was compiled for a later state of the index; compile it again")
    words = choice.words
    if len(words) < len(now.blocks):
        words = np.pad(words, (0, len(now.blocks) - len(words)))
    return words if now.live is None else words & now.live
