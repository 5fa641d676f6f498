"""Kill, interrupt, fail, corrupt, read, fuzz: the counts in bench/results/trust.json.

    python bench/trust.py                       everything; without atheris, all but the fuzzing
    python bench/trust.py --only kills readers  some parts; the others stay as the file has them
    python bench/trust.py --only kills --nlist 3  the same of indexes with inverted lists
    python bench/trust.py --only kills --nlist 3 --keep int8  and of such that keep vectors

Each part says how and with what it was run. Fuzzing is for `tests/sanitized_python.sh`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from _record import write_record

from qama.evaluation import provenance

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "bench" / "results" / "trust.json"
CHANGES = ("kills", "interrupts", "failures", "power", "readers")  # of an index
DOCUMENTS = ("documents kills", "documents power")


def counts(script: str, *arguments: object) -> dict[str, object]:
    """Run a script of tests/long whose last output is JSON; return that and how it was run."""
    words = [f"tests/long/{script}", *map(str, arguments)]
    run = [sys.executable, str(ROOT / words[0]), *words[1:]]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(run, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{words} failed: {done.stdout}")
    return {"context": provenance.context(0, words), **json.loads(done.stdout)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--states", type=int, default=20_000, help="after power failures")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--fuzz", type=int, default=3600, help="seconds, of all kinds together")
    parser.add_argument("--stride", type=int, default=1, help="of interrupts and failures")
    parser.add_argument("--processes", type=int, default=2, help="of interrupts")
    parser.add_argument("--nlist", type=int, help="inverted lists, of what changes an index")
    parser.add_argument("--keep", help="form in which vectors are kept, of what changes an index")
    names = [*CHANGES, *DOCUMENTS, "corrupt", "fuzz"]
    parser.add_argument("--only", nargs="+", choices=names)
    given = parser.parse_args()
    parts = {
        "kills": ("kills.py", "--kills", given.kills),
        "interrupts": ("interrupts.py", "--stride", given.stride, "--processes", given.processes),
        "failures": ("failures.py", "--stride", given.stride),
        "power": ("power.py", "--states", given.states),
        "readers": ("readers.py", "--seconds", given.seconds, "--readers", given.readers),
        "documents kills": ("documents_kills.py", "--kills", given.kills),
        "documents power": ("documents_power.py", "--states", given.states // 10),
        "corrupt": ("corrupt.py", "--files", given.files),
    }
    if importlib.util.find_spec("atheris"):
        parts["fuzz"] = ("fuzz.py", "--seconds", given.fuzz)
    for name in given.only or parts:
        if name not in parts:
            raise SystemExit("fuzzing needs atheris: see tests/sanitized_python.sh")
        part, options = parts[name], []
        for option, what in (("nlist", "lists"), ("keep", "kept vectors")):
            if getattr(given, option) and name.partition(" with ")[0] in CHANGES:
                options += [f"--{option}", getattr(given, option)]
                name += f" with {what}"
        found = counts(*part, *options)
        kept = json.loads(RECORD.read_text())["results"] if RECORD.exists() else {}
        write_record(RECORD, kept | {name: found})  # read late: parts may run side by side
        print(name, json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
