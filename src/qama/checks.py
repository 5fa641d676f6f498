"""Checks at the door: the one home of how arguments are refused."""

from __future__ import annotations

import math
import operator
import os
import reprlib
from collections.abc import Iterable
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import arrays

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Ids = npt.NDArray[np.int64]

CHUNK_ROWS = 16_384  # rows looked at together, so that a check never copies a mapped file whole


def default_errstate() -> np.errstate:
    """Return NumPy's defaults for floating-point errors, whatever the caller has set.

    Public functions compute under it, as a decorator, or as a context where one is open anyway.
    """
    return np.errstate(divide="warn", over="warn", under="ignore", invalid="warn")


def matrix(X: object, name: str, dims: int | None = None, empty: bool = False) -> npt.NDArray[Any]:
    """Return X as a 2-D floating array, without reading it whole; see `arrays.plain`.

    Args:
        X: What the user gave.
        name: What messages call it.
        dims: The columns that it must have.
        empty: Whether it may have no rows.

    Raises:
        ValueError: not an array of floats, not 2-D, no rows, or not ``dims`` columns.
    """
    if isinstance(X, str | os.PathLike):
        raise ValueError(
            f"{name} is the string or path {reprlib.repr(os.fspath(X))}; fit and add_from read "
            f"files, others take arrays"
        )
    A = arrays.plain(X, name)
    if A.shape in ((0,), (0, 0)):  # of no rows, a list or a frame knows no columns
        A = np.empty((0, dims or 0), dtype=np.float32)
    if A.dtype.kind != "f":
        raise ValueError(_no_floats(X, A, name))
    if A.ndim == 1:
        raise ValueError(
            f"{name} has one axis of {A.size}; give (rows, dims), for instance [{_noun(name)}]"
        )
    if A.ndim != 2:
        raise ValueError(f"{name} has {A.ndim} axes; give 2: (rows, dims)")
    if A.shape[0] == 0 and not empty:
        raise ValueError(f"{name} has no rows; give at least one")
    if dims is not None and A.shape[1] != dims:
        raise ValueError(f"{name} has {A.shape[1]} columns; this codec was fitted on {dims}")
    return A


def _no_floats(X: object, A: npt.NDArray[Any], name: str) -> str:
    """Return how X, which was read as A, is refused, and what makes floats of it."""
    if A.dtype == object and not A.ndim:
        return f"{name} is a {type(X).__name__}; give an array of floats (rows, dims)"
    if A.dtype.kind in "OSU":
        for value in A.reshape(-1).tolist():
            if not isinstance(value, Number):
                return (
                    f"{name} has dtype {A.dtype} and holds {reprlib.repr(value)}; give floats "
                    f"alone: of texts, the vectors that a model makes of them"
                )
    wanted = "give floats: float16, float32 or float64"
    if isinstance(X, np.ndarray) and X.dtype == A.dtype:
        wanted = f"give floats, for instance {_noun(name)}.astype(np.float32)"
    return f"{name} has dtype {A.dtype}; {wanted}"


def _noun(name: str) -> str:
    """Return what code in a message calls a value: "batch" for "a batch of X"."""
    return name.partition(" of ")[0].split()[-1]


def finite(A: npt.NDArray[Any], name: str, first_row: int = 0, rows: Ids | None = None) -> Floats:
    """Return a chunk as C-contiguous float32, refusing NaN and infinity by row and column.

    Args:
        A: The chunk.
        name: What it is a part of.
        first_row: The number there of its first row.
        rows: The numbers there of all its rows, where they do not follow each other.

    Raises:
        ValueError: a value is NaN, infinite, or too large for float32; or all values of a row are
            too small for it, and not all of them 0.
    """
    if A.dtype == np.float32:
        F = np.ascontiguousarray(A)
    else:
        with np.errstate(all="ignore"):  # what the values became is looked at next
            F = np.ascontiguousarray(A, dtype=np.float32)
    # a sum of squares is finite only where all are: the quickest look at a few values
    if not math.isfinite(np.vdot(F, F)) and not np.isfinite(F).all():
        row, column = np.argwhere(~np.isfinite(F))[0]
        number = first_row + row if rows is None else rows[row]
        raise ValueError(
            f"{name}[{number}, {column}] is {A[row, column]}; every value must be finite "
            f"in float32: drop such rows, or set them to zero"
        )
    if A.itemsize > F.itemsize and len(lost := _vanished(A, F)):
        number = first_row + lost[0] if rows is None else rows[lost[0]]
        raise ValueError(
            f"{name}[{number}] has values of at most {np.abs(A[lost[0]]).max()}, which are 0 in "
            f"float32: scale such rows up, or set them to zero"
        )
    return F


