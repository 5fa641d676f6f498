"""Tables of bench/latency.py, lists.py, codewords.py, overhead.py and wide.py."""

import json
from pathlib import Path

__all__ = [
    "codewords",
    "latency",
    "latency_large",
    "latency_small",
    "latency_targets",
    "lists",
    "nearest_lists",
    "overhead",
    "ten_million",
    "wide_costs",
    "wide_errors",
]

RESULTS = Path(__file__).parent.parent / "results"


def _results(name):
    return json.loads((RESULTS / f"{name}.json").read_text())["results"]


def _lines(heads, rows):
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * 2 + "|--:" * (len(heads) - 2) + "|"
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"


def _row(row):
    return (
        row["engine"], row["setting"], f"{row['bytes']:g}", f"{row['recall']:.3f}",
        f"{row['ms of 1']:.3f}", f"{row['ms of 64']:.3f}",
    )  # fmt: skip


HEADS = ("engine", "setting", "bytes a row", "recall@10", "ms, one query", "ms, of 64")


SOURCES = {
    "docs": "documentation, WordLlama", "minilm": "passages, MiniLM", "wide768": "made 768 d wide",
    "wide1536": "made 1,536 d wide",
}  # fmt: skip


def _sizes(least):
    """The sources and numbers of rows that were measured, from so many rows on or below."""
    found = dict.fromkeys((r["vectors"], r["dims"], r["rows"]) for r in _results("latency"))
    return [size for size in found if (size[2] >= 50_000) == least]


def latency():
    """Every engine over the largest number of rows."""
    vectors, dims, count = max(_sizes(True), key=lambda size: size[2])
    rows = [r for r in _results("latency") if (r["vectors"], r["rows"]) == (vectors, count)]
    heads = (f"{count:,} rows, {dims} d", *HEADS[1:])
    return "\n".join(_lines(heads, [_row(row) for row in rows]))


def latency_large():
    """Every engine over the other numbers of rows from 50,000 on."""
    biggest = max(size[2] for size in _sizes(True))
    tables = []
    for vectors, dims, count in _sizes(True):
        if count < biggest:
            rows = [r for r in _results("latency") if (r["vectors"], r["rows"]) == (vectors, count)]
            heads = (f"{count:,} rows, {dims} d", *HEADS[1:])
            tables.append("\n".join(_lines(heads, [_row(row) for row in rows])))
    return "\n\n".join(tables)


def latency_small():
    """The engines over few vectors, where no lists are needed."""
    small = [
        (f"{r['rows']:,}, {r['dims']:,} d", *_row(r))
        for r in _results("latency")
        if (r["vectors"], r["dims"], r["rows"]) in _sizes(False)
    ]
    return "\n".join(_lines(("rows", *HEADS), small))


def latency_plot(path):
    """Recall of float's ten against milliseconds, one query and batches, of each large size."""
    from matplotlib import pyplot

    sizes, drawn = _sizes(True), {}
    names = list(dict.fromkeys(map(_name, _results("latency"))))
    figure, grid = pyplot.subplots(
        len(sizes), 2, figsize=(9, 3.4 * len(sizes)), squeeze=False, sharey="row"
    )
    for (vectors, dims, count), line in zip(sizes, grid, strict=True):
        rows = [r for r in _results("latency") if (r["vectors"], r["rows"]) == (vectors, count)]
        for axes, batch in zip(line, (1, 64), strict=True):
            drawn |= _curves(axes, rows, f"ms of {batch}", names)
            axes.set_title(f"{SOURCES[vectors]}: {count:,} x {dims}", fontsize=9)
            axes.set_xlabel("ms, one query" if batch == 1 else f"ms a query, in batches of {batch}")
        line[0].set_ylabel("of float's ten")
    shown = [name for name in names if name in drawn]
    figure.legend(
        [drawn[name] for name in shown], shown, loc="outside lower center", ncols=4, fontsize=7
    )
    figure.set_layout_engine("constrained")
    figure.savefig(path)
    pyplot.close(figure)


