"""Top k of stored codes for a batch of queries: flat, or coarse to fine.

A coarse-to-fine search scans a prefix of every code, then rescores the best candidates.

Pure functions over places, which the kernels below call rows. The index above knows rows, ids,
filters and deletes; the kernels know bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qama import checks, kernels
from qama.checks import Bytes, Floats, Ids
from qama.codec import Code
from qama.quantizers import scoring
from qama.search.rows.blocks import Blocks, coarse_code
from qama.search.rows.snapshot import Snapshot

Mask = npt.NDArray[np.uint64]
Keys = npt.NDArray[Any]  # int32 distances, or float32 minus the score: smaller is better

_QUERY_BATCH = 256  # queries whose tables are held together
_FUNNEL_FROM = 1_000_000  # rows: of fewer, a flat scan takes less than a coarse one and its rest
_CANDIDATE_BYTES = 12_000  # of the prefixes of a coarse-to-fine search's candidates, at least


@dataclass(frozen=True)
class Rows:
    """What a scan reads.

    Attributes:
        stored: Gives the stored codes as a scan by a code or a prefix reads them: with their
            inverse norms, or, asked for None, without.
        mask: uint64 (blocks,), bit i of word b allows row 64 b + i; None allows all.
        probes: Which inverted lists each query reads; None: all queries scan all rows.
    """

    stored: Callable[[Code | None], kernels.StoredCodes]
    mask: Mask | None
    probes: kernels.Probes | None = None

    @classmethod
    def of(cls, now: Snapshot, mask: Mask | None, threads: int) -> Rows:
        """Return the rows of a moment, those of places that a mask allows."""
        return cls(partial(now.stored, threads=threads), mask)

    @classmethod
    def of_codes(cls, codes: Bytes) -> Rows:
        """Return the rows of compact codes uint8 (n, bytes), at least one."""
        return cls.of(Snapshot.of(Blocks(kernels.to_blocks(codes)), len(codes)), None, 0)

    def of_lists(self, probes: kernels.Probes) -> Rows:
        """Return the rows of some inverted lists alone, for each query."""
        return Rows(self.stored, self.mask, probes)


class Scorer(Protocol):
    """One way to score: all rows for the best k, or chosen rows."""

    def top(self, rows: Rows, k: int, threads: int) -> tuple[Ids, Floats]:
        """Return the k best rows of each query and their scores."""

    def prefix(self, short: Code, queries: Floats, threads: int) -> Scorer:
        """Return the scorer of the same queries, float32 (m, d), by a prefix of the code."""

    def chosen(self, rows: Rows, candidates: Ids, threads: int) -> Keys:
        """Return the keys of chosen rows (m, c); smaller keys are better."""

    def scores(self, keys: Keys) -> Floats:
        """Turn keys into what a search reports."""


class Hamming:
    """Queries encoded like the documents; the key is the distance."""

    def __init__(self, code: Code, encoded: Bytes) -> None:
        self.code = code
        self.queries = np.ascontiguousarray(encoded[:, : code.stored_bytes])

    @classmethod
    def of(cls, code: Code, queries: Floats, threads: int) -> Hamming:
        """Return the scorer of queries float32 (m, d)."""
        return cls(code, code.encode(queries, compact=True, threads=threads))

    @classmethod
    def of_codes(cls, code: Code, stored: Bytes, threads: int) -> Hamming:
        """Return the scorer of compact codes that serve as queries."""
        return cls(code, stored)

    def prefix(self, short: Code, queries: Floats, threads: int) -> Hamming:
        """See `Scorer`."""
        return Hamming(short, self.queries)

    def top(self, rows: Rows, k: int, threads: int) -> tuple[Ids, Floats]:
        """See `Scorer`."""
        found, distances = kernels.hamming_topk(self._scan(rows), k, threads=threads)
        return found, self.scores(distances)

    def chosen(self, rows: Rows, candidates: Ids, threads: int) -> Keys:
        """See `Scorer`."""
        return kernels.hamming_rows(self._scan(rows), candidates, threads=threads)

    def _scan(self, rows: Rows) -> kernels.HammingScan:
        return kernels.HammingScan(
            rows.stored(None), self.queries, self.code.stored_bits, self.code.bit_pairs, rows.mask,
            probes=rows.probes,
        )  # fmt: skip

    def scores(self, keys: Keys) -> Floats:
        """See `Scorer`."""
        return scoring.similarity(keys, self.code.similarity_bits)


class Asymmetric:
    """Float queries; the key is minus the score."""

    def __init__(self, code: Code, queries: kernels.QueryTables | kernels.NibbleQueries) -> None:
        self.code = code
        self.queries = queries

    @classmethod
    def of(cls, code: Code, queries: Floats, threads: int) -> Asymmetric:
        """Return the scorer of queries float32 (m, d)."""
        return cls(code, code.weighed(queries, threads))

    @classmethod
    def of_codes(cls, code: Code, stored: Bytes, threads: int) -> Asymmetric:
        """Return the scorer of compact codes, decoded, that serve as queries."""
        return cls.of(code, code.decode(stored), threads)

    def prefix(self, short: Code, queries: Floats, threads: int) -> Asymmetric:
        """See `Scorer`."""
        if not self.code.nested:
            return Asymmetric.of(short, queries, threads)
        if isinstance(self.queries, kernels.NibbleQueries):  # the tables serve twice
            self.queries = kernels.nibble_tables(self.queries, threads=threads)
        return Asymmetric(short, self.queries.leading(short.stored_bytes))

    def top(self, rows: Rows, k: int, threads: int) -> tuple[Ids, Floats]:
        """See `Scorer`."""
        return kernels.table_topk(self._scan(rows), k, threads=threads)

    def chosen(self, rows: Rows, candidates: Ids, threads: int) -> Keys:
        """See `Scorer`."""
        return -kernels.table_rows(self._scan(rows), candidates, threads=threads)

    def _scan(self, rows: Rows) -> kernels.TableScan:
        stored = rows.stored(self.code)
        return kernels.TableScan(stored, self.queries, rows.mask, probes=rows.probes)

    def scores(self, keys: Keys) -> Floats:
        """See `Scorer`."""
        return np.negative(keys)


SCORERS: dict[str, type[Hamming] | type[Asymmetric]] = {
    "hamming": Hamming,
    "asymmetric": Asymmetric,
}


def search(
    code: Code, queries: Floats, rows: Rows, k: int, scorer: str, threads: int, candidates: int
) -> tuple[Ids, Floats]:
    """Return rows int64 (m, k') and scores float32 (m, k'), best first, ties by lower row.

    Args:
        code: What the rows hold.
        queries: Finite float32 (m, d).
        rows: The rows.
        k: How many; k' is less where fewer rows are allowed.
        scorer: "hamming" or "asymmetric".
        threads: Threads, at least 1.
        candidates: 0 scans every row at full length; otherwise that many survivors of a coarse
            scan over a prefix are rescored at full length.
    """
    parts = []
    for some in query_batches(max(1, len(queries))):  # no queries too have a k'
        Q = queries[some]
        fine = scorer_of(code, Q, scorer, threads)
        short = coarse_code(code) if candidates else None
        if short is None:
            parts.append(fine.top(rows, k, threads))
        else:
            coarse = fine.prefix(short, Q, threads)
            parts.append(_coarse_to_fine(fine, coarse, rows, k, threads, max(candidates, k)))
    return joined(parts)


def joined(parts: list[tuple[Ids, Floats]]) -> tuple[Ids, Floats]:
    """Return rows and scores of all queries, found a part of them at a time."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def query_batches(count: int) -> Iterator[slice]:
    """Yield the queries whose tables are made and held together."""
    for start in range(0, count, _QUERY_BATCH):
        yield slice(start, min(start + _QUERY_BATCH, count))


