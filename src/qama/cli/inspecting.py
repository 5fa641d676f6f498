"""qama inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from qama import codefile, container, files, kernels
from qama.cli import options
from qama.codec import Codec
from qama.console import command, data, emit, tell
from qama.search.storage import loading, log, names, partitions
from qama.search.storage.base import Base


@command
def inspect(
    file: Annotated[Path, typer.Argument(help="A file of qama: codec, index, codes, names.")],
    json: options.Json = False,
) -> None:
    """Say what a file holds, and which kernel runs here."""
    facts = describe(file)
    if json:
        emit(facts)
        return
    for name, value in facts.items():
        if name not in ("codes", "sections"):
            tell(f"{name:>14}  {value}")
    if "codes" not in facts:
        return
    columns = ("level", "dims", "bytes", "compact_bytes")
    table = Table(*(name.replace("_", " ") for name in columns))
    for code in facts["codes"]:
        table.add_row(*(str(code.get(name, "")) for name in columns))
    data.print(table)


def describe(file: Path) -> dict[str, Any]:
    """Return what a file of any kind holds as JSON values.

    Raises:
        FormatError: not a file of qama.
    """
    kind = container.kind_of(file)
    facts: dict[str, Any] = {"file": str(file), "kind": kind, "size": file.stat().st_size}
    file = files.real(file)
    if kind == "codes":
        return facts | {"fingerprint": codefile.codec_of(file), "kernel": kernels.info()}
    if kind == "names":
        return facts | {"names": len(names.read(file))}
    if kind in ("index", partitions.KIND):
        base, record, _ = loading.read(file)
        codec = base.codec
        facts |= _index_facts(base, record, len(loading.load(file).rows))
    else:
        codec = Codec.load(file)
    facts |= {
        "fingerprint": codec.fingerprint,
        "preset": codec.preset,
        "model": codec.model,
        "transform": codec.thermometer.transform.kind if codec.thermometer else None,
        "vector_dims": codec.dims_in,
        "fit": {k: v for k, v in codec.facts.items() if k != "config"},
        "kernel": kernels.info(),
    }
    facts["codes"] = [
        {**code.request, "bytes": code.nbytes, "compact_bytes": code.stored_bytes}
        for quantizer in codec.quantizers
        for code in quantizer.codes()
    ]
    return facts


def _index_facts(base: Base, record: log.Log | None, vectors: int) -> dict[str, Any]:
    records = [] if record is None else record.records
    changes = {kind: sum(r.kind == kind for r in records) for kind in log.KINDS.values()}
    return {
        "version": base.contents.version,
        "vectors": vectors,
        "lists": base.lists.nlist if base.lists else None,
        "code": base.code.label,
        "stored_bytes": base.code.stored_bytes,
        "thermometer_bytes": base.code.nbytes,
        "keep": base.keep,
        "kept_bytes": 0 if base.kept is None else base.kept.form.width,
        "identity": base.identity,
        "generation": base.generation,
        "rows": base.rows,
        "log": {
            "bytes": record.size if record else 0,
            "records": len(records),
            **changes,
            "unfinished_bytes": record.size - record.stop if record else 0,
        },
        "sections": {
            name: {"dtype": array.dtype.str, "shape": list(array.shape)}
            for name, array in base.contents.arrays.items()
        },
    }
