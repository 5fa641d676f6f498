"""Putting indexes together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

import numpy as np

from qama.checks import Bytes, Ids
from qama.codec import Code, Codec
from qama.search.rows.entries import Columns
from qama.search.rows.snapshot import Snapshot

_ROWS = 1 << 18  # whose codes and kept vectors are held twice at a time


class Part(Protocol):
    """An index, as far as merging looks."""

    codec: Codec
    code: Code

    @property
    def keep(self) -> str | None:
        """The form in which it keeps vectors, if it does."""


P = TypeVar("P", bound=Part)


def checked(parts: list[P]) -> list[P]:
    """Return the indexes.

    Raises:
        ValueError: there are none, or they are not of one codec and code, or do not keep the
            same.
    """
    if not parts:
        raise ValueError("indexes is empty; give at least one")
    first = parts[0]
    for number, part in enumerate(parts):
        same = part.codec.fingerprint == first.codec.fingerprint
        if not same or part.code.request != first.code.request:
            raise ValueError(
                f"indexes[{number}] holds {part.code.label} of codec {part.codec.fingerprint}, "
                f"indexes[0] {first.code.label} of codec {first.codec.fingerprint}; only equal "
                f"codes of one codec can be merged"
            )
        if part.keep != first.keep:
            raise ValueError(
                f"indexes[{number}] has keep={part.keep!r}, indexes[0] keep={first.keep!r}; only "
                f"indexes that keep the same can be merged"
            )
    return parts


def pieces(parts: list[Snapshot], renumber: bool) -> Iterator[tuple[Columns, Ids | None]]:
    """Yield what the rows that can be found have, without the numbers of lists, and their ids.

    Raises:
        ValueError: an id is in two of the parts, and ids are to be kept.
    """
    if not renumber:
        check_distinct([part.live_ids() for part in parts])
    for part in parts:
        for some in windows(part.live_rows()):
            vectors = None if part.kept is None else part.kept.at(some)
            yield (
                Columns(codes_of(part, some), vectors),
                None if renumber else part.ids.of_rows(some),
            )


def windows(rows: Ids) -> Iterator[Ids]:
    """Yield some rows, ascending, at a time: those that lie within a stretch of 2^18."""
    at = 0
    while at < len(rows):
        stop = int(np.searchsorted(rows, rows[at] + _ROWS))
        yield rows[at:stop]
        at = stop


def codes_of(part: Snapshot, rows: Ids) -> Bytes:
    """Return the codes uint8 (n, bytes) of rows int64 (n,), ascending, at least one."""
    if part.lists is not None:
        return part.blocks.codes_at(part.places(rows))
    first, stop = int(rows[0]), int(rows[-1]) + 1
    codes = part.codes(first, stop)
    return codes if len(rows) == len(codes) else codes[rows - first]


def check_distinct(ids: list[Ids]) -> None:
    """Refuse ids int64 (n,) of which one occurs twice.

    Raises:
        ValueError: naming it.
    """
    unique, counts = np.unique(np.concatenate(ids), return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"id {unique[counts > 1][0]} is in two of the indexes; give each index once, or let "
            f"Index.merge(indexes, renumber=True) make one of them with new ids"
        )
