"""The targets of docs/quality.md: what was asked, what was measured, whether it holds.

From bench/results/quality.json, default.json (Hamming distance), ablation.json (nesting) and
basics.json (time and memory).
"""

import json
from collections import defaultdict

from quality_tables import (
    COLLECTIONS,
    MODEL,
    OTHERS,
    RESULTS,
    means_in_one_setting,
    measured,
    results_of,
    retentions,
)

__all__ = ["quality_targets"]

KEPT = {  # setting and bytes: retention in %
    ("wide", 12): 76, ("wide", 24): 91, ("wide", 48): 98, ("wide", 96): 99.5,
    ("small", 12): 84, ("small", 24): 95, ("small", 48): 99, ("small", 96): 99.8,
    ("transfer", 48): 95, ("transfer", 96): 98.5,
}  # fmt: skip
LEADS = {  # setting and bytes: points above the best peer, mean of the collections
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
    gaps = {
        (row["fit"], row["bytes"]): row
        for row in measured()["gaps"]
        if row["model"] == MODEL and row["collection"] == "macro"
    }
    for key, asked in LEADS.items():
        row = gaps.get(key)
        whole = row and row["collections"] == COLLECTIONS
        # from 96 bytes on: not below within the interval
        reached = (row["high"] if key[1] >= 96 else row["gap"]) if whole else None
        name = f"{key[0]}, {key[1]} B, points above the best peer of each collection"
        lines.append(_target(name, asked, row["gap"] if whole else None, reached))
    lines += [_above_means(*key, asked) for key, asked in LEADS.items()]
    lines += [_above_one(*key, asked) for key, asked in LEADS.items()]
    lines.append(_losses())
    lines += [_order(model, setting, nbytes) for model in OTHERS for setting, nbytes in ORDERS]
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


def _order(model, setting, nbytes):
    """Whether qama leads with another model as well."""
    name = f"{OTHERS[model]}: {setting}, {nbytes} B, points above the best peer of each collection"
    row = next(
        (
            row for row in measured()["gaps"]
            if (row["model"], row["fit"], row["bytes"], row["collection"])
            == (model, setting, nbytes, "macro")
        ),
        None,
    )  # fmt: skip
    if row and row["collections"] < COLLECTIONS:
        name += f" (of {row['collections']} collections)"
    return _target(name, 0, row and row["gap"])


def _above_means(setting, nbytes, asked):
    """The lead over the one method whose mean, at its best variants, is highest."""
    means = {
        method: sum(cells.values()) / len(cells)
        for (method, n), cells in retentions(setting).items()
        if n == nbytes and len(cells) == COLLECTIONS
    }
    ours = means.pop("qama", None)
    name = f"{setting}, {nbytes} B, points above the best peer's mean"
    if ours is None or not means:
        return _target(name, asked, None)
    best = max(means, key=means.get)
    return _target(f"{name} ({best})", asked, ours - means[best])


def _above_one(setting, nbytes, asked):
    """The lead over the one method in one setting whose mean is highest."""
    means = means_in_one_setting(setting, nbytes)
    ours = next((means.pop(key) for key in list(means) if key[0] == "qama"), None)
    name = f"{setting}, {nbytes} B, points above the best peer in one setting"
    if ours is None or not means:
        return _target(name, asked, None)
    best = max(means, key=means.get)
    return _target(f"{name} ({best[0]})", asked, ours - means[best])


def _losses():
    """Collections (wide, 24 and 48 B) where the best peer leads beyond the interval."""
    name = "wide, 24 and 48 B, collections below the best peer beyond the interval"
    rows = [
        row for row in measured()["gaps"]
        if (row["model"], row["fit"]) == (MODEL, "wide") and row["bytes"] in (24, 48)
        and row["collection"] != "macro"
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
