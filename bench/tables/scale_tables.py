"""Tables of what lies past one machine's memory, and of engines at a million codes."""

import json

from paper_results import RESULTS

__all__ = ["engines_million", "hundred_million", "planned"]

MISSING = "*Not measured yet.*"


def _found(name):
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text())["results"] if path.exists() else None


def engines_million():
    """Engines at a million real codes: what of the floats' ten they find, and how fast."""
    rows = _found("engines_million")
    if rows is None:
        return MISSING
    lines = [
        "| engine | index | bytes | exact? | of the floats' ten % | ms per query | s to write |",
        "|---|---|--:|---|--:|--:|--:|",
    ]
    for r in rows:
        exact = "" if "exact" not in r else "yes" if r["exact"] else "no"
        lines.append(
            f"| {r['version']} | {r['index'] or 'none'} | {r['nbytes']} | {exact} "
            f"| {100 * r['recall']:.1f} | {r['ms']:.2f} | {r['write_s']:.0f} |"
        )
    return "\n".join(lines)


def hundred_million():
    """A hundred million codes in a mapped file, with all memory and with half of the file."""
    found = _found("hundred_million")
    if found is None:
        return MISSING
    free, half = found["free"], found["half"]
    gb = found["file bytes"] / 1e9
    lines = [
        f"| {found['rows']:,} codes of {found['nbytes']} bytes, {gb:.1f} GB "
        f"| memory for all | memory for half of the file |",
        "|---|--:|--:|",
    ]
    said = {
        "open ms": "opening, ms",
        "cold ms": "the first query, nothing of the file in memory, ms",
        "flat, warm ms": "the next ones, ms",
        "funnel, warm ms": "the next ones, `funnel=True`, ms",
        "flat, ms of 64, each": "each of 64 together, ms",
    }
    for name, what in said.items():
        cells = " | ".join(f"{run[name]:,.0f}" if run else "" for run in (free, half))
        lines.append(f"| {what} | {cells} |")
    for name, what in (("RssAnon", "memory of its own, MB"), ("RssFile", "of the file, MB")):
        cells = " | ".join(f"{run['MB, searched'][name]:,}" if run else "" for run in (free, half))
        lines.append(f"| {what} | {cells} |")
    return "\n".join(lines)


def planned():
    """What a plan says beside what was measured."""
    found = _found("planned")
    if found is None:
        return MISSING
    lines = ["| | planned | measured | ratio |", "|---|--:|--:|--:|"]
    for r in found["compared"]:
        ratio = r["planned"] / r["measured"]
        lines.append(f"| {r['what']} | {r['planned']:.3g} | {r['measured']:.3g} | {ratio:.2f} |")
    return "\n".join(lines)
