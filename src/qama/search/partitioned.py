"""A partitioned index: a search reads only the lists whose centres are nearest to the query."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks, container, drift
from qama.checks import Floats, Ids
from qama.codec import Codec, checked
from qama.errors import FormatError
from qama.quantizers.vectors import unit
from qama.search import filters, kmeans, scan
from qama.search import ids as idmap
from qama.search.blocks import Blocks
from qama.search.copying import NotCopied
from qama.search.pool import Pool, View
from qama.search.results import SearchResult
from qama.search.snapshot import WORD, Mask, mask_of
from qama.search.turns import WriterLock

KIND = "partitions"
FORMAT = 1
DEFAULT_RECALL = 0.95
SAMPLE = 64  # vectors per list that a training looks at, at most
BATCH = 256  # queries whose lists are put in order together


class PartitionedIndex(NotCopied):
    """Codes in lists around centres, for ten million vectors and more.

    `train` finds the centres, `add` puts every vector into the list of the nearest one, at any time
    and without rebuilding; `search` scans the nearest lists with the kernels of `qama.Index`.
    Any number of threads may search while one changes the index: a search answers from the state
    at its start. Further writers wait. A change that ends in an exception, whichever and whenever,
    changes nothing. An index can be neither copied nor pickled: save it, and open the file.

    Args:
        codec: What encodes documents and queries.
        dims: Dims of a grid code.
        level: Level of a grid code.
        nbytes: Length of a byte code; excludes dims and level.
        nlist: Lists; about 2 to 4 times the square root of the number of vectors does well.

    Raises:
        ValueError: a code that the codec does not have, or nlist < 1.
    """

    def __init__(
        self,
        codec: Codec,
        *,
        dims: int | None = None,
        level: object | None = None,
        nbytes: int | None = None,
        nlist: int = 1024,
    ) -> None:
        self.codec = checked(codec, "PartitionedIndex")
        self.code = self.codec.code(dims, level, nbytes)
        self.nlist = checks.integer(nlist, "nlist", 1)
        self.centres: Floats | None = None
        self._curve: Floats | None = None
        self._watch = drift.Watch(codec)
        self._pool = Pool.empty(self.nlist, self.code.stored_bytes)
        self._writer = WriterLock()

    def __len__(self) -> int:
        """Vectors that can be found."""
        return len(self._pool.view)

    def __repr__(self) -> str:
        return (
            f"<qama.PartitionedIndex: {len(self)} vectors, {self.code.label}, {self.nlist} lists>"
        )

    # -- changing ---------------------------------------------------------------------------

    def train(self, X: object, seed: int = 0) -> None:
        """Find the centres by spherical k-means over a sample of vectors.

        Args:
            X: Floats (n, d), n >= nlist; at most 64 nlist rows of it are used.
            seed: Of the sample and the start.

        Raises:
            ValueError: unfitting vectors, fewer than nlist, or the index is not empty.
        """
        A = checks.matrix(X, "X", self.codec.dims_in)
        if len(A) < self.nlist:
            raise ValueError(f"X has {len(A)} rows; {self.nlist} lists need at least as many")
        some = min(len(A), SAMPLE * self.nlist)
        picked = np.sort(np.random.default_rng(seed).choice(len(A), some, replace=False))
        with self._writer, checks.default_errstate():
            if len(self._pool.view.owners):
                raise ValueError("the index holds vectors already; train before the first add")
            sample = checks.finite(A[picked], "X", rows=picked)
            self.centres = kmeans.centres(sample, self.nlist, seed)

    def add(self, X: object, ids: object = None) -> Ids:
        """Encode and append vectors.

        Args:
            X: Floats (n, d), n >= 0; see `Codec.encode`.
            ids: n whole numbers >= 0, new to the index; default: counted on from 0.

        Returns:
            The ids, int64 (n,).

        Raises:
            ValueError: not trained, unfitting vectors, or ids that repeat or exist.

        Warns:
            DriftWarning: once, if vectors are unlike those that the codec was fitted on; where
                warnings are errors, nothing is added.
        """
        A = checks.matrix(X, "X", self.codec.dims_in, empty=True)
        with self._writer, checks.default_errstate():
            centres = self._trained("add")
            fresh = self._new_ids(ids, len(A))
            stored = self.codec.encode(A, compact=True, **self.code.request)
            factors = self.code.factor_indices(stored)
            lists = np.empty(len(A), dtype=np.int64)
            for rows in checks.chunks(A):
                units = unit(checks.finite(A[rows], "X", rows.start))
                lists[rows] = kmeans.nearest(units, centres)[0]
            self._watch.look(A)  # before the change: its warning may be an error
            self._pool = self._pool.with_rows(lists, stored, fresh, factors)
        return fresh

    def delete(self, ids: object) -> int:
        """Remove vectors by id. Looks at every id.

        Args:
            ids: Whole numbers of 0 to 2^63 - 1: one, or an array, a list, a set, ...; unknown ones
                are ignored.

        Returns:
            How many were removed.

        Raises:
            ValueError: ids that are no whole numbers, or repeat.
        """
        given = idmap.checked(ids, "ids")
        with self._writer:
            rows = self._pool.view.rows_of(given)
            self._pool = self._pool.without(rows)
        return len(rows)

    # -- searching --------------------------------------------------------------------------

    @checks.default_errstate()
    def search(
        self,
        Q: object,
        k: int = 10,
        *,
        nprobe: int | None = None,
        recall: float | None = None,
        scorer: str = "asymmetric",
        filter: npt.ArrayLike | None = None,
        threads: int = 0,
    ) -> SearchResult:
        """Find the k nearest vectors of each query in the lists nearest to it.

        Args:
            Q: Floats (m, d), m >= 0; see `Codec.encode`.
            k: How many; more than there are returns all there are. Further lists are scanned
                where the nearest ones hold fewer than k vectors that may be returned.
            nprobe: How many lists; at most nlist, which is the search of everything.
            recall: Instead, a share of the k best vectors to be found on average: as many lists as
                `calibrate` saw were needed. Default: 0.95.
            scorer: See `Index.search`.
            filter: Ids that may be returned (unknown ones are ignored); None allows all.
            threads: 0 uses all cores; queries are spread over them.

        Returns:
            As `Index.search`; of equal scores the lower row as stored comes first, whatever nprobe
            and threads are. Rows lie in blocks of 64, each of one list; a list takes a new block
            behind all others when its last one is full. So within a list the order is that of
            adding; between lists, that of their blocks.

        Raises:
            ValueError: unfitting queries or arguments, not trained, a recall without `calibrate`.
        """
        queries = checks.vectors(Q, "Q", self.codec.dims_in, empty=True)
        k = checks.integer(k, "k", 1)
        checks.one_of(scorer, "scorer", self.code.scorers)
        lists = self._lists_for(nprobe, recall)
        view = self._pool.view
        mask = view.live if filter is None else _allowed(view, filter)
        shape = len(queries), min(k, int(view.sizes(mask).sum()))
        rows, scores = np.empty(shape, np.int64), np.empty(shape, np.float32)
        workers = max(1, min(checks.threads(threads), len(queries)))
        with ThreadPoolExecutor(workers) as pool:
            spread = map if workers == 1 else pool.map
            for some in _batches(queries):
                order = self._order(queries[some])
                probes = np.maximum(lists, _enough(view.sizes(mask)[order], k))
                single = scan.scorer_of(self.code, queries[some], scorer, checks.threads(threads))
                one = partial(_nearest, view, mask, k, single, order, probes)
                for query, found in enumerate(spread(one, range(len(order))), some.start):
                    rows[query], scores[query] = found
        return SearchResult(view.ids[rows], scores)

    @checks.default_errstate()
    def calibrate(self, Q: object, k: int = 10, scorer: str = "asymmetric") -> Floats:
        """Measure, on sample queries, how many lists a recall needs.

        Args:
            Q: Floats (m, d), like the queries to come.
            k: How many results the recall counts.
            scorer: See `Index.search`.

        Returns:
            float32 (nlist,): at i, the share of the k best vectors of all that i + 1 lists hold.

        Raises:
            ValueError: see `search`; or an empty index.
        """
        view = self._pool.view
        if not len(view):
            raise ValueError("the index is empty; add vectors before calibrate")
        queries = checks.vectors(Q, "Q", self.codec.dims_in)
        k = checks.integer(k, "k", 1)
        checks.one_of(scorer, "scorer", self.code.scorers)
        rows = _rows(view, view.live, None)
        counts = np.zeros(self.nlist, dtype=np.int64)
        for some in _batches(queries):
            best = scan.search(self.code, queries[some], rows, k, scorer, checks.threads(0), 0)[0]
            order = self._order(queries[some])
            ranks = np.empty_like(order)
            np.put_along_axis(ranks, order, np.arange(self.nlist)[None, :], axis=1)
            found = np.take_along_axis(ranks, view.owners[best // WORD], axis=1)
            counts += np.bincount(found.reshape(-1), minlength=self.nlist)
        self._curve = (counts.cumsum() / counts.sum()).astype(np.float32)
        return self._curve

    # -- files ------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index, its codec included, atomically.

        Raises:
            ValueError: not trained.
            OSError: the file cannot be written; what stood there before is intact.
        """
        with self._writer:
            pool = self._pool
        view = pool.view
        meta, codec_arrays = self.codec.parts()
        arrays: dict[str, npt.NDArray[Any]] = {f"codec.{n}": a for n, a in codec_arrays.items()}
        arrays |= {
            "centres": self._trained("save"), "owners": view.owners, "blocks": view.blocks,
            "live": view.live, "ids": view.ids, "factors": view.factors,
        }  # fmt: skip
        if self._curve is not None:
            arrays["recall"] = self._curve
        header = {
            "codec": meta, "code": self.code.request, "nlist": self.nlist,
            "following": pool.following,
        }  # fmt: skip
        container.write(path, KIND, FORMAT, header, arrays)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, verify: bool = False) -> PartitionedIndex:
        """Open a saved index by mapping its file; changes stay in memory until it is saved.

        Args:
            path: A file that `save` wrote.
            verify: Compare the checksums of the whole file; it is read once from end to end.

        Raises:
            FormatError: not such a file, damaged, or of another version.
            OSError: the file cannot be opened.
        """
        contents = container.read(path, KIND, FORMAT)
        if verify:
            contents.check_sections()
        arrays, meta = contents.arrays, contents.meta
        parts = {n.removeprefix("codec."): a for n, a in arrays.items() if n.startswith("codec.")}
        try:
            codec = Codec.from_parts(meta["codec"], parts)
            nlist = checks.integer(meta["nlist"], "nlist", 1, len(arrays["centres"]))
            index = cls(codec, **meta["code"], nlist=nlist)
            index._attach(arrays, checks.integer(meta["following"], "following", 0, 2**63 - 1))
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise FormatError(f"{path}: the index is inconsistent: {error}") from error
        return index

    # -- inside -----------------------------------------------------------------------------

    def _attach(self, arrays: Any, following: int) -> None:
        owners, d = arrays["owners"], self.codec.dims_in
        used = len(owners)
        wanted = {
            "owners": ((used,), np.int64), "centres": ((self.nlist, d), np.float32),
            "blocks": ((used, self.code.stored_bytes, WORD), np.uint8),
            "live": ((used,), np.uint64), "ids": ((used * WORD,), np.int64),
            "factors": ((used * WORD,), np.uint8), "recall": ((self.nlist,), np.float32),
        }  # fmt: skip
        for name, (shape, dtype) in wanted.items():
            found = arrays.get(name) if name == "recall" else arrays[name]
            if found is not None and (found.shape != shape or found.dtype != dtype):
                raise ValueError(
                    f"{name}: {found.dtype} {found.shape}, not {np.dtype(dtype)} {shape}"
                )
        if used and not 0 <= owners.min() <= owners.max() < self.nlist:
            raise ValueError("owners name lists that do not exist")
        self.centres, self._curve = arrays["centres"], arrays.get("recall")
        names = ("owners", "blocks", "live", "ids", "factors")
        self._pool = Pool.of(View(self.nlist, **{n: arrays[n] for n in names}), following)

    def _trained(self, verb: str) -> Floats:
        if self.centres is None:
            raise ValueError(f"the index has no lists yet; call train before {verb}")
        return self.centres

    def _new_ids(self, ids: object, count: int) -> Ids:
        if ids is None:
            return idmap.counted(self._pool.following, count)
        given = idmap.checked(ids, "ids", count)
        view = self._pool.view
        known = view.ids[view.rows_of(given)]
        if len(known):
            raise ValueError(f"id {known[0]} is in the index already; delete it, or give new ids")
        return given

    def _lists_for(self, nprobe: int | None, recall: float | None) -> int:
        self._trained("search")
        if nprobe is not None:
            if recall is not None:
                raise ValueError("nprobe excludes recall; give one of them")
            return checks.integer(nprobe, "nprobe", 1, self.nlist)
        if self._curve is None:
            raise ValueError("a recall needs calibrate with sample queries; or give nprobe")
        wanted = DEFAULT_RECALL if recall is None else recall
        if not 0 < wanted <= 1:
            raise ValueError(f"recall is {wanted}; give a share above 0 and at most 1")
        return min(int(np.searchsorted(self._curve, np.float32(wanted))) + 1, self.nlist)

    def _order(self, queries: Floats) -> Ids:
        return np.argsort(-(unit(queries) @ self._trained("search").T), axis=1, kind="stable")


