"""Tables of docs/quality.md: qama beside its peers at equal bytes, and the targets.

From bench/results/quality.json, and from default.json what is judged on codes of Hamming distance.
"""

import json
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent.parent.parent / "bench" / "results"
MODEL = "all-minilm-l6-v2"
OTHERS = {"wordllama-l2-supercat-256": "WordLlama, 256 d", "lsa-768": "LSA, 768 d"}
NAMES = {MODEL: "MiniLM, 384 d", **OTHERS, "all-mpnet-base-v2": "mpnet, 768 d"}
SETTINGS = ("sample", "transfer", "wide", "small")
COLLECTIONS = 6
UNSEEN, UNSEEN_METHODS = ("sample", "transfer"), ("qama", "opq")
FLOAT_BYTES = 4 * 384  # of a vector of MODEL
AMONG = ("FAISS", "all")  # of whom the best is taken

MISSING = "| not measured yet |\n|---|\n| `make bench-quality` |"

__all__ = [
    "asked_table",
    "base_table",
    "default_ablation_bytes",
    "default_ablation_grid",
    "fit_rows",
    "generalisation",
    "hamming_unseen",
    "quality_gaps",
    "quality_models",
    "quality_seeds",
    "quality_short",
    "quality_small",
    "quality_transfer",
    "quality_wide",
    "token_codes",
    "unseen_brief",
    "unseen_targets",
]


@cache
def measured():
    path = RESULTS / "quality.json"
    return json.loads(path.read_text()) if path.exists() else {"results": [], "gaps": []}


def retentions(setting, model=MODEL):
    """Return retention in % by (method, bytes) and collection: seeds averaged, best variant."""
    by_variant = defaultdict(list)
    for row in measured()["results"]:
        if (row["model"], row["fit"], row["scorer"]) == (model, setting, "asymmetric"):
            key = (row["method"], row["bytes"], row["collection"], row["variant"])
            by_variant[key].append(100 * row["retention"])
    best = defaultdict(dict)
    for (method, nbytes, collection, _), values in by_variant.items():
        cells = best[method, nbytes]
        cells[collection] = max(cells.get(collection, 0.0), sum(values) / len(values))
    return best


def means_in_one_setting(setting, nbytes):
    """Return mean retention in % by (method, variant) that ran on all collections."""
    groups = defaultdict(lambda: defaultdict(list))
    for row in measured()["results"]:
        key = (row["model"], row["fit"], row["bytes"], row["scorer"])
        if key == (MODEL, setting, nbytes, "asymmetric"):
            variant = (row["method"], row["variant"])
            groups[variant][row["collection"]].append(100 * row["retention"])
    return {
        variant: sum(sum(values) / len(values) for values in cells.values()) / len(cells)
        for variant, cells in groups.items()
        if len(cells) == COLLECTIONS
    }


def _beside_peers(setting):
    """Mean retention over collections, a row for each method."""
    best = retentions(setting)
    if not best:
        return MISSING
    lengths = sorted({nbytes for _, nbytes in best})
    methods = sorted({method for method, _ in best}, key=lambda m: (m != "qama", m))
    lines = ["| method | " + " | ".join(f"{n} B" for n in lengths) + " |"]
    lines.append("|---|" + "--:|" * len(lengths))
    for method in methods:
        shown = [_mean(best.get((method, n))) for n in lengths]
        lines.append(f"| {method} | {' | '.join(shown)} |")
    return "\n".join(lines)


def quality_small():
    return _beside_peers("small")


def quality_wide():
    return _beside_peers("wide")


def quality_transfer():
    return _beside_peers("transfer")


def _mean(cells):
    if not cells:
        return ""
    few = "" if len(cells) == COLLECTIONS else f" ({len(cells)})"
    return f"{sum(cells.values()) / len(cells):.1f}{few}"


