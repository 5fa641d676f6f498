"""Tables of docs/quality.md about the recipe: each part alone, rows, queries, bases and tokens."""

from collections import defaultdict

from quality_tables import NAMES, missing, results_of

__all__ = [
    "asked_table",
    "base_table",
    "centring",
    "default_ablation_bytes",
    "default_ablation_grid",
    "fit_rows",
    "hamming_unseen",
    "token_codes",
]


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
    return "\n".join(lines) if rows else missing("bench/ablation.py")


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
    return "\n".join(lines) if rows else missing("bench/asked.py")


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
    return "\n".join(lines) if rows else missing("bench/fit_rows.py")


def token_codes():
    """Late interaction by codes of tokens: bytes a token, the floats' ten, nDCG@10."""
    rows = results_of("token_codes")
    lines = ["| tokens as | bytes a token | of the floats' ten | nDCG@10 |", "|---|--:|--:|--:|"]
    for row in rows:
        size = "" if row["method"].startswith("one vector") else row["bytes"]
        found = f"{100 * row['recall']:.1f} | {row['ndcg']:.3f}"
        lines.append(f"| {row['method']} | {size} | {found} |")
    return "\n".join(lines) if rows else missing("bench/token_codes.py")


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
    return "\n".join(lines) if rows else missing("bench/hamming.py")


def _kept_and_found(row):
    if row is None:
        return ""
    return f"{100 * row['kept']['mean'][0]:.1f} ({100 * row['recall']['mean'][0]:.1f})"


def _below(row, signs):
    """Return in how many collections less is kept, and in how many less is found."""
    fewer = [sum(row[what][name][0] < signs[what][name][0] for name in row[what] if name != "mean")
             for what in ("kept", "recall")]  # fmt: skip
    return f"{fewer[0]} ({fewer[1]})"


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
    return "\n".join(lines) if rows else missing("bench/base.py")


def centring():
    """What centring and whitening do to the floats' own nDCG@10, in % of it; means."""
    rows = results_of("centring")
    ways = list(dict.fromkeys(row["way"] for row in rows if row["way"] != "as they are"))
    plain = {(r["model"], r["collection"]): r["ndcg"] for r in rows if r["way"] == "as they are"}
    lines = [f"| model | length of the mean | {' | '.join(ways)} |",
             f"|---|--:|{'--:|' * len(ways)}"]  # fmt: skip
    for model in dict.fromkeys(row["model"] for row in rows):
        of = [row for row in rows if row["model"] == model]
        kept = {way: [100 * r["ndcg"] / plain[model, r["collection"]] for r in of
                      if r["way"] == way] for way in ways}  # fmt: skip
        lengths = sorted({row["mean"] for row in of})
        cells = [f"{sum(shares) / len(shares):.1f}" for shares in kept.values()]
        spread = f"{lengths[0]:.2f} to {lengths[-1]:.2f}"
        lines.append(f"| {NAMES[model]} | {spread} | {' | '.join(cells)} |")
    return "\n".join(lines) if rows else missing("bench/centring.py")
