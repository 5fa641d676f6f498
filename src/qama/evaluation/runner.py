"""Evaluate a codec and the baselines on one collection."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import checks
from qama.checks import Floats
from qama.codec import Codec
from qama.evaluation.baselines import BASELINES, Baseline, float_hits
from qama.evaluation.beir import Collection
from qama.evaluation.bootstrap import paired_bootstrap
from qama.evaluation.judge import PerQuery, judge, tie_share
from qama.evaluation.records import Record
from qama.evaluation.topk import Hits
from qama.quantizers.vectors import unit
from qama.search.index import Index

__all__ = ["BYTE_BUDGETS", "evaluate", "judged_queries"]

BYTE_BUDGETS = (12, 24, 32, 48, 64, 96, 128, 192)
_DEPTH = 100  # results that are judged


@dataclass(frozen=True)
class _Case:
    """One row to be: what it is called, what it stores and how it searches for k rows."""

    method: str
    dims: int
    level: str
    scorer: str
    bytes_stored: int
    bytes_compact: int
    search: Callable[[int], Hits]


@dataclass(frozen=True)
class _Bench:
    """What all cases share."""

    docs: npt.NDArray[Any]
    queries: Floats
    threads: int


def evaluate(
    codec: Codec | None,
    docs: npt.NDArray[np.floating],
    queries: npt.NDArray[np.floating],
    collection: Collection,
    *,
    dims: Sequence[int] | None = None,
    levels: Sequence[str] | None = None,
    scorers: Sequence[str] = ("hamming", "asymmetric"),
    budgets: Sequence[int] | None = None,
    baselines: bool = True,
    samples: int = 2_000,
    seed: int = 0,
    threads: int = 0,
    progress: Callable[[Record], None] | None = None,
) -> list[Record]:
    """Judge every code of a codec, its float prefixes and the baselines.

    Args:
        codec: The fitted codec; None judges the baselines alone.
        docs: Floats (n, d) in the line order of ``corpus.jsonl``; rows beyond the collection's
            documents are searched as unjudged distractors.
        queries: Floats in the line order of ``queries.jsonl``, all of them or the judged ones.
        collection: Texts and judgements.
        dims: Dims of grid codes (default: all that the codec has).
        levels: Levels of grid codes (default: all that the codec has).
        scorers: Scorers of grid codes; one that a code does not have is left out.
        budgets: Lengths of byte codes (default: the standard ones, if the codec has byte codes).
        baselines: Whether to judge the baselines; float32 is always there.
        samples: Resamples of the bootstrap.
        seed: Seed of the bootstrap.
        threads: Threads of the code search; 0 uses all cores.
        progress: Called with every record as it is ready.

    Returns:
        Records: baselines, float prefixes, grid codes, byte codes. The first is float32.

    Raises:
        ValueError: Rows do not fit the collection, vectors are not finite, or the codec does not
            have a code that was asked for.
        MissingExtraError: pytrec-eval-terrier is not installed.
    """
    width = None if codec is None else codec.dims_in
    stored = checks.matrix(docs, "docs", width)
    if len(stored) < len(collection.doc_ids):
        raise ValueError(
            f"docs has {len(stored)} rows; {collection.name} has {len(collection.doc_ids)} "
            "documents: give one row per line of corpus.jsonl"
        )
    asked = judged_queries(checks.vectors(queries, "queries", stored.shape[1]), collection)
    bench = _Bench(stored, asked, threads)
    cases: Iterator[_Case] = _baseline_cases(bench, BASELINES if baselines else BASELINES[:1])
    if codec is not None:
        chosen = codec.dims if dims is None else dims
        at = codec.levels if levels is None else levels
        lengths = _budgets(codec, budgets)
        _check_codes(codec, chosen, at, lengths)
        cases = itertools.chain(
            cases,
            _prefix_cases(codec, bench, chosen),
            _grid_cases(codec, bench, chosen, at, scorers),
            _byte_cases(codec, bench, lengths),
        )
    return list(_records(cases, collection, samples, seed, progress))


def judged_queries(queries: Floats, collection: Collection) -> Floats:
    """Pick the judged rows of the queries.

    Args:
        queries: Floats (rows, d): all queries of the file, or the judged ones in its order.
        collection: The collection.

    Returns:
        Floats (m, d), one row per judged query.

    Raises:
        ValueError: The number of rows is neither.
    """
    if len(queries) == collection.query_total:
        return queries[list(collection.query_rows)]
    if len(queries) == len(collection.query_ids):
        return queries
    raise ValueError(
        f"queries has {len(queries)} rows; queries.jsonl of {collection.name} has "
        f"{collection.query_total} lines, of which {len(collection.query_ids)} are judged"
    )


def _budgets(codec: Codec, asked: Sequence[int] | None) -> tuple[int, ...]:
    """Lengths of byte codes to judge."""
    if asked is not None:
        return tuple(asked)
    return tuple(n for n in BYTE_BUDGETS if n in codec.byte_budgets)


def _check_codes(
    codec: Codec, dims: Sequence[int], levels: Sequence[str], budgets: Sequence[int]
) -> None:
    """Refuse a code that the codec does not have before anything is computed."""
    for width, level in itertools.product(dims, levels):
        codec.code(width, level)
    for nbytes in budgets:
        codec.code(nbytes=nbytes)


def _baseline_cases(bench: _Bench, baselines: Sequence[Baseline]) -> Iterator[_Case]:
    docs, queries = unit(np.asarray(bench.docs, np.float32)), unit(bench.queries)
    d = docs.shape[1]
    for base in baselines:

        def search(k: int, base: Baseline = base) -> Hits:
            return base.search(docs, queries, k)

        stored, compact = base.stored_bytes(d), base.compact_bytes(d)
        yield _Case(base.name, d, base.level, base.scorer, stored, compact, search)


def _prefix_cases(codec: Codec, bench: _Bench, dims: Sequence[int]) -> Iterator[_Case]:
    """The codec's adapted floats, cut and compared by cosine."""
    for width in dims:
        docs = unit(codec.transform(bench.docs, width))

        def search(k: int, width: int = width, docs: Floats = docs) -> Hits:
            return float_hits(docs, unit(codec.transform(bench.queries, width)), k)

        yield _Case("float prefix", width, "float32", "cosine", 4 * width, 4 * width, search)


