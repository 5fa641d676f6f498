"""Fill the tables and plots of README.md and docs/ from bench/results/ (`make docs`).

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; NAME is a function here or in
paper_tables.py.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import paper_tables
from paper_results import rows
from paper_verdicts import MINILM_L12

from qama.evaluation.records import Record
from qama.evaluation.report import plot
from qama.evaluation.study import macro

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
LEVELS = ("1", "1.5", "hybrid", "2")
DRAWN = (  # level and scorer of the lines in the README's picture
    ("bytes", "asymmetric"), ("2", "asymmetric"), ("2", "hamming"), ("1", "hamming"),
    ("int8", "cosine"),
)  # fmt: skip


def load(name):
    """Return the records of a results file by collection."""
    results = json.loads((RESULTS / f"{name}.json").read_text())["results"]
    return {key: [Record(**row) for row in rows] for key, rows in results.items()}


def cells(records, scorer):
    """Return retention in % by (dims, level)."""
    chosen = [r for r in records if r.method == "qama" and r.scorer == scorer]
    return {(r.dims, r.level): 100 * r.retention for r in chosen}


def grid(name, scorer):
    """One row a dims, one column a level, the float prefix last."""
    records = macro(load(name))
    kept = cells(records, scorer)
    prefix = {r.dims: 100 * r.retention for r in records if r.method == "float prefix"}
    lines = [
        "| dims | 1 bit | 1.5 bit | hybrid | 2 bit | float prefix |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for dims in sorted(prefix, reverse=True):
        row = [f"{kept[dims, level]:.1f}" for level in LEVELS]
        lines.append(f"| {dims} | {' | '.join(row)} | {prefix[dims]:.1f} |")
    return "\n".join(lines)


def paper_hamming():
    return grid("paper", "hamming")


def default_hamming():
    return grid("default", "hamming")


def default_asymmetric():
    return grid("default", "asymmetric")


def default_bytes():
    records = [r for r in macro(load("default")) if r.level == "bytes"]
    lines = ["| bytes | times smaller | nDCG@10 | kept % |", "|--:|--:|--:|--:|"]
    for r in records:
        smaller = 4 * r.dims / (r.bytes_stored + 1)
        kept = f"{100 * r.retention:.1f}"
        lines.append(f"| {r.bytes_stored} + 1 | {smaller:.0f} | {r.ndcg10:.4f} | {kept} |")
    return "\n".join(lines)


def paper_levels():
    """This implementation beside the paper's Table for MiniLM-L12, retention in % of float32."""
    kept = cells(macro(load("paper")), "hamming")
    lines = ["| dims | level | here | paper | difference |", "|--:|---|--:|--:|--:|"]
    full, cells_there = MINILM_L12
    for part, row in cells_there.items():
        dims = 384 // part
        for level, ndcg in zip(LEVELS, row[:4], strict=True):
            there = 100 * ndcg / full
            gap = kept[dims, level] - there
            lines.append(
                f"| {dims} | {level} | {kept[dims, level]:.1f} | {there:.1f} | {gap:+.1f} |"
            )
    return "\n".join(lines)


def baselines():
    records = [r for r in macro(load("paper")) if r.method not in ("qama", "float prefix")]
    lines = ["| baseline | bytes | nDCG@10 | kept % |", "|---|--:|--:|--:|"]
    for r in records:
        name = f"{r.method} {r.level} ({r.scorer})"
        lines.append(f"| {name} | {r.bytes_stored} | {r.ndcg10:.4f} | {100 * r.retention:.1f} |")
    return "\n".join(lines)


def by_collection():
    """Float nDCG@10 and what the paper preset keeps at full dims, Hamming, per collection."""
    lines = [
        "| collection | float32 | 1 bit | 1.5 bit | hybrid | 2 bit |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, records in load("paper").items():
        kept, full = cells(records, "hamming"), records[0]
        row = [f"{kept[full.dims, level]:.1f}" for level in LEVELS]
        lines.append(f"| {name} | {full.ndcg10:.4f} | {' | '.join(row)} |")
    return "\n".join(lines)


def levels_cost():
    """Retention of a fit for one level and of one fit for all, mean over the collections run."""
    measured = rows("levels")
    groups = {}
    for row in measured:
        both = groups.setdefault((row["level"], row["dims"]), [])
        both.append((100 * row["alone"], 100 * row["together"]))
    lines = [
        "| level | dims | one fit a level | one fit for all | difference |",
        "|--:|--:|--:|--:|--:|",
    ]
    for (level, dims), pairs in groups.items():
        alone, together = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
        difference = f"{together - alone:+.1f}"
        lines.append(f"| {level} | {dims} | {alone:.1f} | {together:.1f} | {difference} |")
    return "\n".join(lines)


def report_accuracy():
    """`qama report` beside what real queries kept, per length: mean and worst error in points."""
    estimates = rows("report")
    real = {
        (name, r.bytes_stored): 100 * r.retention
        for name, records in load("default").items()
        for r in records
        if r.level == "bytes"
    }
    pairs = {}
    for found in estimates:
        for budget in found["budgets"]:
            both = (100 * budget["ndcg"], real[found["collection"], budget["nbytes"]])
            pairs.setdefault(budget["nbytes"], []).append(both)
    lines = [
        "| bytes | estimated % | kept % | mean error | largest error | collections |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for nbytes, both in pairs.items():
        said, kept = (sum(column) / len(both) for column in zip(*both, strict=True))
        errors = [abs(a - b) for a, b in both]
        mean = f"{sum(errors) / len(errors):.1f} | {max(errors):.1f}"
        lines.append(f"| {nbytes} | {said:.1f} | {kept:.1f} | {mean} | {len(both)} |")
    return "\n".join(lines)


def basics():
    measured = rows("basics")
    lines = ["| what | seconds | peak memory (MiB) |", "|---|--:|--:|"]
    lines += [f"| {r['what']} | {r['seconds']:.2f} | {r['peak_mib']:.0f} |" for r in measured]
    return "\n".join(lines)


def fill(path):
    """Replace every marked table of a file."""

    def table(match):
        make = globals().get(match[1]) or getattr(paper_tables, match[1])
        return f"<!-- table: {match[1]} -->\n{make()}\n<!-- end -->"

    text = path.read_text()
    path.write_text(re.sub(r"<!-- table: (\w+) -->.*?<!-- end -->", table, text, flags=re.S))


def command_help():
    """Write docs/cli.md from the commands' own help."""
    names = ("fit", "encode", "index", "search", "eval", "inspect", "report", "demo")
    parts = ["# Command line\n\nGenerated by `make docs`. Data go to stdout, talk to stderr.\n"]
    for name in names:
        shown = subprocess.run(
            [sys.executable, "-m", "qama", name, "--help"],
            check=True, capture_output=True, text=True,
            env={"COLUMNS": "90", "NO_COLOR": "1", "TERM": "dumb", "PATH": ""},
        ).stdout  # fmt: skip
        lines = "\n".join(line.rstrip() for line in shown.strip().splitlines())
        parts.append(f"\n## qama {name}\n\n```\n{lines}\n```\n")
    (ROOT / "docs" / "cli.md").write_text("".join(parts))


def main():
    command_help()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        fill(path)
    shown = [r for r in macro(load("default")) if (r.level, r.scorer) in DRAWN]
    plot(shown, ROOT / "docs" / "retention.svg", "Six collections, all-MiniLM-L6-v2")


if __name__ == "__main__":
    main()
