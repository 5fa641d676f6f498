"""Tables of docs/trust.md from bench/results/trust.json and mutation.json."""

import json
from pathlib import Path

RESULTS = Path(__file__).parent.parent.parent / "bench" / "results"

__all__ = ["trust_counts", "trust_fuzz", "trust_mutants", "trust_survivors"]


def results(name):
    """Return the results of a file."""
    return json.loads((RESULTS / f"{name}.json").read_text())["results"]


def trust_counts():
    """What was done to the files, and what went wrong."""
    found = results("trust")
    corrupt, fuzz = found["corrupt"], found["fuzz"]
    used = sum(count for name, count in corrupt.items() if name.endswith(" used"))
    watched = [", kernels under sanitizers" * run["sanitized"] for run in (corrupt, fuzz)]
    done = [
        *(row for lists in ("", " with lists") for row in _changed(found, lists)),
        *_changed_documents(found),
        (f"corrupted files{watched[0]}", f"{corrupt['files']:,}",
         f"{corrupt['files'] - used:,} refused, {used:,} used, slowest "
         f"{corrupt['slowest_processor_seconds']} s"),
        (f"seconds of coverage-guided fuzzing{watched[1]}", f"{fuzz['seconds']:,}",
         f"{fuzz['inputs']:,} inputs of {len(fuzz['kinds'])} kinds, findings: {fuzz['findings']}"),
    ]  # fmt: skip
    for name in ("fuzz again", "fuzz of versions 4 and 5"):
        if again := found.get(name):
            kinds, inputs = ", ".join(again["kinds"]), f"{again['inputs']:,} inputs"
            what = name.removeprefix("fuzz ").replace("again", "files of version 3, again")
            done.append((f"seconds of it, {what}, of {kinds}", f"{again['seconds']:,}",
                         f"{inputs}, findings: {again['findings']}"))  # fmt: skip
    lines = ["| what was done | how often | what came of it |", "|---|--:|---|"]
    return "\n".join(lines + [f"| {what} | {often} | {then} |" for what, often, then in done])


def _changed(found, lists):
    """Rows of what was let happen to indexes that change, of those without or with lists."""
    told = ", inverted lists" * bool(lists)
    if run := found.get(f"kills{lists}"):
        yield (f"kill -9 at random moments of a writer{told}", f"{run['kills']:,}",
               f"changes lost or files unreadable: {run['wrong']}")  # fmt: skip
    parts = (
        ("interrupts", "points", "exceptions at every line of every kind of change"),
        ("interrupts of saves", "points", "the same, of all saves again"),
        ("failures", "failures", "calls of the system that fail, of every kind of change"),
        ("power", "states judged", "states that a power cut may leave"),
    )
    for part, counted, what in parts:
        if run := found.get(part + lists):
            wrong = f"memory and files apart, changes lost, files unreadable: {run['wrong']}"
            yield what + told, f"{run[counted]:,}", wrong
    if run := found.get(f"readers{lists}"):
        answers = f"{run['searches']:,} searches, answers of no state: {len(run['wrong'])}"
        readers = f"seconds of {run['readers']} readers beside a writer{told}"
        yield readers, f"{run['seconds']:,.0f}", answers


def _changed_documents(found):
    """Rows of what was let happen to documents that change."""
    for part, counted, what in (
        ("kills", "kills", "kill -9 at random moments of a writer of documents"),
        ("power", "states judged", "states of documents that a power cut may leave"),
    ):
        if run := found.get(f"documents {part}"):
            wrong = f"changes lost, index and database apart: {run['wrong']}"
            yield what, f"{run[counted]:,}", wrong


def trust_fuzz():
    """What was fuzzed: inputs, the branches of Python that they reached, those kept for that."""
    lines = ["| kind of file | seconds | inputs | branches | kept | findings |",
             "|---|--:|--:|--:|--:|--:|"]  # fmt: skip
    for kind, row in results("trust")["fuzz"]["kinds"].items():
        lines.append(
            f"| {kind} | {row['seconds']:,} | {row['inputs']:,} | {row['coverage']:,} | "
            f"{row['corpus']:,} | {row['findings']} |"
        )
    return "\n".join(lines)


def trust_mutants():
    """Mutants by module."""
    found = results("mutation")
    rows = {f"`{name}`": counts for name, counts in found["modules"].items()} | {"all": found}
    lines = ["| module | possible | tested | killed | % |", "|---|--:|--:|--:|--:|"]
    for name, row in rows.items():
        share = f"{100 * row['killed'] / row['tested']:.0f}"
        lines.append(
            f"| {name} | {row['candidates']} | {row['tested']} | {row['killed']} | {share} |"
        )
    return "\n".join(lines)


def trust_survivors():
    """Mutants that no test kills, with the reason why."""
    lines = ["| module, line | was | is | why it lives |", "|---|---|---|---|"]
    for row in results("mutation")["survivors"]:
        was, now = (f"`{row[key]}`".replace("|", "\\|") for key in ("was", "is"))
        lines.append(f"| `{row['module']}` {row['line']} | {was} | {now} | {row['reason']} |")
    return "\n".join(lines)
