"""Texts in place of vectors: an even sample of them, embedded while a terminal shows how far."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks, sources
from qama.embedders.embedder import Embedder

_PART = 256  # texts embedded between two looks at the progress bar


def embedded(
    embedder: Embedder, texts: list[str], max_texts: int, seed: int
) -> tuple[npt.NDArray[Any], int]:
    """Return the vectors of at most max_texts texts, and how many texts there were.

    Args:
        embedder: What makes vectors of texts.
        texts: At least one; of more than ``max_texts``, only an even sample is embedded.
        max_texts: Texts embedded.
        seed: Of the sample.

    Raises:
        ValueError: what makes vectors of texts made none.
    """
    chosen = sources.sample(len(texts), max_texts, seed)
    parts = [
        embedder.documents([texts[i] for i in part])
        for part in _told([chosen[rows] for rows in checks.chunks(chosen, _PART)])
    ]
    return np.concatenate(parts), len(texts)


def checked(texts: object) -> list[str]:
    """Return texts as a list.

    Raises:
        ValueError: one string, none, or something else than strings in it.
    """
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise ValueError(
            f"texts is {reprlib.repr(texts)}; give a list of strings (a preset is given by its "
            f"name: preset=)"
        )
    given = list(texts)
    for i, text in enumerate(given):
        if not isinstance(text, str):
            raise ValueError(f"texts[{i}] is {reprlib.repr(text)}; give strings alone")
    if not given:
        raise ValueError("texts is empty; give at least one")
    return given


def _told(parts: Sequence[Any]) -> Iterable[Any]:
    """Yield the parts; a terminal shows a progress bar on stderr meanwhile."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(parts, "embedding texts", console=console, disable=not console.is_terminal)
