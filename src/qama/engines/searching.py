"""An engine's nearest by Hamming distance, rescored with the integers of qama's own index."""

from __future__ import annotations

from typing import Any

import numpy as np

from qama import checks
from qama.checks import Bytes, Floats
from qama.codec import Code, Codec, checked
from qama.engines.label import Label
from qama.engines.table import NO_ID, Candidates, Store, Table, label_of, working
from qama.engines.writing import opened
from qama.errors import FormatError
from qama.quantizers import scoring
from qama.search.scan import given, topk
from qama.search.scan.results import SearchResult

DEFAULT_OVERSAMPLE = 10


@checks.default_errstate()
def search(
    target: str | Store,
    Q: object,
    k: int = 10,
    *,
    codec: Codec,
    oversample: int = DEFAULT_OVERSAMPLE,
    where: Any = None,
    threads: int = 0,
) -> SearchResult:
    """Return the nearest rows of a table that `write` made.

    The engine ranks by the Hamming distance to the encoded query. The ``k * oversample`` nearest
    come here with their codes and are scored asymmetrically, as `Index.search` scores: the ids
    and scores are those of a brute-force rescoring wherever the engine is exact.

    Args:
        target: See `write`.
        Q: Floats (m, d), m >= 0; see `Codec.encode`.
        k: Results for each query, at least 1.
        codec: What encoded the codes.
        oversample: Candidates for each result; 1: plain Hamming distance, nothing is rescored.
        where: Which rows may be returned, in the engine's own words, of engines that filter. It is
            taken as it is: never build it from what strangers wrote.
        threads: CPU threads of encoding and rescoring; 0 uses all cores.

    Returns:
        ids int64 (m, k') and scores float32 (m, k'), best first, ties by the lower id; k' is the
        lesser of k and the rows. Where an approximate index finds fewer for a query, the last ids
        are -1, with the score -inf.

    Raises:
        ValueError: unfitting queries, k or oversample, or a filter where the engine has none.
        FormatError: the table holds codes of another codec, is not there, or is not of qama.
        MissingExtraError: the engine's client is not installed.
        EngineError: the engine cannot be reached, or failed.
    """
    queries = checks.vectors(Q, "Q", checked(codec).dims_in, empty=True)
    k, oversample = checks.integer(k, "k", 1), checks.integer(oversample, "oversample", 1)
    count = checks.threads(threads)
    with opened(target, to_read=True) as table:
        label = _label(table, where)
        code = label.code_of(codec, str(table))
        _check_most(table, k * oversample)
        parts = [
            _search(table, label, code, queries[some], k, oversample, where, count)
            for some in topk.query_batches(len(queries))
        ]
    return _joined(parts, k)


def _search(
    table: Table, label: Label, code: Code, queries: Floats, k: int, oversample: int, where: Any,
    threads: int,
) -> SearchResult:  # fmt: skip
    """Search for some queries, whose candidates are held together."""
    encoded = code.encode(queries, threads=threads)
    with working(table, "as it searched", "the table is as it was"):
        found = _nearest(table, encoded, k * oversample, label, where)
    if oversample == 1:
        return SearchResult(*_by_distance(found, code, k))
    return SearchResult(*_rescored(found, code, queries, k, threads))


def _joined(parts: list[SearchResult], k: int) -> SearchResult:
    """Put results behind each other, all as wide as the widest; of no queries, k wide."""
    if len(parts) == 1:
        return parts[0]
    shape = sum(len(part.ids) for part in parts), max((p.ids.shape[1] for p in parts), default=k)
    ids, scores = np.full(shape, NO_ID, np.int64), np.full(shape, -np.inf, np.float32)
    at = 0
    for part in parts:
        rows, width = part.ids.shape
        ids[at : at + rows, :width], scores[at : at + rows, :width] = part
        at += rows
    return SearchResult(ids, scores)


def _check_most(table: Table, count: int) -> None:
    if count > table.most:
        raise ValueError(
            f"k * oversample is {count}, and {table.engine} returns at most {table.most} rows for "
            f"a query: give fewer"
        )


def _label(table: Store, where: Any) -> Label:
    """Return the label of a table that can be searched."""
    if not isinstance(table, Table):
        raise ValueError(f"{table} is a file of codes, which ranks nothing: load it into an engine")
    if where is not None and not table.filters:
        raise ValueError(f"where is {where!r}, and {table.engine} has no filters")
    label = label_of(table)
    if label is None:
        raise FormatError(f"{table} is not there: write codes to it first")
    return label


def _nearest(table: Table, encoded: Bytes, count: int, label: Label, where: Any) -> Candidates:
    """Return the nearest rows (m, count) by (distance, id), however the engine cuts ties."""
    if table.ties_by_id or label.index:
        return _ordered(table.nearest(encoded, count, label, where), count)
    asked = min(count + 1, table.most)  # the first row behind: is it as far as the last one?
    found = table.nearest(encoded, asked, label, where)
    cut = _cut_in_ties(found, count, asked)
    while len(cut) and asked < table.most:
        asked = min(4 * asked, table.most)
        more = table.nearest(encoded[cut], asked, label, where)
        found = _with(found, cut, more, count)
        cut = cut[_cut_in_ties(more, count, asked)]
    return _ordered(found, count)


def _cut_in_ties(found: Candidates, count: int, asked: int) -> Any:
    """Return the queries whose last row is as far as the last one that counts."""
    if found.ids.shape[1] < asked:  # all rows there are
        return np.empty(0, dtype=np.int64)
    full = found.ids[:, -1] != NO_ID
    tied = found.distances.max(axis=1) == np.sort(found.distances, axis=1)[:, count - 1]
    return np.flatnonzero(full & tied)


def _with(found: Candidates, cut: Any, more: Candidates, count: int) -> Candidates:
    """Return candidates with those of some queries found anew."""
    best, better = _ordered(found, count), _ordered(more, count)
    best.ids[cut] = better.ids
    best.distances[cut] = better.distances
    best.codes[cut] = better.codes
    return best


def _ordered(found: Candidates, count: int) -> Candidates:
    """Return the first candidates by (distance, id); those that are none come last."""
    order = np.lexsort((found.ids, found.distances), axis=1)[:, :count]
    return Candidates(
        np.take_along_axis(found.ids, order, axis=1),
        np.take_along_axis(found.distances, order, axis=1),
        np.take_along_axis(found.codes, order[:, :, None], axis=1),
    )


def _by_distance(found: Candidates, code: Code, k: int) -> tuple[Any, Floats]:
    """Return ids and 1 - distance / bits."""
    scores = scoring.similarity(found.distances, code.similarity_bits)
    scores[found.ids == NO_ID] = -np.inf
    return found.ids[:, :k], scores[:, :k]


def _rescored(
    found: Candidates, code: Code, queries: Floats, k: int, threads: int
) -> tuple[Any, Floats]:
    """Return ids and asymmetric scores, the best first."""
    order = np.argsort(found.ids, axis=1, kind="stable")  # ties go to the lower id
    ids = np.take_along_axis(found.ids, order, axis=1)
    codes = np.take_along_axis(found.codes, order[:, :, None], axis=1)
    stored = code.stored_form(codes.reshape(-1, code.nbytes)).reshape(*ids.shape, code.stored_bytes)
    places, scores = given.best(code, queries, stored, ids != NO_ID, k, threads)
    return np.take_along_axis(ids, places, axis=1), scores
