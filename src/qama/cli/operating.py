"""qama backup, restore, replicate, shard."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from qama.cli import options
from qama.console import command, emit, say
from qama.search.sharding import shard as split
from qama.search.storage import backup as backing
from qama.search.storage import replica as replicas
from qama.search.storage.backup import Backup
from qama.shown import size

IndexFile = Annotated[Path, typer.Argument(help="An index file; another process may write it.")]
TargetPlace = Annotated[str, typer.Argument(help="A folder of backups of one index, or a URI.")]


@command
def backup(
    index: IndexFile,
    target: TargetPlace,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Remove all but so many backups, the newest ones.")
    ] = None,
    check: Annotated[
        bool, typer.Option(help="Read what is there already; write it again where damaged.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Back an index up, writing only what changed since the last backup."""
    made = backing.backup(index, target, keep=keep, check=check)
    if json:
        emit(_facts(made))
        return
    say(
        f"{target}: backup {made.number} of {index}, {size(made.nbytes)}, of which "
        f"{size(made.written)} were new"
    )


@command
def restore(
    target: TargetPlace,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The index file to make; a new name.")
    ] = None,
    number: Annotated[
        int | None, typer.Option(min=1, help="Which backup (default: the newest).")
    ] = None,
    json: options.Json = False,
) -> None:
    """Write a backup as an index again; without --output, list the backups."""
    if output is None:
        for made in _listed(target):
            if json:
                emit(_facts(made))
            else:
                typer.echo(f"{made.number}\t{made.began}\t{made.index}\t{size(made.nbytes)}")
        return
    made = backing.restore(target, output, number=number)
    if json:
        emit(_facts(made))
        return
    say(f"{output}: backup {made.number} of {made.began}, {size(made.nbytes)}; `qama verify` it")


@command
def replicate(
    index: IndexFile,
    replica: Annotated[Path, typer.Argument(help="Its copy for readers, or where it is to be.")],
    every: Annotated[
        float | None, typer.Option(min=0, help="Again and again, so many seconds between.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Bring a read replica up to date: the new end of the log, or the base if it changed."""
    while True:
        done = replicas.replicate(index, replica)
        if json:
            emit({"index": str(index), "replica": str(replica), **asdict(done)})
        elif done.nbytes or every is None:
            what = "the base, and its log" if done.base else "the log"
            say(f"{replica}: {size(done.nbytes)} of {what}; {done.changes} changes in it")
        if every is None:
            return
        time.sleep(every)


@command
def shard(
    indexes: Annotated[list[Path], typer.Argument(help="An index, or several that are one.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder.")],
    shards: Annotated[int, typer.Option(min=1, help="How many index files.")],
    by: Annotated[
        str, typer.Option(help="rows (insertion order), or lists (whole inverted lists).")
    ] = "rows",
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Split an index into several files, or bring several to another number of files."""
    made = split(indexes, output, shards, by=by, threads=threads)
    if json:
        parts = [asdict(part) for part in made.files]
        emit({"folder": str(output), "by": by, "rows": made.rows, "files": parts})
        return
    for part, path in zip(made.files, made.paths, strict=True):
        held = f"{part.rows:,} vectors, {by} {part.first} to {part.last}"
        say(f"{path}: {held if part.last >= part.first else 'no vectors'}, {size(part.nbytes)}")


def _listed(target: str) -> list[Backup]:
    """Return the backups in a target, the oldest first.

    Raises:
        ValueError: there is none, or no such folder.
    """
    found = backing.backups(target)
    if not found and "://" not in target and not Path(target).is_dir():
        raise ValueError(f"there is no folder {target}; check the name")
    if not found:
        raise ValueError(f"{target} holds no backup; `qama backup` makes one")
    return found


def _facts(made: Backup) -> dict[str, object]:
    """Return what JSON says of a backup: all but the names of its blocks."""
    facts = {name: value for name, value in vars(made).items() if name != "files"}
    return {**facts, "nbytes": made.nbytes}