def _name(row):
    """What a curve is called: an engine, of qama with the length of its codes."""
    ours = row["engine"].startswith("qama")
    return f"{row['engine']}, {row['setting'].partition(',')[0]}" if ours else row["engine"]


def _curves(axes, rows, time, names):
    """Draw one line for each engine, each as in every other picture; return them by name."""
    from matplotlib import colormaps

    points, lines = {}, {}
    for row in rows:
        if row["bytes"] != 4 * row["dims"]:  # float32 itself is far to the right
            points.setdefault(_name(row), []).append((row[time], row["recall"]))
    for name, found in points.items():
        ours, number = name.startswith("qama"), names.index(name)
        lines[name] = axes.plot(
            *zip(*sorted(found), strict=True), marker="o" if ours else "x", markersize=3,
            linewidth=2 if ours else 1, color=colormaps["tab20"](number % 20),
            linestyle="-" if ours else "--",
        )[0]  # fmt: skip
    axes.set_xscale("log")
    axes.grid(alpha=0.3)
    return lines


def lists():
    """k-means centroids beside leading codewords as lists."""
    heads = ("lists", "read", "rows read", "of the ten best of all codes %")
    rows = [
        (r["lists"], r["read"], f"{r['rows']:,}", f"{100 * r['found']:.1f}")
        for r in _results("lists")
    ]
    return "\n".join(_lines(heads, rows))


def nearest_lists():
    """Milliseconds in which one query finds its nearest lists, beside multiplying all."""
    heads = ("lists of 256 dims", "read", "all multiplied, ms", "qama, ms")
    rows = [
        (f"{r['lists']:,}", r["read"], f"{r['all']:.3f}", f"{r['few']:.3f}")
        for r in _results("nearest_lists")
    ]
    return "\n".join(_lines(heads, rows))


def ten_million():
    """Ten million rows in lists: recall of the flat result against milliseconds."""
    found = _results("ten_million")
    heads = (f"{found['rows']:,} rows, {found['lists']:,} lists, read", "of flat's ten %", "ms")
    rows = [
        (f"{r['read']}", f"{100 * r['recall of flat']:.1f}", f"{r['ms']:.2f}")
        for r in found["lists read"]
    ]
    return "\n".join(_lines(heads, [*rows, ("all (flat)", "100.0", f"{found['flat_ms']:.1f}")]))


def latency_targets():
    """What one query, lists and wide vectors were asked to reach, and what they reached."""
    lines = ["| target | asked | measured | verdict |", "|---|--:|--:|---|"]
    for source, count in (("docs", 1000), ("docs", 10_000), ("docs", 100_000)):
        one = _engine(source, count, "qama", "48 B")["ms of 1"]
        peer, asked = ("FAISS float32", 1.5) if count == 1000 else ("FAISS PQ fast-scan", 1)
        other = _engine(source, count, peer)["ms of 1"]
        what = f"one query, {count:,} rows, 48 B, times {peer}"
        lines.append(_at_most(what, asked, one / other))
    lines += [line for batch in (1, 64) for line in _against_lists(batch)]
    for count in (1000, 10_000, 100_000, 1_000_000):
        for batch in (1, 64):
            ours, narrow = (
                _engine("docs", count, name, "48 B")[f"ms of {batch}"]
                for name in ("qama", "qama, AVX2")
            )
            what = f"AVX2, {count:,} rows, 48 B, {_asked(batch)}, times AVX-512"
            lines.append(_at_most(what, 2, narrow / ours))
    lines.append(
        _at_most("query made ready, 384 d, ms", 0.025, _results("codewords")[1]["ms of 1"])
    )
    for row in _results("wide"):
        lines.append(_at_most(f"query made ready, {row['dims']:,} d, ms", 0.08, row["query_ms"]))
    for row, asked in zip(_results("wide"), (180, 120), strict=True):
        what = f"fit of {row['rows']:,} x {row['dims']:,}, s"
        lines.append(_at_most(what, asked, row["fit_seconds"]))
        lines.append(_at_most(f"its codec, MB, {row['dims']:,} d", 8, row["codec_mb"]))
        lines.append(
            _at_most(f"its memory beyond the vectors, MB, {row['dims']:,} d", 1500, row["fit_mb"])
        )
    million = min(
        r["ms"] for r in _results("ten_million")["lists read"] if r["recall of flat"] >= 0.9
    )
    lines.append(
        _at_most("ten million rows, one query at recall .9 of the flat result, ms", 1, million)
    )
    least = min(row["python"] for row in _results("overhead"))
    lines.append(_at_most("Python around a search, the least line, µs", 20, least))
    return "\n".join(lines)


