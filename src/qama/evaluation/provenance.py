"""What a results file says of how, where and with what it was made."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qama import files

PACKAGES = ("qama", "numpy", "torch", "faiss-cpu", "usearch", "scikit-learn", "pytrec-eval-terrier")


def context(seed: int | list[int], command: Sequence[str] | None = None) -> dict[str, Any]:
    """Return command, versions, processor, cores, seed and date of this run as JSON values."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:]] if command is None else command
    words = [os.path.relpath(word) if os.path.isabs(word) else word for word in words]
    return {
        "command": shlex.join(words),
        "versions": {"python": platform.python_version(), **_versions()},
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "seed": seed,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write(
    path: Path,
    results: Any,
    seed: int | list[int] = 0,
    command: Sequence[str] | None = None,
    **more: Any,
) -> None:
    """Write ``{"context": ..., **more, "results": ...}``, replacing the file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"context": context(seed, command), **more, "results": results}, indent=1)
    with files.replacing(path) as file:
        file.write(f"{text}\n".encode())


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def cpu() -> str:
    """Return the name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
