"""Top k of stored codes for a batch of queries: flat, or coarse first (progressive).

Pure functions over row numbers. The index above knows ids, filters and deletes; the kernels below
know bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qama import checks, kernels
from qama.checks import Bytes, Floats, Ids
from qama.codec import Code, similarity
from qama.encoding import scoring
from qama.encoding.bytecode import ByteCode
from qama.encoding.grid import GridCode
from qama.search.blocks import Blocks

Mask = npt.NDArray[np.uint64]
Keys = npt.NDArray[Any]  # int32 distances, or float32 minus the score: smaller is better

_QUERY_BATCH = 256  # queries whose tables are held together
_CANDIDATE_BYTES = 12_000  # of the prefixes of a progressive search's candidates, at least


@dataclass(frozen=True)
class Rows:
    """What a scan reads.

    Attributes:
        blocks: The stored codes.
        count: Rows in use.
        mask: uint64 (blocks,), bit i of word b allows row 64 b + i; None allows all.
        factors: Gives the factor steps uint8 (count,) of a code or of a prefix of it, which
            asymmetric scoring needs.
        visited: int64 (v,), ascending: the only blocks to scan; None scans all.
    """

    blocks: Blocks
    count: int
    mask: Mask | None
    factors: Callable[[Code], Bytes]
    visited: Ids | None = None


class Scorer(Protocol):
    """One way to score: all rows for the best k, or chosen rows."""

    def top(self, rows: Rows, k: int, threads: int) -> tuple[Ids, Keys]:
        """Return the k best rows of each query and their ranks' keys."""

    def part(self, queries: slice) -> Scorer:
        """Return the scorer of some of the queries."""

    def chosen(self, rows: Rows, candidates: Ids, threads: int) -> Keys:
        """Return the keys of chosen rows (m, c); smaller keys are better."""

    def scores(self, keys: Keys) -> Floats:
        """Turn keys into what a search reports."""


class Hamming:
    """Queries encoded like the documents; the key is the distance."""

    def __init__(self, code: GridCode, encoded: Bytes) -> None:
        self.code = code
        self.queries = np.ascontiguousarray(encoded[:, : code.stored_bytes])

    def part(self, queries: slice) -> Hamming:
        """See `Scorer`."""
        return Hamming(self.code, self.queries[queries])

    def top(self, rows: Rows, k: int, threads: int) -> tuple[Ids, Keys]:
        """See `Scorer`."""
        return kernels.hamming_topk(self._scan(rows), k, threads=threads)

    def chosen(self, rows: Rows, candidates: Ids, threads: int) -> Keys:
        """See `Scorer`."""
        return kernels.hamming_rows(self._scan(rows), candidates, threads=threads)

    def _scan(self, rows: Rows) -> kernels.HammingScan:
        return kernels.HammingScan(
            rows.blocks.leading, rows.count, self.queries, self.code.stored_bits, self.code.pairs,
            mask=rows.mask, visited=rows.visited,
        )  # fmt: skip

    def scores(self, keys: Keys) -> Floats:
        """See `Scorer`."""
        return similarity(keys, self.code.similarity_bits)


class Asymmetric:
    """Float queries; the key is minus the unscaled score."""

    def __init__(self, code: Code, queries: scoring.QueryTables) -> None:
        self.code = code
        self.queries = queries

    @classmethod
    def of(cls, code: Code, queries: Floats, threads: int) -> Asymmetric:
        """Return the scorer of queries float32 (m, d)."""
        return cls(code, code.query_tables(queries, threads))

    def part(self, queries: slice) -> Asymmetric:
        """See `Scorer`."""
        return Asymmetric(self.code, self.queries[queries])

    def top(self, rows: Rows, k: int, threads: int) -> tuple[Ids, Keys]:
        """See `Scorer`."""
        found, scores = kernels.table_topk(self._scan(rows), k, threads=threads)
        return found, -scores

    def chosen(self, rows: Rows, candidates: Ids, threads: int) -> Keys:
        """See `Scorer`."""
        return -kernels.table_rows(self._scan(rows), candidates, threads=threads)

    def _scan(self, rows: Rows) -> kernels.TableScan:
        return kernels.TableScan(
            rows.blocks.leading, rows.count, self.queries.tables, self.queries.offsets,
            self.queries.full, rows.blocks.rest, inverse_norms=rows.factors(self.code),
            steps=self.code.factor_steps, mask=rows.mask, visited=rows.visited,
        )  # fmt: skip

    def scores(self, keys: Keys) -> Floats:
        """See `Scorer`."""
        return np.asarray(-keys * self.queries.scales[:, None], dtype=np.float32)


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
            scan over a prefix are finished at full length.
    """
    parts = []
    for start in range(0, max(1, len(queries)), _QUERY_BATCH):  # no queries too have a k'
        Q = queries[start : start + _QUERY_BATCH]
        fine, coarse = _scorers(code, Q, scorer, candidates, threads)
        if coarse is None:
            found, keys = fine.top(rows, k, threads)
        else:
            found, keys = _progressive(fine, coarse, rows, k, threads, max(candidates, k))
        parts.append((found, fine.scores(keys)))
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def candidates(code: Code, funnel: bool | int, k: int, rows: int) -> int:
    """Return how many candidates a progressive search of so many rows finishes; 0: all of them.

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
        # the longer the prefix, the fewer: docs/paper.md, a budget that changes per query
        return max(_CANDIDATE_BYTES // short.stored_bytes, 20 * k, rows // 1000)
    return checks.integer(funnel, "funnel", 1)


def scorer_of(code: Code, queries: Floats, scorer: str, threads: int) -> Scorer:
    """Return what scores whole codes for these queries."""
    return _scorers(code, queries, scorer, 0, threads)[0]


def _scorers(
    code: Code, Q: Floats, scorer: str, candidates: int, threads: int
) -> tuple[Scorer, Scorer | None]:
    short = coarse_code(code) if candidates else None
    if scorer == "asymmetric":
        fine = Asymmetric.of(code, Q, threads)
        if isinstance(short, ByteCode):  # whose tables are the first ones, but for the scale
            return fine, Asymmetric(short, fine.queries.leading(short.stored_bytes))
        return fine, Asymmetric.of(short, Q, threads) if short else None
    assert isinstance(code, GridCode)  # byte codes have no Hamming scorer to choose
    encoded = code.encode(Q, compact=True)
    coarse = Hamming(short, encoded) if isinstance(short, GridCode) else None
    return Hamming(code, encoded), coarse


def coarse_code(code: Code) -> Code | None:
    """Return the prefix that a progressive search scans first: about a quarter of the bytes."""
    prefixes = code.prefixes()
    within = [short for short in prefixes if 4 * short.stored_bytes <= code.stored_bytes]
    fitting = within or prefixes[:1]
    return fitting[-1] if fitting else None


def leading_bytes(code: Code) -> int:
    """Return how many bytes of a code an index keeps apart: of byte codes those scanned first.

    Grid codes lie in one piece, as Hamming distances read them.
    """
    short = None if isinstance(code, GridCode) else coarse_code(code)
    return short.stored_bytes if short else code.stored_bytes


def _progressive(
    fine: Scorer, coarse: Scorer, rows: Rows, k: int, threads: int, candidates: int
) -> tuple[Ids, Keys]:
    survivors, _ = coarse.top(rows, candidates, threads)
    survivors = np.sort(survivors, axis=1)  # so that a stable sort breaks ties by lower row
    keys = fine.chosen(rows, survivors, threads)
    order = np.argsort(keys, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(survivors, order, axis=1), np.take_along_axis(keys, order, axis=1)
