"""A copy of an index for readers: brought up to date by the end of the log, or by a new base."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qama import files
from qama.search.storage import base, copies, loading, log
from qama.search.storage.base import Base
from qama.search.storage.loading import Pair
from qama.search.storage.lock import Lock


@dataclass(frozen=True)
class Replicated:
    """What was copied.

    Attributes:
        base: Whether the base was, since the replica had another one, or none.
        nbytes: Bytes that were written.
        changes: In the replica's log now.
    """

    base: bool
    nbytes: int
    changes: int


def replicate(index: str | os.PathLike[str], replica: str | os.PathLike[str]) -> Replicated:
    """Bring a copy of an index up to date, also while both are in use.

    The replica then holds every change that was acknowledged before the call. Readers of it
    (``mode="r"``, `Index.refresh`) see a state that the index had, at every moment: the one of
    before, or a later one. Where the index was compacted more than once since, a reader that opens
    the replica while it is copied may see the replica's base of before without its changes.

    Args:
        index: The index file.
        replica: The copy, or where it is to be; nobody may write it.

    Raises:
        FileExistsError: at the replica is an index of its own: none that this function made, or
            one that was changed since.
        FormatError: a file is damaged, or what is at the replica is no index.
        LockedError: the replica is open for writing.
        OSError: a file cannot be read or written; the replica is a state that the index had.
        ValueError: both are the same file.
    """
    source, target = files.real(index), files.real(replica)
    if source == target:
        raise ValueError(f"{replica} is the index itself; give the replica another name")
    lock = Lock(target)
    lock.acquire()
    try:
        pair, held = loading.pair_to_copy(source), _held(target)
        if held is not None and not (copies.is_marked(target) or _is_begun(pair, held)):
            raise FileExistsError(
                f"{replica} is an index of its own, no replica of {index}, or was changed since it "
                f"was one; give the replica another name, or move that index away"
            )
        copies.mark(target)
        other = held is None or held.identity != pair.base.identity
        written = _copy_base(pair, held, target) if other else 0
        written += _copy_log(pair, target)
    finally:
        lock.release()
    return Replicated(other, written, pair.log.changes if pair.log else 0)


def _is_begun(pair: Pair, held: Base) -> bool:
    """Whether the index holds all that is held: the same base, and a log that goes on."""
    if held.identity != pair.base.identity:
        return False
    if not os.path.lexists(held.log_path):
        return True
    there = files.read(held.log_path)
    return pair.log_end is not None and np.array_equal(there, pair.log_end[: len(there)])


def _held(target: Path) -> Base | None:
    """Return the base of the replica, if there is one."""
    try:
        return base.read(target)
    except FileNotFoundError:
        return None


def _copy_base(pair: Pair, held: Base | None, target: Path) -> int:
    """Let the base take the place of the replica's; returns its bytes.

    The replica's log is of its old base. The base that replaced this one knows it as contained;
    beside any other one it would be in the way, so that it goes before.
    """
    follows = held is not None and pair.base.replaces == held.identity
    if held is not None and not follows:
        _drop_log(held)
    with files.replacing(target, like=pair.base.contents.path, check=base.read) as file:
        file.write(pair.base_bytes)
        pair.check_unchanged()
    if held is not None and follows:
        _drop_log(held)
    return len(pair.base_bytes)


def _copy_log(pair: Pair, target: Path) -> int:
    """Bring the replica's log to where the index's ends; returns the bytes that were written."""
    path = target.with_name(target.name + pair.log_suffix)
    wanted = pair.log_end
    if wanted is None:
        if files.begins(path, log.MAGIC):
            files.remove(path)
        return 0
    held = files.read(path) if os.path.lexists(path) else None
    if held is None or not np.array_equal(held, wanted[: len(held)]):
        with files.replacing(path, like=target) as file:
            return file.write(wanted)
    if len(held) == len(wanted):
        return 0
    with files.naming(path), files.opened_to_append(path) as log_file:
        written = files.write_all(log_file.fileno(), wanted[len(held) :])
        files.sync(log_file.fileno())
    return written


def _drop_log(held: Base) -> None:
    if files.begins(held.log_path, log.MAGIC):
        files.remove(held.log_path)
