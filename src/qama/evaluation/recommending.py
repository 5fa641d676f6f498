"""Which code to take: for a goal, or for a memory, in a collection of so many rows.

The estimate for another number of rows than was searched follows a line in the logarithm of the
rows: between two sizes that were searched, or beyond the largest one, where the line through the
last two goes on. Beyond, the lower end of the interval falls twice as far as the estimate: nobody
measured there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from qama.evaluation.quantisability import Budget, Quantisability

BESIDE = 1  # bytes that an index keeps beside each byte code: its inverse norm


@dataclass(frozen=True, slots=True)
class Estimate:
    """What codes of one length keep among so many rows.

    Attributes:
        nbytes: Length of the codes.
        rows: Rows of the collection.
        kept: The estimate of the retention of nDCG@10.
        low: Lower end of its 95 % interval.
        high: Upper end.
        measured: Whether so many rows, or more, were searched.
    """

    nbytes: int
    rows: int
    kept: float
    low: float
    high: float
    measured: bool


@dataclass(frozen=True, slots=True)
class Advice:
    """The smallest codes that reach a goal.

    Attributes:
        goal: Share of float32's nDCG@10.
        likely: The shortest length from which on every estimate reaches it, or None.
        sure: The same of the lower ends of the intervals.
    """

    goal: float
    likely: Estimate | None
    sure: Estimate | None


def estimates(found: Quantisability, rows: int) -> list[Estimate]:
    """Return the estimate of each length for so many rows, shortest first."""
    sizes = [(grown.rows, grown.budgets) for grown in found.growth]
    sizes = sizes or [(found.searched, found.budgets)]
    return [_at(rows, [(n, each[i]) for n, each in sizes]) for i in range(len(found.budgets))]


def smallest(found: Quantisability, goal: float, rows: int) -> Advice:
    """Return the smallest codes that keep a share of float32's nDCG@10 among so many rows."""
    every = estimates(found, rows)
    return Advice(
        goal,
        _from_which_on([(each, each.kept >= goal) for each in every]),
        _from_which_on([(each, each.low >= goal) for each in every]),
    )


def best_within(found: Quantisability, memory: int, rows: int) -> Estimate | None:
    """Return the longest codes of so many rows that fit a memory of bytes, or None."""
    fitting = [each for each in estimates(found, rows) if size(each.nbytes, rows) <= memory]
    return fitting[-1] if fitting else None


def size(nbytes: int, rows: int) -> int:
    """Return the bytes that so many codes of a length take in memory, inverse norms included."""
    return rows * (nbytes + BESIDE)


def _from_which_on(reached: list[tuple[Estimate, bool]]) -> Estimate | None:
    """Return the first from which on all reach a goal."""
    found = None
    for each, yes in reversed(reached):
        if not yes:
            break
        found = each
    return found


def _at(rows: int, sizes: list[tuple[int, Budget]]) -> Estimate:
    """Return the estimate of one length for so many rows, from those of some sizes, ascending."""
    last, at_last = sizes[-1]
    if rows >= last or len(sizes) == 1:
        fall = min(0.0, sum(_falls(rows, sizes[-2:])))
        low, high = at_last.low + 2 * fall, at_last.high
        return _clipped(rows, at_last, at_last.ndcg + fall, low, high, rows <= last)
    for (fewer, one), (more, other) in pairwise(sizes):
        if rows <= more:
            part = (math.log(max(rows, fewer)) - math.log(fewer)) / math.log(more / fewer)
            kept, low, high = (
                (1 - part) * getattr(one, name) + part * getattr(other, name)
                for name in ("ndcg", "low", "high")
            )
            return _clipped(rows, one, kept, low, high, True)
    raise AssertionError("sizes ascend")


def _falls(rows: int, sizes: list[tuple[int, Budget]]) -> Iterator[float]:
    """Yield how much less is kept of so many rows than of the last size, along the line."""
    for (fewer, one), (more, other) in pairwise(sizes):
        slope = (other.ndcg - one.ndcg) / math.log(more / fewer)
        yield slope * math.log(max(rows, more) / more)


def _clipped(
    rows: int, of: Budget, kept: float, low: float, high: float, measured: bool
) -> Estimate:
    within = [min(1.0, max(0.0, value)) for value in (kept, low, max(high, kept))]
    return Estimate(of.nbytes, rows, within[0], within[1], within[2], measured)