def candidates(code: Code, funnel: bool | int, k: int, rows: int) -> int:
    """Return how many candidates a coarse-to-fine search of so many rows rescores; 0: a flat one.

    Raises:
        ValueError: not a bool or a whole number >= 1; or a code without a prefix.
    """
    if funnel is False:
        return 0
    short = coarse_code(code)
    if short is None:
        raise ValueError(
            f"funnel needs a code with a shorter prefix; {code.label} has none: use "
            f"more bytes, or more dims at a level other than hybrid"
        )
    if funnel is True:
        if rows < _FUNNEL_FROM:
            return 0
        # the longer the prefix, the fewer: docs/paper.md, a budget that changes per query
        return max(_CANDIDATE_BYTES // short.stored_bytes, 20 * k, rows // 1000)
    return checks.integer(funnel, "funnel", 1)


def shortened(code: Code, nbytes: int | None) -> Code:
    """Return the prefix of a code that has so many bytes; None: the code.

    Raises:
        ValueError: there is no such prefix.
    """
    if nbytes is None:
        return code
    lengths = {short.stored_bytes: short for short in (*code.prefixes(), code)}
    if nbytes not in lengths:
        raise ValueError(
            f"nbytes is {nbytes!r}; codes of {code.label} are searched by their first "
            f"{', '.join(map(str, lengths))} bytes"
        )
    return lengths[nbytes]


def scorer_of(code: Code, queries: Floats, scorer: str, threads: int) -> Scorer:
    """Return what scores whole codes for these queries."""
    return SCORERS[scorer].of(code, queries, threads)


def scorer_between(code: Code, stored: Bytes, threads: int) -> Scorer:
    """Return what scores whole codes for compact codes that serve as queries."""
    return SCORERS[code.between].of_codes(code, stored, threads)


def _coarse_to_fine(
    fine: Scorer, coarse: Scorer, rows: Rows, k: int, threads: int, candidates: int
) -> tuple[Ids, Floats]:
    survivors, _ = coarse.top(rows, candidates, threads)
    survivors = np.sort(survivors, axis=1)  # so that a stable sort breaks ties by lower row
    keys = fine.chosen(rows, survivors, threads)
    order = np.argsort(keys, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(keys, order, axis=1)
    return np.take_along_axis(survivors, order, axis=1), fine.scores(best)
