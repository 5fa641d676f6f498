"""Vectors of OpenAI, and of the servers that speak as it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qama.embedders.service import Service


class OpenAI(Service):
    """Vectors of a model that OpenAI offers, or a server that speaks as it does (``url=``).

    The key is OPENAI_API_KEY. See `Service`.
    """

    package = extra = "openai"
    key = "OPENAI_API_KEY"
    max_texts = 2048
    max_bytes = 300_000

    def _connected(self, package: Any, key: str, url: str | None, retries: int) -> Any:
        return package.OpenAI(api_key=key, base_url=url, max_retries=retries)

    def _request(self, texts: list[str], query: bool) -> tuple[Sequence[Any], int]:
        dims = {} if self._dims is None else {"dimensions": self._dims}
        made = self._client.embeddings.create(model=self.model, input=texts, **dims)
        ordered = sorted(made.data, key=lambda item: item.index)
        return [item.embedding for item in ordered], made.usage.total_tokens
