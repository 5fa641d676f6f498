"""Which index files are replicas: a mark beside them, ``path.qama-replica``.

Whoever replicates an index writes it, and whoever changes the replica takes it away: such a file is
an index of its own, and nothing may be copied over it any more.
"""

from __future__ import annotations

import os
from pathlib import Path

from qama import files

SUFFIX = ".qama-replica"
_TEXT = b"The index beside this file is a replica: `qama replicate` may write over it.\n"


def mark(index: Path) -> None:
    """Say that an index file is a replica, or is about to be one.

    Raises:
        FileExistsError: another's file is in the way.
    """
    path = _mark(index)
    if is_marked(index):
        return
    if os.path.lexists(path) and not files.ours(path, _TEXT):
        raise FileExistsError(f"{path} is not a mark of qama; move it away")
    with files.replacing(path) as file:
        file.write(_TEXT)


def is_marked(index: Path) -> bool:
    """Whether an index file is a replica that nobody changed since."""
    return files.begins(_mark(index), _TEXT)


def unmark(index: Path) -> None:
    """Say that an index file is no replica any more; another's file stays."""
    if is_marked(index):
        files.remove(_mark(index))


def _mark(index: Path) -> Path:
    return index.with_name(index.name + SUFFIX)
