"""What `qama encode` does with a folder of Parquet files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from qama import distributed
from qama.codec import Codec
from qama.console import progress, say

Column = Annotated[
    str | None, typer.Option(help="Of a folder: the column of vectors (default: embedding).")
]
Id = Annotated[str | None, typer.Option("--id", help="Of a folder: the column of ids (id).")]
On = Annotated[
    str | None, typer.Option(help="Of a folder: local, or ray for a cluster (default: local).")
]
Workers = Annotated[
    int | None, typer.Option(help="Of a folder: files at a time, each on one core.")
]


def is_one(vectors: str) -> bool:
    """Whether it is a folder, or the URI of one."""
    return "://" in vectors or Path(vectors).is_dir()


def refuse(given: Mapping[str, object], vectors: str) -> None:
    """Refuse options that nothing would heed.

    Raises:
        ValueError: one of them is given; the message names it.
    """
    for name, value in given.items():
        if value not in (None, False):
            what = "folders of Parquet files, and" if name != "compact" else "files, and"
            raise ValueError(f"--{name} is for {what} {vectors} is none; leave it out")


def encode(codec: Codec, vectors: str, output: str, **given: Any) -> None:
    """Encode a folder; `given` are the options of `qama.distributed.encode` that were given."""
    options = {"on": "local"} | {k: value for k, value in given.items() if value is not None}
    with progress("encoding", None) as update:

        def tell(step: distributed.Progress) -> None:
            update(step.rows, f"rows, {step.files} of {step.total} files")

        made = distributed.encode(vectors, codec, output, progress=tell, **options)
    say(
        f"{output}: {made.rows} codes of {made.label.nbytes} B in {len(made.files)} files, and "
        f"_manifest.json"
    )
