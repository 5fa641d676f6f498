"""Show records: a rich table, a markdown table, a plot of retention against bytes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from qama.errors import MissingExtraError
from qama.evaluation.records import Record

__all__ = ["Point", "draw", "plot", "rich_table"]

Point = tuple[int, float, float, float]  # bytes, share kept, the ends of its interval

HEADINGS = (
    "method", "dims", "level", "scorer", "bytes", "compact", "nDCG@10", "R@10", "R@100", "MRR",
    "retention %", "95 % interval", "tied %", "ms/query",
)  # fmt: skip
_LEFT = 4  # leading columns that hold words
_TICKS = (3, 6, 12, 24, 48, 96, 192, 384, 768, 1536, 3072)  # bytes


def rich_table(records: Sequence[Record], title: str = "") -> Table:
    """Records as a table for the terminal."""
    table = Table(title=title or None)
    for column, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if column < _LEFT else "right", no_wrap=True)
    for record in records:
        table.add_row(*_cells(record))
    return table


def plot(records: Sequence[Record], path: str | os.PathLike[str], title: str = "") -> None:
    """Draw retention against stored bytes, one line per method, level and scorer.

    Args:
        records: What to draw.
        path: File to write; its ending chooses the format (.png, .svg, .pdf).
        title: Heading of the picture.

    Raises:
        ValueError: There is no record.
        MissingExtraError: matplotlib is not installed.
    """
    if not records:
        raise ValueError("records is empty: there is nothing to draw")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("a plot", "matplotlib", "eval") from error
    figure = Figure(figsize=(8, 5), layout="constrained")
    lines = {
        name: [(r.bytes_compact, r.retention, r.low, r.high) for r in line]
        for name, line in _lines(records).items()
    }
    draw(figure.subplots(), lines, title)
    figure.savefig(path, dpi=150)


def draw(axes: Any, lines: Mapping[str, Sequence[Point]], title: str = "") -> None:
    """Draw what is kept of nDCG@10 against bytes on matplotlib's axes, one line a name."""
    for number, (name, line) in enumerate(lines.items()):
        x, y = [nbytes for nbytes, *_ in line], [100 * kept for _, kept, _, _ in line]
        below = [100 * max(0.0, kept - low) for _, kept, low, _ in line]
        above = [100 * max(0.0, high - kept) for _, kept, _, high in line]
        mark = "osD^v"[number // 10 % 5]  # colours repeat after ten lines
        axes.errorbar(x, y, yerr=[below, above], marker=mark, markersize=4, capsize=2, label=name)
    axes.axhline(100, color="0.6", linewidth=0.8)
    axes.set_xscale("log", base=2)
    sizes = sorted({nbytes for line in lines.values() for nbytes, *_ in line})
    ticks = [size for size in _TICKS if sizes[0] <= size <= sizes[-1]] or sizes
    axes.set_xticks(ticks, labels=[str(size) for size in ticks])
    axes.set_xlabel("bytes per vector")
    axes.set_ylabel("nDCG@10, % of float32")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def _cells(record: Record) -> list[str]:
    return [
        record.method,
        str(record.dims),
        record.level,
        record.scorer,
        str(record.bytes_stored),
        str(record.bytes_compact),
        f"{record.ndcg10:.4f}",
        f"{record.recall10:.4f}",
        f"{record.recall100:.4f}",
        f"{record.mrr:.4f}",
        f"{100 * record.retention:.1f}",
        f"{100 * record.low:.1f} to {100 * record.high:.1f}",
        f"{100 * record.tied:.0f}",
        f"{record.ms:.2f}",
    ]


def _lines(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records by line name, each by ascending bytes."""
    lines: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.method == "qama":
            name = f"qama {record.level}, {record.scorer}"
        elif record.method == "fixed thresholds":
            name = "fixed thresholds, hamming"
        else:
            name = record.method
        lines[name].append(record)
    return {name: sorted(line, key=lambda r: r.bytes_compact) for name, line in lines.items()}
