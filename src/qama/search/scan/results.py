"""What a search returns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qama.checks import Floats, Ids
from qama.errors import MissingExtraError
from qama.shown import one_line, rows_html

_SHOWN = 10  # rows that a notebook shows


class SearchResult(NamedTuple):
    """What a search found.

    Attributes:
        ids: int64 (n_queries, k'), best first; ties as `Index.search` says.
        scores: float32 (n_queries, k'): the cosine with the decoded vector, of a grid code times
            its calibration scale (both estimate the float32 cosine), or 1 - distance / bits; where
            it was rescored, the cosine with the kept vector. k' is the lesser of k and the number
            of rows that may be returned.
    """

    ids: Ids
    scores: Floats

    @classmethod
    def empty(cls, k: int) -> SearchResult:
        """Return what no queries find where each would find k."""
        return cls(np.empty((0, k), np.int64), np.empty((0, k), np.float32))

    def __repr__(self) -> str:
        return one_line("SearchResult", **self._asdict())

    def _repr_html_(self) -> str:
        return html("SearchResult", self._asdict())

    def to_pandas(self) -> Any:
        """Return a pandas frame of a row a hit: query, rank (from 1), id, score.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return frame("SearchResult", self._asdict())


def frame(name: str, arrays: dict[str, npt.NDArray[Any]]) -> Any:
    """Return arrays (n_queries, k) as a pandas frame of a row a hit.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtraError(f"{name}.to_pandas", "pandas", "pandas") from None
    return pd.DataFrame(_columns(arrays))


def html(name: str, arrays: dict[str, npt.NDArray[Any]]) -> str:
    """Return the first hits of arrays (n_queries, k) as an HTML table."""
    m, k = arrays["ids"].shape
    queries = -(-_SHOWN // max(1, k))
    columns = _columns({part: array[:queries] for part, array in arrays.items()})
    columns["score"] = np.array([f"{score:.4f}" for score in columns["score"]])
    rows = list(zip(*columns.values(), strict=True))[:_SHOWN]
    of = f", the first {len(rows)} of {m * k} hits" if len(rows) < m * k else ""
    return rows_html(f"{name}: {m} queries, {k} hits each{of}", list(columns), rows)


def _columns(arrays: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Return a column for each array, named as one of its values, behind query and rank."""
    m, k = arrays["ids"].shape
    columns = {"query": np.repeat(np.arange(m), k), "rank": np.tile(np.arange(1, k + 1), m)}
    return columns | {part.removesuffix("s"): array.ravel() for part, array in arrays.items()}