def _vanished(A: npt.NDArray[Any], F: Floats) -> Ids:
    """Return the rows of A that are not zero, but are in F, what it is in float32."""
    maybe = np.flatnonzero(~F[:, :1].any(axis=1))  # no other row became zero
    return maybe[A[maybe].any(axis=1) & ~F[maybe].any(axis=1)]


def vectors(
    X: object, name: str, dims: int | None = None, *, first_row: int = 0, empty: bool = False
) -> Floats:
    """Return X as finite C-contiguous float32 (n, d); other floats are converted.

    Raises:
        ValueError: see `matrix` and `finite`.
    """
    return finite(matrix(X, name, dims, empty), name, first_row)


def chunks(A: npt.NDArray[Any], rows: int = CHUNK_ROWS) -> Iterable[slice]:
    """Yield slices that cover the rows of A in order."""
    for start in range(0, A.shape[0], rows):
        yield slice(start, min(start + rows, A.shape[0]))


def share(value: object, name: str) -> float:
    """Return value as float above 0 and at most 1.

    Raises:
        ValueError: it is not.
    """
    number = isinstance(value, int | float | np.integer | np.floating)
    if isinstance(value, bool) or not number or not 0 < value <= 1:  # type: ignore[operator]
        raise ValueError(f"{name} is {value!r}; give a share above 0 and at most 1")
    return float(value)  # type: ignore[arg-type]


def locked(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view that cannot be written."""
    view = array.view()
    view.flags.writeable = False
    return view


def integer(value: object, name: str, least: int, most: int | None = None) -> int:
    """Return value as int within [least, most].

    Raises:
        ValueError: not a whole number, or outside the range.
    """
    if type(value) is int and value >= least and (most is None or value <= most):
        return value
    bound = f"a whole number >= {least}" + (f" and <= {most}" if most is not None else "")
    if isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; give {bound}")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"{name} is {value!r}; give {bound}") from None
    if number < least or (most is not None and number > most):
        raise ValueError(f"{name} is {number}; give {bound}")
    return number


def threads(value: object) -> int:
    """Return a number of threads: 0 means all cores, more than there are is clamped.

    Raises:
        ValueError: negative or not a whole number.
    """
    wanted = integer(value, "threads", 0)
    if wanted == 1:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(wanted, cores or 1) or cores or 1


def codes(value: object, name: str, nbytes: int) -> Bytes:
    """Return value as C-contiguous uint8 (n, nbytes).

    Raises:
        ValueError: another dtype, number of axes or number of columns.
    """
    A = arrays.plain(value, name)
    if A.dtype != np.uint8 or A.ndim != 2:
        raise ValueError(
            f"{name} is {A.dtype} with {A.ndim} axes; give uint8 (n, {nbytes}), as encode returns"
        )
    if A.shape[1] != nbytes:
        raise ValueError(f"{name} has {A.shape[1]} bytes a row; this code has {nbytes}")
    return np.ascontiguousarray(A)


def part(
    array: npt.NDArray[Any], name: str, shape: tuple[int, ...], dtype: type[np.generic] = np.float32
) -> None:
    """Refuse an array of a file that is not what the format says, or holds NaN or infinity.

    Raises:
        ValueError: another dtype or shape, or a value that is not finite.
    """
    if array.dtype != dtype or array.shape != shape:
        wanted = f"{np.dtype(dtype)} of shape {shape}"
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, not {wanted}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are not finite")


def ordered(value: object, name: str) -> None:
    """Refuse a set where the order says what belongs to which row.

    Raises:
        ValueError: it is one.
    """
    if isinstance(value, set | frozenset):
        raise ValueError(f"{name} is a set, whose order is nobody's choice; give a list")


def one_of(value: object, name: str, choices: Iterable[object]) -> None:
    """Refuse a value that is not among the choices, listing them.

    Raises:
        ValueError: value is not one of choices.
    """
    allowed = tuple(choices)
    if value not in allowed:
        listed = ", ".join(repr(choice) for choice in allowed)
        raise ValueError(f"{name} is {value!r}; choose one of {listed}")


def file_to_write(path: str | os.PathLike[str], name: str) -> Path:
    """Return the path of a file that is there or can be made.

    Raises:
        ValueError: the folder does not exist, or the path is a folder, a pipe or a device.
    """
    file = Path(path)
    if not file.absolute().parent.is_dir():
        raise ValueError(f"{name} is {file}, but there is no folder {file.parent}; make it first")
    if file.is_dir():
        raise ValueError(f"{name} is {file}, a folder; give the name of a file in it")
    if file.exists() and not file.is_file():
        raise ValueError(f"{name} is {file}, a pipe or device; give the name of a file")
    return file
