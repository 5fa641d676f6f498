"""qama report."""

from __future__ import annotations

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
from qama.evaluation import page
from qama.evaluation.quantisability import GOALS, Quantisability, quantisability

# The errors are those of docs/quality.md, "How far the report's estimate can be trusted".
_MEANING = (
    "An estimate from documents alone: validation documents search the others, and what floats "
    "find is the truth. On six collections with real queries and judgements it missed the real "
    "figure by 6.5 points on average and 10 at most at 12 bytes, by 3.4 and 5 at 24, by 2 and 3 "
    "from 48 on. It holds for a collection of the sample's size: larger ones keep less in as few "
    "bytes."
)


@command
def report(
    vectors: options.Vectors,
    codec: Annotated[
        Path | None, typer.Option(help="A fitted codec (default: fit on the sample).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a standalone HTML page here.")
    ] = None,
    drift: Annotated[
        bool, typer.Option("--drift", help="Only: are these like what --codec was fitted on?")
    ] = False,
    sample: Annotated[int, typer.Option(help="Rows looked at, at least 64.")] = 4096,
    seed: options.Seed = 0,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Is my model quantisable? Estimate what codes of each length keep, and how few bytes do."""
    if drift and output is not None:
        raise ValueError("--drift writes no page; leave --output out")
    if output is not None:
        check_output(output, vectors, codec)
    loaded = None if codec is None else Codec.load(codec)
    if drift:
        _drift(vectors, loaded, sample, seed, json)
        return

    def fit(rows: Floats) -> Codec:
        return _fit(rows, seed, threads) if loaded is None else loaded

    with progress("reporting", None) as update:
        found = quantisability(
            vectors, fit, sample=sample, seed=seed, threads=threads,
            progress=lambda note: update(0, note),
        )  # fmt: skip
    if json:
        emit(found.to_json())
    else:
        _show(found)
    if output is not None:
        name = shown(vectors.name)
        sections = [*_summary(found, name), _retention(found), _spectrum(found)]
        with files.replacing(output) as file:
            file.write(page.page(f"Is {name} quantisable?", sections).encode())
        say(f"{output}: the report as a page")


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


def _show(found: Quantisability) -> None:
    spectrum = found.spectrum
    data.print(
        f"{found.rows} vectors of {found.dims} dims; {found.held_out} validation rows searched "
        f"{found.searched}. Variance: 90 % in {spectrum.dims_for(0.9)} directions, effective rank "
        f"{spectrum.effective_rank:.0f}, participation ratio {spectrum.participation:.0f}; "
        f"{100 * spectrum.mean_share:.0f} % of the length is common to all."
    )
    table = Table(caption=_MEANING)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in _rows(found):
        table.add_row(*row)
    data.print(table)
    for goal, sentence in _sentences(found):
        tell(f"{goal}: {sentence}")


_HEADINGS = ("bytes", "times smaller", "neighbours kept %", "nDCG kept %", "95 % interval")


def _rows(found: Quantisability) -> list[list[str]]:
    return [
        [
            str(budget.nbytes),
            f"{4 * found.dims / budget.nbytes:.0f}",
            f"{100 * budget.overlap:.1f}",
            f"{100 * budget.ndcg:.1f}",
            f"{100 * budget.low:.1f} to {100 * budget.high:.1f}",
        ]
        for budget in found.budgets
    ]


def _sentences(found: Quantisability) -> list[tuple[str, str]]:
    """For each goal, what reaches it."""
    said = []
    for goal in GOALS:
        nbytes = found.smallest(goal)
        sentence = "no length tried" if nbytes is None else f"{nbytes} bytes"
        said.append((f"{100 * goal:.0f} % kept", sentence))
    return said


def _summary(found: Quantisability, name: str) -> list[page.Section]:
    left_out = f"; {found.zeros} rows that are all zero were left out" if found.zeros else ""
    return [
        page.Section(
            "The smallest codes that keep enough",
            f"{name}: {found.rows} vectors of {found.dims} dims, {4 * found.dims} bytes each in "
            f"float32. {found.held_out} validation rows searched {found.searched} "
            f"others{left_out}.",
            table=[["of float32's nDCG@10", "smallest code"], *map(list, _sentences(found))],
            note=_MEANING,
        )
    ]


def _retention(found: Quantisability) -> page.Section:
    lengths = [budget.nbytes for budget in found.budgets]
    lowest = min(min(b.overlap, b.low) for b in found.budgets)
    plot = page.Plot(
        [
            page.Line("nDCG@10 kept", [(b.nbytes, 100 * b.ndcg) for b in found.budgets]),
            page.Line("neighbours kept", [(b.nbytes, 100 * b.overlap) for b in found.budgets]),
        ],
        "bytes per vector",
        "% of float32",
        [0, *(n for n in lengths if n != 32 or n == lengths[-1])],
        range(min(90, int(10 * lowest) * 10), 101, 10),
    )
    return page.Section(
        "What codes of each length keep", table=[list(_HEADINGS), *_rows(found)], plot=plot
    )


def _spectrum(found: Quantisability) -> page.Section:
    spectrum = found.spectrum
    curve = [(i + 1, 100 * share) for i, share in enumerate(spectrum.cumulative)]
    plot = page.Plot(
        [page.Line("variance", [(0, 0), *curve])],
        "strongest directions",
        "% of the variance",
        [found.dims * part / 4 for part in range(5)],
        range(0, 101, 20),
    )
    return page.Section(
        "How the variance spreads",
        f"Half of the variance lies in {spectrum.dims_for(0.5)} directions, 90 % in "
        f"{spectrum.dims_for(0.9)}, 99 % in {spectrum.dims_for(0.99)}. Effective rank "
        f"{spectrum.effective_rank:.0f}, participation ratio {spectrum.participation:.0f}. The "
        f"mean direction, common to all vectors, holds {100 * spectrum.mean_share:.0f} % of their "
        f"squared length.",
        plot=plot,
        note="Few strong directions mean that few bits tell the vectors apart.",
    )
