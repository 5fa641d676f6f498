"""qama verify, repair."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from qama import sources
from qama.cli import options
from qama.codec import Codec
from qama.console import alarm, check_output, command, emit, say
from qama.search.shards import Shards
from qama.search.storage import repair as repairing
from qama.search.storage import verify as verifying

DAMAGED = 1  # the exit code of a file that is not whole

CodecOption = Annotated[Path | None, typer.Option("--codec", help="The codec of the codes.")]


@command
def verify(
    file: Annotated[
        Path, typer.Argument(help="A file of any kind, an index with its log; or shards.")
    ],
    codec: CodecOption = None,
    vectors: Annotated[
        Path | None, typer.Option(help="The vectors of ids 0, 1, ...: a sample is encoded again.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Check every byte of a file: checksums, structure, log, and a sample of its codes."""
    loaded = None if codec is None else Codec.load(codec)
    given = None if vectors is None else sources.open_vectors(vectors)
    found = [
        (path, verifying.verify(path, loaded, given))
        for path in (Shards.read(file).paths if file.is_dir() else [file])
    ]
    for path, findings in found:
        if json:
            emit({"file": str(path), "whole": findings.whole, **asdict(findings)})
            continue
        for line in findings.passed:
            say(f"ok: {line}")
        for line in findings.problems:
            alarm(f"damaged: {line}")
    if not all(findings.whole for _, findings in found):
        raise typer.Exit(DAMAGED)


@command
def repair(
    file: Annotated[Path, typer.Argument(help="A damaged index.")],
    output: options.Output,
    codec: Annotated[
        Path | None, typer.Option("--codec", help="Its codec, if the one in the index is damaged.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Write what the checksums of an index and its log prove to a new index."""
    check_output(output, codec)
    salvage = repairing.repair(file, output, None if codec is None else Codec.load(codec))
    if json:
        emit({"file": str(file), "output": str(output), **asdict(salvage)})
        return
    for note in salvage.notes:
        say(note)
    say(
        f"{output}: {salvage.vectors} vectors; of the base {salvage.rows} rows were kept and "
        f"{salvage.lost_rows} lost, of the log {salvage.records} changes were made and "
        f"{salvage.lost_records} lost"
    )
