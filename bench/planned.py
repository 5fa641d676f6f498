"""The arithmetic of `qama plan` beside what was measured: bench/results/planned.json.

    python bench/planned.py

Constants are measured anew, as `qama plan` does it, in some seconds. The times and sizes that they
should explain are those of bench/latency.py (a million vectors), bench/ten_million.py and
bench/hundred_million.py.
"""

import json
from dataclasses import asdict
from pathlib import Path

from _record import write_record

from qama.machine import planning, rates

RESULTS = Path(__file__).parent / "results"
DIMS, NBYTES = 256, 48


def found(name):
    return json.loads((RESULTS / f"{name}.json").read_text())["results"]


def pairs(constants):
    """Yield what is looked at, what is planned, and what was measured."""
    each = constants.scan_ns / 1e6
    (million,) = (
        row for row in found("latency")
        if row["vectors"] == "docs" and row["rows"] >= 1_000_000
        and (row["engine"], row["setting"]) == ("qama", f"{NBYTES} B")
    )  # fmt: skip
    rows = million["rows"]
    alone = constants.query_ms + rows * each
    yield f"{rows:,} vectors, flat: one query, one thread, ms", alone, million["ms of 1"]
    batch = constants.query_ms + rows * constants.batch_ns / 1e6
    yield f"{rows:,} vectors, flat: each of 64, one thread, ms", batch, million["ms of 64"]
    ten = found("ten_million")
    rows, (probed,) = ten["rows"], (r for r in ten["lists read"] if r["read"] == planning.NPROBE)
    asked = f"{rows:,} vectors, {ten['lists']:,} lists, {planning.NPROBE} read"
    yield f"{asked}: one query, ms", planning.core_ms(rows, constants), probed["ms"]
    alone = constants.query_ms + rows * each
    yield f"{rows:,} vectors, flat: one query, one thread, ms", alone, ten["flat_ms"]
    hundred = found("hundred_million")
    rows, free = hundred["rows"], hundred["free"]
    alone = constants.query_ms + rows * constants.all_ns / 1e6
    yield f"{rows:,} vectors, flat: one query, all cores, ms", alone, free["flat, warm ms"]
    share = constants.query_ms + rows * constants.batch_ns / 1e6 / constants.cores
    yield f"{rows:,} vectors, flat: each of 64, all cores, ms", share, free["flat, ms of 64, each"]
    asked = planning.Asked(rows, 1, None, 2**40, constants.cores)
    size = rows * (NBYTES + 8)  # codes and ids, as a plan of flat codes counts
    yield f"{rows:,} vectors, flat: file, GB", size / 1e9, hundred["file bytes"] / 1e9
    memory = (planning.memory(asked, constants) - 8 * rows) / 1e9  # without lists
    yield f"{rows:,} vectors, flat: memory, GB", memory, sum(free["MB, searched"].values()) / 1e3


def main():
    constants = rates.measured(DIMS, NBYTES)
    compared = [
        {"what": what, "planned": planned, "measured": measured}
        for what, planned, measured in pairs(constants)
    ]
    for row in compared:
        print(f"{row['what']}: {row['planned']:.4g} planned, {row['measured']:.4g} measured")
    write_record(RESULTS / "planned.json", {"rates": asdict(constants), "compared": compared})


if __name__ == "__main__":
    main()
