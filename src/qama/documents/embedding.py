"""What makes vectors of texts, as users hold it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Encode = Callable[[list[str]], Any]


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
        self.documents: Encode = getattr(embed, "encode_document", plain)
        self.queries: Encode = getattr(embed, "encode_query", plain)
