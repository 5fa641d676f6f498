"""The index: codes with ids, searched, changed, saved and opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qama import checks
from qama.checks import Floats, Ids
from qama.search import ids as idmap
from qama.search import scan
from qama.search.collection import Collection
from qama.search.snapshot import Snapshot, mask_of

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
        now = self._now  # one state for the whole search
        rows = scan.Rows(now.blocks, now.rows, self._allowed(now, filter), now.factors)
        candidates = self._candidates(funnel, k)
        found, scores = scan.search(self.code, queries, rows, k, scorer, threads, candidates)
        return SearchResult(now.ids.of_rows(found), scores)

    # -- inside -----------------------------------------------------------------------------

    def _allowed(self, now: Snapshot, filter: Filter) -> scan.Mask | None:
        if filter is None:
            return now.live
        allowed = np.zeros(now.rows, dtype=bool)
        chosen = np.asarray(filter(now.live_ids()) if callable(filter) else filter)
        if chosen.dtype == np.bool_:
            if chosen.shape != (len(now),):
                raise ValueError(
                    f"filter has shape {chosen.shape}; a boolean filter has one entry for each of "
                    f"the {len(now)} vectors, in insertion order"
                )
            allowed[now.live_rows()[chosen]] = True
        else:
            rows = now.find(idmap.checked(np.unique(chosen), "filter"))
            allowed[rows[rows >= 0]] = True
        return mask_of(allowed)

    def _candidates(self, funnel: bool | int, k: int) -> int:
        if funnel is False:
            return 0
        if not self.code.prefixes():
            raise ValueError(
                f"funnel needs a code with a shorter prefix; {self.code.label} has none: use "
                f"more bytes, or more dims at a level other than hybrid"
            )
        return max(1000, 20 * k) if funnel is True else checks.integer(funnel, "funnel", 1)
