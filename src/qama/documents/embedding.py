"""A query of documents: a vector, or a question of which one is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qama import arrays, checks
from qama.checks import Floats
from qama.embedders.embedder import Embedder


def query(q: object, embedder: Embedder | None) -> Floats:
    """Return one query as float32 (1, d).

    Args:
        q: Floats (d,) or (1, d), or a question.
        embedder: What makes vectors of questions, if anything does.

    Raises:
        ValueError: no query, or a question and nothing that makes vectors.
    """
    A = arrays.plain(_made([q], "q", embedder) if isinstance(q, str) else q, "q")
    Q = checks.vectors(A[None] if A.ndim == 1 else A, "q")
    if len(Q) != 1:
        raise ValueError(f"q has {len(Q)} rows; search takes one query")
    return Q


def queries(Q: object, embedder: Embedder | None) -> Floats:
    """Return queries as float32 (m, d).

    Args:
        Q: Floats (m, d), or m questions.
        embedder: What makes vectors of questions, if anything does.

    Raises:
        ValueError: no queries, or questions and nothing that makes vectors.
    """
    if isinstance(Q, str):
        raise ValueError("Q is one string; give a list of questions")
    if isinstance(Q, list | tuple) and Q and all(isinstance(q, str) for q in Q):
        made = checks.vectors(_made(Q, "Q", embedder), "what embed made")
        if len(made) != len(Q):
            raise ValueError(f"embed made {len(made)} vectors of {len(Q)} texts")
        return made
    return checks.vectors(Q, "Q", empty=True)


def _made(texts: Sequence[str], name: str, embedder: Embedder | None) -> Any:
    if embedder is None:
        raise ValueError(f"{name} is a string; open the documents with embed=, or give text=")
    return embedder.queries(texts)
