"""What documents are, and what a search of them returns."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from qama.errors import MissingExtraError
from qama.shown import rows_html

_SHOWN = 20  # hits that a notebook shows


@dataclass(frozen=True)
class Document:
    """A document.

    Attributes:
        id: What the user calls it.
        text: Its text, if any.
        metadata: Its fields: JSON values.
    """

    id: str
    text: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Hit:
    """A document that was found.

    Attributes:
        id: What the user calls it.
        score: Larger is better: see `Documents.search`.
        text: Its text, if any.
        metadata: Its fields: JSON values.
    """

    id: str
    score: float
    text: str | None
    metadata: dict[str, Any]


class Hits(tuple[Hit, ...]):
    """What a search found, best first: a tuple of `Hit`."""

    __slots__ = ()

    def __repr__(self) -> str:
        best = f", best {self[0].id!r} with {self[0].score:.4g}" if self else ""
        return f"<qama.documents.Hits: {len(self)}{best}>"

    def _repr_html_(self) -> str:
        rows = [
            (hit.id, f"{hit.score:.4f}", hit.text, json.dumps(hit.metadata, ensure_ascii=False))
            for hit in self[:_SHOWN]
        ]
        of = f", the first {len(rows)}" if len(rows) < len(self) else ""
        return rows_html(f"{len(self)} hits{of}", ("id", "score", "text", "metadata"), rows)

    @property
    def ids(self) -> list[str]:
        """Their ids."""
        return [hit.id for hit in self]

    @property
    def scores(self) -> list[float]:
        """Their scores."""
        return [hit.score for hit in self]

    def _columns(self) -> dict[str, list[Any]]:
        names = ("id", "score", "text", "metadata")
        return {name: [getattr(hit, name) for hit in self] for name in names}

    def to_pandas(self) -> Any:
        """Return a pandas frame with the columns id, score, text, metadata (dicts).

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MissingExtraError("Hits.to_pandas", "pandas", "pandas") from None
        return pd.DataFrame(self._columns())

    def to_arrow(self) -> Any:
        """Return an Arrow table with the columns id, score, text, metadata (JSON as strings).

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        try:
            import pyarrow as pa
        except ImportError:
            raise MissingExtraError("Hits.to_arrow", "pyarrow", "arrow") from None
        columns = self._columns()
        columns["metadata"] = [json.dumps(m, ensure_ascii=False) for m in columns["metadata"]]
        kinds = {"id": pa.string(), "score": pa.float64(), "text": pa.string()}
        schema = pa.schema({**kinds, "metadata": pa.string()})
        return pa.table(columns, schema=schema)
