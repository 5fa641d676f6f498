"""The generated tables of docs/paper.md that bench/paper.py and bench/tasks.py fill."""

from collections import defaultdict

from paper_results import LSA, MINILM, WORDLLAMA, averages, rows, table, timings
from paper_verdicts import LEVELS, PUBLISHED, verdicts

__all__ = [
    "ablation_cumulative",
    "ablation_without",
    "allocation_table",
    "dynamic_table",
    "main_lsa",
    "main_minilm",
    "main_wordllama",
    "speed_table",
    "tasks_table",
    "verdicts",
]
MAIN = "`python bench/paper.py main`"
COLUMNS = {  # of a main table: heading, method, scorer of codes, whether it has a float column
    "paper": ("paper", "hamming", "paper, float prefix"),
    "paper, asymmetric": ("paper", "asymmetric", None),
    "default": ("default", "hamming", "default, float prefix"),
    "default, asymmetric": ("default", "asymmetric", None),
    "first dims, fixed thresholds": ("first dims", "hamming", "first dims"),
    "dims by variance, fixed thresholds": ("dims by variance", "hamming", "dims by variance"),
    "principal components, fixed thresholds": (
        "principal components", "hamming", "principal components",
    ),
}  # fmt: skip


def _main(model):
    means = averages(rows("paper_main"))
    lines = [
        (f"*published, {name}*", dims // part, *(f"*{100 * ndcg / full:.1f}*" for ndcg in cells))
        for name, dims, (full, figures) in [PUBLISHED[model]] if means
        for part, cells in figures.items()
    ] if model in PUBLISHED else []  # fmt: skip
    for name, (method, scorer, floats) in COLUMNS.items():
        mine = {key[2] for key in means if key[:2] == (model, method)}
        for dims in sorted(mine, reverse=True):
            kept = [means.get((model, method, dims, level, scorer), "") for level in LEVELS]
            prefix = means.get((model, floats, dims, "float32", "cosine"), "")
            lines.append((name, dims, *kept, prefix))
    for name in ("float16", "int8"):
        found = [m for key, m in means.items() if key[:2] == (model, name)]
        lines += [(name, "all", "", "", "", "", mean) for mean in found]
    headings = ("method", "dims", "1 bit", "1.5 bit", "hybrid", "2 bit", "float")
    return table(headings, lines, MAIN)


def main_minilm():
    return _main(MINILM)


def main_lsa():
    return _main(LSA)


def main_wordllama():
    return _main(WORDLLAMA)


def _ablation(mark):
    means = averages(rows("paper_ablation"))
    variants = list(dict.fromkeys(row["variant"] for row in rows("paper_ablation")))
    shown = [v for v in variants if v.startswith(mark) or (mark == "+" and v[0] not in "+-")]
    if mark == "-":
        shown = [v for v in ("+ variance", *shown) if v in variants]
    lines = []
    for variant in shown:
        for dims in sorted({key[2] for key in means if key[1] == variant}, reverse=True):
            kept = [means.get((MINILM, variant, dims, level, "hamming")) for level in LEVELS]
            cells = [f"{mean} ± {mean.half:.1f}" if mean else "" for mean in kept]
            prefix = means.get((MINILM, variant, dims, "float32", "cosine"), "")
            name = "all of it" if mark == "-" and variant == "+ variance" else variant
            lines.append((name, dims, *cells, prefix))
    headings = ("variant", "dims", "1 bit", "1.5 bit", "hybrid", "2 bit", "float prefix")
    return table(headings, lines, "`python bench/paper.py ablation`")


def ablation_cumulative():
    return _ablation("+")


def ablation_without():
    return _ablation("-")


def speed_table():
    lines = [
        (
            part["method"],
            dims,
            part["scorer"],
            part["bytes"],
            part["compact_bytes"],
            f"{part['compact_bytes'] / 1e3:.3f}",
            part["operations"],
            f"{part['seconds']:.2f}",
        )
        for dims, part in timings()
    ]
    headings = ("method", "dims", "scorer", "bytes", "compact", "GB per million", "per comparison",
                "seconds")  # fmt: skip
    return table(headings, lines, "`python bench/paper.py speed`")


def allocation_table():
    means = averages(rows("paper_allocation"))
    agreements = defaultdict(list)
    for row in rows("paper_allocation"):
        if "agreement" in row:
            agreements[row["what"]].append(row["agreement"])
    lines = []
    for (_, what, _, _, scorer), mean in means.items():
        held = agreements.get(what)
        agreed = f"{sum(held) / len(held):.3f}" if held else ""
        lines.append((what, scorer, f"{mean} ± {mean.half:.1f}", agreed, mean.collections))
    headings = ("bits go", "scorer", "kept %", "validation agreement", "collections")
    return table(headings, lines, "`python bench/paper.py allocation`")


def dynamic_table():
    groups = defaultdict(list)
    for row in rows("paper_dynamic"):
        for part in row["rows"]:
            groups[part["bytes"], part["funnel"]].append(part)
    lines = []
    for (nbytes, funnel), parts in groups.items():
        kept = 100 * sum(p["retention"] for p in parts) / len(parts)
        ms = sum(p["ms"] for p in parts) / len(parts)
        lines.append((nbytes, funnel or "all rows", f"{kept:.1f}", f"{ms:.2f}"))
    headings = ("bytes", "candidates", "kept %", "ms per query")
    return table(headings, lines, "`python bench/paper.py dynamic`")


TASK_FIGURES = {  # of each task: its figure, and what is said of time
    "classify": ("accuracy", "us_per_query"), "cluster": ("v_measure", "seconds"),
    "similarity": ("spearman", "us_per_pair"), "duplicates": ("f1", "seconds"),
    "bridge": ("ndcg", None),
}  # fmt: skip


def tasks_table():
    """Every task's figure, averaged over its sets, beside float32."""
    groups = defaultdict(list)
    for row in rows("tasks"):
        if row["method"] != "(all)":
            groups[row["task"], row["model"], row["method"]].append(row)
    lines = []
    for (task, model, method), found in groups.items():
        figure, clock = TASK_FIGURES[task]
        base = "MiniLM alone, float32" if task == "bridge" else "float32"
        whole = groups.get((task, model, base))
        mean, full = (sum(r[figure] for r in g) / len(g) if g else None for g in (found, whole))
        kept = f"{100 * mean / full:.1f}" if full and len(found) == len(whole) else ""
        took = f"{sum(r[clock] for r in found) / len(found):.3g} {clock}" if clock else ""
        lines.append((task, model.split("-l")[0], method, found[0]["bytes"],
                      f"{mean:.4f} {figure}", kept, took, len(found)))  # fmt: skip
    headings = ("task", "model", "method", "bytes", "figure", "kept %", "time", "sets")
    return table(headings, lines, "`python bench/tasks.py`")
