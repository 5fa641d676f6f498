"""Codes back from a file that `write` made."""

from __future__ import annotations

from typing import Any, NamedTuple

from qama.checks import Bytes, Ids
from qama.codec import Codec, checked
from qama.engines import targets
from qama.engines.codefiles import CodesFile


class Codes(NamedTuple):
    """Codes of a file.

    Attributes:
        ids: int64 (n,).
        codes: uint8 (n, bytes), as `Codec.encode` returns them.
        request: The arguments that ask the codec for them: dims and level, or nbytes.
    """

    ids: Ids
    codes: Bytes
    request: dict[str, Any]


def read(target: str, codec: Codec) -> Codes:
    """Read codes from an Arrow, Parquet or safetensors file.

    Args:
        target: "arrow:PATH", "parquet:PATH" or "safetensors:PATH".
        codec: What encoded them.

    Raises:
        ValueError: a target that is no such file.
        FormatError: codes of another codec, a file without a label, or a damaged one.
        MissingExtraError: the package that reads such files is not installed.
        OSError: the file cannot be opened.
    """
    file = targets.opened(target)
    if not isinstance(file, CodesFile):
        raise ValueError(f"target is {target!r}, which is no file of codes: search it instead")
    label, rows = file.read()
    label.code_of(checked(codec), str(file))
    return Codes(rows.ids, rows.codes, dict(label.code))
