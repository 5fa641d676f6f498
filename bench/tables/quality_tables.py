"""Tables of docs/quality.md: qama beside its peers at equal bytes (bench/results/quality.json)."""

import json
from pathlib import Path

RESULTS = Path(__file__).parent.parent.parent / "bench" / "results"
MODEL, WORDLLAMA = "all-minilm-l6-v2", "wordllama-l2-supercat-256"
MPNET, E5 = "all-mpnet-base-v2", "multilingual-e5-small"
NAMES = {
    MODEL: "MiniLM, 384 d", WORDLLAMA: "WordLlama, 256 d", MPNET: "mpnet, 768 d",
    E5: "e5-small, 384 d", "lsa-768": "LSA, 768 d",
}  # fmt: skip
METHODS = {
    "qama": "qama", "opq": "OPQ", "pq": "PQ", "prq": "PRQ", "rq": "RQ", "lsq": "LSQ",
    "rabitq1": "RaBitQ 1 bit", "rabitq2": "RaBitQ 2 bit", "sign-asym": "signs",
    "pca-sign-asym": "signs of principal axes", "rabitq1-all": "RaBitQ 1 bit (FAISS)",
    "rabitq2-all": "RaBitQ 2 bit (FAISS)", "rabitqlib1-all": "RaBitQ 1 bit (its library)",
    "rabitqlib2-all": "RaBitQ 2 bit (its library)", "turbovec2-all": "turbovec 2 bit",
    "remex1-all": "remex 1 bit", "remex2-all": "remex 2 bit",
}  # fmt: skip
SETTINGS, UNSEEN = ("sample", "transfer", "small"), ("sample", "transfer")
LENGTHS = (12, 24, 48, 96)
FIGURES = ("recall", "recall100", "kept")
FLOAT_BYTES = 4 * 384  # of a vector of MODEL
DRAWN = {  # methods of the pictures and their colours
    "qama": "black", "opq": "C3", "pq": "C1", "rabitq1": "C0", "rabitq2": "C9", "sign-asym": "C2",
}  # fmt: skip

__all__ = [
    "quality_all_dims",
    "quality_errors",
    "quality_leads",
    "quality_sample",
    "quality_seeds",
    "quality_small",
    "quality_transfer",
    "unseen_brief",
]


def results_of(name):
    """Return the rows of a results file; none where it is not there."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text())["results"] if path.exists() else []


def missing(what):
    """Return the table of what was not measured yet, and by what it is."""
    return f"| not measured yet |\n|---|\n| `{what}` |"


def measured(seed=0):
    """Return the rows of bench/quality.py by model, setting, bytes and method."""
    return {
        (row["model"], row["setting"], row["bytes"], row["method"]): row
        for row in results_of("quality")
        if row["seed"] == seed
    }


def in_order(keys):
    """Return keys (model, setting, ...) in the order of the tables."""
    models, methods = list(NAMES), list(METHODS)
    return sorted(
        keys, key=lambda k: (models.index(k[0]), SETTINGS.index(k[1]), k[2], methods.index(k[3]))
    )


def best_peer(model, setting, nbytes, figure):
    """Return the peer whose mean of a figure is highest at that many bytes, or None."""
    rows = [row for (*where, method), row in measured().items()
            if tuple(where) == (model, setting, nbytes) and method != "qama"]  # fmt: skip
    return max(rows, key=lambda row: mean(row, figure), default=None)


def mean(row, figure):
    """Return the mean of a figure over collections, in %."""
    return 100 * row[figure]["mean"][0]


# --- tables ---------------------------------------------------------------------------------------


def _beside_peers(setting):
    """A row a model and method: the floats' ten / hundred found / nDCG@10 kept, in %."""
    found = measured()
    keys = in_order(k for k in found if k[1] == setting and k[2] in LENGTHS)
    lines = ["| model | method | " + " | ".join(f"{n} B" for n in LENGTHS) + " |",
             "|---|---|" + "--:|" * len(LENGTHS)]  # fmt: skip
    for model, method in dict.fromkeys((k[0], k[3]) for k in _by_method(keys)):
        rows = [found.get((model, setting, n, method)) for n in LENGTHS]
        cells = [_figures(row) for row in rows]
        lines.append(f"| {NAMES[model]} | {METHODS[method]} | {' | '.join(cells)} |")
    return "\n".join(lines) if keys else missing("make bench-quality")


