"""Files mapped into memory, and what is done when one is changed in place meanwhile.

A map shows what its file becomes. Files of qama are replaced by renaming, which leaves every map
as it was; but ``cp`` over one, or ``rsync --inplace``, cuts the file that a map still shows, and
the system answers a read behind the cut with a signal that kills. Here such a read gives zeros
(csrc/guard.cpp), and `changed` says so before anyone believes what was read.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import files
from qama.checks import Bytes, Ids
from qama.kernels import guarding

_START = 64  # bytes that tell one file of qama from another


class _Map(mmap.mmap):
    """A map that knows how its file began, and its place among those that are guarded."""

    start: bytes
    place: int


def mapped(path: str | os.PathLike[str]) -> Bytes:
    """Map a whole file read-only: uint8 (size,).

    Raises:
        FormatError: not a regular file.
        OSError: the file cannot be opened.
    """
    with files.naming(path), files.opened_to_read(path) as file:
        if os.fstat(file.fileno()).st_size == 0:
            return np.zeros(0, dtype=np.uint8)
        made = _Map(file.fileno(), 0, access=mmap.ACCESS_READ)
    data = np.frombuffer(made, dtype=np.uint8)
    made.place = guarding.guard(data)
    weakref.finalize(made, guarding.unguard, made.place).atexit = False
    made.start = data[:_START].tobytes()
    return data


def is_mapped(array: npt.NDArray[Any]) -> bool:
    """Whether an array is mapped from a file."""
    return _map_of(array) is not None


def changed(array: npt.NDArray[Any]) -> bool:
    """Whether the file of a mapped array was changed in place since; False for other arrays."""
    held = _map_of(array)
    if held is None:
        return False
    return held.size() < len(held) or held[:_START] != held.start or guarding.faulted(held.place)


def refuse_changed(arrays: Sequence[npt.NDArray[Any]], path: object) -> None:
    """Refuse what was read from arrays whose file, at a path, was changed in place since.

    Raises:
        OSError: it was.
    """
    for array in arrays:
        if changed(array):
            raise OSError(
                f"{path} was changed in place while it was open, as cp and rsync --inplace "
                f"do: open it again, and replace such files by renaming (mv, rsync without "
                f"--inplace)"
            )


class Reading:
    """A block that reads arrays of a file: `refuse_changed` at its end, errors refused too."""

    __slots__ = ("_arrays", "_path")  # each search makes one: a generator costs some times as much

    def __init__(self, arrays: Sequence[npt.NDArray[Any]], path: object) -> None:
        self._arrays, self._path = arrays, path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *others: object) -> None:
        if kind is None or issubclass(kind, Exception):
            refuse_changed(self._arrays, self._path)


def read_scattered(array: npt.NDArray[Any]) -> None:
    """Tell the system to read nothing ahead in a mapped array, of which searches touch few rows.

    It would read some hundred KB for each of them. Does nothing for other arrays.
    """
    _advise(array, "MADV_RANDOM", [0], array.nbytes)


def read_soon(array: npt.NDArray[Any], rows: Ids | None = None) -> None:
    """Tell the system which rows (None: all) of a mapped array are read next.

    It then fetches them side by side, not one after the other. Does nothing for other arrays.
    """
    if rows is None:
        _advise(array, "MADV_WILLNEED", [0], array.nbytes)
    else:
        _advise(array, "MADV_WILLNEED", (rows * array.strides[0]).tolist(), array.strides[0])


def _map_of(array: npt.NDArray[Any]) -> _Map | None:
    """Return the map that an array shows a part of, if it does."""
    base: object = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.obj if isinstance(base, memoryview) else base.base
    return base if isinstance(base, _Map) else None


def _advise(array: npt.NDArray[Any], advice: str, starts: list[int], length: int) -> None:
    """Say how some stretches of a C-contiguous array will be read, where the system listens."""
    held = _map_of(array)
    advise = getattr(held, "madvise", None)  # Windows has none
    if held is None or advise is None or not length or not hasattr(mmap, advice):
        return
    offset = array.ctypes.data - np.frombuffer(held, dtype=np.uint8).ctypes.data
    with contextlib.suppress(OSError):  # advice
        for start in starts:
            page = (offset + start) // mmap.PAGESIZE * mmap.PAGESIZE
            advise(getattr(mmap, advice), page, offset + start + length - page)