def _batches(queries: Floats) -> Iterator[slice]:
    """Yield some queries at a time: an order of all lists for each query is large."""
    for start in range(0, len(queries), BATCH):
        yield slice(start, min(start + BATCH, len(queries)))


def _nearest(
    view: View, mask: Mask, k: int, scorer: scan.Scorer, order: Ids, probes: Ids, query: int
) -> tuple[Ids, Floats]:
    """Return the k best rows of one query and their scores; it reads its first lists in order."""
    visited = np.sort(np.concatenate([view.by_list[i] for i in order[query, : probes[query]]]))
    part = scorer.part(slice(query, query + 1))
    found, keys = part.top(_rows(view, mask, visited), k, 1)
    return found[0], part.scores(keys)[0]


def _enough(sizes: Ids, k: int) -> Ids:
    """Return how many of the nearest lists hold k vectors; sizes (m, lists), nearest first."""
    held = np.cumsum(sizes, axis=1)
    wanted = np.minimum(k, held[:, -1:])
    return np.asarray(np.argmax(held >= wanted, axis=1) + 1, dtype=np.int64)


def _allowed(view: View, filter: object) -> Mask:
    allowed = np.zeros(len(view.ids), dtype=bool)
    advice = "give the ids that a mask allows: ids[np.asarray(filter).astype(bool)]"
    allowed[view.rows_of(filters.ids_of(filter, "filter", (len(view),), advice))] = True
    return mask_of(allowed)


def _rows(view: View, mask: Mask, visited: Ids | None) -> scan.Rows:
    """Return what a scan reads: of all blocks, or of those visited."""
    return scan.Rows(Blocks(view.blocks), len(view.ids), mask, lambda code: view.factors, visited)
