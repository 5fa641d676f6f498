"""Tables of bench/documents.py, documents_peers.py, rescoring.py, sql_tables.py and finetune.py."""

from paper_results import rows

__all__ = [
    "documents",
    "documents_peers",
    "documents_targets",
    "finetune",
    "rescoring",
    "sql_tables",
]

NOTHING = "*Not measured yet.*"


def _lines(heads, cells):
    """A table whose first column is of words, the others of numbers."""
    lines = [f"| {' | '.join(heads)} |", "|---|" + "--:|" * (len(heads) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in cells)])


def documents():
    """Documents beside codes alone, with the words of texts and without."""
    found = rows("documents")
    if not found:
        return NOTHING
    heads = [f"{found[0]['documents']:,} documents, {found[0]['threads'] or 'all'} threads"]
    heads += ["with full text" if row["fulltext"] else "without" for row in found]
    kinds = {
        "bytes of a document on disk": "bytes_per_document",
        "encoding the first 100,000, s": "encode_100k_s",
        "adding them, s": "add_100k_s",
        "`create_index`, s": "create_index_s",
        "`open`, s": "open_s",
        "`Index.search`, codes alone, ms": "index_ms",
        "`Documents.search`, ms": "search_ms",
        "a filter that 1 % pass, another each time, ms": "filter_ms",
        "the same filter again, ms": "filter_again_ms",
        "three or four words, ms": "words_ms",
    }
    return _lines(
        heads,
        [
            [said, *(f"{r[key]:.3g}" if key in r else "" for r in found)]
            for said, key in kinds.items()
        ],
    )


def documents_targets():
    """What documents were asked to reach beside codes alone, with full text and without."""
    found = rows("documents")
    if not found:
        return NOTHING
    asked = {
        "`Documents.search` - 1.2 `Index.search`, ms": (
            0.3, lambda r: r["search_ms"] - 1.2 * r["index_ms"]
        ),
        "a filter that 1 % pass, times no filter": (1, lambda r: r["filter_ms"] / r["search_ms"]),
        "the same filter again, times no filter": (
            1, lambda r: r["filter_again_ms"] / r["search_ms"]
        ),
        "adding, times encoding alone": (2, lambda r: r["add_100k_s"] / r["encode_100k_s"]),
        "opening, s": (1, lambda r: r["open_s"]),
    }  # fmt: skip
    cells = []
    for what, (most, of) in asked.items():
        values = [of(row) for row in found]
        verdict = "met" if max(values) <= most else "missed"
        cells.append([what, f"<= {most}", *(f"{value:.2f}" for value in values), verdict])
    heads = ["target", "asked", *("with full text" if r["fulltext"] else "without" for r in found)]
    return _lines([*heads, ""], cells)


def documents_peers():
    """The same documents in stores of others."""
    found = rows("documents_peers")
    if not found:
        return NOTHING
    heads = [f"{found[0]['documents']:,} documents", "bytes of one", "add, s", "search, ms"]
    heads += ["filter of 1 %, ms", "of the nearest ten %", "filtered %"]
    cells = [
        [row["store"], f"{row['bytes_per_document']:,.0f}", f"{row['add_s']:.1f}",
         f"{row['search_ms']:.2f}", f"{row['filter_ms']:.2f}", f"{100 * row['recall']:.1f}",
         f"{100 * row['recall_filtered']:.1f}"]
        for row in found
    ]  # fmt: skip
    return _lines(heads, cells)


def rescoring():
    """Recall of the floats' ten and ms a query, by candidates."""
    found = rows("rescoring")
    if not found:
        return NOTHING
    counts = list(found[0]["recall"]["all"])
    named = ["codes alone" if count == "0" else f"{count} rescored" for count in counts]
    heads = ["bytes, kept", *(f"recall, {name}" for name in named), "ms, warm", "ms, cold"]
    cells = [
        [f"{row['nbytes']}, {row['keep']}", *(f"{row['recall']['all'][c]:.3f}" for c in counts),
         *(" / ".join(f"{row[how][c]['ms']:.2f}" for c in counts) for how in ("warm", "cold"))]
        for row in found
    ]  # fmt: skip
    return _lines(heads, cells)


def sql_tables():
    """Byte codes scored here and in SQL."""
    found = rows("sql_tables")
    if not found:
        return NOTHING
    cells = [
        [
            row["version"],
            f"{row['candidates']:,}",
            f"{row['client_ms']:.1f}",
            f"{row['sql_ms']:.1f}",
        ]
        for row in found
    ]
    return _lines(
        ["engine", "candidates", "fetched and scored here, ms", "scored in SQL, ms"], cells
    )


def finetune():
    """A model as it was, and tuned in two ways."""
    found = rows("finetune")
    if not found:
        return NOTHING
    before, *tuned = found
    said = {"contrastive": "tuned, contrastive alone", "qama": "tuned, QAMA's losses"}
    heads = ["mean nDCG@10", before, *(said[name] for name in tuned)]
    cells = []
    for kind, row in found[before].items():
        cells.append([kind, f"{row['mean']:.4f}"])
        for name in tuned:
            gain, low, high = found[name][kind]["gain"]
            cells[-1].append(f"{gain:+.4f} ({low:+.4f} to {high:+.4f})")
    return _lines(heads, cells)
