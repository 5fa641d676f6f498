"""Write a benchmark's results with how, where and with what it was made."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from qama.evaluation import provenance


def write_record(path: Path, results: Any, seed: int | list[int] = 0, **more: Any) -> None:
    """Write ``{"context": ..., **more, "results": ...}``; the command names this script."""
    sys.argv[0] = f"bench/{Path(sys.argv[0]).name}"
    provenance.write(path, results, seed, **more)