def gaps(model):
    """Return the leads by setting, bytes, collection ("macro": their mean) and among whom."""
    found = defaultdict(dict)
    for row in measured()["gaps"]:
        if row["model"] == model:
            found[row["fit"], row["bytes"], row["collection"]][row["among"]] = row
    in_order = sorted(found, key=lambda key: (SETTINGS.index(key[0]), key[1], key[2] == "macro"))
    return {key: found[key] for key in in_order}


def _lead(row):
    return f"{row['gap']:+.1f} ({row['low']:+.1f} to {row['high']:+.1f})"


def quality_gaps():
    """Qama against the best of each collection, of FAISS and of all peers, and the mean."""
    lines = ["| setting | bytes | collection | best of FAISS | lead, points | best of all peers "
             "| lead, points |", "|---|--:|---|---|--:|---|--:|"]  # fmt: skip
    for (setting, nbytes, where), rows in gaps(MODEL).items():
        if where != "macro" and (setting != "wide" or nbytes not in (24, 48)):
            continue
        cells = " | ".join(f"{rows[a]['peer']} | {_lead(rows[a])}" for a in AMONG)
        if where == "macro":
            where = f"mean of {rows['all']['collections']}"
        lines.append(f"| {setting} | {nbytes} | {where} | {cells} |")
    return "\n".join(lines) if len(lines) > 2 else MISSING


