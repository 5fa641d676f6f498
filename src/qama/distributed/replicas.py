"""What runs within Ray Serve: a shard's replica, and the router that asks all shards and merges."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from qama import checks
from qama.checks import Floats
from qama.distributed import answers
from qama.distributed.answers import ShardedResult
from qama.search.index import Index
from qama.search.scan.results import SearchResult

PAUSE = 0.05  # seconds before a shard is asked again
TRIES = 3  # of a shard whose replicas say that they cannot read


class ShardReplica:
    """One replica of one shard: an index file, mapped.

    Args:
        path: The index file, where this process can open it.
        threads: CPU threads of a search.
    """

    def __init__(self, path: str, threads: int) -> None:
        self.index, self.path, self.threads = Index.open(path), path, threads

    async def search(self, Q: Floats, k: int, options: dict[str, Any]) -> SearchResult:
        """Return what `Index.search` finds."""
        return await asyncio.to_thread(
            self.index.search, Q, k, **{"threads": self.threads, **options}
        )

    def about(self) -> dict[str, Any]:
        """Return which file this process serves."""
        return {"path": self.path, "vectors": len(self.index), "process": os.getpid()}


class Router:
    """Asks every shard, each at any of its replicas, and merges what they find.

    Args:
        applications: The Serve application of each shard, in the order that ties go by.
        options: How the shards are served, among others timeout_s: the seconds that a shard has to
            answer, at whichever of its replicas.
    """

    def __init__(self, applications: Sequence[str], options: dict[str, Any]) -> None:
        from ray import serve

        self.handles = [serve.get_deployment_handle("shard", name) for name in applications]
        self.options, self.timeout_s = options, options["timeout_s"]

    def about(self) -> dict[str, Any]:
        """Return how the shards are served."""
        return self.options

    async def search(
        self, Q: Floats, k: int, partial: bool, options: dict[str, Any]
    ) -> ShardedResult:
        """Return the k best of all shards.

        Raises:
            TimeoutError: a shard is missing and ``partial`` is not allowed, or all are.
        """
        asked = [self._of(handle, Q, k, options) for handle in self.handles]
        parts = enumerate(await asyncio.gather(*asked))
        found = {shard: part for shard, part in parts if isinstance(part, SearchResult)}
        shards = len(self.handles)
        if not found or not (partial or len(found) == shards):
            lost = ", ".join(str(shard) for shard in range(shards) if shard not in found)
            raise TimeoutError(f"shards {lost} did not answer within {self.timeout_s:g} s")
        return answers.merged(found, shards, k)

    async def __call__(self, request: Any) -> dict[str, Any]:
        """Answer a request over HTTP: JSON with queries, k and options of a search."""
        asked = dict(await request.json())
        Q = checks.vectors(asked.pop("queries", []), "queries", None, empty=True)
        k, partial = checks.integer(asked.pop("k", 10), "k", 1), bool(asked.pop("partial", True))
        found = await self.search(Q, k, partial, asked)
        shards = {"answered": found.answered, "missing": found.missing}
        return {"ids": found.ids.tolist(), "scores": found.scores.tolist(), "shards": shards}

    async def _of(self, handle: Any, Q: Floats, k: int, options: dict[str, Any]) -> Any:
        """Return what a shard finds; None where it does not answer in time."""
        try:
            return await asyncio.wait_for(_patiently(handle, Q, k, options), self.timeout_s)
        except (TimeoutError, OSError):
            return None


async def _patiently(handle: Any, Q: Floats, k: int, options: dict[str, Any]) -> Any:
    """Ask a shard until a replica of it answers; one that died is asked no more by Serve.

    Raises:
        OSError: the replicas cannot read their file.
        ValueError: what `Index.search` refuses.
    """
    failed = 0
    while True:
        try:
            return await handle.search.remote(Q, k, options)
        except Exception as error:
            cause = getattr(error, "cause", None) or error
            failed += isinstance(cause, OSError)
            if failed >= TRIES or not (isinstance(cause, OSError) or is_gone(error)):
                raise cause from None
        await asyncio.sleep(PAUSE)


def is_gone(error: Exception) -> bool:
    """Whether an error says that a replica died or left, so that another one may answer."""
    from ray.exceptions import RayError, RayTaskError
    from ray.serve.exceptions import DeploymentUnavailableError, ReplicaUnavailableError

    if isinstance(error, DeploymentUnavailableError | ReplicaUnavailableError):
        return True
    return isinstance(error, RayError) and not isinstance(error, RayTaskError)
