"""What `qama report` says of its numbers: sentences, rows of tables, sections of a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from qama.evaluation import page, recommending
from qama.evaluation.quantisability import Quantisability
from qama.evaluation.recommending import Advice, Estimate

# The errors are those of docs/quality.md, "How far the report's estimate can be trusted".
MEANING = (
    "An estimate from documents alone: validation documents search the others, and what floats "
    "find is the truth. On six collections with real queries and judgements it missed the real "
    "figure by 6.5 points on average and 10 at most at 12 bytes, by 3.4 and 5 at 24, by 2 and 3 "
    "from 48 on. Intervals are of the choice of validation documents alone."
)
HEADINGS = ("bytes", "times smaller", "neighbours kept %", "nDCG kept %", "95 % interval")


@dataclass(frozen=True)
class Question:
    """What is to be recommended.

    Attributes:
        goals: Shares of float32's nDCG@10 to be kept.
        rows: Rows of the collection.
        memory: Bytes that its codes may take, or None.
    """

    goals: tuple[float, ...]
    rows: int
    memory: int | None


def rows(found: Quantisability) -> list[list[str]]:
    """Return the table of what codes of each length keep of the sample."""
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


def grown(found: Quantisability) -> list[list[str]]:
    """Return the table of what is kept among growing numbers of rows, its headings first."""
    return [["bytes", *(f"{each.rows:,} rows" for each in found.growth)]] + [
        [str(budget.nbytes), *(f"{100 * each.budgets[i].ndcg:.1f}" for each in found.growth)]
        for i, budget in enumerate(found.budgets)
    ]


def growth_note(found: Quantisability) -> str:
    """Return what the growth shows, and what it does not."""
    return (
        f"The same codec and validation documents, more and more rows to be told apart: what codes "
        f"keep falls as a collection grows, and a small sample flatters, the more so where the "
        f"codec was fitted on it. Unless one was given, it was fitted on {found.searched:,} of "
        f"these rows; one that is fitted on more keeps more of the others: give --codec, or a "
        f"larger --sample. Beyond the largest size an estimate goes on along the line through the "
        f"last two, and its lower end falls twice as far."
    )


def sentences(found: Quantisability, asked: Question) -> Iterator[tuple[str, str]]:
    """Yield what was asked, and the recommendation."""
    for goal in asked.goals:
        yield f"{100 * goal:g} % kept", _smallest(recommending.smallest(found, goal, asked.rows))
    if asked.memory is not None:
        best = recommending.best_within(found, asked.memory, asked.rows)
        said = "no length tried fits" if best is None else f"{best.nbytes} bytes, {_kept(best)}"
        yield f"best under {amount(asked.memory)}", said


def amount(size: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _smallest(advice: Advice) -> str:
    if advice.likely is None:
        return "no length tried"
    if advice.sure is None:
        return f"{advice.likely.nbytes} bytes, {_kept(advice.likely)}; to be sure, none tried"
    if advice.sure.nbytes == advice.likely.nbytes:
        return f"{advice.sure.nbytes} bytes, {_kept(advice.sure)}"
    return (
        f"{advice.likely.nbytes} bytes, {_kept(advice.likely)}; to be sure {advice.sure.nbytes} "
        f"bytes, {_kept(advice.sure)}"
    )


def _kept(of: Estimate) -> str:
    how = "" if of.measured else ", extrapolated"
    return f"{100 * of.kept:.1f} % ({100 * of.low:.1f} to {100 * of.high:.1f}{how})"


def sections(found: Quantisability, name: str, asked: Question) -> list[page.Section]:
    """Return the whole report as sections of a page."""
    growth = [_growth(found)] if len(found.growth) > 1 else []
    return [_summary(found, name, asked), _retention(found), *growth, _spectrum(found)]


def _summary(found: Quantisability, name: str, asked: Question) -> page.Section:
    left_out = f"; {found.zeros} rows that are all zero were left out" if found.zeros else ""
    searched = found.growth[-1].rows if found.growth else found.searched
    return page.Section(
        "Which code to take",
        f"{name}: {found.rows} vectors of {found.dims} dims, {4 * found.dims} bytes each in "
        f"float32. {found.held_out} validation rows searched up to {searched} others{left_out}. "
        f"Asked for a collection of {asked.rows:,} rows; codes take {recommending.BESIDE} byte "
        f"more each in memory.",
        table=[
            ["asked", f"recommended for {asked.rows:,} rows"],
            *map(list, sentences(found, asked)),
        ],
        note=MEANING,
    )


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
    text = f"Among the {found.searched} rows of the sample:"
    table = [list(HEADINGS), *rows(found)]
    return page.Section("What codes of each length keep", text=text, table=table, plot=plot)


def _growth(found: Quantisability) -> page.Section:
    sizes = [grown.rows for grown in found.growth]
    lines = [
        page.Line(
            f"{budget.nbytes} bytes",
            [(grown.rows, 100 * grown.budgets[i].ndcg) for grown in found.growth],
        )
        for i, budget in enumerate(found.budgets)
    ]
    lowest = min(y for line in lines for _, y in line.points)
    plot = page.Plot(
        lines[:4], "rows searched", "% of nDCG@10", sizes, range(int(lowest / 10) * 10, 101, 10),
        x_log=True,
    )  # fmt: skip
    return page.Section(
        "How the estimate moves with the rows",
        table=grown(found),
        plot=plot,
        note=growth_note(found),
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
        note=" ".join(
            [
                "Few strong directions mean that few bits tell the vectors apart.",
                *spectrum.oddities(),
            ]
        ),
    )
