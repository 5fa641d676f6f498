"""Standalone HTML pages: headings, tables, line plots as inline SVG; nothing from outside.

A page is a list of sections; a report that has more to say adds a section.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Line", "Plot", "Section", "page"]

_WIDTH, _HEIGHT = 560, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 44
_COLOURS = ("#1f6feb", "#d1641b", "#2c8a4b", "#8250df", "#0f8a8a", "#b8457a", "#8a6d00")
_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c2128; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
.note { color: #57606a; font-size: .9rem }
th, td { padding: .25rem .9rem; text-align: right; border-bottom: 1px solid #d8dee4 }
th:first-child, td:first-child { text-align: left }
svg { width: 100%; height: auto; overflow: visible }
svg text { font: 12px system-ui, sans-serif; fill: #57606a }
@media (prefers-color-scheme: dark) {
  body { color: #e6eaef; background: #14181d } th, td { border-color: #3b4550 }
  .note { color: #a6b0bb } svg text { fill: #a6b0bb } svg path[stroke="#d8dee4"] { stroke: #3b4550 }
}
"""


@dataclass(frozen=True)
class Line:
    """One curve: its name and points (x, y)."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """Curves over common axes.

    Attributes:
        lines: The curves.
        x_label: What x is.
        y_label: What y is.
        x_ticks: Where x is written; the first and last are the axis' ends.
        y_ticks: The same of y.
        x_log: Whether x is drawn by its logarithm.
    """

    lines: Sequence[Line]
    x_label: str
    y_label: str
    x_ticks: Sequence[float]
    y_ticks: Sequence[float]
    x_log: bool = False

    def svg(self) -> str:
        """Return the picture as an SVG element."""
        parts = [*self._axes(), *(self._curve(i, line) for i, line in enumerate(self.lines))]
        if len(self.lines) > 1:
            parts += [self._key(i, line.name) for i, line in enumerate(self.lines)]
        label = html.escape(f"{self.y_label} against {self.x_label}")
        return (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
            f"{''.join(parts)}</svg>"
        )

    def _x(self, value: float) -> float:
        low, high = self.x_ticks[0], self.x_ticks[-1]
        if self.x_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def _axes(self) -> list[str]:
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        parts = []
        for tick in self.y_ticks:
            y = self._y(tick)
            parts.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#d8dee4"/>')
            parts.append(_text(_LEFT - 6, y + 4, f"{tick:g}", "end"))
        for tick in self.x_ticks:
            x = self._x(tick)
            parts.append(f'<path d="M{x:.1f} {bottom}v4" stroke="#57606a"/>')
            parts.append(_text(x, bottom + 17, f"{tick:,g}" if tick < 1e6 else f"{tick:g}"))
        parts.append(_text((_LEFT + right) / 2, _HEIGHT - 6, self.x_label))
        middle = (_TOP + bottom) / 2
        turned = f'transform="rotate(-90 14 {middle:.1f})"'
        return [*parts, _text(14, middle, self.y_label, "middle", turned)]

    def _curve(self, number: int, line: Line) -> str:
        colour = _COLOURS[number % len(_COLOURS)]
        at = [f"{self._x(x):.1f} {self._y(y):.1f}" for x, y in line.points]
        path = f'<path d="M{"L".join(at)}" fill="none" stroke="{colour}" stroke-width="2"/>'
        if len(at) > 20:  # so many points are a curve, not measurements
            return path
        dots = (point.split() for point in at)
        return path + "".join(
            f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in dots
        )

    def _key(self, number: int, name: str) -> str:
        y = _HEIGHT - _BOTTOM - 14 - 18 * (len(self.lines) - 1 - number)
        x = _WIDTH - _RIGHT - 8
        colour = _COLOURS[number % len(_COLOURS)]
        return _text(x - 26, y + 4, name, "end") + (
            f'<path d="M{x - 20} {y}h20" stroke="{colour}" stroke-width="3"/>'
        )


@dataclass(frozen=True)
class Section:
    """A heading with, in this order and each if there is one, text, table, plot and note."""

    heading: str
    text: str = ""
    table: Sequence[Sequence[str]] = ()
    plot: Plot | None = None
    note: str = ""

    def html(self) -> str:
        """Return the section as HTML."""
        parts = [f"<h2>{html.escape(self.heading)}</h2>"]
        if self.text:
            parts.append(f"<p>{html.escape(self.text)}</p>")
        if self.table:
            parts.append(_table(self.table))
        if self.plot is not None:
            parts.append(self.plot.svg())
        if self.note:
            parts.append(f'<p class="note">{html.escape(self.note)}</p>')
        return "\n".join(parts)


def page(title: str, sections: Sequence[Section]) -> str:
    """Return a whole HTML page in UTF-8's repertoire; every string is escaped."""
    head = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style></head>\n"
    )
    body = "\n".join(section.html() for section in sections)
    return f"{head}<body>\n<h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (
        "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
        for tag, row in zip(["th", *["td"] * (len(rows) - 1)], rows, strict=True)
    )
    lines = "\n".join(f"<tr>{row}</tr>" for row in body)
    return f"<table>\n<tr>{head}</tr>\n{lines}\n</table>"


def _text(x: float, y: float, text: str, anchor: str = "middle", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{html.escape(text)}</text>'
