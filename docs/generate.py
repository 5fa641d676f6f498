"""Fill the tables and plots of README.md and docs/ from bench/results/ (`make docs`).

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; NAME is a function here.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

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
# QAMA, CIKM 2025: MiniLM-L12, nDCG@10, mean of five sets; columns as in LEVELS.
PAPER_FP32 = 0.4286
PAPER_MINILM = {
    384: (0.3839, 0.4101, 0.4160, 0.4185),
    192: (0.3724, 0.3923, 0.4017, 0.4109),
    128: (0.3571, 0.3814, 0.3865, 0.3917),
    96: (0.3417, 0.3649, 0.3695, 0.3712),
    48: (0.2687, 0.2871, 0.2919, 0.2897),
}


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
    for dims, row in PAPER_MINILM.items():
        for level, ndcg in zip(LEVELS, row, strict=True):
            there = 100 * ndcg / PAPER_FP32
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
    rows = json.loads((RESULTS / "levels.json").read_text())["results"]
    groups = {}
    for row in rows:
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


def basics():
    rows = json.loads((RESULTS / "basics.json").read_text())["results"]
    lines = ["| what | seconds | peak memory (MiB) |", "|---|--:|--:|"]
    lines += [f"| {r['what']} | {r['seconds']:.2f} | {r['peak_mib']:.0f} |" for r in rows]
    return "\n".join(lines)


def fill(path):
    """Replace every marked table of a file."""

    def table(match):
        return f"<!-- table: {match[1]} -->\n{globals()[match[1]]()}\n<!-- end -->"

    text = path.read_text()
    path.write_text(re.sub(r"<!-- table: (\w+) -->.*?<!-- end -->", table, text, flags=re.S))


def command_help():
    """Write docs/cli.md from the commands' own help."""
    names = ("fit", "encode", "index", "search", "eval", "inspect", "verify", "repair", "demo")
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
