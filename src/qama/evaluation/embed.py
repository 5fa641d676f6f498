"""Turn texts into vectors with a sentence-transformers model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from qama.checks import Floats

__all__ = ["TextEncoder", "embed", "load"]


class TextEncoder(Protocol):
    """What embeds texts: a SentenceTransformer, or anything with its ``encode``."""

    def encode(
        self,
        inputs: list[str],
        /,
        *,
        batch_size: int,
        normalize_embeddings: bool,
        show_progress_bar: bool,
    ) -> npt.ArrayLike:
        """Return one vector per text, (n, d)."""


def embed(texts: Sequence[str], model: str | TextEncoder, *, batch_size: int = 64) -> Floats:
    """Embed texts.

    Args:
        texts: At least one text.
        model: Name or folder of a sentence-transformers model, or an object with its ``encode``.
        batch_size: Texts per step.

    Returns:
        Unit vectors, float32 (n, d), in the order of the texts.

    Raises:
        ValueError: No text, or the model cannot be loaded.
        ImportError: sentence-transformers is not installed.
    """
    if not texts:
        raise ValueError("texts is empty: there is nothing to embed")
    encoder = load(model) if isinstance(model, str) else model
    vectors = encoder.encode(
        list(texts), batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False
    )
    return np.asarray(vectors, dtype=np.float32)


def load(name: str) -> TextEncoder:
    """Load a sentence-transformers model.

    Args:
        name: Its name, or the folder that it is in.

    Raises:
        ValueError: It cannot be loaded.
        ImportError: sentence-transformers is not installed.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ImportError(
            "embedding texts needs sentence-transformers: pip install sentence-transformers, "
            "or give the vectors as .npy files"
        ) from error
    try:
        return cast(TextEncoder, SentenceTransformer(name))
    except OSError as error:
        raise ValueError(
            f"the model {name!r} is neither a folder nor can it be fetched: {error}"
        ) from error
