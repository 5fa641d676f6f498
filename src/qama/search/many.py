"""Several indexes as one."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from qama import checks
from qama.checks import Floats, Ids
from qama.search.index import Index
from qama.search.rows import filters
from qama.search.scan import results
from qama.search.scan.results import SearchResult
from qama.shown import one_line


class ManyResult(NamedTuple):
    """What a search of several indexes found.

    Attributes:
        ids: int64 (n_queries, k'), best first, ties in the order of the indexes.
        scores: float32 (n_queries, k').
        sources: int64 (n_queries, k'): the position of the index that holds each id.
    """

    ids: Ids
    scores: Floats
    sources: Ids

    def __repr__(self) -> str:
        return one_line("ManyResult", **self._asdict())

    def _repr_html_(self) -> str:
        return results.html("ManyResult", self._asdict())

    def to_pandas(self) -> Any:
        """Return a pandas frame of a row a hit: query, rank (from 1), id, score, source.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return results.frame("ManyResult", self._asdict())


@checks.default_errstate()
def search_many(
    indexes: Sequence[Index], Q: object, k: int = 10, *, threads: int = 0,
    **options: Any,
) -> ManyResult:  # fmt: skip
    """Search several indexes side by side and merge their results.

    Args:
        indexes: At least one; what they hold may differ, scores are compared as they are.
        Q: Floats (m, d).
        k: How many in all.
        threads: 0 uses all cores; the indexes share them.
        options: Further arguments of `Index.search`; a filter is ids or a function.

    Raises:
        ValueError: no index, something else, a mask as a filter, or what `Index.search` refuses.
    """
    indexes = _listed(indexes)
    for name in {"filter", "exclude"} & options.keys():
        options[name] = filters.for_many(options[name], name)
    total = checks.threads(threads)
    each = max(1, total // len(indexes))

    def one(index: Index) -> SearchResult:
        return index.search(Q, k, threads=each, **options)

    with ThreadPoolExecutor(min(total, len(indexes))) as pool:
        parts = list(pool.map(one, indexes))
    return merged(parts, checks.integer(k, "k", 1))


def _listed(indexes: object) -> list[Index]:
    listed = list(indexes) if isinstance(indexes, Iterable) else None
    if listed is None or not all(isinstance(index, Index) for index in listed):
        raise ValueError(f"indexes is {reprlib.repr(indexes)}; give a list of open indexes")
    if not listed:
        raise ValueError("indexes is empty; give at least one")
    return listed


def merged(parts: Sequence[SearchResult], k: int) -> ManyResult:
    """Return the k best of what a search of each of several indexes found for the same queries.

    Args:
        parts: At least one; ties go to the earlier one.
        k: How many of each query.
    """
    ids, scores = (np.concatenate([part[i] for part in parts], axis=1) for i in (0, 1))
    sources = np.repeat(np.arange(len(parts)), [part.ids.shape[1] for part in parts])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return ManyResult(
        np.take_along_axis(ids, order, axis=1),
        np.take_along_axis(scores, order, axis=1),
        sources[order],
    )
