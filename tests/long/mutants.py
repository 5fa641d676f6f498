"""Mutation testing of packing, format and index: what the tests would let pass.

    pip install cosmic-ray
    python tests/long/mutants.py [--each 26] [--seed 0]

Cosmic Ray's operators make the mutants: another number, operator or constant, a condition turned
round, a loop that never runs, another exception. A sample of them is tested, each in a process of
its own that imports the mutated text in place of the module, so that no file is ever changed. A
mutant is killed by a test that fails or by running out of time; only tests that reach its line are
run. Operators in annotations, which are never evaluated, make no mutants.

What became of each mutant is kept in bench/results/mutation.jsonl, so that a run that was cut, or
follows new tests, goes on with those that live without a reason; bench/results/mutation.json has
the counts and the survivors. Why a survivor may live is written there by hand and stays.
"""

from __future__ import annotations

import argparse
import ast
import collections
import hashlib
import importlib.abc
import importlib.util
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import hypothesis  # noqa: F401 - every mutant's process has it from here
import numpy  # noqa: F401 - the same
import pytest

TESTS = Path(__file__).parent.parent
ROOT = TESTS.parent
PACKAGE = Path(importlib.util.find_spec("qama").origin).parent
RECORD = ROOT / "bench" / "results" / "mutation.json"
ENDS = RECORD.with_suffix(".jsonl")
MEMORY = 12 * 2**30  # bytes that a mutant may map
SLOWER = 5  # times as long as without a mutant may a test take, and as many seconds more

MODULES = (
    "quantizers/thermometer/bits", "locks", "files", "mapping", "container", "codefile",
    "search/storage/base", "search/storage/log", "search/storage/lock", "search/storage/loading",
    "search/storage/store", "search/index", "search/rows/ids", "search/rows/snapshot",
    "search/rows/lists", "search/rows/blocks",
)  # fmt: skip
FILES = ("bits", "golden", "container", "log", "lock", "store", "neighbours", "faults", "trust",
         "index", "search", "drift", "blocks", "ids", "partitioned", "verify",
         "storage_faults")  # fmt: skip
LEFT_OUT = (  # slow, or in other processes, which import the files
    "a_few_kills", "a_few_hundred_damaged", "readers_beside", "another_process", "file_size",
    "changed_in_place", "forked_amid", "really_full", "truncated_a",
    "every_flipped_bit_of_the_fixed", "every_flipped_byte_of_a_section",
)  # fmt: skip
FIT = """
import sys, conftest
for preset in ("default", "paper"):
    conftest._fit(conftest.mixture(300, 32), preset).save(f"{sys.argv[1]}/{preset}")
"""


