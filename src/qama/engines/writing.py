"""Codes into a store, batch by batch: what was written is whole rows, a rerun completes it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Protocol

from qama import checks
from qama.checks import Bytes, Ids
from qama.codec import Code, Codec, checked
from qama.engines import targets
from qama.engines.label import Label
from qama.engines.table import Sharded, Store, label_of, working
from qama.search.rows import ids as idmap

_BATCH_BYTES = 2**22  # of codes that are written together


class Codes(Protocol):
    """Codes uint8 (n, bytes), of which some are made when they are asked for."""

    def __len__(self) -> int:
        """How many rows."""

    def __getitem__(self, rows: slice) -> Bytes:
        """Return some of them."""


def write(
    target: str | Store,
    codes: Codes,
    ids: object,
    codec: Codec,
    *,
    dims: int | None = None,
    level: object | None = None,
    nbytes: int | None = None,
    index: str = "",
    prefix: int | None = None,
    shards: int | str | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write codes with ids into an engine's table or a file, in place of rows of the same ids.

    A table that is not there is made; the codec's fingerprint and the code lie beside it. Rows are
    written in batches, each wholly or not at all: after an error, or a kill, the same call again
    completes the transfer. A file takes the place of the old one when all rows are in it.

    Args:
        target: "ENGINE:PLACE#TABLE", see docs/engines.md; or a store that is open, which stays so.
        codes: uint8 (n, bytes) from `Codec.encode` with the same dims and level, not compact.
        ids: n whole numbers from 0 to 2^63 - 1, each once.
        codec: What encoded the codes.
        dims: See `Codec.encode`.
        level: See `Codec.encode`.
        nbytes: Length of byte codes, which files alone take: engines rank by Hamming distance.
        index: The kind of index to build over the codes; default: none, and exact search.
        prefix: Dims of a prefix of the codes that the index is over, where the engine can.
        shards: How a table that is made is spread, where the engine can: a number of parts for
            PostgreSQL (hash partitions, or shards of Citus where it is installed) and Milvus, the
            name of a cluster for ClickHouse. Default: one piece.
        progress: Called with the number of rows written so far.

    Returns:
        How many rows were written.

    Raises:
        ValueError: codes or ids that do not fit, ids that repeat, an index that the engine does
            not have, or shards; nothing was written.
        FormatError: the table holds codes of another codec or code, or is not of qama.
        MissingExtraError: the engine's client is not installed.
        EngineError: the engine cannot be reached, or failed; the message says how far it came.
    """
    code = checked(codec).code(dims, level, nbytes)
    keys = idmap.checked(ids, "ids", len(codes))
    with opened(target) as store:
        _check_kind(store, code, index, prefix)
        _check_shards(store, shards)
        checks.codes(codes[0:0], "codes", code.nbytes)  # before anything is made
        label = Label.of(codec, code, index, prefix)
        _make(store, label, shards)
        store.begin()
        _put_all(store, codes, keys, code, progress)
        with working(store, "as it was finished", "run the same again to complete it"):
            store.finish(label)
    return len(keys)


def opened(target: str | Store, to_read: bool = False) -> Any:
    """Open a target for a block, see `targets.opened`; a store that is open already stays so."""
    return nullcontext(target) if isinstance(target, Store) else targets.opened(target, to_read)


def _check_kind(store: Store, code: Code, index: str, prefix: int | None) -> None:
    """Refuse codes and indexes that a store cannot have."""
    if not store.any_code and "hamming" not in code.scorers:
        raise ValueError(
            f"{store.engine} ranks by Hamming distance, which {code.label} do not have: encode "
            f'with dims= and level=, by a codec that was fitted with codes="grid" or "all"'
        )
    checks.one_of(index, f"index of {store.engine}", store.indexes)
    if prefix is None:
        return
    if not (store.prefixes and index):
        raise ValueError(f"prefix is {prefix!r}, and {store.engine} has no index over a prefix")
    narrower = [short.request["dims"] for short in code.prefixes()]
    checks.one_of(prefix, "prefix", narrower)


def _check_shards(store: Store, shards: int | str | None) -> None:
    """Refuse shards that a store cannot have."""
    if shards is None:
        return
    if not isinstance(store, Sharded):
        raise ValueError(f"shards is {shards!r}, and a table of {store.engine} is in one piece")
    store.check_shards(shards)


def _make(store: Store, label: Label, shards: int | str | None) -> None:
    """Make the table, or refuse one of another label."""
    there = label_of(store)
    if there is not None:
        there.check_same(label, str(store))
        return
    with working(store, "as the table was made", "give another place or name"):
        if shards is not None and isinstance(store, Sharded):
            store.create_sharded(label, shards)
        else:
            store.create(label)


def _put_all(
    store: Store, codes: Codes, keys: Ids, code: Code, progress: Callable[[int], None] | None
) -> None:
    """Put all rows, batch by batch."""
    at_once = max(1, _BATCH_BYTES // code.nbytes)
    for rows in checks.chunks(keys, at_once):
        part = checks.codes(codes[rows], "codes", code.nbytes)
        remedy = f"the {rows.start} rows before are written; run the same again to complete it"
        with working(store, f"at rows {rows.start} to {rows.stop}", remedy):
            store.put(keys[rows], part)
        if progress is not None:
            progress(rows.stop)
