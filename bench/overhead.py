"""What one search spends outside the kernels: bench/results/overhead.json.

    python bench/overhead.py

A search of one query is timed; then the native calls that it made are timed again alone, with the
same arguments. The difference is Python: checks, memory, results. Processor time of one thread, the
least of some rounds, so that other work on the machine matters little.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import speed_data as data
from _record import write_record

import qama
from qama.kernels import _adapter, _native

ROUNDS, CALLS = 15, 200


def microseconds(work: Callable[[], object]) -> float:
    """Return the processor time of one call, the least mean of some rounds."""
    work()
    means = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(CALLS):
            work()
        means.append((time.thread_time() - began) / CALLS)
    return round(1e6 * min(means), 1)


class Recorder:
    """The native module, with a list of the calls that were made."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        function = getattr(_native, name)

        def call(*arguments: Any) -> Any:
            self.calls.append((function, arguments))
            return function(*arguments)

        return call

    def replay(self) -> None:
        """Make the calls again."""
        for function, arguments in self.calls:
            function(*arguments)


def measured(search: Callable[[], object]) -> dict[str, float]:
    """Return microseconds of a search, of its native calls, and of what is left."""
    search()
    recorder = Recorder()
    _adapter._native = recorder  # type: ignore[attr-defined, assignment]
    try:
        search()
    finally:
        _adapter._native = _native  # type: ignore[attr-defined]
    whole, native = microseconds(search), microseconds(recorder.replay)
    return {"search": whole, "native": native, "python": round(whole - native, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("bench/results/overhead.json"))
    given = parser.parse_args()
    X = data.vectors(4096)
    codec = qama.fit(X, seed=0)
    rows = []
    for count in (1000, 4096):
        for nlist in (None, 16):
            index = qama.Index(codec, nbytes=48, nlist=nlist)
            index.add(X[:count])
            found = measured(lambda index=index: index.search(X[:1], threads=1))
            rows.append({"rows": count, "nlist": nlist, **found})
            print(rows[-1], flush=True)
    write_record(given.out, rows)


if __name__ == "__main__":
    main()
