"""Tables of bench/latency.py, codewords.py, overhead.py and wide.py."""

import json
from pathlib import Path

__all__ = ["codewords", "latency", "latency_small", "overhead", "wide_costs", "wide_errors"]

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


def latency():
    """Every engine over all vectors that were at hand."""
    rows = _results("latency")
    most = max(row["rows"] for row in rows)
    heads = (f"{most:,} rows", *HEADS[1:])
    return "\n".join(_lines(heads, [_row(row) for row in rows if row["rows"] == most]))


def latency_small():
    """The engines without lists, over fewer vectors."""
    rows = _results("latency")
    most = max(row["rows"] for row in rows)
    small = [(f"{r['rows']:,}", *_row(r)) for r in rows if r["rows"] < most]
    return "\n".join(_lines(("rows", *HEADS), small))


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
