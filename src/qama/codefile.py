"""Files of codes that know which codec made them.

A .npy file of codes suits every engine but says nothing of where it comes from; this one is
refused by any codec but its own. docs/format.md is the specification.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from qama import container
from qama.checks import Bytes
from qama.codec import Code, Codec
from qama.errors import FormatError

KIND = "codes"
FORMAT = 1


@dataclass(frozen=True, eq=False)
class Codes:
    """An opened file of codes.

    Attributes:
        contents: The file.
        codes: uint8 (n, bytes), mapped.
        compact: Whether they are compact.
        code: Which of the codec's codes they are.
    """

    contents: container.Contents
    codes: Bytes
    compact: bool
    code: Code


def write(
    path: str | os.PathLike[str], codec: Codec, code: Code, codes: Bytes, compact: bool
) -> None:
    """Write codes uint8 (n, bytes) atomically.

    Raises:
        OSError: the file cannot be written; what stood there before is intact.
    """
    meta = {"codec": codec.fingerprint, "code": code.request, "compact": compact}
    container.write(path, KIND, FORMAT, meta, {"codes": codes})


def read(path: str | os.PathLike[str], codec: Codec) -> Codes:
    """Open a file of codes.

    Raises:
        FormatError: not such a file, damaged, or made by another codec; the message names both.
        OSError: the file cannot be opened.
    """
    contents = container.read(path, KIND, FORMAT)
    meta = contents.meta
    if meta.get("codec") != codec.fingerprint:
        raise FormatError(
            f"{path} holds codes of codec {meta.get('codec')!r}; this codec is {codec.fingerprint}"
        )
    try:
        code = codec.code(**meta["code"])
        compact, codes = meta["compact"], contents.arrays["codes"]
        width = code.stored_bytes if compact else code.nbytes
        if not isinstance(compact, bool) or codes.dtype != np.uint8:
            raise ValueError(f"compact is {compact!r}, codes are {codes.dtype}")
        if codes.ndim != 2 or codes.shape[1] != width:
            raise ValueError(f"codes have shape {codes.shape}; {code.label} has {width} B each")
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: the codes are inconsistent: {error}") from error
    return Codes(contents, codes, compact, code)


def codec_of(path: str | os.PathLike[str]) -> str:
    """Return the fingerprint of the codec that made a file of codes.

    Raises:
        FormatError: not such a file.
        OSError: the file cannot be opened.
    """
    return str(container.read(path, KIND, FORMAT).meta.get("codec"))
