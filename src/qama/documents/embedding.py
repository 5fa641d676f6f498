"""What makes vectors of texts, as users hold it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import arrays, checks
from qama.checks import Floats


class Embedder:
    """Vectors of documents and of queries.

    Args:
        embed: A function from a list of n texts to floats (n, d); or an object with ``encode``,
            such as a SentenceTransformer, whose ``encode_document`` and ``encode_query`` are taken
            where it has them.

    Raises:
        ValueError: neither.
    """

    def __init__(self, embed: object) -> None:
        plain = getattr(embed, "encode", embed)
        if not callable(plain):
            raise ValueError(
                f"embed is {embed!r}; give a function from a list of texts to floats (n, d), or an "
                f"object with encode"
            )
        self._documents = getattr(embed, "encode_document", plain)
        self._queries = getattr(embed, "encode_query", plain)

    def documents(self, texts: Sequence[str | None], dims: int) -> npt.NDArray[Any]:
        """Return the vectors (n, dims) of n texts.

        Raises:
            ValueError: a text is None, or no such vectors were made.
        """
        whole = [text for text in texts if text is not None]
        if len(whole) < len(texts):
            raise ValueError(f"texts[{texts.index(None)}] is None, of which no vector is made")
        if not whole:
            return np.empty((0, dims), dtype=np.float32)
        A = checks.matrix(self._documents(whole), "what embed made", dims)
        if len(A) != len(whole):
            raise ValueError(f"embed made {len(A)} vectors of {len(whole)} texts")
        return A

    def query(self, text: str) -> Any:
        """Return what was made of a question."""
        return self._queries([text])


def query(q: object, embedder: Embedder | None) -> Floats:
    """Return one query as float32 (1, d).

    Args:
        q: Floats (d,) or (1, d), or a question.
        embedder: What makes vectors of questions, if anything does.

    Raises:
        ValueError: no query, or a question and nothing that makes vectors.
    """
    if isinstance(q, str):
        if embedder is None:
            raise ValueError("q is a string; open the documents with embed=, or give text=")
        q = embedder.query(q)
    A = arrays.plain(q, "q")
    Q = checks.vectors(A[None] if A.ndim == 1 else A, "q")
    if len(Q) != 1:
        raise ValueError(f"q has {len(Q)} rows; search takes one query")
    return Q
