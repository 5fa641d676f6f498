"""What a search of several served shards returns, and which of them answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from qama.checks import Floats, Ids
from qama.search import many
from qama.search.scan.results import SearchResult
from qama.shown import one_line


class ShardedResult(NamedTuple):
    """What a search of served shards found.

    Attributes:
        ids: int64 (n_queries, k'), best first, ties in the order of the shards.
        scores: float32 (n_queries, k').
        sources: int64 (n_queries, k'): the shard that holds each id.
        answered: The shards that answered, ascending.
        missing: Those that did not: what they hold is not among the ids.
    """

    ids: Ids
    scores: Floats
    sources: Ids
    answered: tuple[int, ...]
    missing: tuple[int, ...]

    @property
    def partial(self) -> bool:
        """Whether a shard is missing."""
        return bool(self.missing)

    def __repr__(self) -> str:
        return one_line("ShardedResult", **self._asdict())


def merged(found: Mapping[int, SearchResult], shards: int, k: int) -> ShardedResult:
    """Return the k best of what some of so many shards found, at least one, by their numbers."""
    answered = sorted(found)
    best = many.merged([found[shard] for shard in answered], k)
    missing = tuple(shard for shard in range(shards) if shard not in found)
    sources = np.array(answered, dtype=np.int64)[best.sources]
    return ShardedResult(best.ids, best.scores, sources, tuple(answered), missing)