class Chosen:
    """Runs some of the tests, quick ones first, on codecs that were fitted before.

    Args:
        fitted: The folder of the codecs.
        seconds: Of each test that is chosen; None: all are.
    """

    def __init__(self, fitted, seconds=None):
        self.fitted, self.seconds = fitted, seconds

    def pytest_collection_modifyitems(self, items):
        import conftest

        conftest._fit = self.load
        if self.seconds is not None:
            chosen = [item for item in items if item.nodeid in self.seconds]
            items[:] = sorted(chosen, key=lambda item: self.seconds[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        if self.seconds is not None:  # the signals end the process
            allowed = SLOWER * (1 + self.seconds[item.nodeid])
            signal.setitimer(signal.ITIMER_PROF, allowed)
            signal.setitimer(signal.ITIMER_REAL, SLOWER * allowed)
        return (yield)

    def load(self, rows, preset):
        from qama import Codec

        return Codec.load(self.fitted / preset)


class Reached:
    """Notes which tests reach which lines of the modules, and how long they take."""

    def __init__(self):
        import coverage

        self.coverage = coverage.Coverage(
            data_file=None, config_file=False, include=[f"{PACKAGE}/*"]
        )
        self.coverage.start()
        self.seconds = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.coverage.switch_context(item.nodeid)
        began = time.perf_counter()
        yield
        self.seconds[item.nodeid] = time.perf_counter() - began
        self.coverage.switch_context("")

    def lines(self):
        self.coverage.stop()
        data = self.coverage.get_data()
        return {name: data.contexts_by_lineno(str(source(name))) for name in MODULES}


def source(module):
    return PACKAGE / f"{module}.py"


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from another text than its file's."""

    def __init__(self, name, path, text):
        self.name, self.path, self.text = name, path, text

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def exec_module(self, module):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "is" with a number: let the tests find it
            code = compile(self.text, self.path, "exec")
        exec(code, vars(module))


def candidates(text):
    """Return where an operator may change a module: (operator, occurrence, line)."""
    import cosmic_ray.ast
    from cosmic_ray import plugins

    annotated = _annotations(text)
    nodes = list(cosmic_ray.ast.ast_nodes(cosmic_ray.ast.get_ast(text)))
    found = []
    for name in sorted(plugins.operator_names()):
        if "Variable" in name:  # experiments that need arguments
            continue
        operator = plugins.get_operator(name)()
        places = [place for node in nodes for place in operator.mutation_positions(node)]
        for occurrence, (start, _) in enumerate(places):
            if not any(first <= start < stop for first, stop in annotated):
                found.append((name, occurrence, start[0]))
    return found


def sampled(text, found, count, chance):
    """Yield mutants drawn from candidates: (operator, line, what was, what is, text)."""
    from cosmic_ray import mutating, plugins

    seen = {text}
    for name, occurrence, line in chance.sample(found, len(found)):
        if len(seen) > count:
            return
        changed = mutating.mutate_code(text, plugins.get_operator(name)(), occurrence)
        if changed and changed not in seen and _compiles(changed):
            seen.add(changed)
            yield name.split("/")[1], line, *_line(text, changed), changed


def _annotations(text):
    """Return where annotations start and stop."""
    return [
        ((part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset))
        for node in ast.walk(ast.parse(text))
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if part is not None
    ]


def _compiles(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text, "mutant", "exec")
        except SyntaxError:
            return False
    return True


def _line(before, after):
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    return next((a.strip(), b.strip()) for a, b in pairs if a != b)


def in_copy(work):
    """Do work in a copy of this process; returns its exit status, less than 0 for a signal."""
    child = os.fork()
    if not child:
        try:
            os.setsid()
            quiet = os.open(os.devnull, os.O_RDWR)
            for descriptor in range(3):
                os.dup2(quiet, descriptor)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            os._exit(int(work()))
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_tests(plugins):
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        os.chdir(ROOT)
        return pytest.main(
            ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0",
             "-W", "ignore::pytest.PytestAssertRewriteWarning",  # hypothesis is there already
             f"--basetemp={folder}/tmp", "-k", f"not {' and not '.join(LEFT_OUT)}",
             *(f"tests/test_{name}.py" for name in FILES)],
            plugins=plugins,
        )  # fmt: skip


def reach(fitted):
    """Run all tests without a mutant; returns the tests by module and line, and their seconds."""

    def work():
        reached = Reached()
        status = run_tests([Chosen(fitted), reached])
        (fitted / "reached").write_text(json.dumps([reached.lines(), reached.seconds]))
        return status

    if in_copy(work) != 0:
        raise SystemExit("the tests fail without a mutant")
    return json.loads((fitted / "reached").read_text())


def test(module, text, fitted, seconds):
    """Return "killed", "late" or "survived": what some tests do to a mutant."""
    name = "qama." + module.replace("/", ".")

    def work():
        sys.meta_path.insert(0, Mutated(name, source(module), text))
        return run_tests([Chosen(fitted, seconds)])

    status = in_copy(work)
    if status in (-signal.SIGPROF, -signal.SIGALRM):
        return "late"
    alive = status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    return "survived" if alive else "killed"


def run(each, seed, modules=MODULES):
    """Test a sample of each module's mutants; yields what became of each."""
    fitted = Path(tempfile.mkdtemp())
    subprocess.run([sys.executable, "-c", FIT, str(fitted)], cwd=TESTS, check=True)
    known = {row["text"]: row for row in map(json.loads, ENDS.read_text().splitlines())}
    reasons = given_reasons()
    lines, seconds = reach(fitted)
    for module in modules:
        text = source(module).read_text()
        found = candidates(text)
        chance = random.Random(f"{seed} {module}")
        for operator, line, was, now, changed in sampled(text, found, each, chance):
            key = hashlib.sha256(changed.encode()).hexdigest()[:16]
            row = known.get(key)
            if row is None or (row["end"] == "survived" and not reasons.get(identity(row))):
                names = lines[module].get(str(line), [""])
                chosen = seconds if "" in names else {name: seconds[name] for name in names}
                end = test(module, changed, fitted, chosen)
                row = {"module": module, "of": len(found), "line": line, "operator": operator,
                       "was": was, "is": now, "end": end, "text": key}  # fmt: skip
                with ENDS.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(*row.values(), sep="  ", file=sys.stderr, flush=True)
            yield row


def identity(row):
    return row["module"], row["was"], row["is"]


def given_reasons():
    """Return why a survivor may live, as it was written into the record by hand."""
    before = json.loads(RECORD.read_text())["results"]["survivors"] if RECORD.exists() else []
    return {identity(row): row["reason"] for row in before}


def summary(rows):
    """Return counts by module, and the survivors with the reasons given before."""
    reasons = given_reasons()
    modules = collections.defaultdict(collections.Counter)
    survivors = []
    for row in rows:
        counts = modules[row["module"]]
        counts["candidates"] = row["of"]
        counts["tested"] += 1
        counts["killed"] += row["end"] != "survived"
        counts["of them by time"] += row["end"] == "late"
        if row["end"] == "survived":
            shown = {key: row[key] for key in ("module", "line", "operator", "was", "is")}
            survivors.append(shown | {"reason": reasons.get(identity(row), "")})
    total = sum(modules.values(), collections.Counter())
    killed = round(100 * total["killed"] / total["tested"], 1)
    return {"killed_percent": killed, **total, "modules": modules, "survivors": survivors}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=26, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--modules", nargs="+", default=MODULES)
    given = parser.parse_args()
    ENDS.touch()
    rows = list(run(given.each, given.seed, given.modules))
    from qama.evaluation import provenance

    command = ["tests/long/mutants.py", *sys.argv[1:]]
    provenance.write(RECORD, summary(rows), given.seed, command)


if __name__ == "__main__":
    main()
