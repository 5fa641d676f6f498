"""The index: codes with ids, searched, changed, saved and opened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Self

import numpy as np
import numpy.typing as npt

from qama import checks, mapping
from qama.search import filters, merging, ranges, scan
from qama.search.collection import Collection
from qama.search.filters import Choice, Filter
from qama.search.loading import State
from qama.search.results import SearchResult
from qama.search.snapshot import Snapshot


class Index(Collection):
    """Codes of one kind from one codec, held in memory or kept in files.

    Any number of threads may search while one changes the index: a search answers from the state
    that was committed last when it began. Changes wait for each other. Several processes may have
    one file open; a second one that changes it is refused.

    Args:
        codec: What encodes documents and queries.
        dims: Dims of a grid code.
        level: Level of a grid code.
        nbytes: Length of a byte code; excludes dims and level.

    Raises:
        ValueError: a code that the codec does not have.
    """

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
            funnel: Progressive search: scan a prefix of the codes first and finish only the
                best candidates on all of them; a number says how many (True: 12,000 over the
                bytes of the prefix, but at least a thousandth of the rows and 20 k). Approximate.
                Codes without a shorter prefix (hybrid) refuse it. Worth it from about a million
                byte codes on: see docs/kernels.md.

        Raises:
            ValueError: unfitting queries, k < 1, threads < 0, unknown scorer, unfitting filter.
        """
        queries = checks.vectors(Q, "Q", self.codec.dims_in, empty=True)
        k = checks.integer(k, "k", 1)
        checks.one_of(scorer, "scorer", self.code.scorers)
        threads = checks.threads(threads)
        now = self._now  # one state for the whole search
        mask = filters.allowed(now, filter, exclude)
        rows = scan.Rows(now.blocks, now.rows, mask, now.factors)
        candidates = scan.candidates(self.code, funnel, k, now.rows)
        found, scores = scan.search(self.code, queries, rows, k, scorer, threads, candidates)
        self._check_files(now)
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
        """Find every vector that scores at least ``score``.

        Args:
            Q: Floats (m, d).
            score: The least score, or one for each query, float (m,).
            scorer: See `search`.
            filter: See `search`.
            exclude: See `search`.
            threads: See `search`.

        Returns:
            For each query ids int64 (n,) and scores float32 (n,), best first, ties in insertion
            order; n differs. Exact: queries with many results are scanned again with a larger k.

        Raises:
            ValueError: see `search`; or a score that is NaN, or not one for each query.
        """
        queries = checks.vectors(Q, "Q", self.codec.dims_in, empty=True)
        least = ranges.checked(score, len(queries))
        checks.one_of(scorer, "scorer", self.code.scorers)
        threads = checks.threads(threads)
        now = self._now
        rows = scan.Rows(now.blocks, now.rows, filters.allowed(now, filter, exclude), now.factors)
        found = ranges.search(self.code, queries, least, rows, scorer, threads)
        self._check_files(now)
        return [SearchResult(now.ids.of_rows(r), scores) for r, scores in found]

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

    def _check_files(self, now: Snapshot) -> None:
        """Refuse what was read from a file that changed in place meanwhile."""
        if any(mapping.changed(part) for part in now.blocks.parts):
            raise OSError(
                f"{self._path} was changed in place while it was open, as cp and rsync --inplace "
                f"do: open it again, and replace such files by renaming (mv, rsync without "
                f"--inplace)"
            )

    @classmethod
    def merge(cls, indexes: Iterable[Index], *, renumber: bool = False) -> Self:
        """Return a new index, in memory, of all vectors of others, in their order.

        Args:
            indexes: Indexes of the same codec and code, at least one.
            renumber: Number the vectors from 0 instead of keeping their ids.

        Raises:
            ValueError: no indexes, other codecs or codes, or an id that two of them have.
        """
        parts = merging.checked(list(indexes))
        merged = cls(parts[0].codec, **parts[0].code.request)
        for stored, ids in merging.pieces([part._now for part in parts], renumber):
            merged.add_codes(stored, ids, compact=True)
        if not renumber:
            following = max(part._now.following for part in parts)
            merged._state = State(replace(merged._now, following=following), None)
        return merged
