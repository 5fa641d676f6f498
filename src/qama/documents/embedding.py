"""A query of documents: a vector, or a question of which one is made."""

from __future__ import annotations

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
    if isinstance(q, str):
        if embedder is None:
            raise ValueError("q is a string; open the documents with embed=, or give text=")
        q = embedder.query(q)
    A = arrays.plain(q, "q")
    Q = checks.vectors(A[None] if A.ndim == 1 else A, "q")
    if len(Q) != 1:
        raise ValueError(f"q has {len(Q)} rows; search takes one query")
    return Q
