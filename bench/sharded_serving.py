"""Shards behind Ray Serve while a replica is killed and a file replaced: sharded_serving.json.

    python bench/sharded_serving.py               # 200,000 vectors, four shards, 32 clients

Four shards, the first with two replicas. 32 clients ask one query at a time, first while nothing
happens, then while a replica of the first shard is killed (SIGKILL) in the middle, then while the
file of the second one is replaced by a copy. Every answer is compared with that of one index, to
the bit; queries that fail, differ or are partial are counted. Ray, its processes and the clients
share the cores of the machine, so that latencies are those of that.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from _record import write_record

import qama
from qama.distributed import serving

RESULTS = Path(__file__).parent / "results" / "sharded_serving.json"
SHARDS, CLIENTS, DIMS, NBYTES, QUERIES, K = 4, 32, 384, 48, 128, 10


def make_index(rows):
    random = np.random.default_rng(0)
    codec = qama.fit(random.standard_normal((5000, DIMS), dtype=np.float32), max_bytes=NBYTES)
    index = qama.Index(codec, nbytes=NBYTES)
    index.add_codes(random.integers(0, 256, (rows, index.code_size), dtype=np.uint8))
    return index, random.standard_normal((QUERIES, DIMS), dtype=np.float32)


class Load:
    """Clients that ask for a time, and what became of their queries."""

    def __init__(self, served, queries, wanted):
        self.served, self.queries, self.wanted = served, queries, wanted

    def run(self, seconds, event=None):
        """Ask for so many seconds; an event happens in the middle. Returns a row of results."""
        seconds_of, failed, self.until = [], [], time.monotonic() + seconds
        work = [
            threading.Thread(target=self._ask, args=(i, seconds_of, failed)) for i in range(CLIENTS)
        ]
        for thread in work:
            thread.start()
        took = None
        if event is not None:
            time.sleep(seconds / 2)
            began = time.perf_counter()
            event()
            took = time.perf_counter() - began
        for thread in work:
            thread.join()
        if not seconds_of:
            raise SystemExit(f"no query was answered as one index answers it: {sorted({*failed})}")
        p50, p99, most = np.percentile(seconds_of, [50, 99, 100]) * 1000
        return {
            "queries": len(seconds_of) + len(failed), "failed": len(failed),
            "failures": sorted({*failed}), "per_second": len(seconds_of) / seconds,
            "p50_ms": p50, "p99_ms": p99, "most_ms": most, "event_seconds": took,
        }  # fmt: skip

    def _ask(self, number, seconds_of, failed):
        while time.monotonic() < self.until:
            row = number % QUERIES
            began = time.perf_counter()
            try:
                found = self.served.search(self.queries[row : row + 1], K)
                if found.partial:
                    failed.append("partial")
                elif not (
                    np.array_equal(found.ids[0], self.wanted.ids[row])
                    and np.array_equal(found.scores[0], self.wanted.scores[row])
                ):
                    failed.append("other ids or scores than one index")
                else:
                    seconds_of.append(time.perf_counter() - began)
            except Exception as error:
                failed.append(f"{type(error).__name__}: {error}"[:200])
            number += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    # Ray gives its processes a lower priority than these clients have, which share the cores
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    index, queries = make_index(given.rows)
    wanted = index.search(queries, K)
    ray.init(
        "local", num_cpus=8, include_dashboard=False, log_to_driver=False, object_store_memory=10**8
    )
    with tempfile.TemporaryDirectory() as folder:
        shards = qama.shard(index, Path(folder) / "parts", SHARDS)
        served = serving.serve_shards(
            shards.paths, replicas=[2, 1, 1, 1], cpus=0.1, timeout_s=30
        )  # fmt: skip
        other = Path(folder) / "other.qama"
        shutil.copy(shards.paths[1], other)
        load = Load(served, queries, wanted)
        load.run(5)  # nothing is cold any more

        def killed():
            os.kill(served.about(0)["process"], signal.SIGKILL)

        rows = {
            "nothing": load.run(given.seconds),
            "a replica is killed": load.run(given.seconds, killed),
            "after it": load.run(given.seconds),
            "a file is replaced": load.run(
                2 * given.seconds, lambda: served.replace(1, other)
            ),
        }  # fmt: skip
        served.close()
    ray.shutdown()
    result = [{"happens": name, **row} for name, row in rows.items()]
    more = {"rows": given.rows, "shards": SHARDS, "clients": CLIENTS, "seconds": given.seconds}
    write_record(given.output, result, **more)
    for row in result:
        print(row)
    if any(row["failed"] for row in result):
        raise SystemExit("a query failed")


if __name__ == "__main__":
    main()
