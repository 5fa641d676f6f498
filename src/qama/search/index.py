"""The index: codes with ids, searched, changed, saved and opened."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qama import checks, container, kernels
from qama.checks import Bytes, Floats, Ids
from qama.codec import Code, Codec
from qama.errors import FormatError
from qama.search import ids as idmap
from qama.search import scan

KIND = "index"
FORMAT = 1
_WORD = 64  # rows per block, and bits per word of the mask of live rows

Filter = npt.NDArray[Any] | Callable[[Ids], npt.NDArray[np.bool_]] | None


class SearchResult(NamedTuple):
    """What a search found.

    Attributes:
        ids: int64 (n_queries, k'), best first, ties in insertion order.
        scores: float32 (n_queries, k'): the cosine with the decoded vector (of a grid code: of the
            adapted prefix, not calibrated to the float32 cosine), or 1 - distance / bits.
            k' is the lesser of k and the number of rows that may be returned.
    """

    ids: Ids
    scores: Floats


class Index:
    """Codes of one kind from one codec, held in memory or mapped from a file.

    Args:
        codec: What encodes documents and queries.
        dims: Dims of a grid code.
        level: Level of a grid code.
        nbytes: Length of a byte code; excludes dims and level.

    Raises:
        ValueError: a code that the codec does not have.
    """

    def __init__(
        self,
        codec: Codec,
        *,
        dims: int | None = None,
        level: object | None = None,
        nbytes: int | None = None,
    ) -> None:
        self.codec = codec
        self.code = codec.code(dims, level, nbytes)
        self._read_only = False
        self._rows = 0
        self._blocks: Bytes = np.zeros((0, self.code.stored_bytes, _WORD), dtype=np.uint8)
        self._factors: dict[int, Bytes] = {}  # by the stored bytes of the code or prefix
        self._live: npt.NDArray[np.bool_] | None = None  # None while nothing was deleted
        self._ids = idmap.IdMap()

    def __len__(self) -> int:
        """Vectors that can be found."""
        return self._rows if self._live is None else int(self._live.sum())

    def __repr__(self) -> str:
        return f"<qama.Index: {len(self)} vectors, {self.code.label}, {self.code_size} B each>"

    @property
    def code_size(self) -> int:
        """Bytes that the index stores per vector: the compact form of the code."""
        return self.code.stored_bytes

    @property
    def ids(self) -> Ids:
        """Ids of the vectors that can be found, int64 (len,), in insertion order."""
        return self._ids.of_rows(self._live_rows())

    # -- changing ---------------------------------------------------------------------------

    def add(self, X: npt.NDArray[np.floating], ids: object = None) -> Ids:
        """Encode and append vectors.

        Args:
            X: Floats (n, d).
            ids: n whole numbers >= 0, new to the index; default: row numbers, counted from 0.

        Returns:
            The ids, int64 (n,).

        Raises:
            ValueError: unfitting vectors, or ids that repeat or exist; nothing was added.
        """
        self._check_writable("add")
        A = checks.matrix(X, "X", self.codec.dims_in)
        given = None if ids is None else idmap.checked(ids, "ids", len(A))
        fresh = np.arange(self._rows, self._rows + len(A)) if given is None else given
        known = fresh[self._find(fresh) >= 0]
        if len(known):
            raise ValueError(
                f"id {known[0]} is in the index already; upsert replaces, or give new ids"
            )
        return self._append(self.codec.encode(A, compact=True, **self.code.request), given)

    def upsert(self, ids: object, X: npt.NDArray[np.floating]) -> Ids:
        """Replace the vectors of ids that exist and add the others; returns the ids.

        Raises:
            ValueError: unfitting vectors or repeated ids; nothing was changed.
        """
        self._check_writable("upsert")
        A = checks.matrix(X, "X", self.codec.dims_in)
        given = idmap.checked(ids, "ids", len(A))
        encoded = self.codec.encode(A, compact=True, **self.code.request)
        self._bury(self._find(given))
        return self._append(encoded, given)

    def delete(self, ids: object) -> int:
        """Remove vectors by id; ids that are not there are ignored.

        Returns:
            How many were removed.

        Raises:
            ValueError: ids are not whole numbers >= 0, or repeat.
        """
        self._check_writable("delete")
        return self._bury(self._find(idmap.checked(ids, "ids")))

    # -- searching --------------------------------------------------------------------------

    def search(
        self,
        Q: npt.NDArray[np.floating],
        k: int = 10,
        *,
        scorer: str = "asymmetric",
        filter: Filter = None,
        threads: int = 0,
        funnel: bool | int = False,
    ) -> SearchResult:
        """Find the k nearest vectors of each query.

        Args:
            Q: Floats (m, d).
            k: How many; more than there are returns all there are.
            scorer: "asymmetric" (float query against codes) or
                "hamming" (the query is encoded too).
            filter: What may be returned: bool (len(index),) in insertion order, an array of ids
                (unknown ids are ignored), or a function from ids to bool.
            threads: 0 uses all cores; more than there are is clamped.
            funnel: Progressive search: scan a prefix of the codes first and finish only the
                best candidates on all of them; a number says how many (True: max(1000, 20 k)).
                Approximate. Codes without a shorter prefix (hybrid) refuse it.

        Raises:
            ValueError: unfitting queries, k < 1, threads < 0, unknown scorer, unfitting filter.
        """
        queries = checks.vectors(Q, "Q", self.codec.dims_in)
        k = checks.integer(k, "k", 1)
        checks.one_of(scorer, "scorer", self.code.scorers)
        threads = checks.threads(threads)
        blocks = self._blocks[: _blocks_of(self._rows)]
        rows = scan.Rows(blocks, self._rows, self._allowed(filter), self._cached_factors)
        candidates = self._candidates(funnel, k)
        found, scores = scan.search(self.code, queries, rows, k, scorer, threads, candidates)
        return SearchResult(self._ids.of_rows(found), scores)

    # -- files ------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a copy of the index, its codec included, atomically; deleted rows are left out.

        Raises:
            OSError: the file cannot be written; what stood there before is intact.
        """
        live = self._live_rows()
        blocks = self._blocks[: _blocks_of(self._rows)]
        if len(live) < self._rows:
            blocks = kernels.to_blocks(kernels.from_blocks(blocks, self._rows)[live])
        meta, codec_arrays = self.codec.parts()
        arrays: dict[str, npt.NDArray[Any]] = {f"codec.{n}": a for n, a in codec_arrays.items()}
        arrays["blocks"] = blocks
        # Where ids were given or rows deleted, ids are no longer the new row numbers.
        if self._ids.given is not None or len(live) < self._rows:
            arrays["ids"] = self.ids
        header = {"codec": meta, "code": self.code.request, "rows": len(live)}
        container.write(path, KIND, FORMAT, header, arrays)

    @classmethod
    def open(cls, path: str | os.PathLike[str], mode: str = "r") -> Index:
        """Open a saved index by mapping its file.

        Args:
            path: A file that `save` wrote.
            mode: "r" to search; "a" to change it too, in memory, until it is saved.

        Raises:
            FormatError: not an index file, damaged, or of another version.
            OSError: the file cannot be opened.
            ValueError: another mode.
        """
        checks.one_of(mode, "mode", ("r", "a"))
        contents = container.read(path, KIND, FORMAT)
        prefix = "codec."
        parts = {n[len(prefix) :]: a for n, a in contents.arrays.items() if n.startswith(prefix)}
        try:
            index = cls(Codec.from_parts(contents.meta["codec"], parts), **contents.meta["code"])
            index._attach(contents)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise FormatError(f"{path}: the index is inconsistent: {error}") from error
        index._read_only = mode == "r"
        return index

    # -- inside -----------------------------------------------------------------------------

    def _attach(self, contents: container.Contents) -> None:
        rows = checks.integer(contents.meta["rows"], "rows", 0)
        blocks = contents.arrays["blocks"]
        wanted = (_blocks_of(rows), self.code.stored_bytes, _WORD)
        if blocks.shape != wanted or blocks.dtype != np.uint8:
            raise ValueError(f"blocks have shape {blocks.shape}; {rows} rows need {wanted}")
        given = contents.arrays.get("ids")
        if given is not None and (given.shape != (rows,) or given.dtype != np.int64):
            raise ValueError(f"ids have shape {given.shape} for {rows} rows")
        self._rows, self._blocks = rows, blocks
        self._ids = idmap.IdMap(rows, given)

    def _check_writable(self, verb: str) -> None:
        if self._read_only:
            raise ValueError(f'this index was opened read-only; to {verb}, open it with mode="a"')

    def _live_rows(self) -> Ids:
        if self._live is None:
            return np.arange(self._rows, dtype=np.int64)
        return np.flatnonzero(self._live)

    def _find(self, ids: Ids) -> Ids:
        rows = self._ids.rows_of(ids)
        if self._live is not None:
            rows = np.where((rows >= 0) & self._live[rows], rows, -1)
        return rows

    def _bury(self, rows: Ids) -> int:
        rows = rows[rows >= 0]
        if len(rows):
            if self._live is None:
                self._live = np.ones(self._rows, dtype=bool)
            self._live[rows] = False
        return len(rows)

    def _append(self, stored: Bytes, ids: Ids | None) -> Ids:
        start, end = self._rows, self._rows + len(stored)
        self._reserve(end)
        first = start - start % _WORD  # the block that is not full yet is packed again
        held = kernels.from_blocks(self._blocks[first // _WORD : _blocks_of(start)], start - first)
        packed = kernels.to_blocks(np.concatenate([held, stored]))
        self._blocks[first // _WORD : _blocks_of(end)] = packed
        if self._live is not None:
            self._live = np.concatenate([self._live, np.ones(len(stored), dtype=bool)])
        self._rows = end
        return self._ids.append(ids, len(stored))

    def _reserve(self, rows: int) -> None:
        held = len(self._blocks)
        if _blocks_of(rows) <= held and self._blocks.flags.writeable:
            return
        wanted = max(_blocks_of(rows), held + held // 4)
        larger = np.zeros((wanted, self.code.stored_bytes, _WORD), dtype=np.uint8)
        larger[:held] = self._blocks
        self._blocks = larger

    def _cached_factors(self, code: Code) -> Bytes:
        """Factors of all rows; they follow from the codes and are made when first needed."""
        held = self._factors.get(code.stored_bytes, np.zeros(0, dtype=np.uint8))
        if len(held) == self._rows:
            return held
        first = len(held) // _WORD  # whole blocks are read
        parts = [held[: first * _WORD]]
        step = checks.CHUNK_ROWS // _WORD
        for block in range(first, _blocks_of(self._rows), step):
            rows = min(self._rows - block * _WORD, step * _WORD)
            blocks = self._blocks[block : block + _blocks_of(rows)]
            stored = kernels.from_blocks(blocks, rows)
            parts.append(code.factor_indices(stored[:, : code.stored_bytes]))
        self._factors[code.stored_bytes] = np.concatenate(parts)
        return self._factors[code.stored_bytes]

    def _allowed(self, filter: Filter) -> scan.Mask | None:
        if filter is None:
            return None if self._live is None else _words(self._live)
        allowed = np.zeros(self._rows, dtype=bool)
        chosen = np.asarray(filter(self.ids) if callable(filter) else filter)
        if chosen.dtype == np.bool_:
            if chosen.shape != (len(self),):
                raise ValueError(
                    f"filter has shape {chosen.shape}; a boolean filter has one entry for each of "
                    f"the {len(self)} vectors, in insertion order"
                )
            allowed[self._live_rows()[chosen]] = True
        else:
            rows = self._find(idmap.checked(np.unique(chosen), "filter"))
            allowed[rows[rows >= 0]] = True
        return _words(allowed)

    def _candidates(self, funnel: bool | int, k: int) -> int:
        if funnel is False:
            return 0
        if not self.code.prefixes():
            raise ValueError(
                f"funnel needs a code with a shorter prefix; {self.code.label} has none: use "
                f"more bytes, or more dims at a level other than hybrid"
            )
        return max(1000, 20 * k) if funnel is True else checks.integer(funnel, "funnel", 1)


def _blocks_of(rows: int) -> int:
    return -(-rows // _WORD)


def _words(allowed: npt.NDArray[np.bool_]) -> scan.Mask:
    padded = np.zeros(_blocks_of(len(allowed)) * 8, dtype=np.uint8)
    packed = np.packbits(allowed, bitorder="little")
    padded[: len(packed)] = packed
    return padded.view("<u8").astype(np.uint64, copy=False)
