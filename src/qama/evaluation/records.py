"""One line of an evaluation, and how it is read from and written to JSON values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Record"]


@dataclass(frozen=True, slots=True)
class Record:
    """What one method reached on one collection.

    Attributes:
        method: ``float32``, ``int8``, ``fixed thresholds``, ``sign``, ``qama``, ``float prefix``.
        dims: Dims used; of byte codes, the dims of the vectors.
        level: Level of the code, or the number format of a baseline; ``bytes`` for byte codes.
        scorer: ``cosine``, ``hamming`` or ``asymmetric``.
        bytes_stored: Bytes per vector (thermometer codes).
        bytes_compact: Bytes per vector in the compact form, which ranks identically.
        ndcg10: Mean nDCG@10.
        recall10: Mean recall@10.
        recall100: Mean recall@100.
        mrr: Mean reciprocal rank within the first 100.
        retention: nDCG@10 over that of float32.
        low: Lower end of its paired bootstrap interval, 95 %.
        high: Upper end.
        tied: Share of queries whose top 10 is cut inside a tie.
        ms: Milliseconds per query of the batched search for 100 results, encoding of the queries
            included.
    """

    method: str
    dims: int
    level: str
    scorer: str
    bytes_stored: int
    bytes_compact: int
    ndcg10: float
    recall10: float
    recall100: float
    mrr: float
    retention: float
    low: float
    high: float
    tied: float
    ms: float

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values by field name."""
        return asdict(self)
