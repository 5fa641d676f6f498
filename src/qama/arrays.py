"""NumPy arrays of what people hold: tensors, frames, columns of lists, Arrow tables, lists.

The one home of what counts as vectors. Libraries are known by the names of their classes, so that
none is imported here that the caller has not imported. Memory is shared where both sides allow it:
a memory-mapped array, a float32 tensor or the one chunk of an Arrow column is not copied, while
bfloat16, which NumPy lacks, becomes float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_FLOATS, _LISTS, _WHOLE_LISTS, _OTHER = "floats", "lists of floats", "lists of whole numbers", ""


def plain(held: object, name: str) -> Array:
    """Return what a user holds as a NumPy array; whether its values fit is for the caller to check.

    Args:
        held: An array; a torch tensor of any float dtype, on any device; a pandas or polars frame,
            an Arrow table or a dataset of Hugging Face, with one column of lists or with columns of
            floats alone; a column of lists; a list of vectors, or of batches of them, which are
            joined.
        name: What messages call it.

    Returns:
        For vectors, an array of two axes; for numbers, of one; for anything else, of no axis.

    Raises:
        ValueError: nulls, vectors of several lengths, or a frame without such columns.
    """
    if isinstance(held, list | tuple):
        return _stacked(held, name)
    if not isinstance(held, np.ndarray):
        reader = _reader(held)
        return np.asarray(held) if reader is None else reader(held, name)
    if type(held) is not np.ndarray and np.ma.is_masked(held):
        raise ValueError(f"{name} has masked values; drop those rows, or fill them")
    if held.dtype == object and held.ndim == 1:
        return _stacked(list(held), name) if len(held) else np.empty((0, 0))
    return np.asarray(held)


def is_one(held: object) -> bool:
    """Whether it is one array, and not a stream of batches; a list of batches is a stream."""
    if isinstance(held, list | tuple):
        return not held or plain(held[0], "its first entry").ndim < 2
    known = isinstance(held, np.ndarray) or _reader(held) is not None
    return known or hasattr(held, "__array__")


def columns_of(names: Sequence[object], kinds: Sequence[str], name: str) -> list[int]:
    """Return which columns hold the vectors: the one of lists, or all where all are of floats.

    Raises:
        ValueError: several columns of lists, or none and one that is not of floats.
    """
    for kind in (_LISTS, _WHOLE_LISTS):
        found = [i for i, other in enumerate(kinds) if other == kind]
        if len(found) > 1:
            listed = " and ".join(repr(names[i]) for i in found)
            raise ValueError(
                f"{name} has {len(found)} columns of lists, {listed}; give one with exactly one "
                f"such column, or the column alone"
            )
        if found:
            return found
    others = [str(names[i]) for i, kind in enumerate(kinds) if kind != _FLOATS]
    if others or not kinds:
        raise ValueError(
            f"{name} has 0 columns of lists of numbers; give one of lists of floats, or columns "
            f"of floats alone" + (f", without {others[0]!r}" if others else "")
        )
    return list(range(len(kinds)))


def arrow_kind(dtype: Any) -> str:
    """Return what an Arrow column of this type holds, for `columns_of`."""
    from pyarrow import types

    if not _is_arrow_list(dtype):
        return _FLOATS if types.is_floating(dtype) else _OTHER
    if types.is_floating(dtype.value_type):
        return _LISTS
    return _WHOLE_LISTS if types.is_integer(dtype.value_type) else _OTHER


def _reader(held: object) -> Callable[[Any, str], Array] | None:
    for kind in type(held).__mro__:
        library = kind.__module__.partition(".")[0]
        if (library, kind.__name__) in _READERS:
            return _READERS[library, kind.__name__]
    return None


def _is_null(value: object) -> bool:
    missing = value is None or type(value).__name__ in ("NAType", "NaTType")
    return missing or (isinstance(value, float) and value != value)


def _stacked(rows: Sequence[Any], name: str) -> Array:
    """Stack vectors of one length, or join batches (n, d) of them; numbers stay as they are."""
    first = next((row for row in rows if not _is_null(row)), None)
    if first is None or np.isscalar(first):
        return _read(rows, name)
    if nulls := sum(map(_is_null, rows)):
        raise ValueError(f"{name} has {nulls} nulls; drop those rows")
    parts = [(i, _read(row, f"{name}[{i}]")) for i, row in enumerate(rows)]
    parts = [(i, part) for i, part in parts if part.ndim < 2 or len(part)] or parts[:1]
    (start, model), *_ = parts
    for i, part in parts:
        if part.ndim != model.ndim or part.shape[-1:] != model.shape[-1:]:
            raise ValueError(
                f"the entries of {name} differ in length: {name}[{start}] has shape "
                f"{model.shape}, {name}[{i}] {part.shape}; vectors have one width"
            )
    return (np.stack if model.ndim < 2 else np.concatenate)([part for _, part in parts])


def _read(row: Any, name: str) -> Array:
    """Read one vector or batch of a list."""
    if not isinstance(row, list | tuple):
        return plain(row, name)
    try:
        return np.asarray(row)
    except ValueError:
        raise ValueError(f"{name} holds numbers and lists, or lists of several lengths") from None


# -- readers ------------------------------------------------------------------------------------


def _of_tensor(held: Any, name: str) -> Array:
    unknown_to_numpy = str(held.dtype).startswith(("torch.bfloat16", "torch.float8"))
    try:
        return np.asarray((held.float() if unknown_to_numpy else held).numpy(force=True))
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{name} is a tensor that cannot be read ({error})") from None


def _of_frame(held: Any, name: str) -> Array:
    """Read a frame of pandas or polars."""
    if not len(held):
        return np.empty((0, 0))
    named = held.items() if hasattr(held, "items") else zip(held.columns, held, strict=True)
    names, columns = zip(*named, strict=True) if held.shape[1] else ((), ())
    kinds = [_frame_kind(column) for column in columns]
    chosen = columns_of(names, kinds, name)
    if kinds[chosen[0]] != _FLOATS:
        return _of_column(columns[chosen[0]], name)
    if all(isinstance(getattr(column, "dtype", None), np.dtype) for column in columns):
        return np.asarray(held.to_numpy())
    return np.stack([_of_floats(column) for column in columns], axis=1)


def _frame_kind(column: Any) -> str:
    dtype = column.dtype
    if getattr(dtype, "kind", "") == "f" or str(dtype) in ("Float32", "Float64"):
        return _FLOATS
    first = next((value for value in column if not _is_null(value)), None)
    if first is None or np.isscalar(first) or not hasattr(first, "__len__"):
        return _OTHER
    return {"f": _LISTS, "i": _WHOLE_LISTS, "u": _WHOLE_LISTS}.get(plain(first, "").dtype.kind, "")


def _of_floats(column: Any) -> Array:
    """Read a column of floats whose nulls the library marks in its own way: as NaN."""
    if type(column).__module__.startswith("pandas"):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    return np.asarray(column.to_numpy())


def _of_column(held: Any, name: str) -> Array:
    """Read a column or an index of pandas or polars."""
    return plain(np.asarray(held.to_numpy()), name)


def _of_arrow_table(held: Any, name: str) -> Array:
    if not len(held):
        return np.empty((0, 0))
    kinds = [arrow_kind(field.type) for field in held.schema]
    chosen = columns_of(held.schema.names, kinds, name)
    if kinds[chosen[0]] != _FLOATS:
        return _of_arrow_column(held.column(chosen[0]), name)
    return np.stack([_of_arrow_column(held.column(i), name) for i in chosen], axis=1)


def _of_arrow_column(held: Any, name: str) -> Array:
    if not _is_arrow_list(held.type):
        chunks = getattr(held, "chunks", [held])
        parts = [chunk.to_numpy(zero_copy_only=False) for chunk in chunks]
        return np.concatenate(parts) if parts else np.empty(0)
    if held.null_count:
        raise ValueError(f"{name} has {held.null_count} nulls; drop those rows")
    if not len(held):
        return np.empty((0, 0))
    from pyarrow import compute

    widths = compute.list_value_length(held).unique().to_pylist()
    if len(widths) != 1:
        raise ValueError(f"the lists of {name} differ in length; vectors have one width")
    parts = [
        chunk.flatten().to_numpy(zero_copy_only=False).reshape(len(chunk), widths[0])
        for chunk in getattr(held, "chunks", [held])
    ]
    return np.asarray(parts[0] if len(parts) == 1 else np.concatenate(parts))


def _of_dataset(held: Any, name: str) -> Array:
    """Read a dataset of Hugging Face, which holds Arrow tables."""
    return _of_arrow_table(held.with_format("arrow")[:], name)


def _is_arrow_list(dtype: Any) -> bool:
    from pyarrow import types

    known = ("is_list", "is_large_list", "is_fixed_size_list", "is_list_view", "is_large_list_view")
    return any(getattr(types, test)(dtype) for test in known if hasattr(types, test))


_READERS: dict[tuple[str, str], Callable[[Any, str], Array]] = {
    ("torch", "Tensor"): _of_tensor,
    ("pandas", "DataFrame"): _of_frame,
    ("polars", "DataFrame"): _of_frame,
    ("pandas", "Series"): _of_column,
    ("pandas", "Index"): _of_column,
    ("polars", "Series"): _of_column,
    ("pyarrow", "Table"): _of_arrow_table,
    ("pyarrow", "RecordBatch"): _of_arrow_table,
    ("pyarrow", "Array"): _of_arrow_column,
    ("pyarrow", "ChunkedArray"): _of_arrow_column,
    ("datasets", "Dataset"): _of_dataset,
}
