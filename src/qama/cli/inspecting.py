"""qama inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from qama import container, kernels
from qama.cli import options
from qama.codec import Codec
from qama.console import command, data, emit
from qama.search.index import Index


@command
def inspect(
    file: Annotated[Path, typer.Argument(help="A codec or index file.")],
    json: options.Json = False,
) -> None:
    """Say what a file holds, and which kernel runs here."""
    facts = describe(file)
    if json:
        emit(facts)
        return
    for name, value in facts.items():
        if name != "codes":
            data.print(f"{name:>14}  {value}", markup=False, highlight=False, soft_wrap=True)
    table = Table("level", "dims", "bytes", "compact bytes")
    for code in facts["codes"]:
        table.add_row(*(str(code[key]) for key in ("level", "dims", "bytes", "compact_bytes")))
    data.print(table)


def describe(file: Path) -> dict[str, Any]:
    """Return what a codec or index file holds as JSON values.

    Raises:
        FormatError: not a file of qama.
    """
    kind = container.kind_of(file)
    facts: dict[str, Any] = {"file": str(file), "kind": kind, "size": file.stat().st_size}
    if kind == "index":
        index = Index.open(file)
        codec = index.codec
        facts |= {
            "vectors": len(index),
            "code": index.code.label,
            "stored_bytes": index.code_size,
            "thermometer_bytes": index.code.nbytes,
        }
    else:
        codec = Codec.load(file)
    facts |= {
        "fingerprint": codec.fingerprint,
        "preset": codec.preset,
        "transform": codec.grid.transform.kind,
        "vector_dims": codec.dims_in,
        "fit": {k: v for k, v in codec.facts.items() if k != "config"},
        "kernel": kernels.info(),
    }
    cells = [codec.code(dims, level) for level in codec.levels for dims in codec.dims]
    facts["codes"] = [
        {**cell.request, "bytes": cell.nbytes, "compact_bytes": cell.stored_bytes} for cell in cells
    ]
    return facts
