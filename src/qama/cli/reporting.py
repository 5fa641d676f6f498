"""qama report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from qama import checks, files, sources
from qama.checks import Floats
from qama.cli import options
from qama.codec import Codec
from qama.console import check_output, command, data, emit, progress, say, shown, tell
from qama.drift import measure
from qama.evaluation import page, recommending, report_page
from qama.evaluation.quantisability import GOALS, Quantisability, quantisability
from qama.evaluation.report_page import Question
from qama.evaluation.runner import BYTE_BUDGETS


@command
def report(
    vectors: options.Vectors,
    codec: Annotated[
        Path | None, typer.Option(help="A fitted codec (default: fit on the sample).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a standalone HTML page here.")
    ] = None,
    goal: Annotated[
        list[float] | None, typer.Option(help="Share to be kept, such as 0.98; may be repeated.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(help="What codes may take, such as 64MB: which are the best?")
    ] = None,
    rows: Annotated[
        str | None, typer.Option(help="Of the collection, such as 3e6 (default: those given).")
    ] = None,
    drift: Annotated[
        bool, typer.Option("--drift", help="Only: are these like what --codec was fitted on?")
    ] = False,
    sample: Annotated[int, typer.Option(help="Rows fitted on, at least 64.")] = 4096,
    largest: Annotated[
        int, typer.Option(min=0, help="Rows searched to see how the estimate moves; 0: none.")
    ] = 100_000,
    seed: options.Seed = 0,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Is my model quantisable? What codes of each length keep, and which to take."""
    if drift and output is not None:
        raise ValueError("--drift writes no page; leave --output out")
    if output is not None:
        check_output(output, vectors, codec)
    goals = tuple(checks.share(value, "--goal") for value in goal or GOALS)
    allowed = None if memory is None else options.amount(memory, "--memory")
    wanted = None if rows is None else options.count(rows, "--rows")
    loaded = None if codec is None else Codec.load(codec)
    if drift:
        _drift(vectors, loaded, sample, seed, json)
        return

    def fit(rows: Floats) -> Codec:
        return _fit(rows, seed, threads) if loaded is None else loaded

    with progress("reporting", None) as update:
        found = quantisability(
            vectors, fit, sample=sample, largest=largest, budgets=_lengths(allowed, wanted),
            seed=seed, threads=threads, progress=lambda note: update(0, note),
        )  # fmt: skip
    asked = Question(goals, found.rows if wanted is None else wanted, allowed)
    if json:
        emit({**found.to_json(), "recommended": _recommended(found, asked)})
    else:
        _show(found, asked)
    if output is not None:
        name = shown(vectors.name)
        sections = report_page.sections(found, name, asked)
        with files.replacing(output) as file:
            file.write(page.page(f"Is {name} quantisable?", sections).encode())
        say(f"{output}: the report as a page")


def _lengths(memory: int | None, rows: int | None) -> list[int]:
    """Return the lengths to try: the standard ones, and the one that just fits a memory."""
    fitting = memory // rows - recommending.BESIDE if memory and rows else 0
    return sorted({*BYTE_BUDGETS, *([fitting] if 0 < fitting < BYTE_BUDGETS[-1] else [])})


def _drift(vectors: Path, codec: Codec | None, sample: int, seed: int, json: bool) -> None:
    """Compare vectors with what a codec was fitted on."""
    if codec is None:
        raise ValueError("--drift compares vectors with a codec's own: give --codec FILE")
    rows, _ = sources.load(vectors, checks.integer(sample, "sample", 64), seed)
    found = measure(codec, rows, rows=sample)
    if found is None:
        raise ValueError("this codec records nothing to compare with: fit it again")
    if json:
        emit({**asdict(found), "shift": found.shift, "drifted": found.drifted})
    else:
        tell(str(found))


def _fit(rows: Floats, seed: int, threads: int) -> Codec:
    """Fit byte codes, which is all that is judged."""
    import qama

    return qama.fit(rows, seed=seed, threads=threads)


def _recommended(found: Quantisability, asked: Question) -> dict[str, object]:
    """Return the recommendations as JSON values."""
    best = None
    if asked.memory is not None:
        best = recommending.best_within(found, asked.memory, asked.rows)
    return {
        "rows": asked.rows,
        "memory": asked.memory,
        "goals": [asdict(recommending.smallest(found, goal, asked.rows)) for goal in asked.goals],
        "best_within": None if best is None else asdict(best),
        "estimates": [asdict(each) for each in recommending.estimates(found, asked.rows)],
    }


def _show(found: Quantisability, asked: Question) -> None:
    spectrum = found.spectrum
    data.print(
        f"{found.rows} vectors of {found.dims} dims; {found.held_out} validation rows searched "
        f"{found.searched}. Variance: 90 % in {spectrum.dims_for(0.9)} directions, effective rank "
        f"{spectrum.effective_rank:.0f}, participation ratio {spectrum.participation:.0f}; "
        f"{100 * spectrum.mean_share:.0f} % of the length is common to all."
    )
    for sentence in spectrum.oddities():
        tell(sentence)
    _print(report_page.HEADINGS, report_page.rows(found), report_page.MEANING)
    if len(found.growth) > 1:
        heading, *rows = report_page.grown(found)
        _print(heading, rows, report_page.growth_note(found))
    tell(f"for {asked.rows:,} rows:")
    for what, sentence in report_page.sentences(found, asked):
        tell(f"{what}: {sentence}")


def _print(headings: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> None:
    table = Table(caption=caption)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    data.print(table)
