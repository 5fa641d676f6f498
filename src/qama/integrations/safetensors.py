"""Codecs as safetensors, which any framework opens; the facts lie in the metadata."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from qama import files
from qama.codec import Codec
from qama.errors import FormatError, MissingExtraError

__all__ = ["load", "save"]

_KEY = "qama"  # of the metadata


def save(codec: Codec, path: str | os.PathLike[str]) -> None:
    """Write a codec to a safetensors file, atomically.

    Raises:
        MissingExtraError: safetensors is not installed.
        OSError: the file cannot be written; what stood there before is intact.
    """
    meta, arrays = codec.parts()
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with files.replacing(path) as file:
        file.write(_client().save(tensors, {_KEY: json.dumps(meta)}))


def load(path: str | os.PathLike[str], model: str | None = None) -> Codec:
    """Read a codec that `save` wrote.

    Args:
        path: The file.
        model: Name of the model whose vectors will be encoded, to be checked.

    Raises:
        MissingExtraError: safetensors is not installed.
        FormatError: not such a file, or damaged.
        ValueError: the codec was fitted on vectors of another model.
        OSError: the file cannot be opened.
    """
    client = _client()
    packed = files.read(path).tobytes()
    try:
        tensors = client.load(packed)
        header = json.loads(packed[8 : 8 + int.from_bytes(packed[:8], "little")])
        codec = Codec.from_parts(json.loads(header["__metadata__"][_KEY]), tensors)
    except Exception as error:  # of bytes that may be anything
        raise FormatError(f"{path} is no codec in safetensors ({error!r})") from error
    codec.check_model(model)
    return codec


def _client() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise MissingExtraError(
            "qama.integrations.safetensors", "safetensors", "safetensors"
        ) from error
    return safetensors.numpy
