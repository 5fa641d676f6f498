"""Codes with ids that are changed, and kept in memory or in files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from qama import checks, drift, files
from qama.checks import Bytes, Ids
from qama.codec import Codec, checked
from qama.search import ids as idmap
from qama.search import loading, scan, store
from qama.search.batches import batches
from qama.search.copying import NotCopied
from qama.search.loading import State
from qama.search.snapshot import Snapshot, compacted
from qama.search.turns import WriterLock


class Collection(NotCopied):
    """What `qama.Index` is but for the searching; its arguments are documented there."""

    def __init__(
        self,
        codec: Codec,
        *,
        dims: int | None = None,
        level: object | None = None,
        nbytes: int | None = None,
    ) -> None:
        self.codec = checked(codec, "Index")
        self.code = self.codec.code(dims, level, nbytes)
        self._read_only = False
        self._path: Path | None = None
        self._store: store.Store | None = None
        self._writer = WriterLock()
        self._watch = drift.Watch(codec)
        empty = Snapshot.empty(self.code.stored_bytes, scan.leading_bytes(self.code))
        self._state = State(empty, None)

    def __len__(self) -> int:
        """Vectors that can be found."""
        return len(self._now)

    def __repr__(self) -> str:
        return f"<qama.Index: {len(self)} vectors, {self.code.label}, {self.code_size} B each>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def code_size(self) -> int:
        """Bytes that the index stores per vector: the compact form of the code."""
        return self.code.stored_bytes

    @property
    def ids(self) -> Ids:
        """Ids of the vectors that can be found, int64 (len,), in insertion order."""
        return self._now.live_ids()

    # -- changing ---------------------------------------------------------------------------

    def add(self, X: object, ids: object = None, durable: bool = False) -> Ids:
        """Encode and append vectors.

        Args:
            X: Floats (n, d), n >= 0; see `Codec.encode`.
            ids: n whole numbers >= 0 (an array, a list, a range, a column, ...), new to the index;
                default: counted on behind all that were ever given, from 0, so that an id of a
                deleted vector does not return.
            durable: Return when the change is on the disk; otherwise `flush` waits for it.

        Returns:
            The ids, int64 (n,).

        Raises:
            ValueError: unfitting vectors, or ids that repeat or exist; nothing was added.
            OSError: the change could not be written; nothing was added.
        """
        with self._changing("add", durable):
            A = checks.matrix(X, "X", self.codec.dims_in, empty=True)
            fresh = self._new_ids(ids, len(A))
            codes = self._encoded(A)
            self._watch.look(A)  # before the change: a warning may be an error
            self._commit("add", fresh, codes, durable)
        return fresh

    def add_codes(
        self,
        codes: npt.NDArray[np.uint8],
        ids: object = None,
        durable: bool = False,
        *,
        compact: bool | None = None,
    ) -> Ids:
        """Append vectors that this index's codec encoded already.

        Args:
            codes: uint8 (n, bytes): what ``codec.encode`` returns for the index's code, compact
                (code_size bytes, the faster way) or as thermometer codes.
            ids: See `add`.
            durable: See `add`.
            compact: Which of the two they are; default: as their length says. Needed where both
                forms are as long.

        Returns:
            The ids, int64 (n,).

        Raises:
            ValueError: no such codes, or of a length that both forms have; or ids that repeat or
                exist; nothing was added.
            OSError: the change could not be written; nothing was added.
        """
        with self._changing("add_codes", durable):
            stored = self._stored(codes, compact)
            fresh = self._new_ids(ids, len(stored))
            self._commit("add", fresh, stored, durable)
        return fresh

    def add_from(self, source: object, ids: object = None, durable: bool = False) -> int:
        """Encode and append vectors batch by batch, in bounded memory.

        Args:
            source: What `Codec.encode` takes, memory-mapped or not; the path of a .npy or Parquet
                file; or an iterator, a list or a tuple of batches, each of the same kinds. Batches
                without rows are passed over.
            ids: See `add`; for an iterator, one array of ids for each batch.
            durable: See `add`.

        Returns:
            How many were added.

        Raises:
            ValueError, OSError: see `add`; the batches before the unfitting one were added. The
                message names the row of the source, and says how many are in.
        """
        added = 0
        try:
            for X, some in batches(source, ids, self.codec.dims_in):
                self.add(X, some, durable)
                added += len(X)
        except ValueError as error:
            if not added:
                raise
            raise ValueError(f"{error}; the {added} rows before that batch were added") from error
        return added

    def upsert(self, ids: object, X: object, durable: bool = False) -> Ids:
        """Replace the vectors of ids that exist and add the others; returns the ids.

        Args:
            ids: n whole numbers >= 0.
            X: Floats (n, d), n >= 0; see `Codec.encode`.
            durable: See `add`.

        Raises:
            ValueError: unfitting vectors or repeated ids; nothing was changed.
            OSError: the change could not be written; nothing was changed.
        """
        with self._changing("upsert", durable):
            A = checks.matrix(X, "X", self.codec.dims_in, empty=True)
            given = idmap.checked(ids, "ids", len(A))
            codes = self._encoded(A)
            self._watch.look(A)
            self._commit("upsert", given, codes, durable)
        return given

    def delete(self, ids: object, durable: bool = False) -> int:
        """Remove vectors by id; ids that are not there are ignored.

        Args:
            ids: Whole numbers >= 0: one, or an array, a list, a set, ...
            durable: See `add`.

        Returns:
            How many were removed.

        Raises:
            ValueError: ids are not whole numbers >= 0, or repeat.
            OSError: the change could not be written; nothing was removed.
        """
        with self._changing("delete", durable):
            given = idmap.checked(ids, "ids")
            held = given[self._now.find(given) >= 0]
            if len(held):
                self._commit("delete", held, None, durable)
        return len(held)

    def compact(self) -> None:
        """Leave deleted vectors out for good, in memory and on the disk; rows keep their order.

        An opened index writes a new file in place of the old one and its log; readers that have
        the old one open keep it.

        Raises:
            ValueError: opened read-only.
            OSError: the new file could not be written; the old one is intact.
        """
        with self._changing("compact"):
            if self._store is None:
                self._state = State(compacted(self._now), None)
                return
            try:
                self._state = self._store.compact(self.codec, self.code, self._state)
            finally:
                self._store.settle(self._state)

    # -- files ------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a copy of the index, its codec included, atomically; deleted rows are left out.

        The index stays bound to the file it was opened from, if any. Saving over that file in
        mode "a" is `compact`.

        Raises:
            LockedError: another index is open for writing at that path.
            OSError: the file cannot be written; what stood there before is intact.
        """
        target = files.real(path)
        if self._store is not None and target == self._store.path:
            self.compact()
        else:
            store.save(target, self.codec, self.code, self._now)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        mode: str = "r",
        *,
        model: str | None = None,
        verify: bool = False,
    ) -> Self:
        """Open a saved index by mapping its file and replaying its log.

        Args:
            path: A file that `save` wrote.
            mode: "r" to search: nothing is ever written. "a" to change it too: every change goes
                to ``path.qama-log``; the first one takes the lock ``path.qama-lock``.
            model: Name of the model whose vectors will be searched and added, to be checked.
            verify: Compare the checksums of the whole file; it is read once from end to end.

        Raises:
            FormatError: not an index file, damaged, or of another version.
            OSError: the file cannot be opened.
            ValueError: another mode, or the codec was fitted on vectors of another model.
        """
        checks.one_of(mode, "mode", ("r", "a"))
        target = files.real(path)
        state = loading.load(target, verify)
        assert state.files is not None
        found = state.files.base
        found.codec.check_model(model)
        index = cls(found.codec, **found.code.request)
        index._state = state
        index._read_only = mode == "r"
        index._path = target
        index._store = store.Store(target) if mode == "a" else None
        return index

    def refresh(self) -> None:
        """See what other processes changed in the file since this index was opened.

        In mode "a" nothing has to be done: no one else can change it, and the first change sees
        what was changed before.

        Raises:
            ValueError: the index was not opened from a file.
            FormatError, OSError: see `open`; the index stays as it was.
        """
        if self._path is None:
            raise ValueError("refresh needs an index that was opened from a file")
        with self._writer:
            if self._store is None:
                held = self._state.files
                self._state = loading.load(self._path, like=held.base if held else None)

    def flush(self) -> None:
        """Return when every change so far is on the disk.

        Raises:
            ValueError: the index was not opened with mode="a".
            OSError: the disk failed; open the index again to see what it kept.
        """
        with self._writer:
            self._flush(self._writable_store("flush"))

    def close(self) -> None:
        """Flush and give up the lock; searching goes on, and a later change takes it again.

        Raises:
            OSError: the disk failed.
        """
        if self._store is None or self._store.elsewhere:
            return
        with self._writer:
            try:
                if not self._store.broken:
                    self._flush(self._store)
            finally:
                self._store.close()

    # -- inside -----------------------------------------------------------------------------

    @contextmanager
    def _changing(self, verb: str, durable: bool = False) -> Iterator[None]:
        """Let one thread at a time change the index, by the files as they are now."""
        with self._writer, checks.default_errstate():
            if self._read_only:
                raise ValueError(
                    f'this index was opened read-only; to {verb}, open it with mode="a"'
                )
            if durable:
                self._writable_store("durable=True")
            if self._store is not None:
                self._state = self._store.claim(self._state)
            yield

    def _writable_store(self, what: str) -> store.Store:
        if self._store is None:
            raise ValueError(
                f"{what} needs an index that is kept in a file: save it, and open that with "
                f'mode="a"'
            )
        return self._store

    def _encoded(self, A: npt.NDArray[Any]) -> Bytes:
        return self.codec.encode(A, compact=True, **self.code.request)

    def _stored(self, codes: npt.NDArray[np.uint8], compact: bool | None) -> Bytes:
        """Check codes and bring them to the compact form."""
        if compact is None:
            if self.code.pairs and self.code.nbytes == self.code_size:
                raise ValueError(
                    f"{self.code.label} takes {self.code_size} bytes as a thermometer code and in "
                    f"the compact form; say which with compact=True or compact=False"
                )
            width = np.shape(codes)[1] if np.ndim(codes) == 2 else self.code_size
            compact = width != self.code.nbytes or width == self.code_size
        given = checks.codes(codes, "codes", self.code_size if compact else self.code.nbytes)
        return given if compact else self.code.stored_form(given)

    def _new_ids(self, ids: object, count: int) -> Ids:
        now = self._now
        if ids is None:
            fresh = idmap.counted(now.following, count)
        else:
            fresh = idmap.checked(ids, "ids", count)
        known = fresh[now.find(fresh) >= 0]
        if len(known):
            raise ValueError(
                f"id {known[0]} is in the index already; upsert replaces, or give new ids"
            )
        return fresh

    @property
    def _now(self) -> Snapshot:
        """The rows that a search sees: all of a change or nothing of it."""
        return self._state.rows

    def _commit(self, kind: str, ids: Ids, codes: Bytes | None, durable: bool) -> None:
        """Prepare a change, log it, and make it by one assignment; one of no rows is none."""
        if not len(ids):
            return
        rows = self._now.changed(ids, codes)
        if self._store is None:
            self._state = State(rows, None)
            return
        try:
            held = self._store.append(self._state, kind, ids, codes, durable)
            self._state = State(rows, held)
        finally:
            self._store.settle(self._state)

    def _flush(self, store: store.Store) -> None:
        try:
            self._state = State(self._now, store.flush(self._state))
        finally:
            store.settle(self._state)