def _by_method(keys):
    models, methods = list(NAMES), list(METHODS)
    return sorted(keys, key=lambda k: (models.index(k[0]), methods.index(k[3])))


def quality_sample():
    return _beside_peers("sample")


def quality_transfer():
    return _beside_peers("transfer")


def quality_small():
    return _beside_peers("small")


def quality_leads():
    """Qama and the best peer at equal bytes, by each of the two measures, with intervals."""
    found = measured()
    ours = in_order(key for key in found if key[3] == "qama")
    lines = ["| model | setting | bytes | of the floats' ten: qama | best peer "
             "| nDCG@10 kept: qama | best peer |", "|---|---|--:|--:|---|--:|---|"]  # fmt: skip
    for key in ours:
        model, setting, nbytes, _ = key
        cells = []
        for figure in ("recall", "kept"):
            peer = best_peer(model, setting, nbytes, figure)
            theirs = f"{METHODS[peer['method']]} {_interval(peer, figure)}" if peer else ""
            cells += [_interval(found[key], figure), theirs]
        lines.append(f"| {NAMES[model]} | {setting} | {nbytes} | {' | '.join(cells)} |")
    return "\n".join(lines) if ours else missing("make bench-quality")


def quality_all_dims():
    """Peers that keep all dims at the bytes that these take, and the longest code of qama below."""
    found = measured()
    keys = in_order(k for k in found if k[3].endswith("-all") and k[1] in UNSEEN)
    lines = ["| model | setting | method | bytes | of the floats' ten / hundred / nDCG@10 kept "
             "| qama | its bytes |", "|---|---|---|--:|--:|--:|--:|"]  # fmt: skip
    for model, setting, nbytes, method in keys:
        ours = [k for k in found if k[:2] == (model, setting) and k[3] == "qama" and k[2] <= nbytes]
        best = max(ours, key=lambda k: k[2], default=None)
        cells = [_figures(found.get(key)) for key in ((model, setting, nbytes, method), best)]
        lines.append(f"| {NAMES[model]} | {setting} | {METHODS[method]} | {nbytes} | {cells[0]} "
                     f"| {cells[1]} | {best[2] if best else ''} |")  # fmt: skip
    return "\n".join(lines) if keys else missing("make bench-quality")


def quality_errors():
    """Squared error over variance of fitted and of unseen rows."""
    found = {k: r for k, r in measured().items() if k[3] == "qama" and "unseen" in r}
    lines = ["| model | setting | rows fitted | " + " | ".join(f"{n} B" for n in LENGTHS) + " |",
             "|---|---|--:|" + "--:|" * len(LENGTHS)]  # fmt: skip
    for model, setting in dict.fromkeys(key[:2] for key in in_order(found)):
        rows = [found.get((model, setting, n, "qama")) for n in LENGTHS]
        cells = [f"{r['fitted']:.3f} / {r['unseen']:.3f}" if r else "" for r in rows]
        count = next(row["rows"] for row in rows if row)
        lines.append(f"| {NAMES[model]} | {setting} | {count:,} | {' | '.join(cells)} |")
    return "\n".join(lines) if found else missing("make bench-quality")


def quality_seeds():
    """Qama seed by seed: the floats' ten found and nDCG@10 kept."""
    rows = {(r["model"], r["setting"], r["seed"], r["bytes"]): r for r in results_of("quality")
            if r["method"] == "qama"}  # fmt: skip
    more = {key[:2] for key in rows if key[2]}
    lines = ["| model | setting | seed | " + " | ".join(f"{n} B" for n in LENGTHS) + " |",
             "|---|---|--:|" + "--:|" * len(LENGTHS)]  # fmt: skip
    for model, setting, seed in sorted({key[:3] for key in rows if key[:2] in more}):
        of = [rows.get((model, setting, seed, n)) for n in LENGTHS]
        cells = [f"{mean(r, 'recall'):.1f} / {mean(r, 'kept'):.1f}" if r else "" for r in of]
        lines.append(f"| {NAMES[model]} | {setting} | {seed} | {' | '.join(cells)} |")
    return "\n".join(lines) if more else missing("bench/quality.py --seeds 0 1 2")


