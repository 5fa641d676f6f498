"""The examples of docs/distributed.md run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import vectorfolders
from pages import DOCS, program
from vectorfolders import needs


def test_the_examples_run_one_after_the_other(tmp_path):
    needs("pyarrow")
    vectorfolders.folder(tmp_path / "vectors", 4000)
    code = program(DOCS / "distributed.md").replace("nbytes=48", "nbytes=16")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PATH": path}, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "4000 rows in 4 files" in done.stdout
