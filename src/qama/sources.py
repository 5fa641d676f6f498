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

from qama import checks
from qama.checks import Floats
from qama.errors import MissingExtraError

MIN_ROWS = 16

# What NumPy raises on headers that no .npy file should have.
_HOSTILE = (
    ValueError, EOFError, TypeError, SyntaxError, OverflowError, MemoryError, RecursionError,
    tokenize.TokenError, zipfile.BadZipFile,
)  # fmt: skip


def load(source: object, max_rows: int, seed: int) -> tuple[Floats, int]:
    """Return at most max_rows rows float32, evenly sampled in order, and how many there were.

    Args:
        source: An array (n, d), memory-mapped or not; the path of a .npy or Parquet file; an Arrow
            table; or an iterator of arrays, Arrow tables or record batches.
        max_rows: Rows kept.
        seed: Of the sample.

    Raises:
        ValueError: not such a source, fewer than 16 rows, values that are not finite floats.
        FileNotFoundError: no such file.
    """
    opened = _open(source)
    rows, total = (
        _sample(opened, max_rows, seed)
        if isinstance(opened, np.ndarray)
        else _reservoir(opened, max_rows, seed)
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
    if file.suffix in (".parquet", ".pq"):
        return _from_arrow(_parquet(file))
    try:
        _check_header_size(file)
        loaded = np.load(file, mmap_mode="r", allow_pickle=False)
    except _HOSTILE as error:
        raise ValueError(f"{file} is not a .npy file of plain numbers ({error})") from None
    if not isinstance(loaded, np.ndarray):
        raise ValueError(f"{file} is an .npz archive; give one .npy array (rows, dims)")
    return loaded


def _check_header_size(file: Path) -> None:
    """Refuse a .npy file that claims a header longer than itself: NumPy would allocate it first."""
    with file.open("rb") as opened:
        start = opened.read(12)
    claimed = int.from_bytes(start[8:12], "little")  # so wide in versions 2 and 3
    if start[:6] == b"\x93NUMPY" and start[6:7] > b"\x01" and claimed > file.stat().st_size:
        raise ValueError(f"it claims a header of {claimed} bytes and has {file.stat().st_size}")


def opened(source: object) -> object:
    """Return an array for a path (mapped or read) and for an Arrow table; all else as it is."""
    if isinstance(source, str | os.PathLike):
        return open_vectors(source)
    return _from_arrow(source) if _is_arrow(source) else source


def as_array(batch: object) -> npt.NDArray[Any] | None:
    """Return a batch of a stream as an array; None for an empty one of Arrow's, to be skipped."""
    if not _is_arrow(batch):
        return np.asarray(batch)
    return _from_arrow(batch) if len(batch) else None  # type: ignore[arg-type]


def _open(source: object) -> npt.NDArray[Any] | Iterable[Any]:
    there = opened(source)
    if isinstance(there, list | tuple) and there and _is_table(there[0]):
        return there  # as Table.to_batches returns
    if isinstance(there, np.ndarray | list | tuple):
        return np.asarray(there)
    if isinstance(there, Iterable):
        return there
    raise ValueError(
        f"X is {type(source).__name__}; give an array (n, d), a .npy or Parquet path, an Arrow "
        f"table, or an iterator of arrays or Arrow batches (of a dataset, its to_batches())"
    )


def _is_arrow(source: object) -> bool:
    if type(source).__module__.partition(".")[0] != "pyarrow":
        return False
    import pyarrow as pa

    return isinstance(source, pa.Table | pa.RecordBatch | pa.Array | pa.ChunkedArray)


def _is_table(source: object) -> bool:
    return _is_arrow(source) and hasattr(source, "columns")


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
        if (given := as_array(batch)) is None:
            continue
        A = checks.matrix(given, "a batch of X")
        if width not in (None, A.shape[1]):
            raise ValueError(f"a batch of X has {A.shape[1]} columns, the ones before it {width}")
        F = checks.finite(A, "X", total)
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
        lists = [field.name for field in opened.schema_arrow if _is_list(field.type)]
        return opened.read(columns=lists)  # the other columns may be large
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None):
            raise
        raise ValueError(f"{file} cannot be read as Parquet ({error})") from None


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return any(
        test(kind) for test in (types.is_list, types.is_large_list, types.is_fixed_size_list)
    )


def _from_arrow(table: Any) -> npt.NDArray[Any]:
    import pyarrow as pa
    from pyarrow import compute

    columns = getattr(table, "columns", [table])
    lists = [column for column in columns if _is_list(column.type)]
    if len(lists) != 1:
        raise ValueError(
            f"the table has {len(lists)} columns of lists; give one with exactly one such column"
        )
    column = lists[0].combine_chunks() if isinstance(lists[0], pa.ChunkedArray) else lists[0]
    if column.null_count:
        raise ValueError(f"the column of vectors has {column.null_count} nulls; drop those rows")
    if len(column) == 0:
        raise ValueError("the column of vectors has no rows; give at least one")
    if len(compute.list_value_length(column).unique()) != 1:
        raise ValueError("the column's lists differ in length; vectors have one width")
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat.reshape(len(column), -1))


def read_ids(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read ids from a .npy file, or from a text with one whole number a line.

    Raises:
        ValueError: not such a file.
        FileNotFoundError: no such file.
    """
    file = Path(path)
    if file.suffix == ".npy":
        return open_vectors(file)
    try:
        with file.open() as lines:
            return np.array(array("q", (int(line) for line in lines if line.strip())))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{file}: ids are whole numbers, one a line ({error})") from None
