"""Step 2, how many bits each dim gets: levels, plans and byte counts.

A *plan* lists segments of consecutive dims that share one level. A uniform code is one segment;
hybrid (QAMA, CIKM 2025, section 3) is four. Everything about sizes follows from the plan.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass

from qama import checks


@dataclass(frozen=True)
class Level:
    """One level of precision.

    Attributes:
        name: The paper's name of it.
        thresholds: Thresholds per quantized value; states = thresholds + 1.
        group: Dims that share one quantized value (2 for the dim pairs of 0.5 bit, else 1).
        compact: Stored bits per value in the compact form (thermometer stores ``thresholds``).
    """

    name: str
    thresholds: int
    group: int
    compact: int


LEVELS = {
    level.name: level
    for level in (
        Level("0.5", thresholds=1, group=2, compact=1),
        Level("1", thresholds=1, group=1, compact=1),
        Level("1.5", thresholds=2, group=1, compact=2),
        Level("2", thresholds=3, group=1, compact=2),
    )
}
HYBRID = "hybrid"
HYBRID_ORDER = ("2", "1.5", "1", "0.5")
QUARTERS = (0.25, 0.25, 0.25, 0.25)
LEVEL_NAMES = (*LEVELS, HYBRID)
DIMS_STEP = (
    8  # dims come in multiples of this: whole dim pairs in every hybrid quarter, whole bytes
)


@dataclass(frozen=True)
class Segment:
    """Dims [start, stop) coded at one level."""

    level: Level
    start: int
    stop: int

    @property
    def values(self) -> int:
        """Quantized values in the segment."""
        return (self.stop - self.start) // self.level.group

    def bits(self, compact: bool) -> int:
        """Stored bits of the segment in one form or the other."""
        return self.values * (self.level.compact if compact else self.level.thresholds)


@dataclass(frozen=True)
class Plan:
    """The segments of one code, first dims first."""

    segments: tuple[Segment, ...]

    def bits(self, compact: bool = False) -> int:
        """True bits of a code, padding excluded."""
        return sum(segment.bits(compact) for segment in self.segments)

    def nbytes(self, compact: bool = False) -> int:
        """Bytes of a code: bits rounded up to whole bytes with zero bits."""
        return math.ceil(self.bits(compact) / 8)

    @property
    def bit_pairs(self) -> int:
        """Leading dims whose compact form is a bit pair (hi, lo), of a 4-state level."""
        first = self.segments[0]
        return first.values if first.level.name == "2" else 0


def level_name(level: object) -> str:
    """Return the name of a level given as a name or a number (2 -> "2", 1.0 -> "1").

    Raises:
        ValueError: no such level.
    """
    number = isinstance(level, numbers.Real) and not isinstance(level, bool)
    name = f"{level:g}" if number else level
    checks.one_of(name, "level", LEVEL_NAMES)
    return str(name)


def plan(dims: int, level: str, fractions: Sequence[float] = QUARTERS) -> Plan:
    """Return the plan of a code of ``dims`` dims at ``level``.

    Args:
        dims: Dims used, a multiple of 8.
        level: A name from LEVEL_NAMES.
        fractions: For hybrid, the share of dims at 2, 1.5, 1 and 0.5 bit.
    """
    if level != HYBRID:
        return Plan((Segment(LEVELS[level], 0, dims),))
    bounds = [2 * round(dims * sum(fractions[:i]) / 2) for i in range(4)] + [dims]
    segments = [
        Segment(LEVELS[name], start, stop)
        for name, start, stop in zip(HYBRID_ORDER, bounds[:-1], bounds[1:], strict=True)
        if stop > start
    ]
    return Plan(tuple(segments))


def check_fractions(fractions: Sequence[float]) -> tuple[float, ...]:
    """Return hybrid fractions as four shares that sum to 1.

    Raises:
        ValueError: not four numbers >= 0 with sum 1.
    """
    try:
        shares = () if isinstance(fractions, str) else tuple(map(float, fractions))
    except (TypeError, ValueError, OverflowError):
        shares = ()
    if len(shares) != 4 or min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise ValueError(
            f"fractions is {fractions!r}; give four shares of the dims at 2, 1.5, 1 and 0.5 bit "
            f"that sum to 1, for instance (0.25, 0.25, 0.25, 0.25)"
        )
    return shares


def dims_grid(d: int) -> tuple[int, ...]:
    """Return the paper's prefixes d, d/2, d/3, d/4, d/8, rounded up to multiples of 8.

    Raises:
        ValueError: d is not a multiple of 8.
    """
    check_dims(d, "the vectors' dims")
    steps = {DIMS_STEP * math.ceil(d / part / DIMS_STEP) for part in (1, 2, 3, 4, 8)}
    return tuple(sorted(steps, reverse=True))


def check_dims(d: int, name: str) -> None:
    """Refuse dims that do not divide into whole bytes and hybrid quarters.

    Raises:
        ValueError: d is not a positive multiple of 8.
    """
    if d < DIMS_STEP or d % DIMS_STEP:
        wide = DIMS_STEP * max(1, math.ceil(d / DIMS_STEP))
        raise ValueError(
            f"{name} is {d}, not a multiple of {DIMS_STEP}; append zero columns up to {wide} "
            f"(cosines do not change)"
        )