def _against_lists(batch):
    """Yield how lists stand beside those of peers, at no more bytes a row and no less recall."""
    time = f"ms of {batch}"
    for count in (100_000, 1_000_000):
        rows = [r for r in _results("latency") if (r["vectors"], r["rows"]) == ("docs", count)]
        ours = [r for r in rows if r["engine"].startswith("qama") and "AVX2" not in r["engine"]]
        for peer in (
            "FAISS IVF PQ fast-scan",
            "FAISS IVF RaBitQ fast-scan",
            "ScaNN",
            "RaBitQ library, 1 bit",
        ):
            ratios = []
            for row in rows:
                if row["engine"] == peer and row["recall"] >= 0.6:
                    fit = [
                        r[time] for r in ours
                        if r["bytes"] <= row["bytes"] + 1 and r["recall"] >= row["recall"]
                    ]  # fmt: skip
                    ratios.append(min(fit) / row[time] if fit else float("inf"))
            if ratios:
                what = (
                    f"lists, {count:,} rows, {_asked(batch)}, times {peer} at its bytes and recall"
                )
                yield _at_most(f"{what}, best of its points", 1, min(ratios))
                yield _at_most(f"{what}, worst", 1, max(ratios))


def _asked(batch):
    return "one query" if batch == 1 else f"batches of {batch}"


def _engine(source, count, engine, setting=""):
    (row,) = (
        r for r in _results("latency")
        if (r["vectors"], r["rows"], r["engine"], r["setting"]) == (source, count, engine, setting)
    )  # fmt: skip
    return row


def _at_most(what, asked, value):
    shown = "none is so small" if value == float("inf") else f"{value:.3g}"
    return f"| {what} | <= {asked:,} | {shown} | {'met' if value <= asked else 'missed'} |"


def codewords():
    """Codewords of 16 bits and of 4, one line a measure."""
    wide, narrow = _results("codewords")
    names = [name for name in wide if name not in ("bits", "rows")]
    rows = [(name, f"{wide[name]:.4g}", f"{narrow[name]:.4g}") for name in names]
    return "\n".join(_lines((f"{wide['rows']:,} rows fitted", "16 bits", "4 bits"), rows))


def overhead():
    """Microseconds of one search, within the kernels and outside."""
    rows = [
        (f"{r['rows']:,}", r["nlist"] or "none", r["search"], r["native"], r["python"])
        for r in _results("overhead")
    ]
    return "\n".join(_lines(("rows", "lists", "µs a search", "in kernels", "outside"), rows))


def wide_costs():
    """What codecs of wide vectors cost."""
    heads = ("dims", "rows fitted", "axes", "fit s", "CPU s", "MB beyond the vectors", "codec MB",
             "vectors/s and core", "ms, tables of a query")  # fmt: skip
    names = ("axes", "fit_seconds", "fit_cpu", "fit_mb", "codec_mb", "encode", "query_ms")
    rows = [
        (f"{r['dims']:,}", f"{r['rows']:,}", *(f"{r[name]:,}" for name in names))
        for r in _results("wide")
    ]
    return "\n".join(_lines(heads, rows))


def wide_errors():
    """Squared error over variance, of fitted and of other rows, by bytes."""
    found = _results("wide")
    lengths = list(found[0]["unseen"])
    heads = ("dims", "rows", *(f"{nbytes} B" for nbytes in lengths), "outside of the axes")
    rows = [
        (f"{r['dims']:,}", name, *(r[name][nbytes] for nbytes in lengths), outside)
        for r in found
        for name, outside in (("fitted", ""), ("unseen", r["outside"]))
    ]
    return "\n".join(_lines(heads, rows))
