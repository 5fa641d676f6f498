"""The targets of docs/quality.md: what was asked, what was measured, whether it was met.

From bench/results/: quality.json, hamming.json, rescoring.json, ablation.json (nesting) and
basics.json (time and memory).
"""

from quality_tables import (
    E5,
    LENGTHS,
    MODEL,
    MPNET,
    NAMES,
    SETTINGS,
    UNSEEN,
    WORDLLAMA,
    best_peer,
    mean,
    measured,
    results_of,
)

__all__ = ["quality_targets"]

LEADS = {  # points above the best peer at 12, 24, 48 and 96 bytes
    (MODEL, "sample"): (10, 8, 5, 2), (MODEL, "transfer"): (8, 6, 4, 2),
    (WORDLLAMA, "sample"): (8, 7, 4, 2), (WORDLLAMA, "transfer"): (6, 6, 3, 1.5),
    (MPNET, "sample"): (8, 7, 4, 2), (MPNET, "transfer"): (6, 6, 3, 1.5),
}  # fmt: skip
ORDERS = ((24, 48), (MODEL, WORDLLAMA, MPNET, E5))  # lengths and models whose nDCG is compared
RATIO = 1.15  # at most, of the errors of unseen rows and of fitted ones
HAMMING = {  # dims and level: nDCG@10 kept in %
    (384, "2"): 97.5, (384, "hybrid"): 96, (384, "1.5"): 96, (384, "1"): 93,
    (192, "2"): 95, (96, "2"): 87,
}  # fmt: skip
RESCORED = (24, "float16", "50", 98.5)  # bytes, what is kept, candidates; the floats' ten in %


def quality_targets():
    """One line a target: asked, measured, and whether it was met."""
    lines = ["| target | asked | measured | verdict |", "|---|--:|--:|---|"]
    lines += [*_leads(), *_orders(), *_errors(), *_hamming(), _rescored(), _nesting(), *_costs()]
    return "\n".join(lines)


def _target(name, asked, value):
    if value is None:
        return f"| {name} | {asked} | | not measured |"
    word = "met" if round(value, 1) >= asked else "missed"
    return f"| {name} | {asked} | {round(value, 1) + 0.0:.1f} | {word} |"


def _at_most(name, asked, value):
    if value is None:
        return f"| {name} | at most {asked} | | not measured |"
    word = "met" if value <= asked else "missed"
    return f"| {name} | at most {asked} | {value:.2f} | {word} |"


def _lead(model, setting, nbytes, figure):
    """Points above the best peer, and its name."""
    ours, peer = (
        measured().get((model, setting, nbytes, "qama")), best_peer(model, setting, nbytes, figure)
    )  # fmt: skip
    return mean(ours, figure) - mean(peer, figure) if ours and peer else None


def _leads():
    for (model, setting), asked in LEADS.items():
        for nbytes, least in zip(LENGTHS, asked, strict=True):
            name = f"{NAMES[model]}, {setting}, {nbytes} B, the floats' ten: points above the best"
            yield _target(f"{name} peer", least, _lead(model, setting, nbytes, "recall"))


def _orders():
    lengths, models = ORDERS
    for model in models:
        for setting in SETTINGS if model in (MODEL, WORDLLAMA) else UNSEEN:
            for nbytes in lengths:
                name = f"{NAMES[model]}, {setting}, {nbytes} B, nDCG@10 kept: points above the best"
                yield _target(f"{name} peer", 0, _lead(model, setting, nbytes, "kept"))


def _errors():
    for nbytes in (24, 48):
        row = measured().get((MODEL, "sample", nbytes, "qama"))
        name = f"{NAMES[MODEL]}, sample, {nbytes} B, error of unseen rows over that of fitted ones"
        yield _at_most(name, RATIO, row and row["unseen"] / row["fitted"])


def _hamming():
    """The better fit at each level: the nested one, or that of all dims."""
    rows = [r for r in results_of("hamming") if r["model"] == MODEL and r["fit"] != "signs"]
    for setting in UNSEEN:
        for (dims, level), asked in HAMMING.items():
            kept = [mean(r, "kept") for r in rows
                    if (r["setting"], r["dims"], r["level"]) == (setting, dims, level)]  # fmt: skip
            name = f"Hamming, {setting}, {dims} dims, level {level}, nDCG@10 kept %"
            yield _target(name, asked, max(kept, default=None))


def _rescored():
    nbytes, keep, candidates, asked = RESCORED
    cells = [[100 * part[candidates] for name, part in row["recall"].items() if name != "all"]
             for row in results_of("rescoring")
             if (row["nbytes"], row["keep"]) == (nbytes, keep)]  # fmt: skip
    found = sum(cells[0]) / len(cells[0]) if cells else None
    name = f"{nbytes} B, {candidates} rescored, the floats' ten found in each collection, %"
    return _target(name, asked, found)


def _nesting():
    """What 23 bytes lose for being chosen in blocks, mean of the ablation's collections."""
    groups = {}
    for row in results_of("ablation"):
        if row["family"] == "bytes":
            kept = next(100 * c["retention"] for c in row["cells"] if c["bytes"] == 23)
            groups.setdefault(row["variant"], []).append(kept)
    alone = groups.get("- nesting: 23 bytes chosen together")
    name = "23 bytes, points of nDCG@10 below the same number chosen together"
    if not alone:
        return _at_most(name, 0.5, None)
    whole = groups["all of it"]
    return _at_most(name, 0.5, sum(alone) / len(alone) - sum(whole) / len(whole))


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
