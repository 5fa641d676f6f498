"""Options that several commands share, described once."""

from __future__ import annotations

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
