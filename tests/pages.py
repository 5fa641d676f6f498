"""The pages of README and docs/: the one home of how their examples are found."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]

_BLOCK = re.compile(r"^(?:<!-- (\w+): (\S+)[^\n]*? -->\n)?```(\w+)\n(.*?)^```$", flags=re.S | re.M)


def named(page: Path) -> dict[str, str]:
    """Blocks behind `<!-- run: NAME -->` or `<!-- file: NAME -->`, by name."""
    found = _BLOCK.findall(page.read_text())
    return {name: text for mark, name, _, text in found if mark in ("run", "file")}


def python(page: Path) -> list[str]:
    """Every block of Python, in order."""
    return [text for _, _, kind, text in _BLOCK.findall(page.read_text()) if kind == "python"]


def program(page: Path) -> str:
    """All blocks of Python and of the shell, one after the other, but those marked `skip: why`."""
    parts = []
    for mark, _, kind, text in _BLOCK.findall(page.read_text()):
        if mark == "skip":
            continue
        if kind == "python":
            parts.append(text)
        elif kind == "sh":
            run = f'__import__("subprocess").run(["bash", "-euc", {text!r}], check=True)\n'
            parts.append("import sys; sys.stdout.flush()\n" + run)
    return "".join(parts)
