"""Write a benchmark's results with how, where and with what it was made."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from qama.evaluation import provenance


def write_record(path: Path, results: Any, seed: int | list[int] = 0, **more: Any) -> None:
    """Write ``{"context": ..., **more, "results": ...}``; the command names this script."""
    command = [f"bench/{Path(sys.argv[0]).name}", *sys.argv[1:]]
    provenance.write(path, results, seed, command, **more)


class Rows:
    """Rows of a results file, written as they come: a run that was cut goes on where it was.

    Args:
        path: The file; what it holds is kept.
        key: The columns that identify a row.
        seed: Of the run, for the record.
    """

    def __init__(self, path: Path, key: tuple[str, ...], seed: int | list[int] = 0) -> None:
        self.path, self.key, self.seed = path, key, seed
        self.rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._read()

    def _read(self) -> None:
        """Take in what the file holds, another process's rows too."""
        kept = json.loads(self.path.read_text())["results"] if self.path.exists() else []
        self.rows |= {tuple(row[name] for name in self.key): row for row in kept}

    def lacks(self, *key: Any) -> bool:
        """Whether there is no row of that key yet."""
        return key not in self.rows

    def add(self, **row: Any) -> dict[str, Any]:
        """Add one row, print its key and numbers, write the file."""
        self._read()
        self.rows[tuple(row[name] for name in self.key)] = row
        plain = [v for v in row.values() if not isinstance(v, list | dict)]
        print(*(f"{v:.4g}" if isinstance(v, float) else v for v in plain), flush=True)
        write_record(self.path, list(self.rows.values()), self.seed)
        return row
