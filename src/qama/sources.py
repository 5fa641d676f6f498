"""Vectors from an array, a file or a stream, sampled so that memory stays bounded."""

from __future__ import annotations

import os
import tokenize
import zipfile
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import arrays, checks
from qama.checks import Floats
from qama.errors import MissingExtraError

MIN_ROWS = 16
_NPY = b"\x93NUMPY"

# What NumPy raises on headers that no .npy file should have.
_HOSTILE = (
    ValueError, EOFError, TypeError, SyntaxError, OverflowError, MemoryError, RecursionError,
    tokenize.TokenError, zipfile.BadZipFile,
)  # fmt: skip


def load(source: object, max_rows: int, seed: int) -> tuple[Floats, int]:
    """Return at most max_rows rows float32, evenly sampled in order, and how many there were.

    Args:
        source: Anything that `arrays.plain` reads; the path of a .npy or Parquet file; or an
            iterator, a list or a tuple of batches, each of them of the same kinds.
        max_rows: Rows kept.
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
    """Map a .npy file of vectors, or read them from a Parquet file's one list column.

    Raises:
        ValueError: neither .npy nor Parquet, pickled, or no vectors in it.
        FileNotFoundError: no such file.
    """
    file = Path(path)
    if file.suffix.lower() in (".parquet", ".pq"):
        return arrays.plain(_parquet(file), str(file))
    try:
        _check_start(file)
        loaded = np.load(file, mmap_mode="r", allow_pickle=False)
    except _HOSTILE as error:
        raise ValueError(f"{file} is not a .npy file of plain numbers ({error})") from None
    if not isinstance(loaded, np.ndarray):
        raise ValueError(f"{file} is an .npz archive; give one .npy array (rows, dims)")
    return loaded


def _check_start(file: Path) -> None:
    """Refuse what NumPy would advise to unpickle, and a header that it would allocate first."""
    with file.open("rb") as opened:
        start = opened.read(12)
    if start[:4] == b"PAR1":
        raise ValueError('it begins as a Parquet file does: end its name in ".parquet"')
    if start[:6] != _NPY and start[:2] != b"PK":
        raise ValueError("it does not begin as one")
    claimed = int.from_bytes(start[8:12], "little")  # so wide in versions 2 and 3
    if start[:6] == _NPY and start[6:7] > b"\x01" and claimed > file.stat().st_size:
        raise ValueError(f"it claims a header of {claimed} bytes and has {file.stat().st_size}")


def opened(source: object, name: str) -> npt.NDArray[Any] | Iterable[Any]:
    """Return an array for a path (mapped or read) and for all that is one; a stream as it is.

    Raises:
        ValueError: neither an array nor a path nor iterable; or see `arrays.plain`.
        FileNotFoundError: no such file.
    """
    if isinstance(source, str | os.PathLike):
        return open_vectors(source)
    if arrays.is_one(source):
        return arrays.plain(source, name)
    if isinstance(source, Iterable):
        return source
    raise ValueError(
        f"{name} is {type(source).__name__}; give an array, tensor, frame or Arrow table (n, d), "
        f"a .npy or Parquet path, or an iterator of such batches (of a dataset, its to_batches())"
    )


def as_array(batch: object, name: str) -> npt.NDArray[Any] | None:
    """Return a batch of a stream as an array; None for one without rows, to be skipped."""
    A = arrays.plain(batch, name)
    return None if A.shape[:1] == (0,) else A


def _sample(A: npt.NDArray[Any], max_rows: int, seed: int) -> tuple[Floats, int]:
    A = checks.matrix(A, "X")
    if len(A) <= max_rows:
        picked = np.arange(len(A))
    else:
        picked = np.sort(np.random.default_rng(seed).choice(len(A), max_rows, replace=False))
    out = np.empty((len(picked), A.shape[1]), dtype=np.float32)
    for rows in checks.chunks(picked):
        out[rows] = checks.finite(A[picked[rows]], "X", rows=picked[rows])
    return out, len(A)


def _reservoir(batches: Iterable[Any], max_rows: int, seed: int) -> tuple[Floats, int]:
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
        room = min(max_rows - held, len(F))
        if room:
            kept.append(F[:room].copy())
            held += room
        if room < len(F):
            sample = np.concatenate(kept) if sample is None else sample
            seen = np.arange(total + room, total + len(F))
            slots = (random.random(len(seen)) * (seen + 1)).astype(np.int64)
            for slot, row in zip(slots, F[room:], strict=True):
                if slot < max_rows:
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


def _parquet(file: Path) -> Any:
    if not file.exists():
        raise FileNotFoundError(f"no such file: {file}")
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("reading Parquet", "pyarrow", "arrow") from None
    try:
        opened = parquet.ParquetFile(file)
        schema = opened.schema_arrow
        kinds = [arrays.arrow_kind(field.type) for field in schema]
        chosen = arrays.columns_of(schema.names, kinds, str(file))
        return opened.read(columns=[schema.names[i] for i in chosen])  # others may be large
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None):
            raise
        raise ValueError(f"{file} cannot be read as Parquet ({error})") from None


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
