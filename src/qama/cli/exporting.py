"""qama export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from qama import codefile, container, engines, sources
from qama.checks import Bytes, Ids
from qama.codec import Code, Codec
from qama.console import command, progress, say
from qama.engines import targets
from qama.engines.table import masked
from qama.search.index import Index


@dataclass(frozen=True)
class _Expanded:
    """Compact codes that become codes as `encode` returns them when they are asked for."""

    code: Code
    stored: Bytes

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, rows: slice) -> Bytes:
        return self.code.encoded_form(self.stored[rows])


@command
def export(
    codes: Annotated[
        Path, typer.Argument(help="An index, or codes that `encode` wrote to a .qama file.")
    ],
    to: Annotated[
        str,
        typer.Option(help=f"ENGINE:PLACE#TABLE or FORMAT:PATH, of {', '.join(targets.STORES)}."),
    ],
    codec: Annotated[Path | None, typer.Option(help="The codec of a file of codes.")] = None,
    ids: Annotated[
        Path | None,
        typer.Option(help="Ids of a file of codes: a .npy file, or text with one number a line."),
    ] = None,
    index: Annotated[
        str, typer.Option(help="Kind of index that the engine builds: hnsw or ivf, see the docs.")
    ] = "",
    prefix: Annotated[
        int | None, typer.Option(help="Dims that this index is over, where the engine can.")
    ] = None,
    shards: Annotated[
        str | None,
        typer.Option(
            help="Spread a table that is made: a number of parts (pgvector, milvus), "
            "or a cluster's name (clickhouse)."
        ),
    ] = None,
) -> None:
    """Write codes into a database that ranks by Hamming distance, or a file of another format.

    Rows with the same ids are replaced. After an error the same command completes the transfer.
    """
    _check_place(to, codes, codec, ids)
    loaded, code, rows, keys = _opened(codes, codec, ids)
    with progress("exporting", len(keys)) as update:
        engines.write(
            to, rows, keys, loaded, index=index, prefix=prefix, shards=_shards(shards),
            progress=update, **code.request,
        )  # fmt: skip
    each = f"{code.nbytes} B ({code.label})"
    say(f"{masked(to)}: {len(keys)} codes of {each} of codec {loaded.fingerprint}")


def _shards(given: str | None) -> int | str | None:
    return int(given) if given is not None and given.isdecimal() else given


def _check_place(to: str, *inputs: Path | None) -> None:
    """Refuse a target that is none, or that is one of the inputs."""
    place = Path(targets.parsed(to).place)
    if place.exists() and any(
        given and given.exists() and given.samefile(place) for given in inputs
    ):
        raise ValueError(f"--to is {to}, which is an input too; give another name")


def _opened(path: Path, codec: Path | None, ids: Path | None) -> tuple[Codec, Code, _Expanded, Ids]:
    """Open an index or a file of codes."""
    if container.kind_of(path) != codefile.KIND:
        if codec is not None or ids is not None:
            raise ValueError(f"{path} is an index, which has its codec and ids: leave them out")
        index = Index.open(path)
        return index.codec, index.code, _Expanded(index.code, index.codes), index.ids
    if codec is None:
        raise ValueError(f"{path} holds codes of codec {codefile.codec_of(path)}: give --codec")
    loaded = Codec.load(codec)
    found = codefile.read(path, loaded)
    found.contents.check_sections()
    stored = found.codes if found.compact else found.code.stored_form(found.codes)
    keys = np.arange(len(stored)) if ids is None else sources.read_ids(ids)
    return loaded, found.code, _Expanded(found.code, stored), keys
