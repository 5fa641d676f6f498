"""A new row as a log keeps it: its code, its vector if vectors are kept, its list if there are any.

One entry holds all that a row has, so that what is logged and what enters memory cannot part.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qama.checks import Bytes, Ids

NUMBER_BYTES = 4  # of a row's list number, u32 LE


class Columns(NamedTuple):
    """What new rows have.

    Attributes:
        codes: uint8 (n, bytes), compact.
        vectors: uint8 (n, width), see `qama.quantizers.kept`; None where none are kept.
        numbers: int64 (n,), the number of the list of each row; None where there are no lists.
    """

    codes: Bytes
    vectors: Bytes | None = None
    numbers: Ids | None = None


def joined(columns: Columns) -> Bytes:
    """Return the entries uint8 (n, bytes) of rows: code, vector, number, in this order."""
    codes, vectors, numbers = columns
    parts = [codes]
    if vectors is not None:
        parts.append(vectors)
    if numbers is not None:
        parts.append(numbers.astype("<u4")[:, None].view(np.uint8))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def parted(entries: Bytes, code: int, vector: int, listed: bool) -> Columns:
    """Return what `joined` was given.

    Args:
        entries: uint8 (n, bytes).
        code: Bytes of a code.
        vector: Bytes of a kept vector; 0: none are kept.
        listed: Whether there are lists.
    """
    numbers = None
    if listed:
        raw = np.ascontiguousarray(entries[:, code + vector :])
        numbers = raw.view("<u4")[:, 0].astype(np.int64)
    vectors = entries[:, code : code + vector] if vector else None
    return Columns(entries[:, :code], vectors, numbers)
