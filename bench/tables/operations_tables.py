"""Tables of bench/backup.py and sharded_serving.py."""

import json

from documents_tables import NOTHING
from paper_results import RESULTS

from qama.shown import size

__all__ = ["backup", "sharded_serving"]


def _record(name):
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def backup():
    """Backups and a replica beside a writer."""
    record = _record("backup")
    if record is None:
        return NOTHING
    r = record["results"]
    index = f"{r['rows']:,} vectors, {size(r['index_bytes'])}"
    cells = {
        f"{index}; {r['seconds']:.0f} s of changes, each on the disk": "",
        "changes, a second": f"{r['steps_per_second']:.0f}",
        "compactions": r["compactions"],
        "backups": r["backups"],
        "of them states that were, and none older": r["states_that_were"],
        "of them whole by `qama verify`": r["whole"],
        "the first one": f"{size(r['first']['bytes'])} in {r['first']['seconds']:.2f} s",
        "later ones, median (most)": _spread(r, "later"),
        "times the replica was brought up to date": r["replications"],
        "of these states that were, and none older": r["replicas_that_were"],
        "each, median (most)": _spread(r, "replica"),
    }
    lines = [f"| {said} | {value} |" for said, value in cells.items()]
    return "\n".join([lines[0], "|---|--:|", *lines[1:]])


def _spread(r, name):
    count, took = r[f"{name}_bytes"], r[f"{name}_seconds"]
    return (
        f"{size(count['median'])} in {took['median']:.2f} s ({size(count['most'])}, "
        f"{took['most']:.2f} s)"
    )


def sharded_serving():
    """Shards behind Ray Serve under load."""
    record = _record("sharded_serving")
    if record is None:
        return NOTHING
    heads = ["what happens", "queries", "failed, partial or other answers", "a second"]
    heads += ["p50 ms", "p99 ms", "slowest ms"]
    lines = [f"| {' | '.join(heads)} |", "|---|" + "--:|" * (len(heads) - 1)]
    for r in record["results"]:
        numbers = r["per_second"], r["p50_ms"], r["p99_ms"], r["most_ms"]
        cells = r["happens"], f"{r['queries']:,}", str(r["failed"]), *(f"{v:.0f}" for v in numbers)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
