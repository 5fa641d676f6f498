"""What a search may return: compiled to one bit per row, applied inside the scan.

A bit is that of a row's place. A scan skips every block of 64 rows that has no bit set without
reading it, so that its cost falls with the share of rows that are allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import arrays
from qama.checks import Ids
from qama.search.rows import ids as idmap
from qama.search.rows.snapshot import Mask, Snapshot, live_bits, mask_of, with_bits


@dataclass(frozen=True, eq=False, repr=False)
class Filter:
    """A filter that `Index.filter` compiled, for any number of searches.

    Rows added later are not allowed by it, rows deleted later are not found. When the index is
    compacted or read anew, rows move and the filter is refused.

    Attributes:
        words: uint64 (blocks,), bit i of word b allows the row at place 64 b + i.
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


Choice = npt.ArrayLike | Iterable[int] | Callable[[Ids], npt.NDArray[np.bool_]] | Filter | None


def compiled(now: Snapshot, choice: Choice, exclude: object = None) -> Filter:
    """Compile what may be returned; see `Index.filter`.

    Raises:
        ValueError: not a filter, of another length, or compiled before rows moved.
    """
    words = live_bits(now) if choice is None else _chosen(now, choice)
    if exclude is not None:
        advice = "of a mask, give filter=np.asarray(exclude) == 0"
        rows = now.find(ids_of(exclude, "exclude", (len(now), now.rows), advice))
        words = with_bits(words, now.places(rows[rows >= 0]), False)
    return Filter(words, int(np.bitwise_count(words).sum()), now.cache)


def allowed(now: Snapshot, choice: Choice, exclude: object = None) -> Mask | None:
    """Return the mask of what may be returned; None allows all rows."""
    if choice is None and exclude is None:
        return now.live
    if isinstance(choice, Filter) and exclude is None:
        return _still_valid(now, choice)
    return compiled(now, choice, exclude).words


def for_many(choice: Choice | object, name: str) -> object:
    """Return a choice that several indexes can read, one after the other.

    Raises:
        ValueError: a mask, which counts the rows of one index.
    """
    if _mask_given(choice) is not None:
        raise ValueError(f"{name} is a mask, which counts the rows of one index; give ids")
    return list(choice) if isinstance(choice, Iterator) else choice


def _chosen(now: Snapshot, choice: Choice) -> Mask:
    if isinstance(choice, Filter):
        return _still_valid(now, choice)
    chosen = _answered(choice, now.live_ids()) if callable(choice) else _mask_given(choice)
    if chosen is None:
        advice = "a mask is np.asarray(filter).astype(bool)"
        rows = now.find(ids_of(choice, "filter", (len(now), now.rows), advice))
        none = np.zeros(len(now.blocks), dtype=np.uint64)
        return with_bits(none, now.places(rows[rows >= 0]), True)
    if chosen.shape != (len(now),):
        raise ValueError(
            f"filter has shape {chosen.shape}; a boolean filter has one entry for each of "
            f"the {len(now)} vectors, in insertion order"
        )
    if now.live is None:
        return mask_of(chosen)
    every = np.zeros(now.extent, dtype=bool)
    every[now.places(now.live_rows()[chosen])] = True
    return mask_of(every)


def _answered(choice: Callable[[Ids], Any], ids: Ids) -> npt.NDArray[np.bool_]:
    """Return what a function says of ids."""
    chosen = arrays.plain(choice(ids), "filter")
    if chosen.dtype != np.bool_:
        raise ValueError(
            f"the filter's function returned {chosen.dtype}; it takes ids int64 (n,) and returns "
            f"bool (n,)"
        )
    return chosen


def _mask_given(choice: object) -> npt.NDArray[np.bool_] | None:
    """Return a choice as a mask, where it is one and not ids."""
    if isinstance(choice, list | tuple):
        is_mask = bool(choice) and {*map(type, choice)} <= {bool, np.bool_}
        return np.array(choice) if is_mask else None
    if not arrays.is_one(choice):
        return None
    given = arrays.plain(choice, "filter")
    return given if given.dtype == np.bool_ else None


def ids_of(choice: object, name: str, lengths: tuple[int, ...], advice: str) -> Ids:
    """Return the ids that a choice names, each once; unknown ones are for the caller to ignore.

    Args:
        choice: See `ids.whole`.
        name: What messages call it.
        lengths: How long a mask would be: zeros and ones of such a length are taken for one.
        advice: What to give instead of such zeros and ones.

    Raises:
        ValueError: no ids, one choice for each query, or a mask of whole numbers.
    """
    _check_single(choice, name)
    given = idmap.whole(choice, name)
    ascend = bool((given[1:] > given[:-1]).all())  # then nothing repeats: sorting costs more
    unique = given if ascend else np.unique(given)
    repeats = len(unique) < len(given)  # as a mask of three and more does, and ids do not
    if repeats and len(given) in lengths and unique[-1] <= 1:
        raise ValueError(
            f"{name} holds {len(given)} zeros and ones, one for each vector, which would mean "
            f"the ids 0 and 1; {advice}"
        )
    return unique


def _check_single(choice: object, name: str) -> None:
    """Refuse a list of one choice for each query.

    Raises:
        ValueError: an entry of a list is itself a choice.
    """
    entries = choice if isinstance(choice, list | tuple) else ()
    for entry in entries:
        if type(entry) is not int and _is_choice(entry):
            raise ValueError(
                f"{name} holds one choice for each query, and a search has one for all; search "
                f"once for each: index.search(Q[i : i + 1], {name}=choices[i])"
            )


def _is_choice(entry: object) -> bool:
    """Whether it may be a filter, and cannot be an id."""
    held = isinstance(entry, list | tuple | set | frozenset | range | Filter) or callable(entry)
    return held or bool(getattr(entry, "shape", None))


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
