"""Docstrings of installed packages as a collection with known answers.

A docstring's first paragraph, its summary, is the query; the rest is the document that it should
find. Sources are parsed, never imported or run.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PACKAGES = ("numpy", "scipy", "torch")
_TESTS = ("test", "tests", "testing", "idlelib", "lib2to3", "site-packages")
_INTERNALS = ("_inductor", "_dynamo", "_functorch", "_export", "distributed", "onnx")
_LEFT_OUT = (*_TESTS, *_INTERNALS)
_SUMMARY_WORDS = (4, 30)
_BODY_WORDS = 20  # at least
_MAX_BODY_WORDS = 80


@dataclass(frozen=True)
class Docstring:
    """One documented function or class.

    Attributes:
        name: Dotted path.
        summary: First paragraph.
        body: The rest, its first 80 words.
    """

    name: str
    summary: str
    body: str


def collect(count: int, seed: int) -> list[Docstring]:
    """Return ``count`` docstrings (or all there are), an even draw over what is installed."""
    found: dict[str, Docstring] = {}
    summaries: set[str] = set()
    for name, root in _roots():
        for file in sorted(root.rglob("*.py")):
            if any(part in _LEFT_OUT for part in file.relative_to(root).parts):
                continue
            for entry in _of_file(file, _module_name(name, root, file)):
                if entry.summary not in summaries and entry.body not in found:
                    summaries.add(entry.summary)
                    found[entry.body] = entry
    entries = list(found.values())
    if len(entries) <= count:
        return entries
    picked = np.random.default_rng(seed).choice(len(entries), count, replace=False)
    return [entries[i] for i in np.sort(picked)]


def _roots() -> Iterator[tuple[str, Path]]:
    yield "", Path(sysconfig.get_paths()["stdlib"])
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            yield name, Path(spec.submodule_search_locations[0])


def _module_name(package: str, root: Path, file: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(part for part in (package, *parts) if part and part != "__init__")


def _of_file(file: Path, module: str) -> Iterator[Docstring]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's escape sequences
            tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            text = ast.get_docstring(node, clean=False)
            entry = _split(f"{module}.{node.name}", text) if text else None
            if entry is not None:
                yield entry


def _split(name: str, text: str) -> Docstring | None:
    summary, _, rest = inspect.cleandoc(text).partition("\n\n")
    words, body = summary.split(), rest.split()
    if not _SUMMARY_WORDS[0] <= len(words) <= _SUMMARY_WORDS[1] or len(body) < _BODY_WORDS:
        return None
    return Docstring(name, " ".join(words), " ".join(body[:_MAX_BODY_WORDS]))
