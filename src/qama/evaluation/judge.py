"""Judge ranked rows with trec_eval's measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from qama.errors import MissingExtraError
from qama.evaluation.beir import Collection

__all__ = ["PerQuery", "judge", "tie_share"]


@dataclass(frozen=True, slots=True)
class PerQuery:
    """Measures per judged query, in the order of the collection's queries.

    Attributes:
        ndcg10: nDCG@10, float64 (m,).
        recall: Recall by cut-off, each float64 (m,).
        mrr: One over the rank of the first relevant row, 0 where none was returned, float64 (m,).
    """

    ndcg10: NDArray[np.float64]
    recall: dict[int, NDArray[np.float64]]
    mrr: NDArray[np.float64]


def judge(
    rows: NDArray[np.int64], collection: Collection, ks: Sequence[int] = (10, 100)
) -> PerQuery:
    """Judge the returned rows, in the order in which they are given.

    trec_eval orders by score and breaks ties by document name. It is given minus the rank as the
    score, so the order of ``rows`` stands and no tie is left to names.

    Args:
        rows: Returned document rows per judged query, integer (m, k), best first. Row i below
            the collection's size is document i; a higher row is an unjudged distractor; -1 marks
            a missing result.
        collection: The judged collection, m queries.
        ks: Cut-offs of the recall.

    Returns:
        The measures, one value per query.

    Raises:
        ValueError: ``rows`` has another number of queries, is not an integer matrix, or names a
            row twice for one query; a cut-off is below 1.
        MissingExtraError: pytrec-eval-terrier is not installed.
    """
    _check(rows, len(collection.query_ids), ks)
    recalls = ",".join(str(k) for k in sorted(set(ks)))
    evaluator = _pytrec_eval().RelevanceEvaluator(
        _qrels_by_row(collection), {"ndcg_cut.10", f"recall.{recalls}", "recip_rank"}
    )
    judged = evaluator.evaluate(_run(rows))
    empty = {"ndcg_cut_10": 0.0, "recip_rank": 0.0} | {f"recall_{k}": 0.0 for k in ks}
    measures = [judged.get(str(query), empty) for query in range(len(rows))]

    def column(name: str) -> NDArray[np.float64]:
        return np.array([measure[name] for measure in measures], np.float64)

    return PerQuery(
        ndcg10=column("ndcg_cut_10"),
        recall={k: column(f"recall_{k}") for k in ks},
        mrr=column("recip_rank"),
    )


def tie_share(scores: NDArray[np.float32]) -> float:
    """Share of queries whose top k is cut inside a tie.

    Args:
        scores: The best k + 1 scores per query, (m, k + 1), best first.

    Returns:
        The share, 0 to 1, of rows whose last two scores are equal.

    Raises:
        ValueError: ``scores`` has no row or fewer than two columns.
    """
    if scores.ndim != 2 or scores.shape[0] == 0 or scores.shape[1] < 2:
        raise ValueError(f"scores must be (m, k + 1) with m, k of at least 1, not {scores.shape}")
    return float(np.mean(scores[:, -1] == scores[:, -2]))


def _check(rows: NDArray[np.int64], queries: int, ks: Sequence[int]) -> None:
    if rows.ndim != 2 or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(f"rows must be an integer matrix, not {rows.dtype} {rows.shape}")
    if rows.shape[0] != queries:
        raise ValueError(f"rows has {rows.shape[0]} queries; the collection has {queries}")
    if not ks or min(ks) < 1:
        raise ValueError(f"ks must hold cut-offs of at least 1, not {tuple(ks)}")
    ordered = np.sort(rows, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise ValueError("rows names a document twice for one query")


def _qrels_by_row(collection: Collection) -> dict[str, dict[str, int]]:
    """Judgements with row numbers as all names: distractors need none, and no name is unfit."""
    row_of = {doc: str(row) for row, doc in enumerate(collection.doc_ids)}
    return {
        str(number): {row_of[doc]: grade for doc, grade in collection.qrels[query].items()}
        for number, query in enumerate(collection.query_ids)
    }


def _run(rows: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    return {
        str(number): {str(row): -float(rank) for rank, row in enumerate(found) if row >= 0}
        for number, found in enumerate(rows.tolist())
    }


def _pytrec_eval() -> ModuleType:
    try:
        import pytrec_eval
    except ImportError as error:
        raise MissingExtraError("judging", "pytrec-eval-terrier", "eval") from error
    module: ModuleType = pytrec_eval
    return module
