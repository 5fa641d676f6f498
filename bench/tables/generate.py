"""Fill the tables and plots of README.md and docs/ from bench/results/ (`make docs`).

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; NAME is a function here or in
another module of this folder.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import distributed_tables
import documents_tables
import drawings
import evidence_tables
import latency_tables
import operations_tables
import paper_figures
import paper_tables
import quality_tables
import recipe_tables
import scale_tables
import target_tables
import trust_tables
from paper_results import rows
from paper_verdicts import MINILM_L12

from qama.cli.main import app
from qama.evaluation.records import Record
from qama.evaluation.report import plot
from qama.evaluation.study import macro

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "bench" / "results"
LEVELS = ("1", "1.5", "hybrid", "2")
DRAWN = (  # level and scorer of the lines in the picture of docs/choose.md
    ("bytes", "asymmetric"), ("2", "asymmetric"), ("2", "hamming"), ("1", "hamming"),
    ("int8", "cosine"),
)  # fmt: skip


TERMINAL = """\
- Data go to stdout, talk to stderr; `--quiet` leaves warnings and errors.
- `--json` writes one JSON object for programs, and several as JSON Lines, one object a line:
  `search` for each query, `restore` for each backup that it lists, `verify` for each file, so for
  each of some shards, `replicate --every` for each round, `eval` for each MTEB task.
- What takes long shows how far it is, at which rate and how long it will take: a bar in a
  terminal, in a log a line every ten seconds.
- `qama --install-completion` lets your shell complete commands and options. `NO_COLOR=1` leaves
  out colours.
- An error is one sentence with what would do. The exit code is 0 for success, 2 for what you can
  mend, and 1 for a damaged file (`qama verify`), a defect of qama, or a reader that closed stdout
  early.
- Names, ids and paths are shown with escapes for control characters: no file of a stranger can
  act on your terminal.
