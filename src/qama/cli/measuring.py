"""qama plan, bench."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from qama import checks, files, sources
from qama.checks import Floats
from qama.cli import options
from qama.codec import Codec
from qama.console import check_output, command, data, emit, progress, say, shown, wide

Page = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write a standalone HTML page here.")
]


@command
def plan(
    rows: Annotated[str, typer.Option(help="Vectors, such as 1e9.")],
    dims: Annotated[int, typer.Option(min=1, max=2**16, help="Of each.")],
    nbytes: Annotated[int, typer.Option("--nbytes", min=1, max=256, help="Of each code.")] = 48,
    qps: Annotated[float, typer.Option(min=0, help="Queries a second.")] = 10,
    keep: Annotated[
        str | None, typer.Option(help="Keep the vectors too, on the disk: float16 or int8.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(help="Of a node, such as 64GB (default: this machine's).")
    ] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="Of a node (default: this machine's).")
    ] = None,
    price: Annotated[
        float | None, typer.Option(min=0, help="Of a node and hour, in any currency.")
    ] = None,
    output: Page = None,
    json: options.Json = False,
) -> None:
    """What would a collection take? Memory, disk, nodes, hours, milliseconds.

    Constants are measured on this machine, in some ten seconds; it should be idle.
    """
    from qama.evaluation import page
    from qama.machine import planning, rates

    if output is not None:
        check_output(output)
    checks.one_of(keep, "--keep", (None, *planning.KEPT))
    count = options.count(rows, "--rows")
    held = options.amount(memory, "--memory") if memory is not None else rates.memory()
    if held is None:
        raise ValueError("this system does not tell its memory: give --memory, such as 64GB")
    asked = planning.Asked(count, qps, keep, held, cores or checks.threads(0), price)
    with progress("planning", None) as update:
        found = rates.measured(dims, nbytes, tell=lambda note: update(0, note))
    figures = planning.plan(asked, found)
    about = (
        f"{count:,} vectors of {dims} dims in codes of {nbytes} bytes, {qps:g} queries a second."
    )
    if json:
        listed = [asdict(figure) for figure in figures]
        emit({"asked": asdict(asked), "rates": asdict(found), "figures": listed})
    else:
        data.print(about)
        _table(planning.HEADINGS, planning.rows(figures), planning.NOTE)
    if output is not None:
        sections = planning.sections(figures, about, _machine())
        _write(output, page.page(f"A plan for {count:,} vectors", sections), "the plan")


@command
def bench(
    vectors: Annotated[
        Path | None, typer.Argument(help="Your vectors (default: random ones).")
    ] = None,
    rows: Annotated[int, typer.Option(min=100, help="Rows searched, at most.")] = 50_000,
    dims: Annotated[int, typer.Option(min=4, help="Of random vectors.")] = 384,
    nbytes: Annotated[
        list[int] | None, typer.Option("--nbytes", help="Length of codes; may be repeated.")
    ] = None,
    queries: Annotated[int, typer.Option(min=1, help="Rows that ask, and are not searched.")] = 256,
    codec: Annotated[
        Path | None, typer.Option(help="A fitted codec (default: fit on the first rows).")
    ] = None,
    output: Page = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """How fast is this machine? qama beside FAISS, USearch and NumPy, those that are installed."""
    from qama.evaluation import page, provenance
    from qama.machine import beside

    if output is not None:
        check_output(output, vectors, codec)
    loaded = None if codec is None else Codec.load(codec)
    X, Q, what = _vectors(vectors, rows, queries, dims, seed)
    if loaded is not None:
        checks.matrix(X, "the vectors", loaded.dims_in)

    def fit(some: Floats) -> Codec:
        import qama

        return loaded or qama.fit(some, max_bytes=max(nbytes or beside.LENGTHS), seed=seed)

    with progress("measuring", None) as update:
        found = beside.beside(X, Q, fit, nbytes or None, tell=lambda note: update(0, note))
    about = f"{what}: {len(X):,} vectors of {X.shape[1]} dims are searched by {len(Q)} others."
    if json:
        emit({"context": provenance.context(seed), "rows": len(X), "dims": X.shape[1],
              "engines": [asdict(each) for each in found]})  # fmt: skip
    else:
        data.print(about)
        _table(beside.HEADINGS, beside.rows(found), None)
    if output is not None:
        sections = beside.sections(found, about, _machine())
        _write(
            output, page.page("qama beside others, on this machine", sections), "the measurements"
        )


def _vectors(
    path: Path | None, rows: int, queries: int, dims: int, seed: int
) -> tuple[Floats, Floats, str]:
    """Return rows to be searched, others that ask, and what they are."""
    from qama.machine.beside import random_vectors

    if path is None:
        made = random_vectors(rows + queries, dims, seed)
        return made[queries:], made[:queries], "Random vectors, whose recall says nothing of yours"
    found, _ = sources.load(path, rows + queries, seed)
    found = found[np.random.default_rng(seed).permutation(len(found))]
    if len(found) < 2 * queries:
        queries = max(1, len(found) // 8)
    return found[queries:], found[:queries], shown(path.name)


def _machine() -> str:
    """Return a sentence on this machine and what is installed."""
    from qama.evaluation import provenance

    context: dict[str, Any] = provenance.context(0)
    versions = ", ".join(f"{name} {version}" for name, version in context["versions"].items())
    return f"{context['cpu']}, {context['cores']} cores; {versions}; {context['date'][:10]}."


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], caption: str | None) -> None:
    table = Table(caption=caption)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number in (0, 3) else "right")
    for row in rows:
        table.add_row(*row)
    wide.print(table)


def _write(path: Path, text: str, what: str) -> None:
    with files.replacing(path) as file:
        file.write(text.encode())
    say(f"{path}: {what} as a page")
