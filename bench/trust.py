"""Kill, corrupt, read beside a writer: the counts in bench/results/trust.json.

python bench/trust.py [--kills 300] [--files 20000] [--seconds 300] [--fuzz 900]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from _record import write_record

ROOT = Path(__file__).parent.parent
LONG = ROOT / "tests" / "long"


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a script of tests/long whose last output is JSON."""
    run = [sys.executable, str(LONG / script), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(run, stdout=subprocess.PIPE, text=True, env=environment)


def counts(script: subprocess.Popen[str]) -> dict[str, object]:
    """Wait for a script and return its counts."""
    said, _ = script.communicate()
    if script.returncode:
        raise SystemExit(f"{script.args} failed: {said}")
    return json.loads(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--fuzz", type=int, default=0, help="seconds of atheris, if installed")
    given = parser.parse_args()
    corrupt = start("corrupt.py", "--files", given.files)
    fuzz = start("fuzz.py", "--seconds", given.fuzz) if given.fuzz else None
    results = {
        "kills": counts(start("kills.py", "--kills", given.kills)),
        "readers": counts(
            start("readers.py", "--seconds", given.seconds, "--readers", given.readers)
        ),
        "corrupt": counts(corrupt),
    }
    if fuzz:
        results["fuzz"] = counts(fuzz)
    write_record(ROOT / "bench" / "results" / "trust.json", results, seed=0)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
