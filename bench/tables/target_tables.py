"""The targets of docs/quality.md: what was asked, what was measured, whether it holds.

From bench/results/quality.json, default.json (Hamming distance), ablation.json (nesting) and
basics.json (time and memory).
"""

import json
from collections import defaultdict

from quality_tables import (
    AMONG,
    COLLECTIONS,
    MODEL,
    OTHERS,
    RESULTS,
    gaps,
    means_in_one_setting,
    results_of,
    retentions,
)

__all__ = ["quality_targets"]

KEPT = {  # setting and bytes: retention in %
    ("wide", 12): 76, ("wide", 24): 91, ("wide", 48): 98, ("wide", 96): 99.5,
    ("small", 12): 84, ("small", 24): 95, ("small", 48): 99, ("small", 96): 99.8,
    ("transfer", 48): 95, ("transfer", 96): 98.5,
}  # fmt: skip
BEST = {"FAISS": "FAISS's best method", "all": "the best of all peers"}
LEADS = {  # setting and bytes: points above the best, mean of the collections
    ("wide", 12): 0, ("wide", 24): 2.5, ("wide", 32): 0, ("wide", 48): 2, ("wide", 64): 0,
    ("wide", 96): 0, ("small", 24): 0, ("small", 48): 0, ("transfer", 48): 0, ("transfer", 96): 0,
}  # fmt: skip
ORDERS = (("wide", 24), ("wide", 48), ("small", 24), ("small", 48))  # of the other models
HAMMING = {  # dims and level: retention in %, small
    (384, "2"): 98, (384, "hybrid"): 97.5, (384, "1.5"): 96.5, (384, "1"): 92,
    (192, "2"): 96, (96, "2"): 90, (48, "2"): 75,
}  # fmt: skip


def quality_targets():
    """One line a target: asked, measured, and whether it holds."""
    lines = ["| target | asked | measured | verdict |", "|---|--:|--:|---|"]
    for (setting, nbytes), asked in KEPT.items():
        cells = retentions(setting).get(("qama", nbytes))
        mean = sum(cells.values()) / len(cells) if cells and len(cells) == COLLECTIONS else None
        lines.append(_target(f"{setting}, {nbytes} B, kept %", asked, mean))
    lines += [_above_best(MODEL, *key, a, asked) for a in AMONG for key, asked in LEADS.items()]
    lines += [_above_one(*key, asked) for key, asked in LEADS.items()]
    lines += [_losses(a) for a in AMONG]
    lines += [_above_best(model, *key, a, 0) for model in OTHERS for a in AMONG for key in ORDERS]
    kept = _hamming()
    for (dims, level), asked in HAMMING.items():
        lines.append(_target(f"Hamming, {dims} dims, level {level}, kept %", asked,
                             kept.get((dims, level))))  # fmt: skip
    lines += [_nesting(), *_costs()]
    return "\n".join(lines)


def _target(name, asked, value, reached=None):
    if value is None:
        return f"| {name} | {asked} | | not measured |"
    word = "holds" if (value if reached is None else reached) >= asked else "does not hold"
    return f"| {name} | {asked} | {round(value, 1) + 0.0:.1f} | VERDICT: {word} |"


def _above_best(model, setting, nbytes, among, asked):
    """The lead over the best method of each collection; from 96 bytes on within the interval."""
    of = "" if model == MODEL else f"{OTHERS[model]}: "
    name = f"{of}{setting}, {nbytes} B, points above {BEST[among]}, collection by collection"
    row = gaps(model).get((setting, nbytes, "macro"), {}).get(among)
    if not row or row["collections"] < COLLECTIONS:
        return _target(name, asked, None)
    return _target(name, asked, row["gap"], row["high"] if nbytes >= 96 else None)


def _above_one(setting, nbytes, asked):
    """The lead over the one method in one setting whose mean is highest."""
    means = means_in_one_setting(setting, nbytes)
    ours = next((means.pop(key) for key in list(means) if key[0] == "qama"), None)
    name = f"{setting}, {nbytes} B, points above the best peer in one setting"
    if ours is None or not means:
        return _target(name, asked, None)
    best = max(means, key=means.get)
    return _target(f"{name} ({best[0]})", asked, ours - means[best])


def _losses(among):
    """Collections (wide, 24 and 48 B) where the best peer leads beyond the interval."""
    name = f"wide, 24 and 48 B, collections below {BEST[among]} beyond the interval"
    rows = [
        row[among] for key, row in gaps(MODEL).items()
        if key[0] == "wide" and key[1] in (24, 48) and key[2] != "macro"
    ]  # fmt: skip
    if len(rows) < 2 * COLLECTIONS:
        return f"| {name} | 0 | | not measured |"
    lost = [f"{row['collection']} {row['bytes']} B" for row in rows if row["high"] < 0]
    word = "does not hold: " + ", ".join(lost) if lost else "holds"
    return f"| {name} | 0 | {len(lost)} | VERDICT: {word} |"


def _hamming():
    groups = defaultdict(list)
    for records in json.loads((RESULTS / "default.json").read_text())["results"].values():
        for r in records:
            if (r["method"], r["scorer"]) == ("qama", "hamming"):
                groups[r["dims"], r["level"]].append(100 * r["retention"])
    return {key: sum(values) / len(values) for key, values in groups.items()}


def _nesting():
    """What 23 bytes lose for being chosen in blocks, mean of the ablation's collections."""
    groups = defaultdict(list)
    for row in results_of("ablation"):
        if row["family"] == "bytes":
            kept = next(100 * c["retention"] for c in row["cells"] if c["bytes"] == 23)
            groups[row["variant"]].append(kept)
    alone = groups.get("- nesting: 23 bytes chosen together")
    name = "23 bytes, points below the same number chosen together"
    if not alone:
        return _at_most(name, 0.5, None)
    return _at_most(name, 0.5, sum(alone) / len(alone) - sum(groups["all of it"]) / len(alone))


def _costs():
    """Time and memory, on two cores."""
    found = {row["what"]: row for row in results_of("basics")}
    fit, mapped, encode, weigh = (
        found.get(what)
        for what in (
            "fit 50,000 x 384, default", "fit a mapped file of 1,000,000 x 384, default",
            "encode 1,000,000 x 384, default, 48 bytes", "weigh a query at 48 bytes, default",
        )
    )  # fmt: skip
    return [
        _at_most("fitting 50,000 x 384, seconds", 180, fit and fit["seconds"]),
        _at_most("fitting a mapped million x 384, seconds", 360, mapped and mapped["seconds"]),
        _at_most("fitting 50,000 x 384, peak beyond the input, GiB", 2,
                 fit and (fit["peak_mib"] - 73) / 1024),
        _target("encoding at 48 bytes, documents a second and core", 20_000,
                encode and 1e6 / encode["seconds"] / 2),
        _at_most("weighing a query at 48 bytes, ms", 0.1, weigh and 1e3 * weigh["seconds"]),
    ]  # fmt: skip


def _at_most(name, asked, value):
    if value is None:
        return f"| {name} | at most {asked} | | not measured |"
    word = "holds" if value <= asked else "does not hold"
    return f"| {name} | at most {asked} | {value:.2f} | VERDICT: {word} |"
