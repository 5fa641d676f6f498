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
    rows: Annotated[
        int, typer.Option(help="Rows that speed is shown on, at most 4194304; 0: leave it out.")
    ] = 2**20,
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
) -> None:
    """Search the docstrings of the packages installed here: the whole job on real text."""
    from qama.examples.demo import run

    run(docs, folder, seed, rows)