def plot(path, model=MODEL):
    """Draw retention against stored bytes, a line a method, small and wide."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.7), layout="constrained")
    found = {setting: retentions(setting, model) for setting in ("small", "wide")}
    peers = dict.fromkeys(m for s in ("wide", "small") for m, _ in found[s] if m != "qama")
    colours = {"qama": "black"} | {m: f"C{i}" for i, m in enumerate(peers)}
    for axes, (setting, best) in zip(
        figure.subplots(1, 2, sharey=True), found.items(), strict=True
    ):
        for method in sorted({method for method, _ in best}, key=lambda m: (m != "qama", m)):
            whole = {n: c for (m, n), c in best.items() if m == method and len(c) == COLLECTIONS}
            if len(whole) < 2:
                continue
            kept = [sum(whole[n].values()) / COLLECTIONS for n in sorted(whole)]
            axes.plot(
                sorted(whole), kept, marker="o", markersize=3, label=method,
                color=colours[method], linewidth=2.6 if method == "qama" else 1.3,
            )  # fmt: skip
        axes.axhline(100, color="0.6", linewidth=0.8)
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks := [12, 24, 48, 96], labels=[str(n) for n in ticks])
        axes.set_xlabel("bytes per vector, corrections counted")
        axes.set_title(f"{OTHERS.get(model, model)}, {setting}")
        axes.grid(alpha=0.3)
    figure.get_axes()[0].set_ylabel("nDCG@10, % of float32")
    figure.get_axes()[0].set_ylim(50 if model == MODEL else 30, 103)
    handles = {line.get_label(): line for axes in figure.get_axes() for line in axes.get_lines()}
    shown = [line for name, line in handles.items() if name in colours]
    figure.legend(handles=shown, fontsize="small", loc="outside lower center", ncols=len(shown))
    figure.savefig(path)


def _beside_best(model, setting):
    """Yield bytes, qama's mean and, of FAISS and of all, the mean of the best and the lead over it.

    Means over the six collections, in %.
    """
    found = gaps(model)
    for (fit, nbytes, where), macro in found.items():
        if (fit, where) != (setting, "macro") or macro["all"]["collections"] < COLLECTIONS:
            continue
        parts = [rows for key, rows in found.items() if key[:2] == (fit, nbytes) and rows != macro]
        ours = _percent(rows["all"]["qama_retention"] for rows in parts)
        theirs = (
            f"{_percent(rows[a]['peer_retention'] for rows in parts):.1f} | {_lead(macro[a])}"
            for a in AMONG
        )
        yield nbytes, f"{ours:.1f}", " | ".join(theirs)


def _percent(shares):
    return 100 * sum(shares) / COLLECTIONS


_BESIDE = "best of FAISS of each collection | lead, points | best of all peers | lead, points |"


def quality_short():
    """Wide, means of six collections: qama, the best peer in one setting, the best of each."""
    lines = [f"| bytes | qama kept % | best peer in one setting | {_BESIDE}",
             "|--:|--:|---|--:|--:|--:|--:|"]  # fmt: skip
    for nbytes, ours, theirs in _beside_best(MODEL, "wide"):
        one = means_in_one_setting("wide", nbytes)
        best = max((key for key in one if key[0] != "qama"), key=one.get)
        lines.append(f"| {nbytes} | {ours} | {best[0]} {one[best]:.1f} | {theirs} |")
    return "\n".join(lines) if len(lines) > 2 else MISSING


def unseen_brief():
    """MiniLM's vectors that a fit never saw, qama and OPQ at its best; means of six collections."""
    found = _unseen(MODEL)
    heads = [f"{what}, {setting}" for what in ("of the floats' ten %", "nDCG@10 kept %")
             for setting in UNSEEN]  # fmt: skip
    lines = [f"| bytes | times smaller | {' | '.join(heads)} |", f"|--:|--:|{'--:|' * len(heads)}"]
    for nbytes in sorted({key[1] for key in found}):
        cells = [
            " / ".join(f"{100 * found[setting, nbytes, method][what]['mean'][0]:.1f}"
                       for method in UNSEEN_METHODS)
            for what in ("recall", "kept") for setting in UNSEEN
        ]  # fmt: skip
        smaller = f"{FLOAT_BYTES / nbytes:.0f}"
        lines.append(f"| {nbytes} | {smaller} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _unseen(model):
    """What bench/generalisation.py found for a model: rows by setting, bytes and method."""
    rows = [r for r in results_of("generalisation") if r["model"] == model]
    return {(r["setting"], r["bytes"], r["method"]): r for r in rows}


ASKED_LEADS = {  # points above OPQ at 12, 24, 48 and 96 bytes
    (MODEL, "sample"): (10, 8, 5, 2), (MODEL, "transfer"): (8, 6, 4, 2),
    ("wordllama-l2-supercat-256", "sample"): (8, 7, 4, 2),
    ("wordllama-l2-supercat-256", "transfer"): (6, 6, 3, 1.5),
    ("all-mpnet-base-v2", "sample"): (8, 7, 4, 2),
    ("all-mpnet-base-v2", "transfer"): (6, 6, 3, 1.5),
}  # fmt: skip


def unseen_targets():
    """What was asked of vectors that a fit never saw, and what was measured."""
    lines = ["| target | asked | measured | verdict |", "|---|--:|--:|---|"]
    for (model, setting), asked in ASKED_LEADS.items():
        found = _unseen(model)
        for nbytes, least in zip((12, 24, 48, 96), asked, strict=True):
            ours, theirs = (found.get((setting, nbytes, m)) for m in UNSEEN_METHODS)
            if ours is None or theirs is None:
                continue
            lead = 100 * (ours["recall"]["mean"][0] - theirs["recall"]["mean"][0])
            verdict = "met" if lead >= least else "missed"
            name = NAMES[model]
            what = f"{name}, {setting}, {nbytes} B, points above OPQ"
            lines.append(f"| {what} | {least} | {lead:.1f} | {verdict} |")
    for nbytes in (24, 48):
        row = _unseen(MODEL)["sample", nbytes, "qama"]
        ratio = row["unseen"] / row["fitted"]
        verdict = "met" if ratio <= 1.15 else "missed"
        what = f"MiniLM, sample, {nbytes} B, error of unseen rows over that of fitted ones"
        lines.append(f"| {what} | <= 1.15 | {ratio:.2f} | {verdict} |")
    return "\n".join(lines)


def unseen_plot(path):
    """Draw the share of the floats' ten against bytes, of vectors that a fit never saw."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, setting in zip(figure.subplots(1, 2, sharey=True), UNSEEN, strict=True):
        for model, name, style in (
            (MODEL, "MiniLM", "-"),
            ("wordllama-l2-supercat-256", "WordLlama", "--"),
        ):
            found = _unseen(model)
            for method, label, colour in (("qama", "qama", "black"), ("opq", "OPQ", "C3")):
                sizes = sorted(n for s, n, m in found if (s, m) == (setting, method))
                if not sizes:
                    continue
                cells = [found[setting, n, method]["recall"]["mean"] for n in sizes]
                middle, low, high = 100 * np.array(cells).T
                axes.errorbar(
                    sizes, middle, (middle - low, high - middle), marker="o", markersize=3,
                    linestyle=style, color=colour, capsize=2, label=f"{label}, {name}",
                )  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks := [12, 24, 48, 96], labels=[str(n) for n in ticks])
        axes.set_xlabel("bytes per vector, all counted")
        fitted = "a random half of all rows" if setting == "sample" else "other text alone"
        axes.set_title(f"fitted on {fitted}", fontsize="medium")
        axes.grid(alpha=0.3)
    figure.get_axes()[0].set_ylabel("of the floats' ten nearest found, %")
    figure.get_axes()[0].legend(fontsize="small")
    figure.savefig(path)


def quality_models():
    """The other models: qama and the best of FAISS and of all peers."""
    lines = [f"| model | setting | bytes | qama kept % | {_BESIDE}",
             "|---|---|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    lines += [
        f"| {name} | {setting} | {nbytes} | {ours} | {theirs} |"
        for model, name in OTHERS.items()
        for setting in SETTINGS
        for nbytes, ours, theirs in _beside_best(model, setting)
    ]
    return "\n".join(lines) if len(lines) > 2 else MISSING


def quality_seeds():
    """Qama's mean over six collections, seed by seed."""
    groups = defaultdict(dict)
    for row in measured()["results"]:
        if (row["model"], row["method"]) == (MODEL, "qama"):
            cell = groups[row["fit"], row["seed"], row["bytes"]]
            cell[row["collection"]] = 100 * row["retention"]
    whole = {
        key: sum(c.values()) / COLLECTIONS for key, c in groups.items() if len(c) == COLLECTIONS
    }
    lengths = sorted({nbytes for _, _, nbytes in whole})
    lines = ["| setting | seed | " + " | ".join(f"{n} B" for n in lengths) + " |",
             "|---|--:|" + "--:|" * len(lengths)]  # fmt: skip
    for setting, seed in sorted(
        {key[:2] for key in whole}, key=lambda k: (SETTINGS.index(k[0]), k)
    ):
        cells = [whole.get((setting, seed, n)) for n in lengths]
        shown = ["" if cell is None else f"{cell:.1f}" for cell in cells]
        lines.append(f"| {setting} | {seed} | {' | '.join(shown)} |")
    return "\n".join(lines) if whole else MISSING


# --- the default recipe, and what a user can add to it ------------------------------------------


def results_of(name):
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text())["results"] if path.exists() else []


