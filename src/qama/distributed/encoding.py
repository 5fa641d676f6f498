"""A folder of Parquet files of vectors into a folder of Parquet files of codes."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from qama.codec import Codec, checked
from qama.distributed.columns import Columns, Encoder
from qama.distributed.job import Job
from qama.distributed.places import File, Place, place
from qama.distributed.records import Manifest, Record
from qama.distributed.running import each
from qama.engines.label import Label
from qama.pace import Pace

_log = logging.getLogger(__name__)
_LINE_EVERY = 10.0  # seconds between lines of the log


class Progress(NamedTuple):
    """How far a folder is.

    Attributes:
        files: How many are done, those included that were done before.
        total: How many there are.
        rows: In those that are done.
        rate: Rows per second, of the last half minute; None where nobody can say.
    """

    files: int
    total: int
    rows: int
    rate: float | None


def encode(
    source: str | os.PathLike[str],
    codec: Codec,
    out: str | os.PathLike[str],
    *,
    column: str = "embedding",
    id: str = "id",
    dims: int | None = None,
    level: object | None = None,
    nbytes: int | None = None,
    on: str = "ray",
    workers: int | None = None,
    filesystem: Any = None,
    out_filesystem: Any = None,
    progress: Callable[[Progress], None] | None = None,
) -> Manifest:
    """Encode a folder of Parquet files into a folder of Parquet files of codes.

    Each file becomes one of the same name, with the same rows in the same order: columns ``id``
    and ``code`` (FixedSizeBinary), the label of `qama.engines` in the schema's metadata. It is
    there when it is whole. After any failure, of a worker or of this process, the same call again
    completes the folder, and no file that is done is read again. When all are done,
    ``_manifest.json`` says what is in them. Two calls must not write one folder at a time.

    Args:
        source: A folder, or the URI of one, such as s3://bucket/vectors; the Parquet files in it
            and below, but those that _ or . begins.
        codec: What encodes.
        out: A folder, or the URI of one; it is made. Neither of the two may lie in the other.
        column: Of vectors: lists of floats, float16 to float64.
        id: Of ids: whole numbers from 0 to 2^63 - 1, which become int64, or strings. Whether an id
            comes twice is not looked at.
        dims: See `Codec.encode`.
        level: See `Codec.encode`.
        nbytes: See `Codec.encode`.
        on: "ray": on the Ray cluster that this process is connected to, else as `ray.init` finds
            or starts one; "local": without Ray.
        workers: How many files are encoded at a time, each on one core. None: on Ray as many as
            the cluster has CPUs; locally one file, on all cores.
        filesystem: What holds ``source``, of `pyarrow.fs` or of fsspec; None: as the URI says.
        out_filesystem: What holds ``out``.
        progress: Called with a `Progress` after each file. The log says it every ten seconds.

    Returns:
        The manifest.

    Raises:
        ValueError: no Parquet files, no such column or code, rows that cannot be encoded (by file
            and row), or a file that was changed since it was encoded.
        FormatError: ``out`` holds codes of another codec, code or source, or is not of qama.
        EngineError: workers or the cluster failed.
        OSError: a file cannot be read or written.
        MissingExtraError: pyarrow or Ray is not installed.
    """
    code = checked(codec).code(dims, level, nbytes)
    columns = Columns(vectors=column, ids=id)
    here, there = place(source, filesystem), place(out, out_filesystem)
    _check_apart(here, there)
    found = listed(here)
    label = Label.of(codec, code)
    threads = 0 if on == "local" and workers in (None, 1) else 1
    job = Job(here, there, Encoder(codec, code.request, columns, threads), label)
    job.try_first(found[0])
    begun = Manifest(label, here.identity, columns)
    done = each(job, found, on, workers)
    known = _claim(begun, there, found)
    records = sorted(_told(done, len(found), progress), key=_by_name)
    made = replace(begun, files=records, complete=True)
    if known != made:
        made.write(there)
    there.clear()
    return made


def listed(source: Place) -> Sequence[File]:
    """Return the Parquet files of a folder, by name.

    Raises:
        ValueError: there are none.
    """
    found = source.parquet_files()
    if not found:
        raise ValueError(f"{source} holds no Parquet files; give a folder with some")
    return found


def _by_name(record: Record) -> str:
    return record.name


def _check_apart(source: Place, out: Place) -> None:
    """Refuse folders of which one would be filled with what the other holds."""
    if source.holds(out) or out.holds(source):
        raise ValueError(f"out is {out}, and source {source}: neither may lie in the other")


def _claim(begun: Manifest, out: Place, found: Sequence[File]) -> Manifest | None:
    """Write down what a folder will hold, or refuse one that holds something else.

    Raises:
        FormatError: codes of something else, or of files that are no longer there.
    """
    known = Manifest.read(out)
    if known is not None:
        known.check_same(begun, str(out))
    names = {file.name for file in found}
    others = [file.name for file in out.parquet_files() if file.name not in names]
    if others:
        raise ValueError(
            f"{out.shown(others[0])} is there, and the source has no {others[0]}: remove it, or "
            f"give another folder"
        )
    if known is None:
        begun.write(out)
    return known


def _told(
    records: Iterable[Record], total: int, progress: Callable[[Progress], None] | None
) -> Iterator[Record]:
    """Yield the records, and tell of each."""
    files = rows = 0
    pace, told = Pace(), time.monotonic()
    pace.reach(0, told)
    for record in records:
        now, files, rows = time.monotonic(), files + 1, rows + record.rows
        pace.reach(rows, now)
        if progress is not None:
            progress(Progress(files, total, rows, pace.rate))
        if now - told >= _LINE_EVERY or files == total:
            told = now
            _log.info("encoded %d of %d files, rows %s", files, total, pace)
        yield record
