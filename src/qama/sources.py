"""Vectors from an array, a file, a dataset or a stream, sampled so that memory stays bounded."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeGuard, cast

import numpy as np
import numpy.typing as npt

from qama import arrays, checks, vectorfiles
from qama.checks import Floats, Ids

MIN_ROWS = 16
MAX_ROWS = 262_144  # of a source, where none are asked for
MAX_VALUES = MAX_ROWS * 384  # that they may hold: 400 MB in memory


def load(source: object, max_rows: int | None, seed: int) -> tuple[Floats, int]:
    """Return at most max_rows rows float32, evenly sampled in order, and how many there were.

    Args:
        source: Anything that `arrays.plain` reads; the path of a file that `vectorfiles.opened`
            reads; a dataset of Hugging Face; or an iterator, a list or a tuple of batches, each of
            them of what `arrays.plain` reads.
        max_rows: Rows kept; None: `MAX_ROWS`, or fewer that hold `MAX_VALUES`.
        seed: Of the sample.

    Raises:
        ValueError: not such a source, fewer than 16 rows, values that are not finite floats.
        FileNotFoundError: no such file.
    """
    there = opened(source, "X")
    rows, total = (
        _sample(there, max_rows, seed)
        if isinstance(there, np.ndarray)
        else _reservoir(there, max_rows, seed)
    )
    if total < MIN_ROWS:
        raise ValueError(f"X has {total} rows; a fit needs at least {MIN_ROWS}")
    return rows, total


def open_vectors(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Return the vectors of a file as one array; see `vectorfiles.opened`."""
    return vectorfiles.whole(path)


def opened(source: object, name: str) -> npt.NDArray[Any] | Iterable[Any]:
    """Return an array for a path (mapped or read) and for all that is one; a stream as it is.

    Raises:
        ValueError: neither an array nor a path nor iterable; or see `arrays.plain`.
        FileNotFoundError: no such file.
    """
    if isinstance(source, str | os.PathLike):
        return vectorfiles.opened(source)
    if _is_dataset(source):
        return cast(Iterable[Any], source.with_format("arrow").iter(checks.CHUNK_ROWS))
    if arrays.is_one(source):
        return arrays.plain(source, name)
    if isinstance(source, Iterable):
        return source
    raise ValueError(
        f"{name} is {type(source).__name__}; give an array, tensor, frame or Arrow table (n, d), "
        f"the path of a file of vectors, or an iterator of such batches (of a dataset of pyarrow, "
        f"its to_batches())"
    )


def _is_dataset(source: object) -> TypeGuard[Any]:
    """Whether it is a Dataset, or one that streams, of Hugging Face.

    Raises:
        ValueError: several of them, such as a training and a test part.
    """
    kind = type(source)
    if kind.__module__.partition(".")[0] != "datasets":
        return False
    if isinstance(source, dict):
        listed = ", ".join(repr(name) for name in source)
        raise ValueError(f"X is a {kind.__name__} of {listed}; give one of them")
    return kind.__name__ in ("Dataset", "IterableDataset")


def as_array(batch: object, name: str) -> npt.NDArray[Any] | None:
    """Return a batch of a stream as an array; None for one without rows, to be skipped."""
    A = arrays.plain(batch, name)
    return None if A.shape[:1] == (0,) else A


def sample(count: int, most: int, seed: int) -> Ids:
    """Return the numbers of at most ``most`` of ``count`` rows, ascending, each as likely."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def most_rows(max_rows: int | None, width: int) -> int:
    """Return how many rows of vectors of a width are kept where ``max_rows`` are asked for."""
    return min(MAX_ROWS, max(MIN_ROWS, MAX_VALUES // width)) if max_rows is None else max_rows


def _sample(A: npt.NDArray[Any], max_rows: int | None, seed: int) -> tuple[Floats, int]:
    A = checks.matrix(A, "X")
    picked = sample(len(A), most_rows(max_rows, A.shape[1]), seed)
    out = np.empty((len(picked), A.shape[1]), dtype=np.float32)
    for rows in checks.chunks(picked):
        out[rows] = checks.finite(A[picked[rows]], "X", rows=picked[rows])
    return out, len(A)


def _reservoir(batches: Iterable[Any], max_rows: int | None, seed: int) -> tuple[Floats, int]:
    """Algorithm R over batches: every row has the same chance to stay."""
    random = np.random.default_rng(seed)
    kept: list[Floats] = []
    held = total = 0
    sample: Floats | None = None
    width: int | None = None
    for batch in batches:
        F = _checked(batch, total, width)
        if F is None:
            continue
        width = F.shape[1]
        most = most_rows(max_rows, width)
        room = min(most - held, len(F))
        if room:
            kept.append(F[:room].copy())
            held += room
        if room < len(F):
            sample = np.concatenate(kept) if sample is None else sample
            seen = np.arange(total + room, total + len(F))
            slots = (random.random(len(seen)) * (seen + 1)).astype(np.int64)
            for slot, row in zip(slots, F[room:], strict=True):
                if slot < most:
                    sample[slot] = row
        total += len(F)
    if not total:
        raise ValueError("X is an iterator without a single batch; give at least 16 rows")
    return (np.concatenate(kept) if sample is None else sample), total


def _checked(batch: object, row: int, width: int | None) -> Floats | None:
    """Return a batch that begins at a row of X as finite floats of a width; None: no rows.

    Raises:
        ValueError: unfitting; the message names the row in X.
    """
    try:
        A = as_array(batch, "a batch of X")
        if A is None:
            return None
        A = checks.matrix(A, "a batch of X")
        if width not in (None, A.shape[1]):
            raise ValueError(f"a batch of X has {A.shape[1]} columns, the ones before it {width}")
    except ValueError as error:
        raise ValueError(f"{error}; that batch begins at row {row} of X") from None
    return checks.finite(A, "X", row)


def read_ids(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read ids from a .npy file, or from a text with one whole number a line.

    Raises:
        ValueError: not such a file.
        FileNotFoundError: no such file.
    """
    file = Path(path)
    if file.suffix.lower() == ".npy":
        return open_vectors(file)
    try:
        with file.open() as lines:
            return np.array(array("q", (int(line) for line in lines if line.strip())))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{file}: ids are whole numbers, one a line ({error})") from None
