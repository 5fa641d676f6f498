"""The index: codes with ids that are added, changed, searched, and kept in memory or in files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from qama import checks, drift, files, mapping
from qama.checks import Bytes, Floats, Ids
from qama.codec import Codec, checked
from qama.quantizers.kept import Form
from qama.quantizers.vectors import unit
from qama.search import merging
from qama.search.batches import Batch, batches
from qama.search.rows import filters, partitioning
from qama.search.rows import ids as idmap
from qama.search.rows.blocks import leading_bytes
from qama.search.rows.entries import Columns, joined
from qama.search.rows.filters import Choice, Filter
from qama.search.rows.ids import NONE
from qama.search.rows.lists import Centroids, Lists
from qama.search.rows.snapshot import Snapshot, compacted
from qama.search.scan import probing, ranges, rescoring, topk
from qama.search.scan.results import SearchResult
from qama.search.storage import loading, store
from qama.search.storage.copying import NotCopied
from qama.search.storage.loading import State
from qama.search.storage.turns import WriterLock
from qama.shown import facts_html, size

DEFAULT_RECALL = 0.95
_FIRST_ROWS = 2**18  # that centroids are found from while vectors come batch by batch
DEFAULT_NPROBE = 16  # lists read, or a sixteenth of all if that is more, where none was calibrated


class Index(NotCopied):
    """Codes of one kind from one codec, held in memory or kept in files.

    Any number of threads may search while one changes the index: a search answers from the state
    that was committed last when it began. Changes wait for each other. Several processes may have
    one file open; a second one that changes it is refused.

    Without ``nlist`` a search scans all codes. With it, codes lie in inverted lists around
    centroids, and a search reads only the lists nearest to the query (IVF; Sivic and Zisserman,
    ICCV 2003): for ten million vectors and more. Centroids are found by k-means from the codes of
    the first addition, or of all vectors by `partition`; both follow from the codes alone.

    Args:
        codec: What encodes documents and queries.
        dims: Dims of a grid code.
        level: Level of a grid code.
        nbytes: Length of a byte code; excludes dims and level.
        nlist: Inverted lists; about 2 to 4 times the square root of the number of vectors does
            well. "auto": none below 131,072 vectors, then as many as the vectors do well with,
            made anew each time that there are sixteen times as many; while there are none, a search
            scans all, whatever ``nprobe`` and ``recall`` say. None: none.
        keep: "float16" or "int8": keep the vectors themselves too, 2 bytes or 1 for each dim, so
            that `search` can rescore. Those of a file are mapped: a search reads those of its
            candidates alone. None: keep codes alone.

    Raises:
        ValueError: a code that the codec does not have, another ``nlist``, or another ``keep``.
    """

    def __init__(
        self,
        codec: Codec,
        *,
        dims: int | None = None,
        level: object | None = None,
        nbytes: int | None = None,
        nlist: int | str | None = None,
        keep: str | None = None,
    ) -> None:
        self.codec = checked(codec)
        self.code = self.codec.code(dims, level, nbytes)
        self._chooses = nlist == partitioning.AUTO
        self._wanted = None if nlist is None or self._chooses else _lists(nlist)
        self._read_only = False
        self._in_memory = True  # changes stay there
        self._path: Path | None = None
        self._store: store.Store | None = None
        self._writer = WriterLock()
        self._watch = drift.Watch(codec)
        self._form = None if keep is None else Form.of(keep, self.codec.dims_in)
        empty = Snapshot.empty(self.code.stored_bytes, leading_bytes(self.code), self._form)
        self._state = State(empty, None)

    def __len__(self) -> int:
        """Vectors that can be found."""
        return len(self._now)

    def __repr__(self) -> str:
        lists = f", {self.nlist} lists" if self.nlist else ""
        kept = f" and {self.kept_size} B kept as {self.keep}" if self.keep else ""
        each = f"{self.code_size} B{kept} each"
        return f"<qama.Index: {len(self)} vectors, {self.code.label}, {each}{lists}>"

    def _repr_html_(self) -> str:
        count = len(self)
        facts = {
            "vectors": f"{count:,}",
            "code": f"{self.code.label}, {self.code_size} B each",
            "codes": size(count * self.code_size),
            "as float32": size(4 * count * self.codec.dims_in),
            "kept": f"{self.keep}, {size(count * self.kept_size)}" if self.keep else None,
            "lists": self.nlist,
            "codec": self.codec.fingerprint,
        }
        return facts_html("qama.Index", facts)

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
    def lengths(self) -> tuple[int, ...]:
        """Bytes by which `search` can search: the standard prefixes of the code, and all of it."""
        return tuple(code.stored_bytes for code in (*self.code.prefixes(), self.code))

    @property
    def keep(self) -> str | None:
        """The form in which vectors are kept: "float16", "int8", or None."""
        return None if self._form is None else self._form.name

    @property
    def kept_size(self) -> int:
        """Bytes of each kept vector; 0 where none are kept."""
        return 0 if self._form is None else self._form.width

    @property
    def nlist(self) -> int | None:
        """Inverted lists; None: a search scans all codes."""
        lists = self._now.lists
        return self._wanted if lists is None else lists.nlist

    @property
    def centroids(self) -> Floats | None:
        """Of the inverted lists, float32 (nlist, width), in the space of `Codec.decode`, or None.

        They have length 1.
        """
        lists = self._now.lists
        return None if lists is None else checks.locked(lists.centroids.vectors)

    @property
    def ids(self) -> Ids:
        """Ids of the vectors that can be found, int64 (len,), in insertion order."""
        return self._now.live_ids()

    @property
    def codes(self) -> Bytes:
        """The compact codes of the vectors that can be found, uint8 (len, code_size), as `ids`."""
        return self._now.live_codes()

    def vectors(self, ids: object) -> Floats:
        """Return the vectors of ids: those kept, or what their codes stand for.

        Args:
            ids: n whole numbers >= 0, each once.

        Returns:
            float32, in the order of ``ids``: kept ones (n, d), of length 1; else what
            `Codec.decode` returns.

        Raises:
            ValueError: unfitting ids, or one that is not there.
        """
        checks.ordered(ids, "ids")
        given = idmap.checked(ids, "ids")
        now = self._now
        rows = now.find(given)
        if (rows < 0).any():
            raise ValueError(f"id {given[rows < 0][0]} is not in the index")
        with self._reading(now):
            if now.kept is not None:
                return unit(now.kept.form.unpacked(now.kept.at(rows)).astype(np.float32))
            return self.code.decode(now.blocks.codes_at(now.places(rows)))

    # -- changing ---------------------------------------------------------------------------

    def add(self, X: object, ids: object = None, durable: bool = False, *, threads: int = 0) -> Ids:
        """Encode and append vectors.

        Args:
            X: Floats (n, d), n >= 0; see `Codec.encode`.
            ids: n whole numbers >= 0 (an array, a list, a range, a column, ...), new to the index;
                default: counted on behind all that were ever given, from 0, so that an id of a
                deleted vector does not return.
            durable: Return when the change is on the disk; otherwise `flush` waits for it.
            threads: CPU threads; 0 uses all cores, fewer for little work.

        Returns:
            The ids, int64 (n,).

        Raises:
            ValueError: unfitting vectors, ids that repeat or exist, or fewer vectors than ``nlist``
                where centroids are to be found from them; nothing was added.
            OSError: the change could not be written; nothing was added.
        """
        with self._changing("add", durable):
            A = checks.matrix(X, "X", self.codec.dims_in, empty=True)
            fresh = self._new_ids(ids, len(A))
            columns = self._encoded(A, threads)
            self._watch.look(A)  # before the change: a warning may be an error
            self._commit("add", fresh, columns, durable, threads)
        return fresh

    def add_codes(
        self,
        codes: npt.NDArray[np.uint8],
        ids: object = None,
        durable: bool = False,
        *,
        compact: bool | None = None,
        vectors: object = None,
        threads: int = 0,
    ) -> Ids:
        """Append vectors that this index's codec encoded already.

        Args:
            codes: uint8 (n, bytes): what ``codec.encode`` returns for the index's code, compact
                (code_size bytes, the faster way) or as thermometer codes.
            ids: See `add`.
            durable: See `add`.
            compact: Which of the two they are; default: as their length says. Needed where both
                forms are as long.
            vectors: Where the index keeps vectors: those that the codes are of, floats (n, d).
            threads: See `add`: of finding the inverted lists, if any.

        Returns:
            The ids, int64 (n,).

        Raises:
            ValueError: no such codes, or of a length that both forms have; ids that repeat or
                exist; or vectors that are missing, unfitting, or would not be kept; nothing was
                added.
            OSError: the change could not be written; nothing was added.
        """
        checks.threads(threads)
        with self._changing("add_codes", durable):
            stored = self._stored(codes, compact)
            fresh = self._new_ids(ids, len(stored))
            columns = Columns(stored, self._given(vectors, len(stored)))
            self._commit("add", fresh, columns, durable, threads)
        return fresh

    def add_from(
        self, source: object, ids: object = None, durable: bool = False, *, threads: int = 0
    ) -> int:
        """Encode and append vectors batch by batch, in bounded memory.

        Where ``nlist`` was given and there are no centroids yet, the first 64 nlist vectors (at
        most 262,144, or nlist) are added together, and the centroids found from them. Of a source
        in some order, rather add all to an index without lists and `partition` it.

        Args:
            source: What `Codec.encode` takes, memory-mapped or not; the path of a file that
                `qama.vectorfiles.opened` reads; a dataset of Hugging Face; or an iterator, a list
                or a tuple of batches, each of what `Codec.encode` takes. Batches without rows are
                passed over.
            ids: See `add`; for batches one array of ids for each, or one NumPy array for all.
            durable: See `add`.
            threads: See `add`.

        Returns:
            How many were added.

        Raises:
            ValueError, OSError: see `add`; the batches before the unfitting one were added. The
                message names the row of the source, and says how many are in.
        """
        added = 0
        try:
            for X, some in self._first_together(batches(source, ids, self.codec.dims_in)):
                self.add(X, some, durable, threads=threads)
                added += len(X)
        except ValueError as error:
            if not added:
                raise
            raise ValueError(f"{error}; the {added} rows before that batch were added") from error
        return added

    def upsert(self, ids: object, X: object, durable: bool = False, *, threads: int = 0) -> Ids:
        """Replace the vectors of ids that exist and add the others; returns the ids.

        Args:
            ids: n whole numbers >= 0.
            X: Floats (n, d), n >= 0; see `Codec.encode`.
            durable: See `add`.
            threads: See `add`.

        Raises:
            ValueError: unfitting vectors or repeated ids; nothing was changed.
            OSError: the change could not be written; nothing was changed.
        """
        with self._changing("upsert", durable):
            A = checks.matrix(X, "X", self.codec.dims_in, empty=True)
            given = idmap.checked(ids, "ids", len(A))
            columns = self._encoded(A, threads)
            self._watch.look(A)
            self._commit("upsert", given, columns, durable, threads)
        return given

    def upsert_codes(
        self,
        ids: object,
        codes: npt.NDArray[np.uint8],
        durable: bool = False,
        *,
        compact: bool | None = None,
        vectors: object = None,
        threads: int = 0,
    ) -> Ids:
        """Replace or add vectors that this index's codec encoded already; returns the ids.

        Args:
            ids: n whole numbers >= 0.
            codes: uint8 (n, bytes), see `add_codes`.
            durable: See `add`.
            compact: See `add_codes`.
            vectors: See `add_codes`.
            threads: See `add_codes`.

        Raises:
            ValueError: no such codes, see `add_codes`, or repeated ids; nothing was changed.
            OSError: the change could not be written; nothing was changed.
        """
        checks.threads(threads)
        with self._changing("upsert_codes", durable):
            stored = self._stored(codes, compact)
            given = idmap.checked(ids, "ids", len(stored))
            columns = Columns(stored, self._given(vectors, len(stored)))
            self._commit("upsert", given, columns, durable, threads)
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
            self._replace(compacted(self._now) if self._store is None else self._now)

    def partition(self, nlist: int, *, seed: int = 0, threads: int = 0) -> None:
        """Put all vectors into inverted lists around centroids found anew; rows keep their order.

        Deleted vectors are left out for good, as by `compact`; an opened index writes a new file.

        Args:
            nlist: How many lists.
            seed: Of the sample of codes and the start of k-means.
            threads: 0 uses all cores.

        Raises:
            ValueError: nlist < 1, fewer vectors than lists, or opened read-only.
            OSError: the new file could not be written; the old one is intact.
        """
        nlist, seed = checks.integer(nlist, "nlist", 1), checks.integer(seed, "seed", 0, 2**31)
        threads = checks.threads(threads)
        with self._changing("partition"):
            stored = self._now.live_codes()
            rows = partitioning.partitioned(self.code, self._now, stored, nlist, seed, threads)
            self._replace(rows)

    # -- searching --------------------------------------------------------------------------

    @checks.default_errstate()
    def search(
        self,
        Q: object,
        k: int = 10,
        *,
        scorer: str = "asymmetric",
        filter: Choice = None,
        exclude: object = None,
        threads: int = 0,
        funnel: bool | int = False,
        nprobe: int | None = None,
        recall: float | None = None,
        rescore: int = 0,
        nbytes: int | None = None,
    ) -> SearchResult:
        """Find the k nearest vectors of each query.

        Args:
            Q: Floats (m, d), m >= 0; see `Codec.encode`.
            k: How many; more than there are returns all there are.
            scorer: "asymmetric" (float query against codes) or
                "hamming" (the query is encoded too).
            filter: What may be returned to every query: bool (len(index),) in insertion order, ids
                (an array, list, set, range, column, ...; unknown ones are ignored), a function from
                ids int64 (n,) to bool (n,), or what `filter` compiled of one of these. Zeros and
                ones, as many as there are vectors, are refused: they are a mask, and not ids.
            exclude: Ids that may not be returned; unknown ones are ignored.
            threads: 0 uses all cores; more than there are is clamped.
            funnel: Coarse-to-fine search with rescoring: scan a prefix of the codes first, then
                score the best candidates by all of their bytes; a number says how many (True:
                12,000 over the bytes of the prefix, but at least a thousandth of the rows and
                20 k). Approximate.
                Of fewer than a million vectors True scans all codes whole, which is faster.
                Codes without a shorter prefix (hybrid) refuse it.
            nprobe: Of an index with inverted lists: how many lists are read for each query, the
                nearest ones, and further ones where these hold fewer than k vectors that may be
                returned; ``nlist`` is the search of everything.
            recall: Instead, a share of the k best vectors to be found on average, above 0 and at
                most 1: as many lists as `calibrate` saw were needed. Default: 0.95 once calibrated,
                before that 16 lists or a sixteenth of all, whichever is more.
            rescore: Of an index that keeps vectors: so many best vectors by codes are ordered by
                the exact cosine of the query with what is kept of them, and the k best of them
                returned with it; fewer than k count as k. 0: codes alone.
            nbytes: Search by so many leading bytes of each stored code alone: what an index of
                that shorter code finds, to the bit. One of the lengths in `lengths`. Inverse
                norms of each length that was asked for stay in memory, a byte for each vector.

        Returns:
            ids and scores, best first. Ties go to the vector that was added first; in inverted
            lists, unless rescored, to the lower place, see docs/scale.md.

        Raises:
            ValueError: unfitting queries, k < 1, threads < 0, unknown scorer, unfitting filter; an
                option that an index with, or without, inverted lists does not have; or a rescore
                of an index that keeps no vectors.
        """
        queries = checks.vectors(Q, "Q", self.codec.dims_in, empty=True)
        k = checks.integer(k, "k", 1)
        checks.one_of(scorer, "scorer", self.code.scorers)
        threads = checks.threads(threads)
        now = self._now  # one state for the whole search
        lists = self._probes(now, nprobe, recall, funnel)
        best = max(k, self._rescored(rescore))
        code = topk.shortened(self.code, nbytes)
        with self._reading(now):
            rows = topk.Rows.of(now, filters.allowed(now, filter, exclude), threads)
            if now.lists is not None:
                nearest = probing.Nearest(self.code, now.lists, lists)
                found, scores = probing.search(code, queries, nearest, rows, best, scorer, threads)
            else:
                short = topk.candidates(code, funnel, best, now.rows)
                found, scores = topk.search(code, queries, rows, best, scorer, threads, short)
            found = now.rows_at(found)
            if rescore and now.kept is not None:
                found, scores = rescoring.rescored(now.kept, queries, found, k, threads)
            return SearchResult(now.ids.of_rows(found), scores)

    @checks.default_errstate()
    def range_search(
        self,
        Q: object,
        score: float | npt.NDArray[np.floating],
        *,
        scorer: str = "asymmetric",
        filter: Choice = None,
        exclude: object = None,
        threads: int = 0,
    ) -> list[SearchResult]:
        """Find every vector that scores at least ``score``; all inverted lists are read.

        Args:
            Q: Floats (m, d).
            score: The least score, or one for each query, float (m,).
            scorer: See `search`.
            filter: See `search`.
            exclude: See `search`.
            threads: See `search`.

        Returns:
            For each query ids int64 (n,) and scores float32 (n,), best first, ties as in `search`;
            n differs. Exact: queries with many results are scanned again with a larger k.

        Raises:
            ValueError: see `search`; or a score that is NaN, or not one for each query.
        """
        queries = checks.vectors(Q, "Q", self.codec.dims_in, empty=True)
        least = ranges.checked(score, len(queries))
        checks.one_of(scorer, "scorer", self.code.scorers)
        threads = checks.threads(threads)
        now = self._now
        with self._reading(now):
            rows = topk.Rows.of(now, filters.allowed(now, filter, exclude), threads)
            found = ranges.search(self.code, queries, least, rows, scorer, threads)
            return [SearchResult(now.ids.of_rows(now.rows_at(r)), scores) for r, scores in found]

    @checks.default_errstate()
    def calibrate(
        self, Q: object, k: int = 10, *, scorer: str = "asymmetric", threads: int = 0
    ) -> Floats:
        """Measure, on sample queries, how many inverted lists a recall needs.

        `search` takes a recall from then on; in files it is kept by the next `save` or `compact`.

        Args:
            Q: Floats (m, d), like the queries to come.
            k: How many results the recall counts.
            scorer: See `search`.
            threads: See `search`.

        Returns:
            float32 (nlist,): at i, the share of the k best vectors of all that i + 1 lists hold.

        Raises:
            ValueError: see `search`; or an index that is empty or has no lists.
        """
        queries = checks.vectors(Q, "Q", self.codec.dims_in)
        k = checks.integer(k, "k", 1)
        checks.one_of(scorer, "scorer", self.code.scorers)
        threads = checks.threads(threads)
        now = self._now
        if now.lists is None or not len(now):
            raise ValueError("calibrate needs an index with inverted lists and vectors in them")
        with self._reading(now):
            rows = topk.Rows.of(now, now.live, threads)
            curve = probing.recall_by_lists(self.code, queries, now.lists, rows, k, scorer, threads)
        now.lists.centroids.recall = curve
        return checks.locked(curve)

    @checks.default_errstate()
    def filter(self, choice: Choice = None, *, exclude: object = None) -> Filter:
        """Compile a filter once, for searches to come.

        Args:
            choice: See ``filter`` of `search`; None allows all.
            exclude: Ids that may not be returned.

        Raises:
            ValueError: unfitting, see `search`.
        """
        return filters.compiled(self._now, choice, exclude)

    # -- files ------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a copy of the index, its codec included, atomically; deleted rows are left out.

        The index stays bound to the file it was opened from, if any. Saving over that file in
        mode "a" is `compact`.

        Raises:
            ValueError: nlist was given, and no vector was added yet to find centroids from.
            LockedError: another index is open for writing at that path.
            OSError: the file cannot be written; what stood there before is intact.
        """
        if self._wanted is not None and self._now.lists is None:
            raise ValueError("the index has no centroids yet; add vectors before save")
        target = files.real(path)
        if self._store is not None and target == self._store.path:
            self.compact()
        else:
            with self._writer:  # a change may write into the last blocks, beside what is saved
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
                to ``path.qama-log``; the first one takes the lock ``path.qama-lock``. "c" to change
                it in memory alone: the file stays as it is, unless `save` replaces it.
            model: Name of the model whose vectors will be searched and added, to be checked.
            verify: Compare the checksums of the whole file; it is read once from end to end.

        Raises:
            FormatError: not an index file, damaged, or of another version.
            OSError: the file cannot be opened.
            ValueError: another mode, or the codec was fitted on vectors of another model.
        """
        checks.one_of(mode, "mode", ("r", "a", "c"))
        target = files.real(path)
        state = loading.load(target, verify)
        assert state.files is not None
        found = state.files.base
        found.codec.check_model(model)
        index = cls(found.codec, **found.code.request, keep=found.keep)
        index._state = state
        index._read_only = mode == "r"
        index._path = target
        index._in_memory = mode == "c"
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
        if self._path is None or self._in_memory:
            raise ValueError('refresh needs an index that was opened from a file, and not mode="c"')
        with self._writer:
            held = self._state.files
            if self._store is None and not (held and held.unchanged()):
                self._take(loading.load(self._path, like=held.base if held else None))

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

    @classmethod
    def merge(cls, indexes: Iterable[Index], *, renumber: bool = False) -> Self:
        """Return a new index, in memory, of all vectors of others, in their order.

        It has the inverted lists of the first one, if any, and keeps vectors as all of them do.

        Args:
            indexes: Indexes of the same codec and code, at least one.
            renumber: Number the vectors from 0 instead of keeping their ids.

        Raises:
            ValueError: no indexes, other codecs or codes, others that keep vectors, or an id that
                two of them have.
        """
        parts = merging.checked(list(indexes))
        like, first = parts[0], parts[0]._now
        merged = cls(like.codec, **like.code.request, nlist=like.nlist, keep=like.keep)
        if first.lists is not None:
            lists = Lists.empty(Centroids(first.lists.centroids.vectors))
            empty = merged._now
            merged._state = State(empty.partitioned(lists, empty.live_codes(), NONE), None)
        for columns, ids in merging.pieces([part._now for part in parts], renumber):
            with merged._changing("merge"):
                merged._commit("add", merged._new_ids(ids, len(columns.codes)), columns, False)
        if not renumber:
            following = max(part._now.following for part in parts)
            merged._state = State(replace(merged._now, following=following), None)
        return merged

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
                self._take(self._store.claim(self._state))
            yield

    def _take(self, state: State) -> None:
        """Go on from a state; what was calibrated holds while the centroids are the same."""
        old, new = self._now.lists, state.rows.lists
        if old is not None and new is not None and old.centroids is not new.centroids:
            same = np.array_equal(old.centroids.vectors, new.centroids.vectors)
            if same and new.centroids.recall is None:
                new.centroids.recall = old.centroids.recall
        self._state = state

    def _writable_store(self, what: str) -> store.Store:
        if self._store is None:
            raise ValueError(
                f"{what} needs an index that is kept in a file: save it, and open that with "
                f'mode="a"'
            )
        return self._store

    def _encoded(self, A: npt.NDArray[Any], threads: int) -> Columns:
        """Return what rows of vectors have: codes, and the vectors where they are kept."""
        codes = self.codec.encode(A, compact=True, threads=threads, **self.code.request)
        return Columns(codes, self._packed(A, "X"))

    def _packed(self, A: npt.NDArray[Any], name: str) -> Bytes | None:
        """Return vectors (n, d) as they are kept, uint8 (n, kept_size); None where they are not."""
        if self._form is None:
            return None
        packed = np.empty((len(A), self._form.width), dtype=np.uint8)
        for rows in checks.chunks(A):
            packed[rows] = self._form.packed(checks.finite(A[rows], name, rows.start))
        return packed

    def _given(self, vectors: object, count: int) -> Bytes | None:
        """Return the vectors of so many given codes as they are kept; None where they are not."""
        if self._form is None:
            if vectors is not None:
                raise ValueError(
                    'this index keeps no vectors: leave vectors out, or make it with keep="float16"'
                )
            return None
        if vectors is None:
            raise ValueError(
                f"this index keeps vectors as {self.keep}: give those that the codes are of as "
                f"vectors, or add the vectors themselves"
            )
        A = checks.matrix(vectors, "vectors", self.codec.dims_in, empty=True)
        if len(A) != count:
            raise ValueError(f"vectors has {len(A)} rows for {count} codes; give one for each")
        return self._packed(A, "vectors")

    def _stored(self, codes: npt.NDArray[np.uint8], compact: bool | None) -> Bytes:
        """Check codes and bring them to the compact form."""
        if compact is None:
            if self.code.bit_pairs and self.code.nbytes == self.code_size:
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

    def _first_together(self, pairs: Iterator[Batch]) -> Iterator[Batch]:
        """Yield batches; the first ones as one where centroids are to be found from them."""
        if self._wanted is not None and self._now.lists is None:
            most = max(self._wanted, min(partitioning.SAMPLE * self._wanted, _FIRST_ROWS))
            held, count = [], 0
            for batch in pairs:
                held.append(batch)
                count += len(batch[0])
                if count >= most:
                    break
            if held:
                given = [some for _, some in held if some is not None]
                X = np.concatenate([X for X, _ in held])
                yield X, np.concatenate(given) if given else None
        yield from pairs

    @property
    def _now(self) -> Snapshot:
        """The rows that a search sees: all of a change or nothing of it."""
        return self._state.rows

    def _replace(self, rows: Snapshot) -> None:
        """Let rows take the place of all, in a new file where the index is kept in one."""
        if self._store is None:
            self._state = State(rows, None)
            return
        try:
            state = replace(self._state, rows=rows)
            self._state = self._store.compact(self.codec, self.code, state)
        finally:
            self._store.settle(self._state)

    def _commit(
        self, kind: str, ids: Ids, columns: Columns | None, durable: bool, threads: int = 0
    ) -> None:
        """Prepare a change, log it, and make it by one assignment; one of no rows is none."""
        if not len(ids):
            return
        now, entries = self._now, None
        if columns is not None:
            codes = columns.codes
            if now.lists is None and self._wanted is not None:
                first = partitioning.partitioned(self.code, now, codes, self._wanted, 0, threads)
                now = replace(first, cache=now.cache)
            if now.lists is not None:
                centroids = now.lists.centroids
                numbers = partitioning.numbers(self.code, codes, centroids, threads)
                columns = columns._replace(numbers=numbers)
            entries = joined(columns)
        rows = now.changed(ids, entries)
        if self._store is None:
            self._state = State(self._in_lists(rows, threads), None)
            return
        try:
            held = self._store.append(self._state, kind, ids, entries, durable)
            self._state = State(rows, held)
        finally:
            self._store.settle(self._state)

    def _flush(self, store: store.Store) -> None:
        try:
            self._state = State(self._now, store.flush(self._state))
        finally:
            store.settle(self._state)

    def _in_lists(self, rows: Snapshot, threads: int) -> Snapshot:
        """Return rows in lists where the index chooses these itself and it is time for others."""
        wanted = partitioning.lists_for(len(rows)) if self._chooses else None
        held = 0 if rows.lists is None else rows.lists.nlist
        if wanted is None or wanted < 4 * held:
            return rows
        return partitioning.partitioned(self.code, rows, rows.live_codes(), wanted, 0, threads)

    def _probes(
        self, now: Snapshot, nprobe: int | None, recall: float | None, funnel: bool | int
    ) -> int:
        """Return how many inverted lists a search reads; 0 where there are none."""
        if nprobe is not None and recall is not None:
            raise ValueError("nprobe excludes recall; give one of them")
        nlist = self._wanted if now.lists is None else now.lists.nlist
        if nlist is None:
            if self._chooses or (nprobe is None and recall is None):
                return 0
            raise ValueError(
                "nprobe and recall are for an index with inverted lists, and this one has none: "
                "search without them, or call partition before"
            )
        if funnel is not False:
            raise ValueError("funnel is for an index without inverted lists; give nprobe or recall")
        if nprobe is not None:
            return checks.integer(nprobe, "nprobe", 1, nlist)
        wanted = DEFAULT_RECALL if recall is None else checks.share(recall, "recall")
        curve = None if now.lists is None else now.lists.centroids.recall
        if curve is not None:
            return min(int(np.searchsorted(curve, np.float32(wanted))) + 1, nlist)
        if recall is not None:
            raise ValueError("a recall needs calibrate with sample queries; or give nprobe")
        return min(nlist, max(DEFAULT_NPROBE, nlist // 16))

    def _rescored(self, rescore: object) -> int:
        """Return how many candidates are rescored; 0: none."""
        wanted = checks.integer(rescore, "rescore", 0)
        if wanted and self._form is None:
            raise ValueError(
                "rescore needs the vectors themselves, and this index keeps codes alone: make it "
                'with keep="float16" or keep="int8", and add the vectors again'
            )
        return wanted

    def _reading(self, now: Snapshot) -> mapping.Reading:
        """Refuse what is read in a block, errors too, where a file changed in place meanwhile."""
        return mapping.Reading(now.mapped, self._path)


def _lists(nlist: object) -> int:
    """Return a number of lists that was given.

    Raises:
        ValueError: it is none.
    """
    if isinstance(nlist, str):
        raise ValueError(f'nlist is {nlist!r}; give a whole number >= 1, or "auto"')
    return checks.integer(nlist, "nlist", 1)
