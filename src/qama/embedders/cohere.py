"""Vectors of Cohere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qama.embedders.service import Service


class Cohere(Service):
    """Vectors of a model that Cohere offers.

    The key is CO_API_KEY. See `Service`.
    """

    package = extra = "cohere"
    key = "CO_API_KEY"
    max_texts = 96
    max_bytes = 1_000_000

    def _connected(self, package: Any, key: str, url: str | None, retries: int) -> Any:
        address = {} if url is None else {"base_url": url}
        return package.ClientV2(key, max_retries=retries, **address)

    def _request(self, texts: list[str], query: bool) -> tuple[Sequence[Any], int]:
        dims = {} if self._dims is None else {"output_dimension": self._dims}
        made = self._client.embed(
            model=self.model,
            texts=texts,
            input_type="search_query" if query else "search_document",
            embedding_types=["float"],
            **dims,
        )
        return made.embeddings.float_, int(made.meta.billed_units.input_tokens)
