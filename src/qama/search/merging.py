"""Putting indexes together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

import numpy as np

from qama.checks import Bytes, Ids
from qama.codec import Code, Codec
from qama.search.rows.snapshot import Snapshot

_ROWS = 1 << 20  # whose codes are held twice at a time


class Part(Protocol):
    """An index, as far as merging looks."""

    codec: Codec
    code: Code


P = TypeVar("P", bound=Part)


def checked(parts: list[P]) -> list[P]:
    """Return the indexes.

    Raises:
        ValueError: there are none, or they are not of one codec and code.
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
    return parts


def pieces(parts: list[Snapshot], renumber: bool) -> Iterator[tuple[Bytes, Ids | None]]:
    """Yield the codes uint8 (n, bytes) and ids of the rows that can be found.

    Raises:
        ValueError: an id is in two of the parts, and ids are to be kept.
    """
    if not renumber:
        _check_distinct([part.live_ids() for part in parts])
    for part in parts:
        rows = part.live_rows()
        for start in range(0, part.rows, _ROWS):
            first, stop = np.searchsorted(rows, (start, start + _ROWS))
            codes = part.codes(start, min(start + _ROWS, part.rows))
            some = rows[first:stop]
            kept = codes if len(some) == len(codes) else codes[some - start]
            yield kept, None if renumber else part.ids.of_rows(some)


def _check_distinct(ids: list[Ids]) -> None:
    unique, counts = np.unique(np.concatenate(ids), return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"id {unique[counts > 1][0]} is in two of the indexes; renumber=True gives new ids"
        )
