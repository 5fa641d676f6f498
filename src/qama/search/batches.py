"""Vectors of any source, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks, sources
from qama.checks import Floats, Ids
from qama.search.rows import ids as idmap

Batch = tuple[Floats, Ids | None]
_END = object()


def batches(source: object, ids: object, dims: int) -> Iterator[Batch]:
    """Yield finite vectors and their ids (None: default ones), where there are any.

    Of an array at most 16,384 rows at a time.

    Args:
        source: See `Index.add_from`.
        ids: See `Index.add_from`.
        dims: The columns that vectors must have.

    Raises:
        ValueError: not a source of vectors, or ids that do not go with it; messages count rows from
            the first one of the source.
    """
    opened = sources.opened(source, "source")
    if isinstance(opened, np.ndarray):
        return _of_array(opened, ids, dims)
    return _of_batches(opened, ids, dims)


def _of_array(X: npt.NDArray[Any], ids: object, dims: int) -> Iterator[Batch]:
    if not X.ndim:
        raise ValueError(f"source is the single value {X.item()!r}; give an array (n, d)")
    given = None if ids is None else idmap.whole(ids, "ids")
    if given is not None and len(given) != len(X):
        raise ValueError(f"ids have shape {given.shape} for {len(X)} vectors; give one for each")
    A = checks.matrix(X, "source", dims, empty=True)
    for rows in checks.chunks(A):
        F = checks.finite(A[rows], "source", rows.start)
        yield F, None if given is None else given[rows]


def _of_batches(source: Iterable[Any], ids: object, dims: int) -> Iterator[Batch]:
    if ids is None:
        batches: Iterable[tuple[object, Any]] = ((batch, None) for batch in source)
    elif isinstance(ids, np.ndarray) and ids.ndim == 1 and ids.dtype != object:
        batches = _with_parts(source, ids)
    elif isinstance(ids, Iterable):
        batches = _with_ids(source, ids)
    else:
        raise ValueError(f"ids is {type(ids).__name__}; give one array of ids for each batch")
    first_row = 0
    for batch, some in batches:
        X = sources.as_array(batch, "a batch of source")
        given = None if some is None else idmap.whole(some, "ids")
        if X is None:
            if given is not None and len(given):
                raise ValueError(f"a batch without vectors has {len(given)} ids; give one for each")
            continue
        A = checks.matrix(X, "a batch of source", dims)
        yield checks.finite(A, "source", first_row), given
        first_row += len(A)


def _with_parts(
    source: Iterable[Any], ids: npt.NDArray[Any]
) -> Iterator[tuple[object, npt.NDArray[Any]]]:
    """Yield batches, each with as many of the ids as it has rows; refuse more or fewer."""
    row = 0
    for batch in source:
        A = sources.as_array(batch, "a batch of source")
        count = 0 if A is None else len(A)
        if row + count > len(ids):
            raise ValueError(f"there are {len(ids)} ids, for more vectors; give one for each")
        yield A if A is not None else batch, ids[row : row + count]
        row += count
    if row < len(ids):
        raise ValueError(f"there are {len(ids)} ids for {row} vectors; give one for each")


def _with_ids(source: Iterable[Any], ids: Iterable[Any]) -> Iterator[tuple[object, Any]]:
    """Yield batches with their ids, refusing when one of the two ends before the other."""
    for count, (batch, some) in enumerate(zip_longest(source, ids, fillvalue=_END)):
        if batch is _END or some is _END:
            first, other = ("ids", "vectors") if some is _END else ("vectors", "ids")
            raise ValueError(
                f"{first} end after {count} {'batch' if count == 1 else 'batches'}, before the "
                f"{other} do; give one array of ids for each batch"
            )
        yield batch, some
