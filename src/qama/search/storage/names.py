"""Names that versions before `qama.Documents` kept beside an index: these files are read only."""

from __future__ import annotations

import os
from itertools import pairwise

import numpy as np

from qama import container
from qama.checks import Bytes, Ids
from qama.errors import FormatError

KIND = "names"
FORMAT = 1


def read(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of a file; that of the vector with id i is at i.

    Raises:
        FormatError: not such a file, or damaged.
        OSError: the file cannot be opened.
    """
    contents = container.read(path, KIND, FORMAT)
    contents.check_sections()
    arrays = contents.arrays
    try:
        text, ends = arrays["text"].tobytes(), _checked_ends(arrays["ends"], arrays["text"])
        names = [text[a:b].decode() for a, b in pairwise([0, *ends])]
    except (KeyError, ValueError, TypeError) as error:
        raise FormatError(f"{path}: the names are inconsistent: {error}") from error
    if len(set(names)) != len(names):
        raise FormatError(f"{path}: a name occurs twice")
    return names


def _checked_ends(ends: Ids, text: Bytes) -> list[int]:
    """Refuse ends out of order, by which few bytes could become many names."""
    starts = np.concatenate([[0], ends])
    if ends.dtype != np.int64 or (starts[1:] < starts[:-1]).any() or starts[-1] != text.nbytes:
        raise ValueError(f"the ends of the names do not divide the text of {text.nbytes} bytes")
    checked: list[int] = ends.tolist()
    return checked
