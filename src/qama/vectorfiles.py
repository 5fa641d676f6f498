"""Vectors in files: .npy, .npz, Parquet, .fvecs and .bvecs, JSON lines.

The one home of which files hold vectors. What can be mapped is mapped; what cannot, and grows as it
is read, comes in batches.
"""

from __future__ import annotations

import json
import os
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from qama import arrays, checks
from qama.errors import MissingExtraError

Array = npt.NDArray[Any]

_NPY, _ZIP, _PARQUET = b"\x93NUMPY", b"PK", b"PAR1"
_JSON_ROWS = 4096  # of a batch

# What NumPy raises on headers that no .npy file should have, and zipfile on archives.
_HOSTILE = (
    ValueError, EOFError, TypeError, SyntaxError, OverflowError, MemoryError, RecursionError,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError,
)  # fmt: skip


def opened(path: str | os.PathLike[str]) -> Array | Iterator[Array]:
    """Return the vectors of a file: an array, mapped where that is possible, or batches of one.

    Args:
        path: A .npy file; an .npz archive with one array of two axes of floats; a Parquet file with
            one column of lists, or columns of floats alone; .fvecs; .bvecs, whose whole numbers
            become float32; .jsonl or .ndjson, each line a list of numbers, or an object with one.

    Raises:
        ValueError: no such file, or no vectors in it; the message names the file, and its row or
            line where one is at fault.
        FileNotFoundError: nothing is there.
        MissingExtraError: the package that reads such files is not installed.
    """
    file = Path(path)
    return _READERS.get(file.suffix.lower(), _npy)(file)


def whole(path: str | os.PathLike[str]) -> Array:
    """Return the vectors of a file as one array; see `opened`."""
    found = opened(path)
    if isinstance(found, np.ndarray):
        return found
    batches = list(found)
    widths = sorted({batch.shape[1] for batch in batches})
    if len(widths) > 1:
        raise ValueError(f"the rows of {path} differ in length, from {widths[0]} to {widths[-1]}")
    return np.concatenate(batches) if batches else np.empty((0, 0), dtype=np.float32)


# -- NumPy --------------------------------------------------------------------------------------


def _npy(file: Path) -> Array:
    try:
        with file.open("rb") as start:
            _check_start(start.read(12), file.stat().st_size)
        loaded = np.load(file, mmap_mode="r", allow_pickle=False)
    except _HOSTILE as error:
        raise ValueError(f"{file} is not a .npy file of plain numbers ({error})") from None
    if not isinstance(loaded, np.ndarray):
        raise ValueError(f'{file} is an .npz archive: end its name in ".npz"')
    return loaded


def _check_start(start: bytes, size: int) -> None:
    """Refuse what NumPy would advise to unpickle, and a header that it would allocate first."""
    if start[:4] == _PARQUET:
        raise ValueError('it begins as a Parquet file does: end its name in ".parquet"')
    if start[:6] != _NPY and start[:2] != _ZIP:
        raise ValueError("it does not begin as one")
    claimed = int.from_bytes(start[8:12], "little")  # so wide in versions 2 and 3
    if start[:6] == _NPY and start[6:7] > b"\x01" and claimed > size:
        raise ValueError(f"it claims a header of {claimed} bytes and has {size}")


def _npz(file: Path) -> Array:
    with file.open("rb") as held:
        try:
            return _of_archive(held)
        except (*_HOSTILE, OSError) as error:  # OSError: of places that an archive does not have
            raise ValueError(f"{file} cannot be read as .npz ({error})") from None


def _of_archive(held: IO[bytes]) -> Array:
    """Return the one array of an archive that can be vectors; the others are not read."""
    with zipfile.ZipFile(held) as archive:
        shapes = {info.filename: _shape(archive, info) for info in archive.infolist()}
        found = [name for name, shape in shapes.items() if shape is not None]
        if len(found) != 1:
            listed = " and ".join(map(repr, found or shapes)) or "none"
            raise ValueError(
                f"{len(found)} of its arrays are of floats with two axes (there is {listed}); "
                f"give an archive with one, or save that one as .npy"
            )
        with archive.open(found[0]) as member:
            return np.asarray(np.lib.format.read_array(member, allow_pickle=False))


