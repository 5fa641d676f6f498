"""Nearest-neighbour classification over an index of labelled vectors."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qama import checks
from qama.checks import Floats
from qama.search.index import Index
from qama.shown import one_line


class Classified(NamedTuple):
    """What the neighbours say.

    Attributes:
        labels: (m,), of the given labels' dtype; meaningless where ``known`` is False.
        scores: float32 (m,), the best neighbour's score.
        known: bool (m,), whether that score reaches the threshold; all without one.
    """

    labels: npt.NDArray[Any]
    scores: Floats
    known: npt.NDArray[np.bool_]

    def __repr__(self) -> str:
        return one_line("Classified", **self._asdict())


@checks.default_errstate()
def classify(
    index: Index,
    labels: npt.ArrayLike,
    Q: object,
    k: int = 10,
    *,
    threshold: float | None = None,
    scorer: str = "asymmetric",
    threads: int = 0,
) -> Classified:
    """Let the k nearest vectors vote, each with its score above the (k + 1)-th.

    Args:
        index: The labelled vectors.
        labels: One per vector, (len(index),), in the order of ``index.ids``.
        Q: Floats (m, d).
        k: Voters.
        threshold: The least score of the best neighbour for an answer; below it a query is out of
            scope. Choose it on validation queries: scores differ by model and code.
        scorer: As for `Index.search`.
        threads: As for `Index.search`.

    Raises:
        ValueError: another number of labels, an empty index, or what `Index.search` refuses.
    """
    k = checks.integer(k, "k", 1)
    names = np.asarray(labels)
    if names.shape != (len(index),):
        raise ValueError(f"labels has shape {names.shape}; the index has {len(index)} vectors")
    if not len(index):
        raise ValueError("index is empty; add labelled vectors first")
    found = index.search(Q, k + 1, scorer=scorer, threads=threads)
    weights = (found.scores - found.scores[:, -1:])[:, :k]
    weights = weights + np.float32(1e-6)  # so that equal scores vote too
    classes, numbers = np.unique(names, return_inverse=True)
    order = np.argsort(index.ids)
    rows = order[np.searchsorted(index.ids, found.ids[:, :k], sorter=order)]
    votes = np.zeros((len(found.ids), len(classes)), dtype=np.float64)
    np.add.at(votes, (np.arange(len(votes))[:, None], numbers[rows]), weights)
    best = found.scores[:, 0]
    known = np.ones(len(best), dtype=bool) if threshold is None else best >= threshold
    return Classified(classes[votes.argmax(axis=1)], best, known)