def unseen_brief():
    """MiniLM's vectors that a fit never saw, qama and OPQ at its best; means of six collections."""
    found = measured()
    heads = [f"{what}, {setting}" for what in ("of the floats' ten %", "nDCG@10 kept %")
             for setting in UNSEEN]  # fmt: skip
    lines = [f"| bytes | times smaller | {' | '.join(heads)} |", f"|--:|--:|{'--:|' * len(heads)}"]
    for nbytes in LENGTHS:
        cells = [
            " / ".join(f"{mean(found[MODEL, setting, nbytes, method], what):.1f}"
                       for method in ("qama", "opq"))
            for what in ("recall", "kept") for setting in UNSEEN
        ]  # fmt: skip
        lines.append(f"| {nbytes} | {FLOAT_BYTES / nbytes:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _figures(row):
    """Return the three means; "-" for one that was not measured."""
    if row is None:
        return ""
    return " / ".join(f"{mean(row, figure):.1f}" if figure in row else "-" for figure in FIGURES)


def _interval(row, figure):
    middle, low, high = (100 * value for value in row[figure]["mean"])
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


# --- pictures -------------------------------------------------------------------------------------


def plot(path):
    """Draw the share of the floats' ten against bytes: a column a model, a line a method."""
    from matplotlib.figure import Figure

    found = measured()
    models = [m for m in NAMES if any(key[:2] == (m, "transfer") for key in found)]
    figure = Figure(figsize=(3.1 * len(models), 6), layout="constrained")
    grid = figure.subplots(len(UNSEEN), len(models), sharex=True, sharey=True, squeeze=False)
    for row, setting in zip(grid, UNSEEN, strict=True):
        for axes, model in zip(row, models, strict=True):
            for method, colour in DRAWN.items():
                _line(axes, found, (model, setting, method), colour, METHODS[method], "-")
            axes.set_title(f"{NAMES[model]}, {setting}", fontsize="medium")
            _by_bytes(axes)
    for row in grid:
        row[0].set_ylabel("of the floats' ten found, %")
    handles = {h.get_label(): h for axes in grid.flat for h in axes.get_legend_handles_labels()[0]}
    figure.legend(handles=list(handles.values()), loc="outside lower center", ncols=len(handles))
    figure.savefig(path)


def unseen_plot(path):
    """Draw the share of the floats' ten against bytes, of vectors that a fit never saw."""
    from matplotlib.figure import Figure

    found = measured()
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, setting in zip(figure.subplots(1, 2, sharey=True), UNSEEN, strict=True):
        for model, name, style in ((MODEL, "MiniLM", "-"), (WORDLLAMA, "WordLlama", "--")):
            for method in ("qama", "opq"):
                where = (model, setting, method)
                _line(axes, found, where, DRAWN[method], f"{METHODS[method]}, {name}", style)
        fitted = "a random half of all rows" if setting == "sample" else "other text alone"
        axes.set_title(f"fitted on {fitted}", fontsize="medium")
        axes.set_xlabel("bytes per vector, all counted")
        _by_bytes(axes)
    figure.get_axes()[0].set_ylabel("of the floats' ten nearest found, %")
    figure.get_axes()[0].legend(fontsize="small")
    figure.savefig(path)


def _line(axes, found, where, colour, label, style):
    """Draw one method's recall with its intervals."""
    model, setting, method = where
    sizes = [n for n in LENGTHS if (model, setting, n, method) in found]
    if not sizes:
        return
    cells = [found[model, setting, n, method]["recall"]["mean"] for n in sizes]
    middle, low, high = ([100 * cell[i] for cell in cells] for i in range(3))
    spread = [[m - x for m, x in zip(middle, low, strict=True)],
              [x - m for m, x in zip(middle, high, strict=True)]]  # fmt: skip
    axes.errorbar(sizes, middle, spread, marker="o", markersize=3, linestyle=style, color=colour,
                  capsize=2, label=label, linewidth=2 if method == "qama" else 1.2)  # fmt: skip


def _by_bytes(axes):
    axes.set_xscale("log", base=2)
    axes.set_xticks(LENGTHS, labels=[str(n) for n in LENGTHS])
    axes.grid(alpha=0.3)