def _averaged(rows, names, keep, figure):
    """Return the mean figure by the columns named and the cell's key, and of how many rows."""
    groups = defaultdict(list)
    for row in rows:
        for cell in row["cells"]:
            groups[(*(row[name] for name in names), keep(cell))].append(100 * cell[figure])
    return {key: sum(values) / len(values) for key, values in groups.items()}


def _ablation(family, keep, columns):
    """One line a variant, kept and in brackets found of the floats' ten nearest."""
    rows = [row for row in results_of("ablation") if row["family"] == family]
    kept, found = (_averaged(rows, ("variant",), keep, name) for name in ("retention", "overlap"))
    lines = [f"| variant | {' | '.join(map(str, columns))} | fits |",
             f"|---|{'--:|' * (len(columns) + 1)}"]  # fmt: skip
    for variant in dict.fromkeys(row["variant"] for row in rows):
        keys = [(variant, column) for column in columns]
        cells = [f"{kept[k]:.1f} ({found[k]:.1f})" if k in kept else "" for k in keys]
        fits = sum(row["variant"] == variant for row in rows)
        lines.append(f"| {variant} | {' | '.join(cells)} | {fits} |")
    return "\n".join(lines) if rows else MISSING.replace("make bench-quality", "bench/ablation.py")


def default_ablation_bytes():
    """Byte codes by length, the byte of the inverse norm not counted."""
    return _ablation("bytes", lambda cell: cell["bytes"], (11, 23, 47, 95))


