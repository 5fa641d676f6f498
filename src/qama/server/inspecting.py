"""What a collection is and costs, as a person who looks into it wants to know."""

from __future__ import annotations

import mmap
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qama import drift, kernels
from qama.server.served import Served

_LOOKED_AT = 256  # kept vectors
_EXAMPLES = 5


def inspected(served: Served) -> dict[str, Any]:
    """Return the facts of one collection; sizes are bytes."""
    info = served.info()
    found, note = _drift(served, info["keeps"])
    return {
        "collection": info,
        "kernel": kernels.info(),
        "codes_size": info["count"] * info["code_bytes"],
        "float32_size": info["count"] * info["dims"] * 4,
        "disk_size": 0 if served.path is None else _disk(served.path),
        "process_size": _process(),
        "lists": served.lists,
        "drift": found,
        "drift_note": note,
        "examples": served.sample(_EXAMPLES),
    }


def _drift(served: Served, keeps: str | None) -> tuple[dict[str, Any] | None, str]:
    """Return how far kept vectors are from those of the fit, and a sentence."""
    if keeps is None:
        return None, "Drift cannot be told: no vectors are kept."
    ids = served.sample(_LOOKED_AT)
    if not ids:
        return None, "There are no vectors yet."
    found = drift.measure(served.codec, served.vectors(ids), _LOOKED_AT)
    if found is None:
        return None, "Drift cannot be told: the codec records nothing to compare with."
    return {**asdict(found), "shift": found.shift, "drifted": found.drifted}, str(found)


def _disk(path: Path) -> int:
    """Return the size of a folder's files, or of an index file with its log."""
    if path.is_dir():
        files = [file for file in path.iterdir() if file.is_file()]
    else:
        files = [path, path.with_name(path.name + ".qama-log")]
    return sum(file.stat().st_size for file in files if file.exists())


def _process() -> int | None:
    """Return the resident memory of this process, where the system tells it in /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * mmap.PAGESIZE
