"""Time a newcomer's way: from nothing to a first search over own vectors, command by command.

    python bench/newcomer.py dist/qama-*.whl [--vectors FILE] [--rows 20000] [--python python3]

Each command runs as it would be typed, in a fresh environment without PyTorch and with an empty
pip cache. The vectors are 20,000 passages' of QAMA_DATA, or drawn where it is absent; the first
hundred are the queries. Writes bench/results/newcomer.json.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _record import write_record

RESULTS = Path(__file__).parent / "results" / "newcomer.json"
DATA = Path(os.environ.get("QAMA_DATA", Path(__file__).parent.parent.parent / "shared"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--python", default="python3")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        X, source = vectors(asked.vectors)
        X = X[: asked.rows]
        np.save(Path(folder, "vectors.npy"), X)
        np.save(Path(folder, "queries.npy"), X[:100])
        typed = [
            f"{shlex.quote(asked.python)} -m venv venv",
            f"venv/bin/pip install --quiet {shlex.quote(str(asked.wheel.resolve()))}",
            "venv/bin/qama report vectors.npy",
            "venv/bin/qama fit vectors.npy -o my.codec",
            "venv/bin/qama index my.codec vectors.npy -o my.index --nbytes 48",
            "venv/bin/qama search my.index queries.npy -k 1",
        ]
        steps = [step(command, folder) for command in typed]
        found = steps[-1].pop("out").split()
        for each in steps[:-1]:
            each.pop("out")
        has_torch = subprocess.run(
            ["venv/bin/python", "-c", "import torch"], cwd=folder, capture_output=True, check=False
        )
        assert has_torch.returncode != 0, "PyTorch came along"
        itself = [int(found[4 * i + 2]) for i in range(100)] == list(range(100))
        size = sum(f.stat().st_size for f in Path(folder, "venv").rglob("*") if f.is_file())
    results = {
        "vectors": source,
        "rows": len(X),
        "dims": X.shape[1],
        "commands": len(typed),
        "minutes": round(sum(each["seconds"] for each in steps) / 60, 2),
        "cpu_minutes": round(sum(each["cpu_seconds"] for each in steps) / 60, 2),
        "busy": f"load average {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores",
        "each_query_found_itself": itself,
        "environment_mb": round(size / 1e6),
        "steps": steps,
    }
    print(f"{results['commands']} commands, {results['minutes']} minutes, {itself=}")
    write_record(RESULTS, results)


def vectors(given):
    """The rows float32 (n, d), and where they are from."""
    stored = DATA / "embeddings" / "all-minilm-l6-v2" / "train-text.npy"
    if given is not None:
        return np.load(given).astype(np.float32), given.name
    if stored.exists():
        return np.load(stored).astype(np.float32), "all-MiniLM-L6-v2, train-text"
    random = np.random.default_rng(0)
    return (
        (random.standard_normal((48_000, 384)) / (1 + np.arange(384)) ** 0.5).astype(np.float32),
        "drawn",
    )


def step(command, folder):
    """Run a command and say how long it took."""
    home = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    began, before = time.perf_counter(), cpu_seconds()
    done = subprocess.run(
        shlex.split(command), cwd=folder, check=False, capture_output=True, text=True,
        env={**home, **pip, "PIP_NO_CACHE_DIR": "1"},
    )  # fmt: skip
    seconds = round(time.perf_counter() - began, 1)
    if done.returncode:
        sys.exit(f"{command}: {done.stderr}")
    print(f"{seconds:8.1f} s  {command}", flush=True)
    first, *others = shlex.split(command)
    told = " ".join(Path(word).name if os.path.isabs(word) else word for word in (first, *others))
    cpu = round(cpu_seconds() - before, 1)
    return {"command": told, "seconds": seconds, "cpu_seconds": cpu, "out": done.stdout}


def cpu_seconds():
    """Of all commands so far."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


if __name__ == "__main__":
    main()
