"""How much one request, and all of them together, may ask for."""

from __future__ import annotations

from dataclasses import dataclass, fields

from qama import checks


@dataclass(frozen=True)
class Limits:
    """What is refused by name before it costs much.

    Attributes:
        body: Bytes of a request.
        rows: Queries, documents, texts or ids of a request.
        k: Results of a query.
        hits: Results of a request: its queries times k.
        candidates: Vectors that a request reads to rescore: its queries times rescore.
        sample: Queries that a curve is measured with.
        requests: Requests at work at the same time.
        seconds: Of a request, its sending included.
        wait_ms: Milliseconds that a query may wait for others to share a call with.

    Raises:
        ValueError: a limit is no whole number above 0; or ``wait_ms`` no number from 0 to 2.
    """

    body: int = 16 * 2**20
    rows: int = 1000
    k: int = 1000
    hits: int = 100_000
    candidates: int = 1_000_000
    sample: int = 256
    requests: int = 256
    seconds: int = 30
    wait_ms: float = 2.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name != "wait_ms":
                checks.integer(getattr(self, field.name), field.name, 1)
        if not 0 <= self.wait_ms <= 2:
            raise ValueError(f"wait_ms is {self.wait_ms}; give milliseconds from 0 to 2")