def default_ablation_grid():
    """Grid codes: the mean of their levels, by dims and scorer."""
    columns = [
        f"{dims} {scorer}" for scorer in ("hamming", "asymmetric") for dims in (384, 192, 96)
    ]
    return _ablation("grid", lambda cell: f"{cell['dims']} {cell['scorer']}", columns)


def asked_table():
    """What queries and pairs add to grid codes: the mean of their levels, by dims and scorer."""
    rows = results_of("asked")
    columns = [(dims, scorer) for scorer in ("hamming", "asymmetric") for dims in (384, 192, 96)]
    kept = _averaged(rows, ("collection", "way"), lambda c: (c["dims"], c["scorer"]), "retention")
    lines = [f"| collection | fitted with | {' | '.join(f'{n} {s}' for n, s in columns)} | seeds |",
             f"|---|---|{'--:|' * (len(columns) + 1)}"]  # fmt: skip
    for name, way in dict.fromkeys((row["collection"], row["way"]) for row in rows):
        of = [row for row in rows if (row["collection"], row["way"]) == (name, way)]
        cells = [f"{kept[name, way, column]:.1f}" for column in columns]
        said = f"{of[0]['asked']} {way}" if of[0]["asked"] else way
        lines.append(f"| {name} | {said} | {' | '.join(cells)} | {len(of)} |")
    return "\n".join(lines) if rows else MISSING.replace("make bench-quality", "bench/asked.py")


def generalisation():
    """Fitted on a half, or on other text: qama, qama before, OPQ; recall first."""
    rows = {(r["model"], r["setting"], r["bytes"], r["method"]): r for r in
            results_of("generalisation")}  # fmt: skip
    methods = [m for m in ("qama", "qama, before", "opq") if any(key[3] == m for key in rows)]
    names = [m.replace("opq", "OPQ") for m in methods]
    heads = [*(f"of the floats' ten: {m}" for m in names), *(f"nDCG kept: {m}" for m in names)]
    heads += [f"error fitted / unseen: {m}" for m in names if m != "OPQ"]
    lines = [f"| model | setting | bytes | {' | '.join(heads)} |",
             f"|---|---|--:|{'--:|' * len(heads)}"]  # fmt: skip
    for model, setting, nbytes in dict.fromkeys(key[:3] for key in sorted(rows)):
        of = [rows.get((model, setting, nbytes, m)) for m in methods]
        cells = [_interval(row and row[what]["mean"]) for what in ("recall", "kept") for row in of]
        cells += [f"{row['fitted']:.3f} / {row['unseen']:.3f}" if row else ""
                  for row, m in zip(of, methods, strict=True) if m != "opq"]  # fmt: skip
        name = NAMES[model]
        lines.append(f"| {name} | {setting} | {nbytes} | {' | '.join(cells)} |")
    return "\n".join(lines) if rows else MISSING.replace("make bench-quality",
                                                         "bench/generalisation.py")  # fmt: skip


