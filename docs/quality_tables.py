"""Tables of docs/quality.md from bench/results/quality.json: qama beside FAISS at equal bytes."""

import json
from collections import defaultdict
from pathlib import Path

RESULTS = Path(__file__).parent.parent / "bench" / "results" / "quality.json"
MODEL = "all-minilm-l6-v2"

MISSING = "| not measured yet |\n|---|\n| `make bench-quality` |"

__all__ = ["quality_gaps", "quality_wide"]


def retentions(setting):
    """Return retention in % by (method, bytes) and collection: seeds averaged, best variant."""
    by_variant = defaultdict(list)
    rows = json.loads(RESULTS.read_text())["results"] if RESULTS.exists() else []
    for row in rows:
        if (row["model"], row["fit"], row["scorer"]) == (MODEL, setting, "asymmetric"):
            key = (row["method"], row["bytes"], row["collection"], row["variant"])
            by_variant[key].append(100 * row["retention"])
    best = defaultdict(dict)
    for (method, nbytes, collection, _), values in by_variant.items():
        cells = best[method, nbytes]
        cells[collection] = max(cells.get(collection, 0.0), sum(values) / len(values))
    return best


def quality_wide():
    """Mean retention over collections, a row for each method."""
    best = retentions("wide")
    if not best:
        return MISSING
    lengths = sorted({nbytes for _, nbytes in best})
    methods = sorted({method for method, _ in best}, key=lambda m: (m != "qama", m))
    most = max(map(len, best.values()))
    lines = ["| method | " + " | ".join(f"{n} B" for n in lengths) + " |"]
    lines.append("|---|" + "--:|" * len(lengths))
    for method in methods:
        shown = [_mean(best.get((method, n)), most) for n in lengths]
        lines.append(f"| {method} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _mean(cells, most):
    if not cells:
        return ""
    few = "" if len(cells) == most else f" ({len(cells)})"
    return f"{sum(cells.values()) / len(cells):.1f}{few}"


def quality_gaps():
    """Qama and FAISS's best method, collection by collection."""
    best = retentions("wide")
    if not best:
        return MISSING
    lines = [
        "| bytes | collection | qama | FAISS's best | difference | |",
        "|--:|---|--:|--:|--:|---|",
    ]
    for nbytes in sorted({n for method, n in best if method != "qama"}):
        for collection, ours in sorted(best["qama", nbytes].items()):
            theirs = [
                (cells[collection], method)
                for (method, n), cells in best.items()
                if n == nbytes and method != "qama" and collection in cells
            ]
            if theirs:
                kept, method = max(theirs)
                row = f"{ours:.1f} | {kept:.1f} | {ours - kept:+.1f} | {method}"
                lines.append(f"| {nbytes} | {collection} | {row} |")
    return "\n".join(lines)
