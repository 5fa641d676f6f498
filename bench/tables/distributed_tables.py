"""Table of bench/distributed.py."""

import json

from paper_results import RESULTS

__all__ = ["distributed"]

SAID = {
    "one process": "one process, one thread",
    "cluster": "four nodes",
    "a node killed": "four nodes, one of them killed in the middle",
    "the driver killed": "four nodes, the process that asked killed in the middle, started again",
}


def distributed():
    """A folder encoded in four ways: time, and what was wrong with it."""
    path = RESULTS / "distributed.json"
    if not path.exists():
        return "*Not measured yet.*"
    record = json.loads(path.read_text())
    lines = ["| | s | rows per second | files written twice | checksums |", "|---|--:|--:|--:|---|"]
    for name, said in SAID.items():
        row = record["results"][name]
        sums = "equal" if row["equal"] else "**differ**"
        rate = f"{row['rows'] / row['seconds']:,.0f}"
        lines.append(f"| {said} | {row['seconds']:.0f} | {rate} | {row['twice']} | {sums} |")
    again = record["results"]["again, all done"]["seconds"]
    return "\n".join([*lines, f"| the same again, all files done | {again:.1f} | | 0 | equal |"])
