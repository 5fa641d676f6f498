"""The index file itself: a codec, blocks of codes and their ids, never changed once written."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks, container
from qama.checks import Ids
from qama.codec import Code, Codec
from qama.errors import FormatError
from qama.search import scan
from qama.search.blocks import WORD, Blocks, from_arrays
from qama.search.snapshot import Snapshot, compacted

KIND = "index"
FORMAT = 4  # 4: the log has a name of its own
OLDEST = 1
CHUNK_BLOCKS = 16  # blocks whose rows share an entry of the section "chunks"

_PREFIX = "codec."


@dataclass(frozen=True, eq=False)
class Base:
    """An opened index file.

    Attributes:
        contents: The file.
        codec: Its codec.
        code: Which of the codec's codes it holds.
        rows: Rows.
        blocks: The stored codes, mapped.
        ids: int64 (rows,), mapped; None where ids are row numbers.
        following: The id that the next row gets by default.
        generation: How often the file at this path was replaced by a newer state of it.
        replaces: Identity of the file whose place it took; None if there was none.
    """

    contents: container.Contents
    codec: Codec
    code: Code
    rows: int
    blocks: Blocks
    ids: Ids | None
    following: int
    generation: int
    replaces: str | None

    @property
    def identity(self) -> str:
        """16 hex digits that follow from every byte of the file."""
        return self.contents.identity

    def same_codes(self, other: Base) -> bool:
        """Whether both hold the same kind of codes of the same codec."""
        same_codec = self.codec.fingerprint == other.codec.fingerprint
        return same_codec and self.code.request == other.code.request

    @property
    def log_path(self) -> Path:
        """Where its log is."""
        return log_path(self.contents.path, self.contents.version)

    def snapshot(self) -> Snapshot:
        """Return its rows."""
        return Snapshot.of(self.blocks, self.rows, self.ids, self.following)


def log_path(path: Path, version: int = FORMAT) -> Path:
    """Return where the log of an index is whose file has a version of the format."""
    return path.with_name(path.name + (".qama-log" if version > 3 else ".log"))


def read(path: str | os.PathLike[str]) -> Base:
    """Open an index file by mapping it; no section of rows is read.

    Raises:
        FormatError: not an index file, damaged, or of another version.
        OSError: the file cannot be opened.
    """
    return parse(container.read(path, KIND, FORMAT, OLDEST))


def parse(contents: container.Contents, codec: Codec | None = None) -> Base:
    """Return what the contents of an index file say.

    Args:
        contents: The contents.
        codec: Used instead of the one in the file.

    Raises:
        FormatError: its parts do not fit each other.
    """
    try:
        return _base(contents, codec or _codec(contents))
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise FormatError(f"{contents.path}: the index is inconsistent: {error}") from error


def write(
    path: Path, codec: Codec, code: Code, snapshot: Snapshot, generation: int, replaces: str | None
) -> None:
    """Write the rows that can be found, in their order, atomically.

    The new file is opened before it takes the place of the old one.

    Raises:
        FormatError: it would not open; what stood there before is intact.
        OSError: the file cannot be written; what stood there before is intact.
    """
    rows = compacted(snapshot)
    meta, codec_arrays = codec.parts()
    arrays: dict[str, npt.NDArray[Any]] = {_PREFIX + n: a for n, a in codec_arrays.items()}
    blocks = rows.blocks.apart(scan.leading_bytes(code)).padded(rows.rows)
    ids = None if rows.ids.given is None else rows.live_ids()
    arrays["chunks"] = chunk_checksums(blocks, ids)  # first: it proves what is left of a torso
    arrays["blocks"] = blocks.leading
    if blocks.rest is not None:
        arrays["rest"] = blocks.rest
    if ids is not None:
        arrays["ids"] = ids
    header = {
        "codec": meta, "code": code.request, "rows": rows.rows, "following": rows.following,
        "generation": generation, "replaces": replaces,
    }  # fmt: skip
    container.write(path, KIND, FORMAT, header, arrays, check=read)


def chunk_checksums(blocks: Blocks, ids: Ids | None) -> npt.NDArray[np.uint64]:
    """Return what proves each 1024 rows: CRC-32 of their blocks, and of their ids times 2^32."""
    sums = []
    for start in range(0, len(blocks), CHUNK_BLOCKS):
        sums.append(blocks.checksum(start, start + CHUNK_BLOCKS))
        if ids is not None:
            of = np.ascontiguousarray(ids[WORD * start : WORD * (start + CHUNK_BLOCKS)])
            sums[-1] |= zlib.crc32(of.data) << 32
    return np.array(sums, dtype=np.uint64)


def _codec(contents: container.Contents) -> Codec:
    parts = {
        name.removeprefix(_PREFIX): array
        for name, array in contents.arrays.items()
        if name.startswith(_PREFIX)
    }
    return Codec.from_parts(contents.meta["codec"], parts)


def _base(contents: container.Contents, codec: Codec) -> Base:
    meta, arrays = contents.meta, contents.arrays
    code = codec.code(**meta["code"])
    rows = checks.integer(meta["rows"], "rows", 0, 2**62)
    if "rest" in arrays and contents.version < 3:
        raise ValueError('a section "rest" belongs to version 3')
    blocks, ids = from_arrays(arrays, rows, code.stored_bytes), arrays.get("ids")
    if ids is not None and (ids.shape != (rows,) or ids.dtype != np.int64):
        raise ValueError(f"ids have shape {ids.shape} for {rows} rows")
    following, generation, replaces = rows, 0, None
    if contents.version == 1 and ids is not None and rows:
        following = max(rows, int(ids.max()) + 1)
    if contents.version > 1:
        following = checks.integer(meta["following"], "following", rows, 2**63 - 1)
        generation = checks.integer(meta["generation"], "generation", 0, 2**62)
        replaces = _identity(meta["replaces"])
        _check_chunks(arrays["chunks"], len(blocks))
    if ids is None and following != rows:
        raise ValueError(f"ids are missing, though {following} were given out for {rows} rows")
    return Base(contents, codec, code, rows, blocks, ids, following, generation, replaces)


def _check_chunks(chunks: npt.NDArray[Any], blocks: int) -> None:
    if chunks.shape != (-(-blocks // CHUNK_BLOCKS),) or chunks.dtype != np.uint64:
        raise ValueError(f"chunks have shape {chunks.shape} for {blocks} blocks")


def _identity(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) != 16 or set(value) - set("0123456789abcdef"):
        raise ValueError(f"replaces is {value!r}, no identity of a file")
    return value
