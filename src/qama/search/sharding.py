"""One index, or several, into index files of about equal size: `qama.shard`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from qama import checks, files, mapping
from qama.checks import Bytes, Ids
from qama.quantizers.kept import Form
from qama.search import merging
from qama.search.index import Index
from qama.search.rows import partitioning
from qama.search.rows.blocks import Blocks, blocks_of, leading_bytes
from qama.search.rows.kept import PIECE_ROWS
from qama.search.rows.lists import Centroids, Lists
from qama.search.rows.snapshot import Snapshot
from qama.search.shards import BY, MANIFEST, ShardFile, Shards
from qama.search.storage import base
from qama.search.storage.lock import Lock

Source = Index | str | os.PathLike[str]

_MOST = 99_999  # parts: the digits of a file's name


@dataclass(frozen=True, eq=False)
class _Part:
    """What is split of one source.

    Attributes:
        index: The source.
        now: Its rows.
        rows: int64 (n,), those that can be found, ascending.
        numbers: int64 (n,), the list of each; None where there are none.
    """

    index: Index
    now: Snapshot
    rows: Ids
    numbers: Ids | None


@dataclass(frozen=True, eq=False)
class _Piece:
    """What becomes one file.

    Attributes:
        chosen: Of each source, int64 (n,): positions among its rows, ascending.
        first: See `ShardFile`.
        last: See `ShardFile`.
    """

    chosen: list[Ids]
    first: int
    last: int


def shard(
    sources: Source | Iterable[Source],
    folder: str | os.PathLike[str],
    shards: int,
    *,
    by: str = "rows",
    threads: int = 0,
) -> Shards:
    """Split an index into index files, or bring several of them to another number of files.

    `qama.search_many` over the files, in their order, finds what one index finds: the same ids,
    and scores to the bit; docs/operations.md says how far that holds of searches that do not look
    at every vector. Ids and kept vectors stay; deleted vectors are left out. Codes of one file at a
    time are in memory, kept vectors never.

    Args:
        sources: An index, or the path of one; or several of one codec and code, which count as one
            index of all their vectors in that order.
        folder: A new or an empty one. One that was half made is made anew.
        shards: How many files.
        by: "rows": in insertion order, as many vectors in each. "lists": whole inverted lists in
            their order, about as many vectors in each; every file has all centroids.
        threads: 0 uses all cores: of finding lists, where sources do not share their centroids.

    Returns:
        The files, as `Shards.read` reads them again.

    Raises:
        ValueError: unfitting sources, an id that is in two of them, no such ``by``, or more files
            than lists.
        FileExistsError: the folder holds something else, or shards that are whole.
        LockedError: another process makes shards in that folder.
        OSError: a file cannot be read or written.
    """
    count = checks.integer(shards, "shards", 1, _MOST)
    checks.one_of(by, "by", BY)
    parts = _parts(sources, by, checks.threads(threads))
    pieces = (_by_rows if by == "rows" else _by_lists)(parts, count)
    target = Path(folder)
    target.mkdir(exist_ok=True)
    lock = Lock(target / MANIFEST)
    lock.acquire()
    try:
        _clear(target)
        return _made(parts, pieces, target, by)
    finally:
        lock.release()


def _parts(sources: Source | Iterable[Source], by: str, threads: int) -> list[_Part]:
    """Return what is split, checked."""
    given = [sources] if isinstance(sources, Index | str | os.PathLike) else list(sources)
    indexes = [each if isinstance(each, Index) else Index.open(each) for each in given]
    merging.checked(indexes)
    snapshots = [index._now for index in indexes]
    if len(indexes) > 1:
        merging.check_distinct([now.live_ids() for now in snapshots])
    lists = snapshots[0].lists
    if lists is None and by == "lists":
        raise ValueError('by="lists" needs inverted lists; partition the index, or split by="rows"')
    centroids = None if lists is None else lists.centroids
    return [_part(*each, centroids, threads) for each in zip(indexes, snapshots, strict=True)]


def _part(index: Index, now: Snapshot, centroids: Centroids | None, threads: int) -> _Part:
    """Return what is split of one source, its rows in lists around centroids."""
    rows = now.live_rows()
    if centroids is None:
        return _Part(index, now, rows, None)
    lists = now.lists
    if lists is not None and np.array_equal(lists.centroids.vectors, centroids.vectors):
        return _Part(index, now, rows, lists.numbers_of(rows))
    found = [np.zeros(0, dtype=np.int64)]
    for some in merging.windows(rows):
        codes = merging.codes_of(now, some)
        found.append(partitioning.numbers(index.code, codes, centroids, threads))
    return _Part(index, now, rows, np.concatenate(found))


def _by_rows(parts: list[_Part], count: int) -> list[_Piece]:
    """Return as many rows for each file, or one less, in their order."""
    ends = np.cumsum([len(part.rows) for part in parts])
    total, pieces = int(ends[-1]), []
    for i in range(count):
        first, stop = total * i // count, total * (i + 1) // count
        chosen = []
        for part, end in zip(parts, ends, strict=True):
            begin = int(end) - len(part.rows)
            chosen.append(np.arange(max(first, begin), min(stop, int(end))) - begin)
        pieces.append(_Piece(chosen, first, stop - 1))
    return pieces


def _by_lists(parts: list[_Part], count: int) -> list[_Piece]:
    """Return whole lists for each file, in their order, at least one, about as many rows in each.

    In their order, so that ties go as they go in one index: to the lower place.
    """
    lists = parts[0].now.lists
    assert lists is not None
    nlist = lists.nlist
    if count > nlist:
        raise ValueError(f"shards is {count}, and there are {nlist} lists; give at most as many")
    numbers = [_numbers(part) for part in parts]
    sizes = sum(np.bincount(each, minlength=nlist) for each in numbers)
    cuts, pieces = _cuts(np.cumsum(sizes), count), []
    for first, stop in pairwise(cuts):
        chosen = [np.flatnonzero((each >= first) & (each < stop)) for each in numbers]
        pieces.append(_Piece(chosen, first, stop - 1))
    return pieces


def _cuts(ends: Ids, count: int) -> list[int]:
    """Return where lists are cut into runs: 0, then the list behind each run.

    Args:
        ends: int64 (nlist,), how many rows the lists up to each have.
        count: How many runs, at most nlist.
    """
    cuts, nlist, total = [0], len(ends), int(ends[-1])
    for i in range(1, count):
        wanted = total * i / count
        above = int(np.searchsorted(ends, wanted))  # the cut before this list, or behind it
        below = int(ends[above - 1]) if above else 0
        nearer = above if wanted - below <= int(ends[above]) - wanted else above + 1
        cuts.append(min(max(nearer, cuts[-1] + 1), nlist - count + i))
    return [*cuts, nlist]


def _numbers(part: _Part) -> Ids:
    assert part.numbers is not None
    return part.numbers


def _clear(folder: Path) -> None:
    """Remove what a half-made split left; refuse any other folder that is not empty."""
    manifest, left = folder / MANIFEST, set[str]()
    if manifest.exists():
        found, complete = Shards.read_any(folder)
        if complete:
            raise FileExistsError(f"{folder} holds shards already; give another folder")
        left = {part.file for part in found.files}
    files.clear(manifest, *(folder / name for name in left))
    ours = {MANIFEST, f"{MANIFEST}.qama-lock", *left}
    others = sorted(path.name for path in folder.iterdir() if path.name not in ours)
    if others:
        raise FileExistsError(f"{folder} is not empty, it holds {others[0]!r}; give a new folder")
    for name in left:
        files.remove(folder / name)


def _made(parts: list[_Part], pieces: list[_Piece], folder: Path, by: str) -> Shards:
    """Write the files; the manifest says first that they are not whole, and last that they are."""
    digits = len(str(len(pieces)))
    names = [f"shard-{i:0{digits}}-of-{len(pieces)}.qama" for i in range(len(pieces))]
    plan = [ShardFile(name, 0, 0, -1, "", 0) for name in names]
    codec = parts[0].index.codec
    made = Shards(folder, by, codec.fingerprint, tuple(plan))
    made.write(complete=False)
    done = [_file(parts, p, folder / name) for p, name in zip(pieces, names, strict=True)]
    made = Shards(folder, by, codec.fingerprint, tuple(done))
    made.write(complete=True)
    return made


def _file(parts: list[_Part], piece: _Piece, path: Path) -> ShardFile:
    """Write one file."""
    like = parts[0].index
    rows = [part.rows[chosen] for part, chosen in zip(parts, piece.chosen, strict=True)]
    now, vectors = _snapshot(parts, piece, rows), _vectors(parts, rows, like._form)
    base.write(path, like.codec, like.code, now, 0, None, vectors)
    for part in parts:
        mapping.refuse_changed(part.now.mapped, part.index._path)
    identity = base.read(path).identity
    return ShardFile(
        path.name, len(now), piece.first, piece.last, identity, path.stat().st_size
    )  # fmt: skip


def _snapshot(parts: list[_Part], piece: _Piece, rows: list[Ids]) -> Snapshot:
    """Return rows of each source as those of one index, without kept vectors."""
    like, count = parts[0], sum(map(len, rows))
    code, following = like.index.code, max(part.now.following for part in parts)
    room = Blocks.zeros(blocks_of(count), code.stored_bytes, leading_bytes(code))
    ids, at = np.empty(count, dtype=np.int64), 0
    for part, own in zip(parts, rows, strict=True):
        for some in merging.windows(own):
            room.write(merging.codes_of(part.now, some), at)
            ids[at : at + len(some)] = part.now.ids.of_rows(some)
            at += len(some)
    flat = Snapshot.of(room, count, ids, following)
    if like.now.lists is None:
        return flat
    around = like.now.lists.centroids
    recall = around.recall if len(parts) == 1 else None  # it was measured on these rows alone
    own_numbers = [_numbers(p)[chosen] for p, chosen in zip(parts, piece.chosen, strict=True)]
    lists = Lists.empty(Centroids(around.vectors, recall))
    return flat.partitioned(lists, flat.live_codes(), np.concatenate(own_numbers))


def _vectors(parts: list[_Part], rows: list[Ids], form: Form | None) -> base.Vectors | None:
    """Return the kept vectors of rows of each source, to be written; None where none are kept."""
    if form is None:
        return None
    return base.Vectors(form, sum(map(len, rows)), lambda: _vector_pieces(parts, rows))


def _vector_pieces(parts: Sequence[_Part], rows: list[Ids]) -> Iterator[Bytes]:
    ends = np.cumsum([len(own) for own in rows])
    for start in range(0, int(ends[-1]), PIECE_ROWS):
        found = []
        for part, own, end in zip(parts, rows, ends, strict=True):
            at = start - int(end) + len(own)  # where the piece begins among those of this source
            some = own[max(0, at) : max(0, at + PIECE_ROWS)]
            if len(some) and part.now.kept is not None:
                part.now.kept.read_soon(some)
                found.append(part.now.kept.at(some))
        yield np.concatenate(found)
