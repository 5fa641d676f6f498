"""What bench/paper.py and bench/tasks.py measured, averaged for the tables: reads files alone."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parent.parent.parent / "bench" / "results"
MINILM, WORDLLAMA, LSA = "all-minilm-l6-v2", "wordllama-l2-supercat-256", "lsa-768"


def rows(part):
    """Return the rows of a results file, none where it was not made."""
    path = RESULTS / f"{part}.json"
    return json.loads(path.read_text())["results"] if path.exists() else []


def timings():
    """Return dims and row of what was timed: the wider vectors first, floats before codes."""
    kinds = ("float32", "float16", "int8", "1", "1.5", "hybrid", "2")
    measured = sorted(rows("paper_speed"), key=lambda r: (-r["dims"], kinds.index(r["kind"])))
    return [(row["dims"], part) for row in measured for part in row["rows"]]


@dataclass(frozen=True)
class Mean:
    """Retention in %: the mean of collections, each the mean of its seeds.

    Attributes:
        value: The mean.
        half: Half of the 95 % interval: the collections' bootstrap half-widths in squares.
        collections: How many.
        seeds: The least number of seeds of a collection.
    """

    value: float
    half: float
    collections: int
    seeds: int

    def __str__(self):
        return f"{self.value:.1f}"


def averages(measured, by=("model",)):
    """Return a Mean by (*by, method, dims, level, scorer) of rows that hold cells."""
    groups = defaultdict(lambda: defaultdict(list))
    for row in measured:
        for cell in row["cells"]:
            key = (*(row[name] for name in by), cell["method"], cell["dims"], cell["level"],
                   cell["scorer"])  # fmt: skip
            groups[key][row["collection"]].append(cell)
    return {key: _mean(list(cells.values())) for key, cells in groups.items()}


def _mean(collections):
    kept = [sum(c["retention"] for c in cells) / len(cells) for cells in collections]
    half = [sum((c["high"] - c["low"]) / 2 for c in cells) / len(cells) for cells in collections]
    n = len(collections)
    return Mean(
        100 * sum(kept) / n,
        100 * sum(h * h for h in half) ** 0.5 / n,
        n,
        min(map(len, collections)),
    )


def table(headings, lines, part):
    """Return a markdown table, or one that says what makes it where nothing was measured."""
    if not lines:
        return f"| not measured yet |\n|---|\n| {part} |"
    marks = ["---" if i == 0 else "--:" for i in range(len(headings))]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in (headings, marks, *lines))
