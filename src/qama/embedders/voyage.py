"""Vectors of Voyage AI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qama.embedders.service import Service


class Voyage(Service):
    """Vectors of a model that Voyage AI offers.

    The key is VOYAGE_API_KEY. See `Service`.
    """

    package = "voyageai"
    extra = "voyage"
    key = "VOYAGE_API_KEY"
    max_texts = 1000
    max_bytes = 120_000

    def _connected(self, package: Any, key: str, url: str | None, retries: int) -> Any:
        return package.Client(key, max_retries=retries + 1, base_url=url)  # it counts the first try

    def _request(self, texts: list[str], query: bool) -> tuple[Sequence[Any], int]:
        made = self._client.embed(
            texts,
            model=self.model,
            input_type="query" if query else "document",
            output_dimension=self._dims,
        )
        return made.embeddings, made.total_tokens
