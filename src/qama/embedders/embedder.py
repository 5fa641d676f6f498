"""What makes vectors of texts, as users hold it."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from qama import checks


class Embedder:
    """Vectors of documents and of queries.

    Args:
        embed: A function from a list of n texts to floats (n, d); or an object with ``encode``,
            such as a SentenceTransformer, whose ``encode_document`` and ``encode_query`` are taken
            where it has them.
        name: What messages call it.

    Raises:
        ValueError: neither; a model's name is none of them.
    """

    def __init__(self, embed: object, name: str = "embed") -> None:
        plain = getattr(embed, "encode", embed)
        if isinstance(embed, str) or not callable(plain):  # a string has another `encode`
            raise ValueError(
                f"{name} is {reprlib.repr(embed)}; give a model, an object with encode such as "
                f"SentenceTransformer(name), or a function from a list of texts to floats (n, d)"
            )
        self._embed = embed
        self._documents = getattr(embed, "encode_document", plain)
        self._queries = getattr(embed, "encode_query", plain)

    @classmethod
    def of(cls, embed: object) -> Self | None:
        """Return what makes vectors of texts; None where nothing is given.

        Raises:
            ValueError: something else is given.
        """
        return None if embed is None else cls(embed)

    @property
    def model(self) -> str | None:
        """The model's name, where it says it."""
        card = getattr(self._embed, "model_card_data", None)  # of a SentenceTransformer
        name = getattr(self._embed, "model", None) or getattr(card, "base_model", None)
        return name if isinstance(name, str) else None

    def documents(self, texts: Sequence[str | None], dims: int | None = None) -> npt.NDArray[Any]:
        """Return the vectors (n, dims) of n texts.

        Args:
            texts: n texts.
            dims: The dims that the vectors must have; None: any.

        Raises:
            ValueError: a text is None, or no such vectors were made.
        """
        whole = [text for text in texts if text is not None]
        if len(whole) < len(texts):
            raise ValueError(f"texts[{texts.index(None)}] is None, of which no vector is made")
        if not whole:
            return np.empty((0, dims or 0), dtype=np.float32)
        A = checks.matrix(self._documents(whole), "what embed made", dims)
        if len(A) != len(whole):
            raise ValueError(f"embed made {len(A)} vectors of {len(whole)} texts")
        return A

    def queries(self, texts: Sequence[str]) -> Any:
        """Return what was made of questions."""
        return self._queries(list(texts))
