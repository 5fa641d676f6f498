"""What the rows of bench/quality.py say together: averages, and gaps to the best peer."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from qama.evaluation.bootstrap import paired_bootstrap

KEY = ("model", "fit", "collection", "method", "scorer", "bytes", "variant", "seed")
NOT_FAISS = ("sign", "PCA+sign")  # with a float query: NumPy's work in peers.py, FAISS has none


def best_variants(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], float]:
    """Retention by (model, fit, method, scorer, bytes, collection): seeds averaged, best variant.

    The best variant is chosen per collection on the test judgements: generous to every method
    that has several.
    """
    by_variant = defaultdict(list)
    for row in rows:
        by_variant[tuple(row[name] for name in KEY[:-1])].append(row["retention"])
    best: dict[tuple[Any, ...], float] = {}
    for (model, fit, collection, method, scorer, nbytes, _), values in by_variant.items():
        key = (model, fit, method, scorer, nbytes, collection)
        best[key] = max(best.get(key, 0.0), float(np.mean(values)))
    return best


def print_averages(rows: list[dict[str, Any]]) -> None:
    """Macro average retention in percent, one table per model and setting."""
    best = best_variants(rows)
    tables = defaultdict(lambda: defaultdict(dict))
    for (model, fit, method, scorer, nbytes, collection), value in best.items():
        tables[model, fit][method, scorer].setdefault(nbytes, {})[collection] = value
    for (model, fit), table in sorted(tables.items()):
        lengths = sorted({nbytes for cells in table.values() for nbytes in cells})
        most = max(len(cell) for cells in table.values() for cell in cells.values())
        print(
            f"{model}, {fit}: retention of nDCG@10 in %, macro average "
            f"(of {most} collections; a number in brackets says fewer)"
        )
        print(f"{'':32s}" + "".join(f"{n:>9d} B" for n in lengths))
        for (method, scorer), cells in sorted(table.items()):
            shown = "".join(_cell(cells.get(n), most) for n in lengths)
            print(f"{method + ', ' + scorer:32s}{shown}")
        print()


def gaps(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Qama against the best peer at equal bytes, in points of retention, paired by query.

    Per collection the best method and variant, chosen on the test judgements, of FAISS and of all
    peers ("among") stand against us; both are means over the seeds that were run. "macro" is the
    mean of the collections, its interval from theirs.
    """
    asymmetric = [row for row in rows if row["scorer"] == "asymmetric"]
    return [
        *_gaps("FAISS", [row for row in asymmetric if row["method"] not in NOT_FAISS]),
        *_gaps("all", asymmetric),
    ]


def _gaps(among: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["model"], row["fit"], row["bytes"], row["collection"]].append(row)
    found = [
        {"among": among}
        | dict(zip(("model", "fit", "bytes", "collection"), key, strict=True))
        | _gap(group)
        for key, group in sorted(groups.items())
        if len({row["method"] == "qama" for row in group}) == 2
    ]
    return [*found, *_macro(found)]


def _gap(group: list[dict[str, Any]]) -> dict[str, Any]:
    by_variant = defaultdict(list)
    for row in group:
        by_variant[row["method"], row["variant"]].append(row)
    kept = {key: float(np.mean([r["retention"] for r in rows])) for key, rows in by_variant.items()}
    ours = next(key for key in kept if key[0] == "qama")
    best = max((key for key in kept if key != ours), key=kept.__getitem__)
    mine, theirs = (
        np.mean([row["per_query"] for row in by_variant[key]], axis=0) for key in (ours, best)
    )
    scale = 100 / group[0]["ndcg_float32"]
    gap = paired_bootstrap(scale * mine, scale * theirs, samples=2_000)
    return {"peer": best[0], "peer_retention": round(kept[best], 5),
            "qama_retention": round(kept[ours], 5),
            "gap": round(gap.estimate, 2), "low": round(gap.low, 2),
            "high": round(gap.high, 2)}  # fmt: skip


def _macro(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in found:
        groups[row["model"], row["fit"], row["bytes"]].append(row)
    rows = []
    for (model, fit, nbytes), parts in groups.items():
        middle = float(np.mean([part["gap"] for part in parts]))
        half = float(np.sqrt(sum((p["high"] - p["low"]) ** 2 for p in parts))) / 2 / len(parts)
        rows.append(
            {"among": parts[0]["among"], "model": model, "fit": fit, "bytes": nbytes,
             "collection": "macro", "peer": "best of each", "collections": len(parts),
             "gap": round(middle, 2), "low": round(middle - half, 2),
             "high": round(middle + half, 2)}
        )  # fmt: skip
    return rows


def print_gaps(found: list[dict[str, Any]]) -> None:
    """One line a gap."""
    for row in found:
        print(
            f"{row['model'][:10]:10s} {row['fit']:8s} {row['bytes']:4d} B {row['collection']:9s} "
            f"{row['gap']:+6.1f} [{row['low']:+.1f}, {row['high']:+.1f}] against {row['peer']} "
            f"of {row['among']}"
        )


def _cell(values: dict[str, float] | None, most: int) -> str:
    if not values:
        return f"{'-':>11s}"
    mark = "" if len(values) == most else f"({len(values)})"
    return f"{100 * np.mean(list(values.values())):.1f}{mark}".rjust(11)
