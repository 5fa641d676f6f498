"""What a collection takes: memory, disk, nodes, hours, milliseconds; from constants measured here.

The model is a page of arithmetic. A code is read at a measured pace; lists, where they pay, let a
query read few of them; memory holds codes, inverse norms and lists; a node that is full shares the
collection with others, each of which then answers every query for its part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from qama.evaluation import page
from qama.machine.rates import Rates

LISTS_FROM = 10_000_000  # rows from which on lists pay (docs/scale.md)
NPROBE = 32  # lists that a query reads, where nobody calibrated
_HOURS = 730  # of a month
_FULL = 0.8  # share of a node's memory that codes may take
_BUSY = 0.7  # share of a node's cores that queries may take
_NORM, _PLACE = 1, 8  # bytes beside a code: its inverse norm; where it lies, of lists
_ID = 8  # bytes of an id in a file
KEPT = {"float16": 2, "int8": 1}  # bytes of a dim


@dataclass(frozen=True)
class Asked:
    """What is planned.

    Attributes:
        rows: Vectors.
        qps: Queries a second.
        keep: The form in which vectors are kept beside codes, or None.
        memory: Bytes of a node's memory.
        cores: Cores of a node.
        price: What a node costs an hour, in any currency; None: nothing is said of money.
    """

    rows: int
    qps: float
    keep: str | None
    memory: int
    cores: int
    price: float | None = None


@dataclass(frozen=True)
class Figure:
    """One number of a plan.

    Attributes:
        name: What it is.
        value: The number.
        unit: Its unit; "" of counts.
        how: "measured" on this machine, "modelled" from what was, or "assumed".
        why: From what.
    """

    name: str
    value: float
    unit: str
    how: Literal["measured", "modelled", "assumed"]
    why: str


def plan(asked: Asked, rates: Rates) -> list[Figure]:
    """Return the figures of a plan."""
    return [*_size(asked, rates), *_speed(asked, rates), *_build(asked, rates), *_constants(rates)]


def lists(rows: int) -> int | None:
    """Return how many inverted lists so many rows do well with; None: none."""
    if rows < LISTS_FROM:
        return None
    return int(2 ** round(math.log2(2 * math.sqrt(rows))))


def memory(asked: Asked, rates: Rates) -> float:
    """Return the bytes of memory that a search of all rows needs."""
    count = lists(asked.rows)
    place = 0 if count is None else _PLACE
    return asked.rows * (rates.nbytes + _NORM + place) + (count or 0) * rates.dims * 4


def shards(asked: Asked, rates: Rates) -> int:
    """Return over how many nodes the rows are spread, so that each holds its part."""
    return max(1, math.ceil(memory(asked, rates) / (_FULL * asked.memory)))


def core_ms(rows: float, rates: Rates) -> float:
    """Return the milliseconds of a core that one query takes among so many rows."""
    count = lists(int(rows))
    if count is None:  # queries that arrive together share the reading
        return rates.query_ms + rows * rates.batch_ns / 1e6
    return rates.query_ms + (count * rates.probe_ns + _read(rows, count) * rates.scan_ns) / 1e6


def _read(rows: float, count: int) -> float:
    """Return how many codes a query reads of so many rows in lists."""
    return rows * min(1.0, NPROBE / count)


def _part(asked: Asked, rates: Rates) -> int:
    """Return the rows of a node."""
    return math.ceil(asked.rows / shards(asked, rates))


def _size(asked: Asked, rates: Rates) -> Iterator[Figure]:
    count, part = lists(asked.rows), lists(_part(asked, rates))
    beside = "inverse norms" if count is None else "inverse norms, places, centroids"
    why = f"codes, {beside}; the codec is a few MB"
    yield Figure("memory", memory(asked, rates), "B", "modelled", why)
    kept = 0 if asked.keep is None else KEPT[asked.keep] * rates.dims
    each = rates.nbytes + _ID + (4 if count else 0) + kept
    held = ", ".join(["code", "id", *(["list"] if count else []), *(["vector"] if kept else [])])
    why = f"{each} B a vector: {held}; twice while it is compacted"
    yield Figure("disk", asked.rows * each, "B", "modelled", why)
    yield Figure("as float32", asked.rows * rates.dims * 4, "B", "modelled", "to compare")
    if part is not None:
        why = f"of a node: about 2 sqrt(rows), of which a query reads {NPROBE}"
        yield Figure("lists", part, "", "assumed", why)


def _speed(asked: Asked, rates: Rates) -> Iterator[Figure]:
    parts, part = shards(asked, rates), _part(asked, rates)
    each = core_ms(part, rates)
    able = 1000 * _BUSY * asked.cores / each
    copies = max(1, math.ceil(asked.qps / able))
    alone, on = each, "one core"
    if lists(part) is None:
        alone, on = rates.query_ms + part * rates.all_ns / 1e6, f"{rates.cores} cores"
    why = f"asked alone, among the {part:,} rows of a node, by {on}"
    yield Figure("a query", alone, "ms", "modelled", why)
    yield Figure("core time of a query", each, "ms", "modelled", "on each node that holds a part")
    why = f"{asked.cores} cores, busy for {_BUSY:.0%} of the time"
    yield Figure("queries of a node", able, "/s", "modelled", why)
    why = (
        f"{parts} to hold the rows in {_FULL:.0%} of {asked.memory / 1e9:.3g} GB each, times "
        f"{copies} for {asked.qps:g} queries a second"
    )
    yield Figure("nodes", parts * copies, "", "modelled", why)
    if asked.price is not None:
        why = f"{parts * copies} nodes at {asked.price:g} an hour, {_HOURS} hours"
        yield Figure("a month", parts * copies * asked.price * _HOURS, "", "modelled", why)


def _build(asked: Asked, rates: Rates) -> Iterator[Figure]:
    part = _part(asked, rates)
    count = lists(part) or 0
    seconds = part * (1 / rates.encode + 1e-9 * rates.assign_ns * count) / asked.cores
    found = ", finding each row's list" if count else ""
    why = (
        f"encoding{found}, on {asked.cores} cores of each node; without the fit, which is once "
        f"and takes minutes, and without embedding"
    )
    yield Figure("build", seconds / 3600, "h", "modelled", why)
    written = part * (rates.nbytes + _ID) / rates.disk
    yield Figure("writing", written / 3600, "h", "modelled", "codes and ids, on each node")


def _constants(rates: Rates) -> Iterator[Figure]:
    of = f"{rates.dims} dims, {rates.nbytes} B, this machine"
    for name, value, unit in (
        ("encoding", rates.encode, "/s"), ("a query beside its scan", rates.query_ms, "ms"),
        ("a code, of one query", rates.scan_ns, "ns"),
        ("a code, of a query of 64", rates.batch_ns, "ns"),
        (f"a code, of one query, {rates.cores} cores", rates.all_ns, "ns"),
        ("a list, of a query", rates.probe_ns, "ns"), ("a list, of a row", rates.assign_ns, "ns"),
        ("the disk", rates.disk, "B/s"),
    ):  # fmt: skip
        yield Figure(name, value, unit, "measured", of)


def said(figure: Figure) -> str:
    """Return the number of a figure as people read it."""
    value, unit = figure.value, figure.unit
    if unit in ("B", "B/s"):
        for prefix in ("", "k", "M", "G", "T"):
            if value < 1000 or prefix == "T":
                number = f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
                return f"{number} {prefix}{unit}"
            value /= 1000
    if unit == "h" and value < 1:
        return f"{60 * value:.2g} min"
    shown = f"{value:,.0f}" if value >= 100 or unit == "" else f"{value:.3g}"
    return f"{shown} {unit}".strip()


HEADINGS = ("", "about", "how", "from")
NOTE = (
    "Measured figures are of this machine as it was in these seconds, of random codewords and "
    "codes, whose pace does not depend on what they say. Modelled ones are arithmetic over them, "
    "and may be off by half; `qama bench` measures whole searches. How many lists a recall needs "
    "depends on the vectors: `Index.calibrate` measures it."
)


def rows(figures: list[Figure]) -> list[list[str]]:
    """Return a table of figures."""
    return [[each.name, said(each), each.how, each.why] for each in figures]


def sections(figures: list[Figure], about: str, machine: str) -> list[page.Section]:
    """Return a plan as sections of a page."""
    planned = [each for each in figures if each.how != "measured"]
    constants = [each for each in figures if each.how == "measured"]
    return [
        page.Section("What it takes", about, table=[list(HEADINGS), *rows(planned)], note=NOTE),
        page.Section("What was measured", machine, table=[list(HEADINGS), *rows(constants)]),
    ]
