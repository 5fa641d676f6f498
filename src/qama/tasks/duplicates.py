"""All pairs above a score: near-duplicates within a collection, or a join between two."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qama import checks
from qama.checks import Floats, Ids
from qama.shown import one_line
from qama.tasks.codeset import CodeSet, coded

_BATCH = 256  # rows that are compared with all others together
_FIRST = (
    16  # best rows asked for at first; four times as many while the last of them is above the score
)


class Pairs(NamedTuple):
    """Pairs above a score.

    Attributes:
        rows: int64 (p, 2), by the first row, then best first, ties by the lower second row.
        scores: float32 (p,).
    """

    rows: Ids
    scores: Floats

    def __repr__(self) -> str:
        return one_line("Pairs", **self._asdict())


@checks.default_errstate()
def join(
    a: CodeSet | npt.NDArray[np.floating], b: CodeSet, threshold: float, *, threads: int = 0
) -> Pairs:
    """Find all pairs (row of a, row of b) whose score is at least the threshold.

    Args:
        a: Codes of the same kind, or floats (n, d), which may have no rows.
        b: Codes.
        threshold: The least score, on the scale of `similarity`. Choose it on pairs of your own:
            two codes score lower than their vectors' cosine, the more so the shorter they are.
        threads: 0 uses all cores.

    Raises:
        ValueError: a threshold that is no finite number, b is no codes, another kind of code,
            unfitting floats.
    """
    least = np.asarray(threshold)
    if least.ndim or least.dtype.kind not in "fiu" or not np.isfinite(least):
        raise ValueError(f"threshold is {threshold!r}; give a score, for instance 0.95")
    threads = checks.threads(threads)
    compared = coded(b, "b").comparable(a)
    found = [(np.empty((0, 2), np.int64), np.empty(0, np.float32))]  # all, where a is empty
    for start in range(0, len(compared), _BATCH):
        left, right, scores = _above(compared[start : start + _BATCH], b, threshold, threads)
        found.append((np.stack([left + start, right], axis=1), scores))
    return Pairs(np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found]))


def near_duplicates(codes: CodeSet, threshold: float, *, threads: int = 0) -> Pairs:
    """Find all pairs i < j of codes whose score is at least the threshold; see `join`.

    Raises:
        ValueError: no codes, or a threshold that is no finite number.
    """
    pairs = join(codes, coded(codes, "codes"), threshold, threads=threads)
    kept = pairs.rows[:, 0] < pairs.rows[:, 1]
    return Pairs(pairs.rows[kept], pairs.scores[kept])


def groups(pairs: Ids, count: int) -> Ids:
    """Join pairs to groups: rows that a chain of pairs connects belong together.

    Args:
        pairs: Whole numbers (p, 2) below count, as in `Pairs.rows`.
        count: Number of rows.

    Returns:
        int64 (count,): the lowest row of each row's group; a row without a pair is its own.

    Raises:
        ValueError: pairs are not (p, 2), or name a row that there is not.
    """
    rows = np.asarray(pairs)
    if rows.ndim != 2 or rows.shape[1] != 2 or (rows.size and rows.dtype.kind not in "iu"):
        raise ValueError(f"pairs is {rows.dtype} {rows.shape}; give whole numbers (p, 2)")
    if rows.size and (rows.min() < 0 or rows.max() >= count):
        raise ValueError(f"pairs name rows from {rows.min()} to {rows.max()}; there are {count}")
    parent = list(range(count))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]  # halve the path
            row = parent[row]
        return row

    for left, right in rows.tolist():
        one, other = sorted((root(left), root(right)))
        parent[other] = one
    return np.array([root(row) for row in range(count)], dtype=np.int64)


def _above(
    queries: CodeSet | npt.NDArray[np.floating], b: CodeSet, threshold: float, threads: int
) -> tuple[Ids, Ids, Floats]:
    """Return query, row and score of every pair at or above the threshold, best first."""
    k = _FIRST
    while True:
        scorer = b.scorer(queries, threads)
        rows, scores = scorer.top(b.rows, min(k, len(b)), threads)
        inside = scores >= threshold
        if k >= len(b) or not inside[:, -1].any():
            query, column = np.nonzero(inside)
            return query, rows[query, column], scores[query, column]
        k *= 4
