"""Tables of bench/backup.py, sharded_serving.py, serving.py and newcomer.py."""

import json

from documents_tables import NOTHING
from paper_results import RESULTS

from qama.shown import size

__all__ = ["backup", "newcomer", "serving", "serving_killed", "sharded_serving"]


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


def serving():
    """`qama serve` under load."""
    record = _record("serving")
    if record is None:
        return NOTHING
    rows = [r for r in record["results"] if not r["killed"]]
    heads = ["clients", "writers", "gathered for", "queries a second", "p50 ms", "p99 ms"]
    heads += ["queries a call", "errors", "additions a second"]
    lines = [f"| {' | '.join(heads)} |", "|" + "--:|" * len(heads)]
    for r in rows:
        added = f"{r['written_per_second']:.0f}" if r["writers"] else ""
        numbers = f"{r['per_second']:,.0f}", f"{r['p50_ms']:.1f}", f"{r['p99_ms']:.1f}"
        cells = [f"{r['clients']}", f"{r['writers']}", f"{r['wait_ms']:g} ms", *numbers]
        cells += [f"{r['queries_per_call']:.1f}", f"{r['errors']}", added]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def serving_killed():
    """What a kill under load lost."""
    record = _record("serving")
    if record is None:
        return NOTHING
    killed = [r for r in record["results"] if r["killed"]]
    acknowledged, lost = (sum(r[name] for r in killed) for name in ("acknowledged", "lost"))
    return (
        f"*Killed (SIGKILL) in the middle of that*: of {acknowledged:,} documents whose addition "
        f"was answered {lost} were lost."
    )


def newcomer():
    """The commands of a newcomer, timed."""
    record = _record("newcomer")
    if record is None:
        return NOTHING
    r = record["results"]
    lines = ["| command | s |", "|---|--:|"]
    lines += [f"| `{each['command']}` | {each['seconds']:.1f} |" for each in r["steps"]]
    lines.append(f"| all, {r['rows']:,} vectors of {r['dims']} dims | {60 * r['minutes']:.0f} |")
    return "\n".join(lines)
