"""Several collections together: the macro average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from qama.evaluation.records import Record

_NAMES = ("method", "dims", "level", "scorer", "bytes_stored", "bytes_compact")


def macro(results: Mapping[str, Sequence[Record]]) -> list[Record]:
    """Average records that share method and code over collections, in the first one's order.

    Records that a collection lacks are left out. The interval's ends are those of a mean of
    independent collections: half-widths add in squares.
    """
    tables = [{_key(r): r for r in rows} for rows in results.values()]
    shared = [key for key in tables[0] if all(key in table for table in tables)]
    return [_mean([table[key] for table in tables]) for key in shared]


def _key(record: Record) -> tuple[object, ...]:
    return tuple(getattr(record, name) for name in _NAMES)


def _mean(rows: list[Record]) -> Record:
    numbers = [f.name for f in fields(Record) if f.name not in _NAMES]
    means = {name: float(np.mean([getattr(r, name) for r in rows])) for name in numbers}
    for end in ("low", "high"):
        widths = [getattr(r, end) - r.retention for r in rows]
        half = float(np.sqrt(np.sum(np.square(widths)))) / len(rows)
        means[end] = means["retention"] + (half if end == "high" else -half)
    changes: dict[str, Any] = dict(means)
    return replace(rows[0], **changes)
