"""Vectors that a service makes of texts: what all services have in common.

Keys come from the environment alone, and are in no repr and in no message. Retries are those of
the service's own client, which knows what its answers ask for.
"""

from __future__ import annotations

import importlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from qama import checks
from qama.checks import Floats
from qama.embedders.texts import checked
from qama.errors import EmbeddingError, MissingExtraError

_BYTES_PER_TOKEN = 4.0  # of UTF-8, roughly, as long as a service has counted none


@dataclass(frozen=True)
class Estimate:
    """What embedding some texts will take.

    Attributes:
        texts: How many there are.
        requests: Requests that they are sent in.
        tokens: Tokens in them, about: by the tokens a byte that the service has counted so far,
            else one in four bytes.
        usd: What they cost at the price that was given; None without one.
    """

    texts: int
    requests: int
    tokens: int
    usd: float | None

    def __str__(self) -> str:
        cost = "" if self.usd is None else f", about ${self.usd:,.2f}"
        return (
            f"{self.texts:,} texts in {self.requests:,} requests, "
            f"about {self.tokens:,} tokens{cost}"
        )


class Service(ABC):
    """A service that makes vectors of texts; usable as ``embed=`` of `Documents` and in `fit`.

    Args:
        model: Name of the service's model.
        dims: Dims of the vectors, where the model offers several; None: its own.
        url: Address of the service, where it is another than the client's own.
        retries: How often a request is sent again that failed for a reason that may pass.

    Raises:
        MissingExtraError: the service's client is not installed.
        ValueError: the environment has no key.
    """

    package: ClassVar[str]  # of the client
    extra: ClassVar[str]
    key: ClassVar[str]  # the environment variable that holds it
    max_texts: ClassVar[int]  # of a request
    max_bytes: ClassVar[int]  # of a request with more than one text: no token has less than one

    def __init__(
        self, model: str, dims: int | None = None, *, url: str | None = None, retries: int = 5
    ) -> None:
        self.model = model
        self._dims = None if dims is None else checks.integer(dims, "dims", 1)
        self._bytes = self._tokens = 0  # of what was embedded so far
        try:
            package = importlib.import_module(self.package)
        except ImportError as error:
            raise MissingExtraError(str(self), self.package, self.extra) from error
        count = checks.integer(retries, "retries", 0)
        self._key = self._secret()
        self._client = self._connected(package, self._key, url, count)

    def __repr__(self) -> str:
        return f"<{self} {self.model!r}>"

    def __str__(self) -> str:
        return f"qama.embedders.{type(self).__name__}"

    def encode_document(self, texts: Sequence[str]) -> Floats:
        """Return vectors of texts that will be searched.

        Args:
            texts: n texts.

        Returns:
            float32 (n, d).

        Raises:
            EmbeddingError: the service could not be reached, or refused, also after retries.
            ValueError: no texts.
        """
        return self._embedded(texts, query=False)

    encode = encode_document

    def encode_query(self, texts: Sequence[str]) -> Floats:
        """Return vectors of queries; see `encode_document`."""
        return self._embedded(texts, query=True)

    def estimate(self, texts: Sequence[str], price: float | None = None) -> Estimate:
        """Say what embedding texts would take, before they are sent.

        Args:
            texts: n texts.
            price: US dollars for a million tokens, as the service asks today.

        Raises:
            ValueError: no texts.
        """
        given = checked(texts)
        per_byte = self._tokens / self._bytes if self._tokens else 1 / _BYTES_PER_TOKEN
        tokens = math.ceil(per_byte * sum(map(_size, given)))
        usd = None if price is None else tokens * price / 1e6
        return Estimate(len(given), sum(1 for _ in self._requests(given)), tokens, usd)

    def _embedded(self, texts: Sequence[str], query: bool) -> Floats:
        parts = [self._answer(part, query) for part in self._requests(checked(texts))]
        return np.concatenate(parts)

    def _requests(self, texts: Sequence[str]) -> Iterator[list[str]]:
        """Yield the texts in parts that a request may have."""
        part: list[str] = []
        size = 0
        for text in texts:
            if part and (len(part) == self.max_texts or size + _size(text) > self.max_bytes):
                yield part
                part, size = [], 0
            part.append(text)
            size += _size(text)
        yield part

    def _answer(self, texts: list[str], query: bool) -> Floats:
        failed = ""
        try:
            vectors, tokens = self._request(texts, query)
        except Exception as error:  # a client's errors may show the headers, and so the key
            failed = f"{type(error).__name__}: {error}".replace(self._key, "***")
        if failed:  # outside of the handler, so that no traceback shows the client's error either
            raise EmbeddingError(f"{self.model!r} made no vectors of {len(texts)} texts: {failed}")
        if len(vectors) != len(texts):
            raise EmbeddingError(f"{self!r} sent {len(vectors)} vectors of {len(texts)} texts")
        self._bytes += sum(map(_size, texts))
        self._tokens += tokens
        return np.asarray(vectors, dtype=np.float32)

    def _secret(self) -> str:
        """Return the key, refusing what a client would show in its own error.

        Raises:
            ValueError: the environment has none, or one that no HTTP header can hold.
        """
        secret = os.environ.get(self.key, "").strip()
        if not secret:
            raise ValueError(f"{self.key} is not set: give the key in the environment")
        if not all("!" <= letter <= "~" for letter in secret):
            raise ValueError(
                f"{self.key} holds a space, or a letter beyond ASCII; set the key alone"
            )
        return secret

    @abstractmethod
    def _connected(self, package: Any, key: str, url: str | None, retries: int) -> Any:
        """Return the service's client."""

    @abstractmethod
    def _request(self, texts: list[str], query: bool) -> tuple[Sequence[Any], int]:
        """Return the vectors of one request, in the order of its texts, and its tokens."""


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
