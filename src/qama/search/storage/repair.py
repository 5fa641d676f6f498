"""What is left of a damaged index: the rows and records that their checksums prove."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qama import container, files
from qama.checks import Bytes, Ids
from qama.codec import Codec
from qama.errors import FormatError
from qama.search.rows.blocks import BLOCK_ROWS
from qama.search.rows.entries import Columns, joined
from qama.search.rows.kept import PIECE_ROWS
from qama.search.rows.lists import Centroids, Lists
from qama.search.rows.snapshot import Snapshot
from qama.search.storage import base, loading, log, partitions, store
from qama.search.storage.base import CHUNK_BLOCKS, Base
from qama.search.storage.verify import damaged_chunks, damaged_vectors

_MOST_MISSING = 16  # a file may have lost all but this part of what its header claims


@dataclass
class Salvage:
    """What a repair saved and what it lost.

    Attributes:
        rows: Vectors of the base that are proven.
        lost_rows: Vectors of the base that are not.
        records: Changes of the log that were made again.
        lost_records: Changes that are known to be missing or could not be made.
        vectors: Vectors that the new file holds.
        notes: Sentences on what was found.
    """

    rows: int = 0
    lost_rows: int = 0
    records: int = 0
    lost_records: int = 0
    vectors: int = 0
    notes: list[str] = field(default_factory=list)


def repair(path: Path, output: Path, codec: Codec | None = None) -> Salvage:
    """Write what is proven of an index and its log to a new file.

    Args:
        path: The damaged index.
        output: The new file.
        codec: Used if the codec in the index is damaged; it must be the same one.

    Raises:
        FormatError: the header is damaged, or the codec and none is given: nothing can be proven.
        ValueError: output is the damaged file or its log, or codec is another one.
        LockedError: another writer holds the output.
        OSError: a file cannot be read or written.
    """
    path = files.real(path)
    if files.real(output) == path:
        raise ValueError(f"the output is {output}, the damaged file itself; give another name")
    salvage = Salvage()
    found = _base(path, codec, salvage)
    if files.real(output) == found.log_path:
        raise ValueError(f"the output is {output}, the log of {path}; give another name")
    now = _replayed(_proven(found, salvage), found, salvage)
    salvage.vectors = len(now)
    store.save(files.real(output), found.codec, found.code, now)
    return salvage


def _base(path: Path, codec: Codec | None, salvage: Salvage) -> Base:
    data = files.read(path)
    claimed = container.claimed_size(path)
    if len(data) < claimed <= _MOST_MISSING * len(data):
        whole = np.zeros(claimed, dtype=np.uint8)
        whole[: len(data)] = data
        salvage.notes.append(f"{path} lacks {claimed - len(data)} bytes at its end")
        data = whole
    contents = base.contents(path, data)
    salvage.notes += [f"section {name!r} is damaged" for name in contents.damaged()]
    if codec is not None:
        meta = contents.meta.get("codec")
        wanted = meta.get("fingerprint") if isinstance(meta, dict) else None
        if codec.fingerprint != wanted:
            raise ValueError(f"the codec is {codec.fingerprint}; {path} was made with {wanted}")
    damaged = set(contents.damaged())
    if codec is None and any(name.startswith(base.CODEC) for name in damaged):
        raise FormatError(
            f"{path}: its codec is damaged; give the codec that it was made with, as --codec or "
            f"codec="
        )
    if contents.kind == partitions.KIND and "live" in damaged:
        raise FormatError(f"{path}: section 'live' is damaged: nothing says which rows count")
    arrays = dict(contents.arrays)
    if "owners" in damaged:  # they must not keep the others from being read
        arrays["owners"] = np.zeros_like(arrays["owners"])
    return base.parse(replace(contents, arrays=arrays), codec, damaged=bool(damaged))


def _proven(found: Base, salvage: Salvage) -> Snapshot:
    """Return the rows of the base that its checksums prove, in their order."""
    chunks = np.ones(-(-len(found.blocks) // CHUNK_BLOCKS), dtype=bool)
    damaged = set(found.contents.damaged())
    if damaged & {"blocks", "rest", "ids", "rows"}:
        chunks[:] = False
        if "chunks" not in damaged:
            chunks[:] = True
            chunks[damaged_chunks(found)] = False
    proven_places = np.flatnonzero(np.repeat(chunks, CHUNK_BLOCKS * BLOCK_ROWS)[: found.extent])
    places, rows = _places(found, proven_places)
    ids = rows if found.ids is None else np.array(found.ids[rows])
    first = np.sort(np.unique(ids, return_index=True)[1])
    first = first[ids[first] >= 0]
    first = first[_with_vectors(found, rows[first], salvage)]
    salvage.rows, salvage.lost_rows = len(first), found.rows - len(first)
    stored = found.blocks.codes_at(places[first])
    form = None if found.kept is None else found.kept.form
    vectors = None if found.kept is None else found.kept.at(rows[first])
    proven = Snapshot.empty(found.code.stored_bytes, form=form)
    proven = proven.changed(ids[first], joined(Columns(stored, vectors)))
    proven = replace(proven, following=max(proven.following, found.following))
    if found.lists is None:
        return proven
    if damaged & {"owners", "centroids", "centres"}:
        salvage.notes.append("the lists are lost: partition the new index again")
        return proven
    numbers = found.lists.owners[places[first] // BLOCK_ROWS].astype(np.int64)
    centroids = found.lists.centroids
    if "recall" in damaged:
        centroids = Centroids(centroids.vectors)
    return proven.partitioned(Lists.empty(centroids), stored, numbers)


def _with_vectors(found: Base, rows: Ids, salvage: Salvage) -> npt.NDArray[np.bool_]:
    """Return whether the kept vector of each row, if there are any, is proven."""
    whole = np.ones(len(rows), dtype=bool)
    damaged = set(found.contents.damaged())
    if found.kept is not None and "vectors" in damaged:
        whole = ~np.isin(rows // PIECE_ROWS, damaged_vectors(found))
        if "vector_chunks" in damaged:
            whole[:] = False
        salvage.notes.append(f"{int((~whole).sum())} rows with proven codes lost their vectors")
    return whole


def _places(found: Base, places: Ids) -> tuple[Ids, Ids]:
    """Return the places, of some, that hold a row of the base, and these rows, ascending."""
    if found.lists is None:
        return places, places
    rows = found.lists.rows_at[places].astype(np.int64)
    held = (rows >= 0) & (rows < found.rows)
    order = np.argsort(rows[held], kind="stable")
    return places[held][order], rows[held][order]


def _replayed(rows: Snapshot, found: Base, salvage: Salvage) -> Snapshot:
    """Return rows after the changes of the log that are proven and follow from those before."""
    name = found.log_path
    try:
        data = files.read(name)
    except FileNotFoundError:
        salvage.notes.append("there is no log")
        return rows
    records = _records(data, found, name, salvage)
    missing = (records[-1].number if records else 0) - len(records)
    salvage.lost_records += missing
    for record in records:
        # a partitioned index may have lost its lists, whose numbers end the entries
        record = replace(record, entries=record.entries[:, : rows.entry_bytes])
        try:
            rows = loading.replay(rows, [record], name, strict=False)
            salvage.records += record.kind != "sync"
        except FormatError as error:
            salvage.lost_records += 1
            salvage.notes.append(str(error))
    return rows


def _records(data: Bytes, found: Base, name: Path, salvage: Salvage) -> list[log.Record]:
    try:
        record = log.read(data, name)
    except FormatError as error:
        salvage.notes.append(f"{error}; its records are taken one by one")
        return log.salvage(data, found.entry_bytes)
    if record.header.base == found.replaces:
        salvage.notes.append(f"{name} is of an older base, which {found.identity} contains")
        return []
    if record.header.base != found.identity:
        salvage.notes.append(f"{name} belongs to another index, {record.header.base}: not used")
        return []
    if record.stop < record.size:
        salvage.notes.append(
            f"{name}: {record.damage or 'an unfinished write'} after record {len(record.records)}; "
            f"{len(record.later)} whole records follow"
        )
    return [*record.records, *record.later]
