"""The pictures of docs/paper.md, drawn from bench/results/ beside the page."""

from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from paper_results import LSA, MINILM, WORDLLAMA, averages, rows, timings
from paper_verdicts import LEVELS, PUBLISHED, TIMES

DOCS = Path(__file__).parent.parent.parent / "docs"

__all__ = ["ablation_figure", "dynamic_figure", "main_figure", "speed_figure"]
TITLES = {MINILM: "all-MiniLM-L6-v2, 384 d", LSA: "LSA, 768 d", WORDLLAMA: "WordLlama, 256 d"}
LINES = {  # method and scorer of a line: label, style
    ("default", "asymmetric"): ("default, asymmetric", "o-"),
    ("default", "hamming"): ("default, Hamming", "s-"),
    ("paper", "hamming"): ("paper preset, Hamming", "D-"),
    ("first dims", "hamming"): ("first dims, fixed thresholds", "x--"),
    ("principal components", "hamming"): ("principal components, fixed thresholds", "+--"),
}


TIMES_SHOWN = (0.2, 0.5, 1, 2)  # ms
TICKS = (6, 12, 24, 48, 96, 192, 384, 768)  # bytes


def _picture(name, size, draw, measured, what):
    """Draw into docs/<name>.svg and return the line that shows it; say where there is nothing."""
    if not measured:
        return f"*Not measured yet: `python bench/paper.py {name}`.*"
    figure = Figure(figsize=size, layout="constrained")
    draw(figure, measured)
    figure.savefig(DOCS / f"paper_{name}.svg")
    return f"![{what}](paper_{name}.svg)"


def main_figure():
    """Retention against bytes for each model: the best cell of no more bytes."""
    return _picture("main", (12, 4.4), _draw_main, rows("paper_main"),
                    "retention against bytes, one panel a model")  # fmt: skip


def _draw_main(figure, measured):
    means = averages(measured)
    sizes = {
        (row["model"], cell["method"], cell["dims"], cell["level"]): cell["bytes"]
        for row in measured
        for cell in row["cells"]
    }
    models = [model for model in TITLES if any(key[0] == model for key in means)]
    panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
    for axes, model in zip(panels, models, strict=True):
        for (method, scorer), (label, style) in LINES.items():
            points = [
                (sizes[key[:4]], mean.value)
                for key, mean in means.items()
                if key[:2] == (model, method) and key[3] in LEVELS and key[4] == scorer
            ]
            axes.plot(*_best(points), style, label=label, markersize=4)
        for name in ("int8", "float16"):
            found = [(sizes[k[:4]], m.value) for k, m in means.items() if k[:2] == (model, name)]
            axes.plot(*zip(*found, strict=True), "k*" if name == "int8" else "k^", label=name)
        if model in PUBLISHED:
            dims, (full, figures) = PUBLISHED[model][1:]
            points = [
                (sizes[model, "paper", dims // part, level], 100 * ndcg / full)
                for part, cells in figures.items()
                for level, ndcg in zip(LEVELS, cells[:4], strict=True)
                if (model, "paper", dims // part, level) in sizes
            ]
            axes.plot(*_best(points), "k.:", label="published", markersize=4)
        axes.set(title=TITLES[model], xscale="log", ylim=(40, 102), xlabel="bytes, thermometer")
        axes.set_xticks(TICKS, map(str, TICKS))
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("nDCG@10, % of float32")
    panels[0].legend(fontsize="x-small", loc="lower right")


def _best(points):
    """Return sizes, and the best figure of no more bytes at each."""
    best = defaultdict(float)
    for size, kept in sorted(points):
        best[size] = max(best[size], kept, *best.values())
    return list(best), list(best.values())


def dynamic_figure():
    """Quality against latency as the budget changes, and the funnel's curve."""
    return _picture("dynamic", (7, 4.2), _draw_dynamic, rows("paper_dynamic"),
                    "quality against latency")  # fmt: skip


def _draw_dynamic(figure, measured):
    groups = defaultdict(list)
    for row in measured:
        for part in row["rows"]:
            groups[part["bytes"], part["funnel"]].append((part["ms"], 100 * part["retention"]))
    axes = figure.subplots()
    for funnel, label, style in ((False, "all rows", "o-"), (True, "funnel, candidates", "s--")):
        points = {key: np.mean(g, axis=0) for key, g in groups.items() if (key[1] > 0) is funnel}
        axes.plot(*np.transpose(list(points.values())), style, label=label)
        for number, ((nbytes, candidates), point) in enumerate(points.items()):
            name = str(candidates) if funnel else f"{nbytes} B"
            place = (-4, 6 + 10 * (number % 2)) if funnel else (5, -11)
            axes.annotate(name, point, textcoords="offset points", xytext=place, fontsize=8)
    axes.set(xlabel="ms per query, one thread", ylabel="nDCG@10, % of float32", xscale="log",
             ylim=(None, 98))  # fmt: skip
    axes.set_xticks(TIMES_SHOWN, map(str, TIMES_SHOWN))
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()


def speed_figure():
    """Wall clock over float32 at 768 dims, beside what the paper reports."""
    return _picture("speed", (8, 4.6), _draw_speed, timings(),
                    "time over float32, logarithmic")  # fmt: skip


def _draw_speed(figure, measured):
    found = {
        (dims, part["method"].removeprefix("qama "), part["scorer"]): part["seconds"]
        for dims, part in measured
    }
    base = found[768, "float32", "inner product"]
    names = [f"{kind}, {scorer}, {dims} d" for dims, kind, scorer in found]
    axes = figure.subplots()
    places = np.arange(len(found))
    axes.barh(places, [seconds / base for seconds in found.values()], label="here")
    claims = [
        (place, TIMES[dims][kind])
        for place, (dims, kind, scorer) in zip(places, found, strict=True)
        if kind in TIMES[dims] and scorer != "asymmetric"
    ]
    axes.plot(
        [c for _, c in claims], [p for p, _ in claims], "k|", markersize=12, label="published"
    )
    axes.set_yticks(places, names, fontsize=7)
    axes.set(xscale="log", xlabel="time over float32 at 768 dims")
    axes.invert_yaxis()
    axes.grid(alpha=0.3, axis="x")
    figure.legend(loc="outside lower center", ncols=2)


def ablation_figure():
    """Variance, imbalance of bits and margins by dims, for each variant."""
    found = defaultdict(list)
    for row in rows("paper_ablation"):
        if not row["variant"].startswith("-"):
            found[row["variant"]].append(row["diagnostics"])
    return _picture("ablation", (10, 9), _draw_ablation, found, "by dims, for each variant")


def _draw_ablation(figure, found):
    labels = {"variance": "variance of z", "imbalance": "|share of ones - 1/2|",
              "margin": "distance from the threshold / σ"}  # fmt: skip
    for axes, (name, label) in zip(figure.subplots(3, 1, sharex=True), labels.items(), strict=True):
        for variant, parts in found.items():
            mean = np.mean([part[name] for part in parts], axis=0)
            axes.plot(np.linspace(0, 100, len(mean)), mean, label=variant, linewidth=1.4)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    axes.set_xlabel("dims, % from the first to the last")
    figure.get_axes()[0].legend(ncols=2, fontsize="small")
    figure.get_axes()[0].set_yscale("log")
