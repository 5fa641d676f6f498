"""Rows of Parquet files: ids and vectors in, ids and codes out; refusals by file and row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import arrays, checks
from qama.checks import Bytes, Floats
from qama.codec import Codec
from qama.distributed.places import Place, needed

_BATCH_VALUES = 2**20  # floats that are encoded at once: 4 MiB, of which reading takes some
_BUFFER = 2**23  # bytes of a column that are fetched at once


@dataclass(frozen=True)
class Columns:
    """Which columns of a file hold what.

    Attributes:
        vectors: Lists of floats, float16 to float64, or tensors of one axis.
        ids: Whole numbers from 0 to 2^63 - 1, or strings.
    """

    vectors: str
    ids: str


@dataclass(frozen=True)
class Encoder:
    """A codec and the code that is asked of it; what all files and frames are encoded by.

    Attributes:
        codec: The codec.
        request: The arguments that ask it for the code: dims and level, or nbytes.
        columns: Where ids and vectors are.
        threads: Of one call; 0: all cores.
    """

    codec: Codec
    request: Mapping[str, Any]
    columns: Columns
    threads: int = 1

    def encode(self, batch: Any, name: str, first: int = 0) -> tuple[Any, Bytes]:
        """Return the ids, an Arrow array, and the codes, uint8 (n, bytes), of a RecordBatch.

        Args:
            batch: With both columns.
            name: What messages call the file.
            first: The number there of its first row.

        Raises:
            ValueError: a row without an id or a vector, or whose vector the codec cannot encode.
        """
        ids = ids_of(batch, self.columns.ids, name, first)
        X = vectors_of(batch, self.columns.vectors, name, first, self.codec.dims_in)
        return ids, self.codec.encode(X, threads=self.threads, **self.request)


def batches(place: Place, name: str, columns: list[str], width: int) -> Iterator[Any]:
    """Yield the rows of a Parquet file, so few at once that memory does not grow with the file.

    Args:
        place: Its folder.
        name: Its name.
        columns: Those to read.
        width: Dims of a vector, which decide how many rows come at once: 4 MiB as float32.

    Raises:
        ValueError: it cannot be read as Parquet, or lacks a column.
        OSError: it cannot be opened.
    """
    rows = max(1, _BATCH_VALUES // width)
    with parquet_file(place, name, columns) as opened:
        yield from opened.iter_batches(rows, columns=columns, use_threads=False)


def parquet_file(place: Place, name: str, columns: list[str]) -> Any:
    """Open a Parquet file that has the columns.

    Raises:
        ValueError: it cannot be read as Parquet, or lacks a column.
        OSError: it cannot be opened.
    """
    pa, parquet = needed("pyarrow"), needed("pyarrow.parquet")
    file = place.opened(name)
    try:
        opened = parquet.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{place.shown(name)} cannot be read as Parquet ({error})") from None
    has = opened.schema_arrow.names
    for column in columns:
        if column not in has:
            listed = ", ".join(map(repr, has))
            raise ValueError(f"{place.shown(name)} has no column {column!r}; it has {listed}")
    return opened


def vectors_of(batch: Any, column: str, name: str, first: int, dims: int | None) -> Floats:
    """Return a column of vectors as finite float32 (n, dims).

    Raises:
        ValueError: a null, another number of dims, or a value that is not finite, by row.
    """
    called = f"column {column!r} of {name}"
    held = _plain(batch.column(column))
    lists = arrays.arrow_kind(held.type)
    if not lists.startswith("lists"):
        raise ValueError(f"{called} is {held.type}; give lists of floats")
    if not len(held):
        return np.empty((0, dims or 0), dtype=np.float32)
    _check_widths(held, called, first, dims)
    A = checks.matrix(arrays.plain(held, called), called, dims)
    return checks.finite(A, called, first)


def _check_widths(held: Any, called: str, first: int, dims: int | None) -> None:
    """Refuse a row that is null or of another length than the codec's, or than the first row's."""
    widths = needed("pyarrow.compute").list_value_length(held).fill_null(-1).to_numpy()
    wanted = widths[0] if dims is None else dims
    wrong = np.flatnonzero((widths != wanted) | (widths < 0))
    if not len(wrong):
        return
    row, width = first + wrong[0], widths[wrong[0]]
    if width < 0:
        raise ValueError(f"row {row} of {called} is null; drop such rows")
    whose = "the rows before it have" if dims is None else "the codec was fitted on"
    raise ValueError(f"row {row} of {called} has {width} dims; {whose} {wanted}")


def ids_of(batch: Any, column: str, name: str, first: int) -> Any:
    """Return a column of ids as an Arrow array of int64 or of strings.

    Raises:
        ValueError: another type, a null, or a number below 0 or above 2^63 - 1.
    """
    pa, compute = needed("pyarrow"), needed("pyarrow.compute")
    held, called = _plain(batch.column(column)), f"column {column!r} of {name}"
    wanted = id_type(held.type, called)
    nulls = compute.index(compute.is_null(held), True).as_py()
    if nulls >= 0:
        raise ValueError(f"row {first + nulls} of {called} is null; give each row an id")
    try:
        cast = held.cast(wanted)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{called} holds no ids up to 2^63 - 1 ({error})") from None
    if wanted == pa.int64() and len(cast) and (numbers := cast.to_numpy()).min() < 0:
        row = int(np.argmax(numbers < 0))
        raise ValueError(
            f"row {first + row} of {called} is {numbers[row]}; ids are whole numbers from 0 to "
            f"2^63 - 1, or strings"
        )
    return cast


def id_type(dtype: Any, called: str) -> Any:
    """Return the type of ids in the output, int64 or string, for those of a column.

    Raises:
        ValueError: neither whole numbers nor strings.
    """
    pa = needed("pyarrow")
    kinds = pa.types
    of = dtype.value_type if kinds.is_dictionary(dtype) else dtype
    if kinds.is_integer(of):
        return pa.int64()
    if kinds.is_string(of) or kinds.is_large_string(of) or kinds.is_string_view(of):
        return pa.string()
    raise ValueError(f"{called} is {dtype}; ids are whole numbers or strings")


def _plain(column: Any) -> Any:
    """Return a column as its values lie: a tensor's as lists."""
    return getattr(column, "storage", column)


def id_bytes(ids: Any) -> bytes:
    """Return what a checksum is of: int64, little-endian; strings in UTF-8, each before a NUL."""
    if needed("pyarrow").types.is_string(ids.type):
        return "".join(f"{key}\0" for key in ids.to_pylist()).encode()
    numbers: npt.NDArray[np.int64] = ids.to_numpy()
    return numbers.astype("<i8").tobytes()
