"""How results look where they are printed: one line in a terminal, a small table in a notebook.

What is shown may come from files of strangers: no character of it acts on a terminal or a page.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

_LONGEST = 200  # characters of a cell
_UNITS = ("kB", "MB", "GB", "TB")


def shown(text: str) -> str:
    r"""Return a text as it may be printed: escapes for what a terminal would act on or hide.

    These are the characters that `repr` escapes too: control characters (``\x1b``, ``\n``),
    bidirectional and other invisible ones (``\u202e``), and lone surrogates (``\udce9``), as bytes
    of a file name that are no UTF-8 become.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(name: str, **parts: Any) -> str:
    """Return ``name(part=float32 (3, 5), ...)``: a repr of a few parts, arrays among them."""
    told = (f"{part}={_short(value)}" for part, value in parts.items())
    return f"{name}({', '.join(told)})"


def _short(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else repr(value)


def facts_html(title: str, facts: Mapping[str, object]) -> str:
    """Return an HTML table of two columns under a title; a fact that is None is left out."""
    rows = (
        f'<tr><th style="text-align:left">{_cell(name)}</th>'
        f'<td style="text-align:left">{_cell(value)}</td></tr>'
        for name, value in facts.items()
        if value is not None
    )
    return _table(title, "".join(rows))


def rows_html(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table of many columns under a title."""
    head = "".join(f"<th>{_cell(heading)}</th>" for heading in headings)
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{_cell(v)}</td>' for v in row) + "</tr>"
        for row in rows
    )
    return _table(title, f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>")


def _table(title: str, inside: str) -> str:
    return f"<div><strong>{_cell(title)}</strong><table>{inside}</table></div>"


def _cell(value: object) -> str:
    text = shown("" if value is None else str(value))
    return html.escape(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")


def size(count: float) -> str:
    """Return a number of bytes as people read it: ``48 B``, ``1.5 kB``, ``48.0 MB``."""
    if count < 1000:
        return f"{count:.0f} B"
    power = min(4, int(math.log10(count)) // 3)
    return f"{count / 1000**power:.1f} {_UNITS[power - 1]}"