"""


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


def paper_asymmetric():
    return grid("paper", "asymmetric")


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


def speed():
    return json.loads((RESULTS / "speed.json").read_text())


def speed_rows(part):
    return [row for row in speed()["results"].get(part, []) if "ms" in row]


def speed_flat():
    """Engines by bytes and batch, one thread."""
    rows = speed_rows("flat")
    if not rows:
        return "Not measured."
    columns = sorted({(r["nbytes"], r["batch"]) for r in rows})
    cell = {(r["engine"], r["nbytes"], r["batch"]): r["ms"] for r in rows}
    reads = [key for key in cell if key[0].startswith("read:")]
    for nbytes in {key[1] for key in reads}:
        cell["fastest plain read", nbytes, 1] = min(cell[k] for k in reads if k[1] == nbytes)
    engines = dict.fromkeys(key[0] for key in cell if not key[0].startswith("read:"))
    lines = [
        f"{rows[0]['rows']:,} rows | " + " | ".join(f"{b} B, {m}" for b, m in columns) + " |",
        "---|" + "--:|" * len(columns),
    ]
    for engine in engines:
        shown = [cell.get((engine, *column)) for column in columns]
        lines.append(
            f"{engine} | " + " | ".join("" if v is None else f"{v:.3g}" for v in shown) + " |"
        )
    return "\n".join("| " + line for line in lines)


def speed_targets():
    """Every target of the search."""
    lines = ["| target | wanted | measured | |", "|---|--:|--:|---|"]
    for row in speed()["targets"]:
        met = {True: "met", False: "missed", None: "not run"}[row["met"]]
        measured = "" if row["measured"] is None else f"{row['measured']:.2f}"
        lines.append(f"| {row['target']} | {row['wanted']} | {measured} | {met} |")
    return "\n".join(lines)


def speed_partitions():
    """Recall by lists that are read."""
    rows = [r for r in speed()["results"].get("partitions", []) if "share of bytes read" in r]
    lines = ["| lists read | bytes read % | recall@10 of the flat scan |", "|--:|--:|--:|"]
    for r in rows:
        lines.append(
            f"| {r['nprobe']} | {100 * r['share of bytes read']:.2f} | {r['recall']:.3f} |"
        )
    return "\n".join(lines)


def engines():
    """What every engine was seen to do, live."""
    found = rows("engines")
    assert len({r["rows"] for r in found}) == 1, "engines.json: run all engines on as many rows"
    lines = [
        f"| engine | index | run | exact? | filters | index over a prefix | ms per query, "
        f"{found[0]['rows']:,} rows | of the exact ten % | nDCG@10 |",
        "|---|---|---|---|---|---|--:|--:|--:|",
    ]
    for r in found:
        index = r["index"] + (f", {r['prefix']} dims" if r["prefix"] else "") or "none"
        ndcg = f"{r['ndcg10']:.4f}" if "ndcg10" in r else ""
        share = "" if r["engine"] == "qama" else f"{100 * r['share']:.1f}"  # it scores all rows
        lines.append(
            f"| {r['engine']} | {index} | {r['version']} | {'yes' if r['exact'] else 'no'} "
            f"| {r['filters'] or 'none'} | {'yes' if r['prefixes'] else 'no'} | {r['ms']:.2f} "
            f"| {share} | {ndcg} |"
        )
    return "\n".join(lines)


def structure():
    """What a vector passes on its way, and the lines of each room: before one house, and now."""
    found = json.loads((RESULTS / "structure.json").read_text())["results"]
    before, now = found["before"], found["now"]
    lines = ["| | before | now |", "|---|--:|--:|"]
    for way in now["passed"]:
        counts = (run["passed"][way] for run in (before, now))
        lines.append(
            f"| files, functions that a vector passes in {way} | "
            + " | ".join(f"{c['files']}, {c['functions']}" for c in counts)
            + " |"
        )
    for what in ("isinstance on the family", "circles of imports"):
        counts = (
            run[what] if isinstance(run[what], int) else len(run[what]) for run in found.values()
        )
        lines.append(f"| {what} | {' | '.join(map(str, counts))} |")
    for room in sorted({*before["lines"], *now["lines"]}):
        counts = (run["lines"].get(room) for run in (before, now))
        lines.append(f"| lines of `{room}` | {' | '.join(f'{c:,}' if c else '' for c in counts)} |")
    return "\n".join(lines)


def scale():
    """A billion vectors from measured constants."""
    results, rows, lists, nbytes = speed()["results"], 1e9, 65_536, 48
    if "large" not in results or "partitions" not in results:
        return "Not measured."
    one = next(
        r for r in results["large"]
        if (r["engine"], r["batch"], r["nbytes"]) == ("asymmetric", 1, nbytes)
    )  # fmt: skip
    full = one["ms"] * rows / one["rows"]
    some = next(r for r in results["partitions"] if r["engine"] == "recall")
    share = some["nprobe"] / some["nlist"]
    add = next(r["value"] for r in results["partitions"] if r["engine"] == "add")
    held = rows * (nbytes + 4 + 1) + lists * 384 * 4
    more = (lists / some["nlist"] - 1) * 384 * 2 * some["nlist"] / 1e11 * 1e6  # at 100 GFLOP/s
    return "\n".join((
        "| | |", "|---|--:|",
        f"| memory: codes, rows, inverse norms, centroids | {held / 2**30:.0f} GiB |",
        f"| adding, core hours (measured {add:.0f} us a row, more lists included) "
        f"| {rows * (add + more) / 3.6e9:.0f} |",
        f"| one query, flat | {full:,.0f} ms |",
        f"| one query, {100 * share:.2g} % of the bytes (measured recall {some['value']:.2f}) "
        f"| {full * share:,.1f} ms |",
    ))  # fmt: skip


def speed_plot(path):
    """Milliseconds per query of the engines at 48 bytes, one query and batches."""
    from matplotlib import pyplot

    rows = [r for r in speed_rows("flat") if r["nbytes"] == 48 and r["batch"] in (1, 256)]
    rows = [r for r in rows if not r["engine"].startswith("read:") and "avx2" not in r["engine"]]
    engines = list(dict.fromkeys(r["engine"] for r in rows))
    figure, axes = pyplot.subplots(figsize=(7, 3.2))
    for shift, batch in ((-0.2, 1), (0.2, 256)):
        ms = {r["engine"]: r["ms"] for r in rows if r["batch"] == batch}
        places = [i + shift for i, e in enumerate(engines) if e in ms]
        label = "one query" if batch == 1 else f"batches of {batch}"
        axes.barh(places, [ms[e] for e in engines if e in ms], 0.38, label=label)
    axes.set_yticks(range(len(engines)), engines)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("ms per query, 48 bytes, one thread")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def fill(path):
    """Replace every marked table of a file."""

    def table(match):
        name = match[1]
        modules = (
            distributed_tables, documents_tables, evidence_tables, latency_tables,
            operations_tables, quality_tables, recipe_tables, scale_tables,
            target_tables, trust_tables, paper_figures,
        )  # fmt: skip
        others = next((m for m in modules if name in m.__all__), paper_tables)
        make = globals().get(name) or getattr(others, name)
        return f"<!-- table: {name} -->\n{make()}\n<!-- end -->"

    text = path.read_text()
    path.write_text(re.sub(r"<!-- table: (\w+) -->.*?<!-- end -->", table, text, flags=re.S))


def command_help():
    """Write docs/cli.md from the commands' own help."""
    names = [c.name or c.callback.__name__ for c in app.registered_commands]
    parts = [f"# Command line\n\nGenerated by `make docs`.\n\n{TERMINAL}"]
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
    import matplotlib as mpl

    os.environ["SOURCE_DATE_EPOCH"] = "0"  # pictures change with what they show alone
    mpl.rcParams["svg.hashsalt"] = "qama"
    command_help()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        fill(path)
    shown = [r for r in macro(load("default")) if (r.level, r.scorer) in DRAWN]
    drawings.draw(ROOT / "docs" / "drawings")
    speed_plot(ROOT / "docs" / "speed.svg")
    latency_tables.latency_plot(ROOT / "docs" / "latency.svg")
    quality_tables.plot(ROOT / "docs" / "quality.svg")
    quality_tables.unseen_plot(ROOT / "docs" / "unseen.svg")
    plot(shown, ROOT / "docs" / "retention.svg", "Six collections, all-MiniLM-L6-v2")


if __name__ == "__main__":
    main()
