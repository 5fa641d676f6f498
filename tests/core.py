"""Run on an installed qama what its core dependencies let run: tests/core.py [FILES] [OPTIONS].

The tests are copied away from the sources, so that the installed package is what they meet. Files
that import what is not installed are left out, and so are tests that ask for an extra: with pytest
and hypothesis alone, that leaves byte codes, indexes, documents, files and the command line.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

import qama
from qama import kernels

HERE = Path(__file__).resolve().parent
LEAST = 1000  # tests that must pass
OF_THE_CHECKOUT = {"test_docs.py", "test_paper_results.py"}  # they read docs and bench


class Extras:
    """Skips what asks for an extra that is not installed, and counts what passes."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self):
        return (yield from unless_missing())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self):
        return (yield from unless_missing())

    def pytest_runtest_logreport(self, report):
        self.counts[report.outcome] += report.when == "call" or report.skipped


def unless_missing():
    try:
        return (yield)
    except (qama.MissingExtraError, ModuleNotFoundError) as error:
        pytest.skip(str(error))


def lacks(file):
    """What a file of the tests imports at its top, itself or by another, and is not installed."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    names = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in body if isinstance(node, ast.ImportFrom)}
    roots = {name.partition(".")[0] for name in names}
    found = {root for root in roots if not importlib.util.find_spec(root)}
    for own in (folder / f"{root}.py" for root in roots for folder in (HERE, HERE / "long")):
        if own.exists():
            found |= lacks(own)
    return found


def main():
    asked = [word for word in sys.argv[1:] if word.endswith(".py")]
    options = [word for word in sys.argv[1:] if word not in asked]
    about = kernels.info()
    print(f"qama {qama.__version__} at {Path(qama.__file__).parent}: {about}", flush=True)
    assert about["native"], "the native kernels are not in the package"
    assert not Path(qama.__file__).is_relative_to(HERE.parent), "this is the checkout's own qama"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tests"
        shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("__pycache__", "emulated*"))
        shutil.copy(HERE.parent / "pyproject.toml", folder)
        shutil.copytree(HERE.parent / "docs", Path(folder) / "docs")
        os.chdir(folder)
        sys.path[:0] = [str(copy), str(copy / "long")]
        files = [
            str(file)
            for file in sorted(copy.glob("test_*.py"))
            if file.name not in OF_THE_CHECKOUT and not lacks(file)
            if not asked or file.name in asked
        ]
        extras = Extras()
        code = pytest.main([*files, "-p", "no:cacheprovider", "-q", *options], plugins=[extras])
        os.chdir(HERE)
    print(f"{len(files)} files: {dict(extras.counts)}")
    if code == 0 and not asked and extras.counts["passed"] < LEAST:
        print(f"fewer than {LEAST} tests passed")
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
