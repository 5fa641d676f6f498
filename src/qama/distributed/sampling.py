"""A codec of a sample of the vectors in a folder of Parquet files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from qama import checks, fitting, sources
from qama.checks import Floats, Ids
from qama.codec import Codec
from qama.distributed.columns import batches, parquet_file, vectors_of
from qama.distributed.encoding import listed
from qama.distributed.places import Place, place
from qama.distributed.running import each


class Picked(NamedTuple):
    """Some rows of a file.

    Attributes:
        name: Of the file.
        rows: Their numbers there, ascending.
    """

    name: str
    rows: Ids


@dataclass(frozen=True)
class Counted:
    """Counts the rows of a file; it can be pickled."""

    source: Place
    column: str

    def __call__(self, name: str) -> tuple[str, int]:
        """Return the name and the count, of the file's end alone."""
        with parquet_file(self.source, name, [self.column]) as opened:
            return name, opened.metadata.num_rows


@dataclass(frozen=True)
class Reader:
    """Reads some rows of a file; it can be pickled."""

    source: Place
    column: str
    dims: int

    def __call__(self, picked: Picked) -> tuple[str, Floats]:
        """Return the name and the rows, finite float32 (n, dims)."""
        shown = self.source.shown(picked.name)
        out = np.empty((len(picked.rows), self.dims), dtype=np.float32)
        first = done = 0
        for batch in batches(self.source, picked.name, [self.column], self.dims):
            stop = int(np.searchsorted(picked.rows, first + len(batch)))
            X = vectors_of(batch, self.column, shown, first, self.dims)
            out[done:stop] = X[picked.rows[done:stop] - first]
            done, first = stop, first + len(batch)
        return picked.name, out


def fit(
    source: str | os.PathLike[str],
    *,
    column: str = "embedding",
    rows: int | None = None,
    seed: int = 0,
    on: str = "ray",
    workers: int | None = None,
    filesystem: Any = None,
    **options: Any,
) -> Codec:
    """Fit a codec on an even sample of the vectors in a folder of Parquet files.

    The ends of the files say how many rows there are; of all of them, so many are drawn, each as
    likely; one pass over the files fetches them. The sample follows from the seed and from the
    files in the order of their names: it is that of `qama.fit` of all rows in one array, and so is
    the codec. The sample comes into the memory of this process, where the fit runs.

    Args:
        source: See `encode`.
        column: Of vectors: see `encode`.
        rows: How many are drawn; None: as many as `qama.fit` uses, 262,144 up to 384 dims.
        seed: Of every random draw.
        on: See `encode`.
        workers: See `encode`.
        filesystem: See `encode`.
        **options: Others of `qama.fit`.

    Returns:
        The codec; its ``facts["rows"]`` are those of all files.

    Raises:
        ValueError: no Parquet files, no such column, fewer than 16 rows, or a vector that is not
            finite floats, by file and row; or see `qama.fit`.
        EngineError: workers or the cluster failed.
        OSError: a file cannot be read.
        MissingExtraError: pyarrow, Ray, or what `qama.fit` needs is not installed.
    """
    here = place(source, filesystem)
    names = [file.name for file in listed(here)]
    counts = dict(each(Counted(here, column), names, on, workers))
    total = sum(counts.values())
    if total < sources.MIN_ROWS:
        raise ValueError(f"{here} has {total} rows; a fit needs at least {sources.MIN_ROWS}")
    dims = _dims(here, column, next(name for name in names if counts[name]))
    asked = None if rows is None else checks.integer(rows, "rows", sources.MIN_ROWS)
    chosen = sources.sample(total, sources.most_rows(asked, dims), seed)
    picked = [some for some in _by_file(chosen, names, counts) if len(some.rows)]
    read = dict(each(Reader(here, column, dims), picked, on, workers))
    X = np.concatenate([read.pop(some.name) for some in picked])
    if asked is not None:
        options.setdefault("max_rows", asked)
    codec = fitting.fit(X, seed=seed, **options)
    return replace(codec, facts={**codec.facts, "rows": total})


def _dims(source: Place, column: str, name: str) -> int:
    """Return the dims of the first vector of a file."""
    with parquet_file(source, name, [column]) as opened:
        row = next(opened.iter_batches(1, columns=[column]))
    return int(vectors_of(row, column, source.shown(name), 0, None).shape[1])


def _by_file(chosen: Ids, names: Sequence[str], counts: Mapping[str, int]) -> list[Picked]:
    """Return which rows of each file are chosen, of rows that are counted through all files."""
    starts = np.cumsum([0, *(counts[name] for name in names)])
    cuts = np.searchsorted(chosen, starts)
    return [Picked(name, chosen[cuts[i] : cuts[i + 1]] - starts[i]) for i, name in enumerate(names)]