def _shape(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[int, ...] | None:
    """Return the shape of a member that is an array of floats with two axes; else None."""
    with archive.open(info) as member:
        start = member.read(12)
    if start[:6] != _NPY or start[6:7] not in b"\x01\x02":
        return None
    _check_start(start, info.file_size)
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        of = np.lib.format
        read = of.read_array_header_1_0 if version[0] == 1 else of.read_array_header_2_0
        shape, _, dtype = read(member)
    return shape if dtype.kind == "f" and len(shape) == 2 else None


# -- .fvecs and .bvecs: each row its number of dims, int32, and then so many values --------------


def _fvecs(file: Path) -> Array:
    return _vecs(file, "<f4")


def _bvecs(file: Path) -> Iterator[Array]:
    rows = _vecs(file, "u1")
    return (rows[part].astype(np.float32) for part in checks.chunks(rows))


def _vecs(file: Path, dtype: str) -> Array:
    """Map such a file, refusing one whose rows differ in length."""
    with file.open("rb") as start:
        dims = int.from_bytes(start.read(4), "little", signed=True)
    size = file.stat().st_size
    row_size = 4 + dims * np.dtype(dtype).itemsize
    if not size or dims < 1 or size % row_size:
        raise ValueError(
            f"{file} is no {file.suffix} file: its {size} bytes are no rows of {dims} dims each, "
            f"as the first row says"
        )
    rows = np.memmap(file, [("dims", "<i4"), ("vector", dtype, (dims,))], "r")
    for part in checks.chunks(rows):
        wrong = np.flatnonzero(rows["dims"][part] != dims)
        if len(wrong):
            row = part.start + wrong[0]
            raise ValueError(
                f"row {row} of {file} has {rows['dims'][row]} dims, the first one {dims}; vectors "
                f"have one width"
            )
    return np.asarray(rows["vector"])


# -- JSON lines ---------------------------------------------------------------------------------


def _json_lines(file: Path) -> Iterator[Array]:
    batch: list[Array] = []
    field: str | None = None
    width: int | None = None
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
                if isinstance(value, dict):
                    field = _field(value) if field is None else field
                    value = value.get(field)
                batch.append(_vector(value, field, width))
            except (ValueError, OverflowError, RecursionError) as error:
                raise ValueError(f"line {number} of {file} holds no vector: {error}") from None
            width = len(batch[0])
            if len(batch) == _JSON_ROWS:
                yield np.stack(batch)
                batch = []
    if batch:
        yield np.stack(batch)


def _field(value: dict[str, Any]) -> str:
    """Return the one key of an object that holds a list of numbers."""
    kinds = [type(held) is list and set(map(type, held)) <= {int, float} for held in value.values()]
    found = [name for name, holds in zip(value, kinds, strict=True) if holds]
    if len(found) != 1:
        listed = f", {' and '.join(map(repr, found))}" if found else ""
        raise ValueError(f"it has {len(found)} lists of numbers{listed}; give objects with one")
    return found[0]


def _vector(value: object, field: str | None, width: int | None) -> Array:
    """Return a list of numbers as float64 (width,)."""
    name = "it" if field is None else repr(field)
    if not isinstance(value, list) or not set(map(type, value)) <= {int, float}:
        raise ValueError(f"{name} is no list of numbers")
    if not value or width not in (None, len(value)):
        wanted = "at least one" if width is None else f"{width}, as the lines before it"
        raise ValueError(f"{name} has {len(value)} numbers; give {wanted}")
    return np.array(value, dtype=np.float64)


# -- Parquet ------------------------------------------------------------------------------------


def _parquet(file: Path) -> Iterator[Array]:
    if not file.exists():
        raise FileNotFoundError(f"no such file: {file}")
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("reading Parquet", "pyarrow", "arrow") from None
    try:
        with parquet.ParquetFile(file) as held:
            schema = held.schema_arrow
            kinds = [arrays.arrow_kind(field.type) for field in schema]
            chosen = [schema.names[i] for i in arrays.columns_of(schema.names, kinds, str(file))]
            row = 0
            for batch in held.iter_batches(checks.CHUNK_ROWS, columns=chosen):  # of others, nothing
                yield arrays.plain(batch, str(file) if row == 0 else f"{file} from row {row} on")
                row += len(batch)
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None):
            raise
        raise ValueError(f"{file} cannot be read as Parquet ({error})") from None


_READERS: dict[str, Callable[[Path], Array | Iterator[Array]]] = {
    ".npz": _npz,
    ".parquet": _parquet,
    ".pq": _parquet,
    ".fvecs": _fvecs,
    ".bvecs": _bvecs,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