def fit_rows():
    """Error of fitted and of unseen rows, and the floats' ten found, against the rows of a fit."""
    rows = {(r["rows"], r["way"], r["bytes"]): r for r in results_of("fit_rows")}
    lengths = sorted({key[2] for key in rows})
    heads = [*(f"error, {n} B" for n in lengths), *(f"of the floats' ten, {n} B" for n in lengths)]
    lines = [
        f"| rows | fitted | CPU s | {' | '.join(heads)} |",
        f"|--:|---|--:|{'--:|' * len(heads)}",
    ]
    for count, way in sorted({key[:2] for key in rows}):
        of = [rows[count, way, n] for n in lengths]
        cells = [f"{row['fitted']:.3f} / {row['unseen']:.3f}" for row in of]
        cells += [f"{100 * row['recall']:.1f}" for row in of]
        seen = f"{count:,}" if count else ""
        lines.append(f"| {seen} | {way} | {of[0]['fit CPU s']:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines) if rows else MISSING.replace("make bench-quality", "bench/fit_rows.py")


def token_codes():
    """Late interaction by codes of tokens: bytes a token, the floats' ten, nDCG@10."""
    rows = results_of("token_codes")
    lines = ["| tokens as | bytes a token | of the floats' ten | nDCG@10 |", "|---|--:|--:|--:|"]
    for row in rows:
        size = "" if row["method"].startswith("one vector") else row["bytes"]
        found = f"{100 * row['recall']:.1f} | {row['ndcg']:.3f}"
        lines.append(f"| {row['method']} | {size} | {found} |")
    return "\n".join(lines) if rows else MISSING.replace("make bench-quality",
                                                         "bench/token_codes.py")  # fmt: skip


def hamming_unseen():
    """Grid codes by Hamming distance: nDCG kept, the floats' ten found, and signs."""
    rows = {(r["model"], r["setting"], r["fit"], r["dims"], r["level"]): r
            for r in results_of("hamming")}  # fmt: skip
    levels = ("1", "1.5", "hybrid", "2")
    lines = [f"| model | setting | fit | {' | '.join(levels)} | "
             f"collections below signs, level 1 |", "|---|---|---|" + "--:|" * 5]  # fmt: skip
    for model, setting, fit in dict.fromkeys(key[:3] for key in sorted(rows)):
        d = max(key[3] for key in rows if key[0] == model)
        of = [rows.get((model, setting, fit, d, level)) for level in levels]
        cells = [_kept_and_found(row) for row in of]
        signs = rows.get((model, setting, "signs", d, "1"))
        below = _below(of[0], signs) if of[0] and signs and fit != "signs" else ""
        name = NAMES[model]
        lines.append(f"| {name} | {setting} | {fit} | {' | '.join(cells)} | {below} |")
    return "\n".join(lines) if rows else MISSING.replace("make bench-quality", "bench/hamming.py")


def _kept_and_found(row):
    if row is None:
        return ""
    return f"{100 * row['kept']['mean'][0]:.1f} ({100 * row['recall']['mean'][0]:.1f})"


def _below(row, signs):
    """Return in how many collections less is kept, and in how many less is found."""
    fewer = [sum(row[what][name][0] < signs[what][name][0] for name in row[what] if name != "mean")
             for what in ("kept", "recall")]  # fmt: skip
    return f"{fewer[0]} ({fewer[1]})"


def _interval(cell):
    return f"{100 * cell[0]:.1f} ({100 * cell[1]:.1f} to {100 * cell[2]:.1f})" if cell else ""


def base_table():
    """What a base adds to a fit on few documents: byte codes, and 2 bits by Hamming distance."""
    rows = results_of("base")
    columns = [("bytes", 11), ("bytes", 23), ("bytes", 47), *(("2", n) for n in (384, 192, 96))]

    def of(cell):
        return cell["level"], cell["bytes"] if cell["level"] == "bytes" else cell["dims"]

    by = ("way", "fitted")
    kept, found = (_averaged(rows, by, of, name) for name in ("retention", "overlap"))
    heads = [f"{n} B" if level == "bytes" else f"{n} dims, Hamming" for level, n in columns]
    lines = [f"| documents | fitted | {' | '.join(heads)} | seconds | fits |",
             f"|--:|---|{'--:|' * (len(columns) + 2)}"]  # fmt: skip
    for way, fitted in dict.fromkeys((row["way"], row["fitted"]) for row in rows):
        some = [row for row in rows if (row["way"], row["fitted"]) == (way, fitted)]
        cells = [f"{kept[way, fitted, c]:.1f} ({found[way, fitted, c]:.1f})" for c in columns]
        seconds = f"{sum(row['seconds'] for row in some) / len(some):.0f}" if fitted else ""
        lines.append(f"| {fitted or ''} | {way} | {' | '.join(cells)} | {seconds} | {len(some)} |")
    return "\n".join(lines) if rows else MISSING.replace("make bench-quality", "bench/base.py")