def _grid_cases(
    codec: Codec,
    bench: _Bench,
    dims: Sequence[int],
    levels: Sequence[str],
    scorers: Sequence[str],
) -> Iterator[_Case]:
    for width in dims:
        for level in levels:
            code = codec.code(width, level)
            index = Index(codec, dims=width, level=level)
            index.add(bench.docs)
            for scorer in scorers:
                if scorer in code.scorers:
                    search = _index_search(index, bench, scorer)
                    size = code.nbytes, code.stored_bytes
                    yield _Case("qama", width, level, scorer, *size, search)


def _byte_cases(codec: Codec, bench: _Bench, budgets: Iterable[int]) -> Iterator[_Case]:
    for nbytes in budgets:
        index = Index(codec, nbytes=nbytes)
        index.add(bench.docs)
        search = _index_search(index, bench, "asymmetric")
        yield _Case("qama", codec.dims_in, "bytes", "asymmetric", nbytes, nbytes, search)


def _index_search(index: Index, bench: _Bench, scorer: str) -> Callable[[int], Hits]:
    def search(k: int) -> Hits:
        found = index.search(bench.queries, k, scorer=scorer, threads=bench.threads)
        return Hits(found.ids, found.scores)

    return search


def _records(
    cases: Iterable[_Case],
    collection: Collection,
    samples: int,
    seed: int,
    progress: Callable[[Record], None] | None,
) -> Iterator[Record]:
    reference: PerQuery | None = None
    for case in cases:
        start = time.perf_counter()
        hits = case.search(_DEPTH)
        ms = 1e3 * (time.perf_counter() - start) / len(collection.query_ids)
        measures = judge(hits.ids, collection, ks=(10, 100))
        reference = reference or measures
        record = _record(case, hits, measures, reference, ms, samples, seed)
        if progress is not None:
            progress(record)
        yield record


def _record(
    case: _Case,
    hits: Hits,
    measures: PerQuery,
    reference: PerQuery,
    ms: float,
    samples: int,
    seed: int,
) -> Record:
    kept = paired_bootstrap(measures.ndcg10, reference.ndcg10, "ratio", samples=samples, seed=seed)
    return Record(
        method=case.method,
        dims=case.dims,
        level=case.level,
        scorer=case.scorer,
        bytes_stored=case.bytes_stored,
        bytes_compact=case.bytes_compact,
        ndcg10=float(measures.ndcg10.mean()),
        recall10=float(measures.recall[10].mean()),
        recall100=float(measures.recall[100].mean()),
        mrr=float(measures.mrr.mean()),
        retention=kept.estimate,
        low=kept.low,
        high=kept.high,
        tied=tie_share(hits.scores[:, :11]) if hits.scores.shape[1] > 10 else 0.0,
        ms=ms,
    )
