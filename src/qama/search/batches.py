"""Vectors of any source, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks, sources

Batch = tuple[npt.NDArray[Any], object]
_END = object()


def batches(source: object, ids: object) -> Iterator[Batch]:
    """Yield vectors and their ids (None: default ones), at most 16,384 rows of an array at a time.

    Raises:
        ValueError: not a source of vectors, or ids that do not go with it.
    """
    opened = sources.opened(source)
    if isinstance(opened, np.ndarray):
        return _of_array(opened, ids)
    if isinstance(opened, Iterable):
        return _of_batches(opened, ids)
    raise ValueError(
        f"source is {type(source).__name__}; give an array (n, d), a .npy or Parquet path, an "
        f"Arrow table, or an iterator of arrays or Arrow batches"
    )


def _of_array(X: npt.NDArray[Any], ids: object) -> Iterator[Batch]:
    if not X.ndim:
        raise ValueError(f"source is the single value {X.item()!r}; give an array (n, d)")
    given = None if ids is None else np.asarray(ids)
    if given is not None and given.shape != (len(X),):
        raise ValueError(f"ids have shape {given.shape} for {len(X)} vectors; give one for each")
    for rows in checks.chunks(X):
        yield X[rows], None if given is None else given[rows]


def _of_batches(source: Iterable[Any], ids: object) -> Iterator[Batch]:
    if ids is None:
        pairs: Iterable[tuple[object, Any]] = ((batch, None) for batch in source)
    elif isinstance(ids, Iterable):
        pairs = _paired(source, ids)
    else:
        raise ValueError(f"ids is {type(ids).__name__}; give one array of ids for each batch")
    for batch, some in pairs:
        X = sources.as_array(batch)
        if X is not None:
            yield X, some
        elif some is not None and len(some):
            raise ValueError(f"a batch without vectors has {len(some)} ids; give one for each")


def _paired(source: Iterable[Any], ids: Iterable[Any]) -> Iterator[tuple[object, Any]]:
    """Yield batches with their ids, refusing when one of the two ends before the other."""
    for count, (batch, some) in enumerate(zip_longest(source, ids, fillvalue=_END)):
        if batch is _END or some is _END:
            first, other = ("ids", "vectors") if some is _END else ("vectors", "ids")
            raise ValueError(
                f"{first} end after {count} {'batch' if count == 1 else 'batches'}, before the "
                f"{other} do; give one array of ids for each batch"
            )
        yield batch, some
