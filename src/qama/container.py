r"""The one file layout: a magic, a checked JSON header, and named arrays.

    offset 0   8 bytes   magic "\x93QAMA\r\n\x1a"
           8   u32 LE    container version
          12   u32 LE    CRC-32 of the header bytes
          16   u64 LE    length of the header
          24   header    JSON: kind, version of the kind, meta, sections
          ...  sections  each at a multiple of 64 bytes from the start of the file, zero padding

A section names dtype, shape, offset, bytes and CRC-32. Opening checks the header and every bound
in time independent of the arrays' sizes; `check_sections` reads them all. docs/format.md is the
specification.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import files, mapping
from qama.checks import Bytes
from qama.errors import FormatError

MAGIC = b"\x93QAMA\r\n\x1a"
VERSION = 1
ALIGN = 64
FIXED = 24  # bytes before the header
MAX_HEADER = 2**20
MAX_SECTIONS = 1024
MAX_DEPTH = 64  # lists and objects within each other, the header itself the first
DTYPES = ("|u1", "<u8", "<i8", "<i4", "<i2", "<f4", "<f8")

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Pieces:
    """An array to be written that need not be in memory as a whole.

    Attributes:
        dtype: One of DTYPES.
        shape: Its shape.
        pieces: Gives its parts along the first axis, C-contiguous, in their order; called more than
            once.
    """

    dtype: str
    shape: tuple[int, ...]
    pieces: Callable[[], Iterable[Array]]


Section = Array | Pieces


@dataclass(frozen=True)
class Contents:
    """An opened file.

    Attributes:
        path: Where it is.
        kind: What it is: "codec", "index", "codes", "names" or "partitions".
        version: Version of that kind.
        meta: The header's JSON object for that kind.
        arrays: Read-only views of the sections, mapped from the file.
        checksums: CRC-32 of each section as written.
        identity: 16 hex digits that follow from the header, and through its checksums from every
            byte of the file.
    """

    path: Path
    kind: str
    version: int
    meta: dict[str, Any]
    arrays: dict[str, Array]
    checksums: dict[str, int]
    identity: str

    def check_sections(self) -> None:
        """Compare every section with its checksum.

        Raises:
            FormatError: a section does not match; the message names it.
        """
        for name in self.damaged():
            raise FormatError(f"{self.path}: section {name!r} is damaged (checksum differs)")

    def damaged(self) -> list[str]:
        """Return the names of the sections that do not match their checksums; reads them all."""
        return [name for name, array in self.arrays.items() if _crc(array) != self.checksums[name]]


def write(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    meta: Mapping[str, Any],
    arrays: Mapping[str, Section],
    check: Callable[[Path], object] | None = None,
) -> None:
    """Write a file atomically: a temporary file beside it, synced, then renamed over it.

    ``check``, if any, is called with the new file before that; what it raises leaves the old one.

    Raises:
        ValueError: what a reader would refuse, such as a header of more than 1 MiB; nothing has
            been touched.
        TypeError: meta holds what JSON cannot.
        OSError: the file cannot be written; what stood there before is intact.
    """
    stored = {name: _storable(array) for name, array in arrays.items()}
    sections = [_section(name, array) for name, array in stored.items()]
    length = len(_header(kind, version, meta, sections)) + 20 * len(stored)  # room for offsets
    start = _aligned(FIXED + length)
    _place(sections, start)
    header = _header(kind, version, meta, sections)
    header = header.ljust(start - FIXED)  # JSON may end in spaces
    if len(header) > MAX_HEADER:
        raise ValueError(
            f"{path} would have a header of {len(header)} bytes; the format allows {MAX_HEADER}"
        )
    size = max((entry["offset"] + entry["nbytes"] for entry in sections), default=start)
    _check_sections(Path(path), _parsed(Path(path), header)["sections"], size, start)
    with files.replacing(path, check=check) as file:
        file.write(MAGIC + VERSION.to_bytes(4, "little") + zlib.crc32(header).to_bytes(4, "little"))
        end = FIXED - 8 + file.write(len(header).to_bytes(8, "little") + header)
        for entry in sections:
            file.write(b"\0" * (entry["offset"] - end))
            end = entry["offset"]
            for piece in stored[entry["name"]].pieces():
                end += file.write(piece.data)


def read(
    path: str | os.PathLike[str], kind: str, version: int, oldest: int | None = None
) -> Contents:
    """Open a file of a kind, mapping its arrays read-only.

    Args:
        path: The file.
        kind: What it must hold.
        version: The newest version of the kind that is read.
        oldest: The oldest one (default: version).

    Raises:
        FormatError: foreign, truncated, damaged, another kind, or a version this code cannot read.
        OSError: the file cannot be opened.
    """
    return parse(Path(path), mapping.mapped(path), kind, version, oldest)


def parse(
    target: Path, data: Bytes, kind: str, version: int, oldest: int | None = None
) -> Contents:
    """Read a file's bytes, uint8 (size,): see `read`; target is what messages call it.

    Raises:
        FormatError: see `read`.
    """
    return parse_any(
        target, data, {kind: range(version if oldest is None else oldest, version + 1)}
    )


def parse_any(target: Path, data: Bytes, known: Mapping[str, range]) -> Contents:
    """Read the bytes of a file of one of several kinds: see `parse`.

    Args:
        target: What messages call it.
        data: uint8 (size,).
        known: The versions that are read of each kind, the kind that is needed first.

    Raises:
        FormatError: see `read`.
    """
    header = _read_header(target, data)
    kind: Any = header.get("kind")
    if not isinstance(kind, str) or kind not in known:
        raise FormatError(f"{target} holds a qama {kind!r}; this needs a {next(iter(known))!r}")
    found: Any = header.get("version")
    if not _is_count(found) or found not in known[kind]:
        raise FormatError(
            f"{target} is a {kind} of version {found}; this qama reads version "
            f"{known[kind][-1]}: use the qama that wrote it, or make the {kind} again"
        )
    meta, sections = header.get("meta"), header.get("sections")
    if not isinstance(meta, dict) or not isinstance(sections, list):
        raise FormatError(f"{target}: the header lacks 'meta' or 'sections'")
    names = _check_sections(target, sections, len(data), _header_end(data))
    arrays = {name: _view(data, entry) for name, entry in zip(names, sections, strict=True)}
    checksums = {name: entry["crc32"] for name, entry in zip(names, sections, strict=True)}
    return Contents(target, kind, found, meta, arrays, checksums, _identity(data))


def kind_of(path: str | os.PathLike[str]) -> str:
    """Return what a file says it is: "codec", "index", "codes", "names" or "partitions".

    Raises:
        FormatError: not a file of qama.
        OSError: the file cannot be opened.
    """
    return str(_read_header(Path(path), mapping.mapped(path)).get("kind"))


def claimed_size(path: str | os.PathLike[str]) -> int:
    """Return how many bytes a file must have for all its sections; reads its header only.

    Raises:
        FormatError: not a file of qama, or its sections are not as the format wants them.
        OSError: the file cannot be opened.
    """
    data = mapping.mapped(path)
    sections = _read_header(Path(path), data).get("sections")
    if not isinstance(sections, list):
        raise FormatError(f"{path}: the header lacks 'sections'")
    for entry in sections:
        _check_section(Path(path), entry, 2**63)
    return max((entry["offset"] + entry["nbytes"] for entry in sections), default=0)


def identity_of(path: str | os.PathLike[str]) -> str:
    """Return the identity of a file, see `Contents`; reads its header only.

    Raises:
        FormatError: not a file of qama.
        OSError: the file cannot be opened.
    """
    data = mapping.mapped(path)
    _read_header(Path(path), data)
    return _identity(data)


def to_json(value: object, most: int = MAX_HEADER, depth: int = MAX_DEPTH) -> bytes:
    """Return a value as JSON in ASCII, the way headers are written.

    Args:
        value: Objects, lists, texts, numbers, truth values and None.
        most: Bytes that it may have.
        depth: Lists and objects that may lie within each other.

    Raises:
        ValueError: longer or deeper than that, a number that is not finite, or a text that is not
            Unicode (a lone surrogate).
        TypeError: something else within it.
    """
    if _is_deeper(value, depth):
        raise ValueError(f"lists and objects lie within each other more than {depth} deep")
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()  # refuses lone surrogates
    raw = json.dumps(value, allow_nan=False).encode()
    if len(raw) > most:
        raise ValueError(f"it takes {len(raw)} bytes as JSON in ASCII; {most} are allowed")
    return raw


def _is_deeper(value: object, depth: int) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list | tuple):
        return False
    return depth == 0 or any(_is_deeper(child, depth - 1) for child in value)


def _storable(array: Section) -> Pieces:
    if isinstance(array, Pieces):
        return array
    flat = np.ascontiguousarray(array)
    little = flat.astype(flat.dtype.newbyteorder("<"), copy=False)
    if little.dtype.str not in DTYPES:
        raise ValueError(f"dtype {array.dtype} cannot be stored; the file format knows {DTYPES}")
    return Pieces(little.dtype.str, little.shape, lambda: [little])


def _aligned(offset: int) -> int:
    return -(-offset // ALIGN) * ALIGN


def _section(name: str, array: Pieces) -> dict[str, Any]:
    crc = 0
    for piece in array.pieces():
        crc = _crc(piece, crc)
    return {
        "name": name,
        "dtype": array.dtype,
        "shape": list(array.shape),
        "offset": 0,
        "nbytes": math.prod(array.shape) * np.dtype(array.dtype).itemsize,
        "crc32": crc,
    }


def _place(sections: list[dict[str, Any]], start: int) -> None:
    for entry in sections:
        entry["offset"] = _aligned(start)
        start = entry["offset"] + entry["nbytes"]


def _crc(array: Array, before: int = 0) -> int:
    return zlib.crc32(array.reshape(-1).view(np.uint8).data, before) if array.size else before


def _header(
    kind: str, version: int, meta: Mapping[str, Any], sections: list[dict[str, Any]]
) -> bytes:
    header = {"kind": kind, "version": version, "meta": dict(meta), "sections": sections}
    return to_json(header)


def _header_end(data: Bytes) -> int:
    return FIXED + int.from_bytes(data[16:24].tobytes(), "little")


def _identity(data: Bytes) -> str:
    return hashlib.blake2b(data[: _header_end(data)].data, digest_size=8).hexdigest()


def _read_header(path: Path, data: Bytes) -> dict[str, Any]:
    fixed = data[:FIXED].tobytes()
    if fixed[:8] != MAGIC:
        raise FormatError(f"{path} is not a qama file (its first bytes are {fixed[:8]!r})")
    if len(fixed) < FIXED:
        raise FormatError(f"{path} is truncated: {len(data)} bytes")
    version = int.from_bytes(fixed[8:12], "little")
    if version != VERSION:
        raise FormatError(f"{path} has container version {version}; this qama reads {VERSION}")
    end = _header_end(data)
    if end - FIXED > MAX_HEADER or end > len(data):
        raise FormatError(
            f"{path} is truncated or damaged: a header of {end - FIXED} bytes is claimed"
        )
    header = data[FIXED:end].tobytes()
    if zlib.crc32(header) != int.from_bytes(fixed[12:16], "little"):
        raise FormatError(f"{path}: the header is damaged (checksum differs)")
    return _parsed(path, header)


def _parsed(path: Path, header: bytes) -> dict[str, Any]:
    """Return a header's JSON object, which can be written again as it is."""
    try:
        parsed = json.loads(header.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: the header is not JSON: {error}") from None
    try:
        to_json(parsed)
    except ValueError as error:
        raise FormatError(f"{path}: the header cannot be written again: {error}") from None
    if not isinstance(parsed, dict):
        raise FormatError(f"{path}: the header is not a JSON object")
    return parsed


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _check_sections(path: Path, sections: list[Any], size: int, end: int) -> list[str]:
    """Return the sections' names; `size` is the file's, `end` where its header ends."""
    if len(sections) > MAX_SECTIONS:
        raise FormatError(f"{path}: {len(sections)} sections; the format allows {MAX_SECTIONS}")
    names = [_check_section(path, entry, size) for entry in sections]
    if len(set(names)) != len(names):
        raise FormatError(f"{path}: two sections share a name")
    _check_overlaps(path, sections, end)
    return names


def _check_section(path: Path, entry: object, size: int) -> str:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise FormatError(f"{path}: a section has no name")
    name = str(entry["name"])
    shape, dtype = entry.get("shape"), entry.get("dtype")
    numbers = (entry.get("offset"), entry.get("nbytes"), entry.get("crc32"))
    if dtype not in DTYPES or not isinstance(shape, list) or len(shape) > 4:
        raise FormatError(f"{path}: section {name!r} has a dtype or shape outside the format")
    if not all(map(_is_count, (*shape, *numbers))):
        raise FormatError(f"{path}: section {name!r} has a number outside the format")
    item = np.dtype(dtype).itemsize
    countable = math.prod(n or 1 for n in shape) * item < 2**63  # NumPy's limit, zeros aside
    if not countable or math.prod(shape) * item != entry["nbytes"]:
        raise FormatError(f"{path}: section {name!r} has a size that does not fit its shape")
    if entry["offset"] % ALIGN or entry["offset"] + entry["nbytes"] > size:
        raise FormatError(f"{path}: section {name!r} lies outside the file: it is truncated")
    return name


def _check_overlaps(path: Path, sections: list[dict[str, Any]], end: int) -> None:
    """Refuse sections that share bytes, which could make a reader copy more than the file holds."""
    for entry in sorted(sections, key=lambda entry: (entry["offset"], entry["nbytes"])):
        if entry["nbytes"] and entry["offset"] < end:
            raise FormatError(f"{path}: section {entry['name']!r} overlaps what lies before it")
        end = max(end, entry["offset"] + entry["nbytes"])


def _view(data: Bytes, entry: dict[str, Any]) -> Array:
    part = data[entry["offset"] : entry["offset"] + entry["nbytes"]]
    viewed: Array = part.view(entry["dtype"])
    return viewed.reshape(entry["shape"])
