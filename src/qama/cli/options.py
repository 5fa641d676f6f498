"""Options that several commands share, described once."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Annotated

import typer

Output = Annotated[Path, typer.Option("--output", "-o", help="File to write.")]
Dims = Annotated[int | None, typer.Option(help="Dims of a grid code (default: all).")]
Level = Annotated[str | None, typer.Option(help="Level of a grid code: 0.5, 1, 1.5, 2 or hybrid.")]
Bytes = Annotated[
    int | None, typer.Option("--nbytes", help="Length of a byte code; excludes --dims, --level.")
]
Threads = Annotated[int, typer.Option(help="CPU threads; 0 uses all cores.")]
Seed = Annotated[int, typer.Option(help="Of every random draw.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout, for programs.")]
Vectors = Annotated[
    Path, typer.Argument(help="Vectors: .npy, .npz, .parquet, .fvecs, .bvecs or .jsonl.")
]
Embed = Annotated[
    str | None,
    typer.Option(
        help="MODULE:NAME of a function from texts to vectors, or of an object with encode."
    ),
]
Model = Annotated[
    str | None, typer.Option(help="Instead: a sentence-transformers model that embeds the texts.")
]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def amount(text: str, name: str) -> int:
    """Return bytes of a text such as 64MB, 1.5GB or 1000; M is a million, Mi 1,048,576.

    Raises:
        ValueError: no such text; the message has the option's name.
    """
    found = re.fullmatch(r"\s*([\d.]+(?:e\d+)?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    try:
        value = float(found[1]) if found else 0.0
    except ValueError:
        value = 0.0
    if found is None or value <= 0:
        raise ValueError(f"{name} is {text!r}; give bytes, such as 64MB or 1.5GB")
    unit = _UNITS[found[2]] if not found[3] else 1024 ** " kmgt".index(found[2] or " ")
    return int(value * unit)


def count(text: str, name: str) -> int:
    """Return the whole number of a text such as 3000000, 3_000_000 or 3e6.

    Raises:
        ValueError: no whole number from 1 to 10^15; the message has the option's name.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 1e15 or value != int(value):
        raise ValueError(f"{name} is {text!r}; give a whole number, such as 3000000 or 3e6")
    return int(value)


def embedder(embed: str | None, model: str | None) -> object:
    """Return what makes vectors of texts, if anything was named.

    Raises:
        ValueError: both were, or there is no such thing.
        ImportError: the module or sentence-transformers cannot be imported.
    """
    if embed is not None and model is not None:
        raise ValueError("--embed excludes --model; give one of them")
    if model is not None:
        from qama.evaluation.embed import load

        return load(model)
    if embed is None:
        return None
    module, _, name = embed.partition(":")
    if not module or not name:
        raise ValueError(f"--embed is {embed!r}; give MODULE:NAME, such as my_models:embed")
    found = getattr(importlib.import_module(module), name, None)
    if found is None:
        raise ValueError(f"--embed is {embed!r}, but {module} has no {name!r}")
    return found
