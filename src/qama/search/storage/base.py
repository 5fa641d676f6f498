"""The index file itself: a codec, the rows and their ids, never changed once written."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks, container, mapping
from qama import codec as codecs
from qama.checks import Bytes, Floats, Ids
from qama.codec import Code, Codec
from qama.errors import FormatError
from qama.quantizers.kept import Form
from qama.search.rows.blocks import BLOCK_ROWS, Blocks, from_arrays, leading_bytes
from qama.search.rows.kept import PIECE_ROWS, Kept
from qama.search.rows.lists import Centroids, Int32s, Lists
from qama.search.rows.snapshot import Snapshot, compacted
from qama.search.storage import copies, log, partitions

KIND = "index"
# 4: the log has a name of its own; 5: inverted lists, of those that have some; 6: kept vectors,
# of those that have some, with lists or without; 7: a codec of version 4, whatever else there is;
# 8: one of version 5; 9: one of version 6
FORMAT, KEPT, LISTS, FLAT, OLDEST = 9, 6, 5, 4, 1
_OF_CODECS = {codecs.NIBBLES: 7, codecs.AXES: 8, codecs.FORMAT: FORMAT}
CHUNK_BLOCKS = 16  # blocks whose rows share an entry of the section "chunks"

CODEC = "codec."


@dataclass(frozen=True, eq=False)
class Vectors:
    """Kept vectors to be written, which need no memory together.

    Attributes:
        form: What their bytes mean.
        count: How many.
        pieces: Gives them in their order, 1024 at a time, uint8 (1024, width); called more than
            once.
    """

    form: Form
    count: int
    pieces: Callable[[], Iterable[Bytes]]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Vectors | None:
        """Return those of the rows that can be found; None where none are kept."""
        kept = snapshot.kept
        if kept is None:
            return None
        rows = snapshot.live_rows() if snapshot.deleted else None
        return cls(kept.form, len(snapshot), lambda: kept.pieces(rows))


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
        lists: The inverted lists, mapped; None where row i is at place i.
        kept: The kept vectors, mapped; None where there are none.
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
    lists: Lists | None
    kept: Kept | None
    following: int
    generation: int
    replaces: str | None

    @property
    def identity(self) -> str:
        """16 hex digits that follow from every byte of the file."""
        return self.contents.identity

    @property
    def keep(self) -> str | None:
        """The form in which vectors are kept, if any."""
        return None if self.kept is None else self.kept.form.name

    def same_codes(self, other: Base) -> bool:
        """Whether both hold the same kind of codes of the same codec, and keep the same."""
        same_codec = self.codec.fingerprint == other.codec.fingerprint
        same_code = self.code.request == other.code.request
        return same_codec and same_code and self.keep == other.keep

    @property
    def log_path(self) -> Path:
        """Where its log is."""
        return log_path(self.contents.path, self._is_old)

    @property
    def extent(self) -> int:
        """Places: rows, or with lists the lanes of all blocks."""
        return self.rows if self.lists is None else BLOCK_ROWS * self.lists.blocks

    @property
    def log_version(self) -> int:
        """Which version its log is of."""
        return log.OLDEST if self._is_old else log.VERSION

    @property
    def entry_bytes(self) -> int:
        """Bytes that its log keeps of a row."""
        return self.snapshot().entry_bytes

    def snapshot(self) -> Snapshot:
        """Return its rows."""
        now = Snapshot.of(self.blocks, self.rows, self.ids, self.following, self.kept)
        arrays = self.contents.arrays
        if "factors" in arrays:
            now = replace(now, cache={self.code.stored_bytes: (arrays["factors"], self.rows)})
        if self.lists is None:
            return now
        live = np.array(arrays["live"])  # the file may be changed in place
        return replace(now, live=live, lists=self.lists)

    @property
    def _is_old(self) -> bool:
        """Whether its log has the name of before."""
        return self.contents.kind == KIND and self.contents.version <= 3


def log_path(path: Path, old: bool = False) -> Path:
    """Return where the log of an index is, under the name of today or of before."""
    return path.with_name(path.name + (".log" if old else ".qama-log"))


def read(path: str | os.PathLike[str]) -> Base:
    """Open an index file by mapping it; no section of rows is read.

    Raises:
        FormatError: not an index file, damaged, or of another version.
        OSError: the file cannot be opened.
    """
    return parse(contents(Path(path), mapping.mapped(path)))


def contents(target: Path, data: Bytes) -> container.Contents:
    """Return what the bytes of an index file, uint8 (size,), hold; target is what messages call it.

    Raises:
        FormatError: not an index file, damaged, or of another version.
    """
    known = {KIND: range(OLDEST, FORMAT + 1), partitions.KIND: range(1, partitions.FORMAT + 1)}
    return container.parse_any(target, data, known)


def parse(contents: container.Contents, codec: Codec | None = None, damaged: bool = False) -> Base:
    """Return what the contents of an index file say.

    Args:
        contents: The contents.
        codec: Used instead of the one in the file.
        damaged: Whether sections are known to be damaged, so that lists need not hold every row.

    Raises:
        FormatError: its parts do not fit each other.
    """
    try:
        return _base(contents, codec or _codec(contents), damaged)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise FormatError(f"{contents.path}: the index is inconsistent: {error}") from error


def write(
    path: Path, codec: Codec, code: Code, snapshot: Snapshot, generation: int, replaces: str | None,
    vectors: Vectors | None = None,
) -> None:  # fmt: skip
    """Write the rows that can be found, in their order, atomically.

    The new file is opened before it takes the place of the old one.

    Args:
        path: The file.
        codec: The codec.
        code: Which of its codes the rows hold.
        snapshot: The rows.
        generation: See `Base`.
        replaces: See `Base`.
        vectors: Their kept vectors, where the snapshot has none.

    Raises:
        FormatError: it would not open; what stood there before is intact.
        OSError: the file cannot be written; what stood there before is intact.
    """
    copies.unmark(path)
    vectors = vectors or Vectors.of(snapshot)
    rows = compacted(replace(snapshot, kept=None))
    meta, codec_arrays = codec.parts()
    header = {
        "codec": meta, "code": code.request, "rows": rows.rows, "following": rows.following,
        "generation": generation, "replaces": replaces,
    }  # fmt: skip
    arrays: dict[str, container.Section] = {CODEC + n: a for n, a in codec_arrays.items()}
    leading = leading_bytes(code) if rows.lists is None else code.stored_bytes
    blocks = rows.blocks.apart(leading).padded(rows.extent)
    ids, lists = rows.kept_ids(), rows.lists
    rows_at = None if lists is None else lists.rows_at[: rows.extent]
    # first: it proves what is left of a torso
    arrays["chunks"] = chunk_checksums(blocks, ids, rows_at)
    if vectors is not None:
        header["keep"] = vectors.form.name
        arrays["vector_chunks"] = vector_checksums(vectors.pieces())
    if lists is not None:  # before the codes: these are proven as far as they go
        arrays |= _sections(rows, lists, code, ids)
    arrays["blocks"] = blocks.leading
    if blocks.rest is not None:
        arrays["rest"] = blocks.rest
    if ids is not None and lists is None:
        arrays["ids"] = ids
    if code.nested and lists is None:
        arrays["factors"] = rows.inverse_norms(code)
    if vectors is not None:
        shape = (vectors.count, vectors.form.width)
        arrays["vectors"] = container.Pieces("|u1", shape, vectors.pieces)
    version = _version(codec, rows.lists is not None, vectors is not None)
    container.write(path, KIND, version, header, arrays, check=read)


def _version(codec: Codec, listed: bool, keeps: bool) -> int:
    """Return the oldest version that can say it: older qama reads it, too."""
    if codec.version in _OF_CODECS:
        return _OF_CODECS[codec.version]
    if keeps:
        return KEPT
    return LISTS if listed else FLAT


def vector_checksums(pieces: Iterable[Bytes]) -> npt.NDArray[np.uint64]:
    """Return what proves kept vectors: the CRC-32 of those of each 1024 rows."""
    return np.array([zlib.crc32(piece.data) for piece in pieces], dtype=np.uint64)


def chunk_checksums(
    blocks: Blocks, ids: Ids | None, rows_at: Int32s | None = None
) -> npt.NDArray[np.uint64]:
    """Return what proves each 16 blocks: CRC-32 of their codes, and of whose they are times 2^32.

    Args:
        blocks: The codes.
        ids: int64 (rows,); None where they are row numbers.
        rows_at: int32 (64 blocks,), the row at each place; None: row i is at place i.
    """
    sums = []
    for start in range(0, len(blocks), CHUNK_BLOCKS):
        sums.append(blocks.checksum(start, start + CHUNK_BLOCKS))
        some, crc = slice(BLOCK_ROWS * start, BLOCK_ROWS * (start + CHUNK_BLOCKS)), 0
        own = None if ids is None else ids[some]
        if rows_at is not None:
            crc = zlib.crc32(np.ascontiguousarray(rows_at[some]).data)
            own = None if ids is None else ids[_rows_in(rows_at[some], len(ids))]
        if own is not None:
            crc = zlib.crc32(np.ascontiguousarray(own).data, crc)
        sums[-1] |= crc << 32
    return np.array(sums, dtype=np.uint64)


def _rows_in(rows_at: Int32s, count: int) -> Ids:
    """Return the rows int64 (n,) of places that hold one of so many."""
    return rows_at[(rows_at >= 0) & (rows_at < count)].astype(np.int64)


def _sections(
    rows: Snapshot, lists: Lists, code: Code, ids: Ids | None
) -> dict[str, npt.NDArray[Any]]:
    """Return what a file has of inverted lists."""
    assert rows.live is not None
    arrays: dict[str, npt.NDArray[Any]] = {
        "centroids": lists.centroids.vectors, "owners": lists.owners[: lists.blocks],
        "live": rows.live, "rows": lists.rows_at[: rows.extent],
    }  # fmt: skip
    if ids is not None:
        arrays["ids"] = ids
    if lists.centroids.recall is not None:
        arrays["recall"] = lists.centroids.recall
    return arrays | {"factors": rows.inverse_norms(code)}


def _codec(contents: container.Contents) -> Codec:
    parts = {
        name.removeprefix(CODEC): array
        for name, array in contents.arrays.items()
        if name.startswith(CODEC)
    }
    return Codec.from_parts(contents.meta["codec"], parts)


def _base(contents: container.Contents, codec: Codec, damaged: bool) -> Base:
    meta, arrays, code = contents.meta, contents.arrays, codec.code(**contents.meta["code"])
    is_old = contents.kind == partitions.KIND
    if is_old:
        meta, arrays = partitions.of_today(contents, codec, code)
    rows = checks.integer(meta["rows"], "rows", 0, 2**62)
    if "rest" in arrays and contents.version < 3:
        raise ValueError('a section "rest" belongs to version 3')
    if "rest" in arrays and not code.nested:
        raise ValueError('a section "rest" belongs to byte codes')
    lists = None
    if is_old or contents.version == LISTS or (contents.version > LISTS and "centroids" in arrays):
        lists = _lists(arrays, code, None if damaged else rows)
    extent = rows if lists is None else BLOCK_ROWS * lists.blocks
    blocks, ids = from_arrays(arrays, extent, code.stored_bytes), arrays.get("ids")
    _check_factors(arrays, extent)
    if ids is not None and (ids.shape != (rows,) or ids.dtype != np.int64):
        raise ValueError(f"ids have shape {ids.shape} for {rows} rows")
    following, generation, replaces = rows, 0, None
    if is_old or contents.version > 1:
        following = checks.integer(meta["following"], "following", rows, 2**63 - 1)
    elif ids is not None and rows:
        following = max(rows, int(ids.max()) + 1)
    if contents.version > 1:
        generation = checks.integer(meta["generation"], "generation", 0, 2**62)
        replaces = _identity(meta["replaces"])
        _check_chunks(arrays["chunks"], len(blocks))
    some = {"keep", "vectors", "vector_chunks"} & (meta.keys() | arrays.keys())
    keeps = contents.version == KEPT or (contents.version > KEPT and bool(some))
    kept = _kept(meta, arrays, codec, rows) if keeps else None
    if ids is None and following != rows:
        raise ValueError(f"ids are missing, though {following} were given out for {rows} rows")
    return Base(
        contents, codec, code, rows, blocks, ids, lists, kept, following, generation, replaces
    )


def _kept(
    meta: dict[str, Any], arrays: dict[str, npt.NDArray[Any]], codec: Codec, rows: int
) -> Kept:
    """Return the kept vectors of a file."""
    form, vectors = Form.of(meta["keep"], codec.dims_in), arrays["vectors"]
    if vectors.shape != (rows, form.width) or vectors.dtype != np.uint8:
        raise ValueError(f"vectors are {vectors.dtype} of shape {vectors.shape} for {rows} rows")
    chunks = arrays["vector_chunks"]
    if chunks.shape != (-(-rows // PIECE_ROWS),) or chunks.dtype != np.uint64:
        raise ValueError(f"vector_chunks have shape {chunks.shape} for {rows} rows")
    return Kept.of(form, vectors)


def _lists(arrays: dict[str, npt.NDArray[Any]], code: Code, rows: int | None) -> Lists:
    """Return the inverted lists of a file; they must hold so many rows (None: any number).

    What tells a scan where to read is copied: the file may be changed in place.
    """
    centroids, owners, live = arrays["centroids"], np.array(arrays["owners"]), arrays["live"]
    used, nlist = len(owners), len(centroids)
    wanted = {
        "centroids": ((nlist, code.width), np.float32), "owners": ((used,), np.int32),
        "rows": ((BLOCK_ROWS * used,), np.int32), "live": ((used,), np.uint64),
        "factors": ((BLOCK_ROWS * used,), np.uint8), "recall": ((nlist,), np.float32),
    }  # fmt: skip
    for name, (shape, dtype) in wanted.items():
        found = arrays.get(name) if name == "recall" else arrays[name]
        if found is not None and (found.shape != shape or found.dtype != dtype):
            raise ValueError(f"{name}: {found.dtype} {found.shape}, not {np.dtype(dtype)} {shape}")
    if not nlist or (used and not 0 <= owners.min() <= owners.max() < nlist):
        raise ValueError("owners name lists that do not exist")
    recall = arrays.get("recall")
    if rows is not None:
        _check_values(centroids, recall)
    around = Centroids(centroids, recall)
    lists = Lists.of(around, owners, arrays["rows"], live)
    if rows is not None and lists.count != rows:
        raise ValueError(f"lists hold {lists.count} rows of {rows}")
    return lists


def _check_values(centroids: Floats, recall: Floats | None) -> None:
    if not np.isfinite(centroids).all():
        raise ValueError("centroids are not finite")
    if recall is not None and not (
        (recall >= 0).all() and (recall <= 1).all() and (recall[1:] >= recall[:-1]).all()
    ):
        raise ValueError("recall does not rise within 0 to 1")


def _check_factors(arrays: dict[str, npt.NDArray[Any]], extent: int) -> None:
    found = arrays.get("factors")
    if found is not None and (found.shape != (extent,) or found.dtype != np.uint8):
        raise ValueError(f"factors: {found.dtype} {found.shape} for {extent} places")


def _check_chunks(chunks: npt.NDArray[Any], blocks: int) -> None:
    if chunks.shape != (-(-blocks // CHUNK_BLOCKS),) or chunks.dtype != np.uint64:
        raise ValueError(f"chunks have shape {chunks.shape} for {blocks} blocks")


def _identity(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) != 16 or set(value) - set("0123456789abcdef"):
        raise ValueError(f"replaces is {value!r}, no identity of a file")
    return value
