"""Vectors of texts, in the forms in which an answer carries them."""

from __future__ import annotations

import base64
from typing import Any

from qama import checks
from qama.checks import Bytes, Floats
from qama.codec import Codec
from qama.quantizers.vectors import unit
from qama.server.refusals import RequestError
from qama.server.served import Served
from qama.server.shapes import EmbeddingRequest


def made(served: Served, texts: list[str | None], queries: bool) -> Floats:
    """Return the vectors float32 (n, d) of texts.

    Raises:
        RequestError: nothing makes vectors of texts here.
        ValueError: a text is None, or no such vectors were made.
    """
    if served.embedder is None:
        raise RequestError(
            400, f"collection {served.name!r} has no embedder, so that it takes vectors alone"
        )
    dims = served.codec.dims_in
    found = (
        served.embedder.queries([text for text in texts if text is not None])
        if queries
        else served.embedder.documents(texts, dims)
    )
    A = checks.vectors(found, "what embed made", dims, empty=True)
    if len(A) != len(texts):
        raise ValueError(f"embed made {len(A)} vectors of {len(texts)} texts")
    return A


def written(served: Served, A: Floats, asked: EmbeddingRequest) -> list[Any]:
    """Return vectors as a request wants them: lists of numbers, or strings.

    base64 is what OpenAI's client asks for by itself and reads as float32, so that it can carry
    nothing else: packed codes are lists of integers.

    Raises:
        ValueError: the codec has no such dims or bytes.
    """
    if asked.encoding_format == "ubinary":
        return list(_packed(served, A, asked).tolist())
    if asked.nbytes is not None:
        raise RequestError(400, 'nbytes is for encoding_format "ubinary"')
    F = A if asked.dimensions is None else _nested(served.codec, A, asked.dimensions)
    if asked.encoding_format == "base64":
        return [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in F]
    return list(F.tolist())


def _nested(codec: Codec, A: Floats, dims: int) -> Floats:
    """Return the first of the adapted dims, brought to length 1."""
    return unit(codec.transform(A, dims))


def _packed(served: Served, A: Floats, asked: EmbeddingRequest) -> Bytes:
    """Return codes of the collection's kind, of other dims or another length where asked."""
    request = dict(served.code.request)
    if asked.dimensions is not None:
        request["dims"] = asked.dimensions
    if asked.nbytes is not None:
        request["nbytes"] = asked.nbytes
    return served.codec.encode(A, **request)
