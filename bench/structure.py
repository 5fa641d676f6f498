"""What a vector passes on its way, and how the rooms are filled: the picture, counted.

    python bench/structure.py [--record NAME]

Prints JSON; a record is kept under its name in bench/results/structure.json.

Counts the files and functions of qama that are entered while vectors are encoded, added and
searched; lines of each room; questions for the family of a code; circles of imports. It runs on
checkouts of before too, so that a change of the structure has its numbers.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import os
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _record import write_record

import qama

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "bench" / "results" / "structure.json"
PACKAGE = Path(inspect.getfile(qama)).parent
FAMILIES = (
    "ByteCode", "GridCode", "AdditiveCode", "ThermometerCode", "AdditiveQuantizer",
    "ThermometerQuantizer", "Cell", "ByteQuantizer",
)  # fmt: skip


def passed(run):
    """Files and functions of qama that a call enters."""
    entered = set()

    def note(frame, event, arg):
        if event == "call" and frame.f_code.co_filename.startswith(str(PACKAGE)):
            name = frame.f_code.co_qualname
            if "<" not in name.rsplit(".", 1)[-1]:  # comprehensions and the like
                entered.add((frame.f_code.co_filename, name))

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return {"files": len({file for file, _ in entered}), "functions": len(entered)}


def ways(threads_of_encode):
    """What a vector passes in encode, add and search, the second time: caches are filled."""
    X = np.random.default_rng(0).standard_normal((2000, 64)).astype(np.float32)
    codec = qama.fit(X, max_bytes=16)
    index = qama.Index(codec, nbytes=16)
    index.add(X)
    index.search(X[:1], 10, threads=1)
    codec.encode(X[:1], nbytes=16, **threads_of_encode)
    return {
        "encode": passed(lambda: codec.encode(X[:1], nbytes=16, **threads_of_encode)),
        "add": passed(lambda: index.add(X[:1])),
        "search": passed(lambda: index.search(X[:1], 10, threads=1)),
    }


def lines():
    """Lines of each room of the package, and of the kernels."""
    rooms = Counter()
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE).parts
        room = "/".join(parts[:-1]) if len(parts) > 1 else "(top)"
        rooms[room] += len(file.read_text().splitlines())
    rooms["csrc"] = sum(len(f.read_text().splitlines()) for f in (ROOT / "csrc").iterdir())
    return dict(sorted(rooms.items()))


def family_questions():
    """How often isinstance asks of which family a code or quantizer is."""
    count = 0
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                count += any(name in ast.unparse(node.args[1]) for name in FAMILIES)
    return count


def circles():
    """Groups of modules that import each other when they are imported."""
    graph = {}
    for file in PACKAGE.rglob("*.py"):
        name = ".".join(("qama", *file.relative_to(PACKAGE).with_suffix("").parts))
        graph[name.removesuffix(".__init__")] = set(_imports(ast.parse(file.read_text())))
    for name in graph:
        graph[name] = {_module(wanted, graph) for wanted in graph[name]} - {None, name}
    reach = {name: _reachable(name, graph) for name in graph}
    found = {frozenset(m for m in graph if m in reach[n] and n in reach[m]) for n in graph}
    return sorted(sorted(circle) for circle in found if circle)


def _imports(tree):
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _module(wanted, graph):
    if wanted in graph:
        return wanted
    parent = wanted.rpartition(".")[0]
    return parent if parent in graph else None


def _reachable(name, graph):
    seen, left = set(), list(graph[name])
    while left:
        module = left.pop()
        if module not in seen:
            seen.add(module)
            left += graph[module]
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", metavar="NAME")
    given = parser.parse_args()
    takes_threads = "threads" in inspect.signature(qama.Codec.encode).parameters
    found = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "passed": ways({"threads": 1} if takes_threads else {}),
        "lines": lines(),
        "isinstance on the family": family_questions(),
        "circles of imports": circles(),
    }
    print(json.dumps(found, indent=1))
    if given.record:
        kept = json.loads(RECORD.read_text())["results"] if RECORD.exists() else {}
        write_record(RECORD, kept | {given.record: found})


if __name__ == "__main__":
    main()
