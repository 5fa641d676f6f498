"""qama demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qama.console import command


@command
def demo(
    docs: Annotated[int, typer.Option(help="Docstrings to take, at most 8000.")] = 3000,
    folder: Annotated[Path, typer.Option(help="Where codec, index and plot go.")] = Path(
        "demo-out"
    ),
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
) -> None:
    """Search the docstrings of the packages installed here: the whole job on real text."""
    from qama.examples.demo import run

    run(docs, folder, seed)
