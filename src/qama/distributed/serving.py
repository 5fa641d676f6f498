"""Shards of an index behind Ray Serve: replicas of each, one router, files replaced under load.

    from qama.distributed import serving

    shards = qama.shard("all.qama", "parts", 4)
    served = serving.serve_shards(shards.paths, name="news", replicas=[2, 1, 1, 1])
    found = served.search(Q, k=10)             # as qama.search_many finds it; found.missing
    served.replace(0, "parts/new.qama")        # no query fails meanwhile

docs/operations.md tells more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from qama import checks
from qama.distributed.answers import ShardedResult
from qama.distributed.replicas import PAUSE, Router, ShardReplica, is_gone
from qama.errors import MissingExtraError
from qama.search import merging
from qama.search.index import Index

_MOST = 1024  # requests that a replica works on or holds


class Served:
    """Shards that Ray Serve serves, as a client sees them.

    Args:
        name: Under which they are served.
        shards: How many.
        options: How a shard is deployed.
    """

    def __init__(self, name: str, shards: int, options: dict[str, Any]) -> None:
        self.name, self.shards, self._options = name, shards, options
        self._router = _serve().get_app_handle(name)

    def search(
        self, Q: object, k: int = 10, *, partial: bool = True, **options: Any
    ) -> ShardedResult:
        """Search all shards; ids and scores are those of `qama.search_many`.

        Args:
            Q: Floats (m, d).
            k: How many in all.
            partial: Whether to answer, and say so in ``missing``, where a shard does not.
            options: Further arguments of `Index.search`; a filter as ids or a function.

        Raises:
            TimeoutError: a shard is missing and ``partial`` is not allowed, or all are.
            ValueError: what `Index.search` refuses.
        """
        queries = checks.vectors(Q, "Q", None, empty=True)
        k, until = checks.integer(k, "k", 1), time.monotonic() + 2 * self._options["timeout_s"]
        while True:
            try:
                asked = self._router.search.remote(queries, k, partial, options)
                found: ShardedResult = asked.result()
                return found
            except Exception as error:
                if time.monotonic() > until or not is_gone(error):
                    raise getattr(error, "cause", None) or error from None
            time.sleep(PAUSE)

    def about(self, shard: int) -> dict[str, Any]:
        """Return which file a replica of a shard serves, how many vectors, in which process."""
        handle = _serve().get_deployment_handle("shard", _application(self.name, shard))
        about: dict[str, Any] = handle.about.remote().result()
        return about

    def replace(self, shard: int, path: str | os.PathLike[str]) -> None:
        """Serve another file as a shard: a replica of it starts before one of the old file ends.

        Returns when as many replicas serve the new file; those of the old one answer what they
        were asked and end. Queries meanwhile find what either file holds.

        Args:
            shard: Its number.
            path: An index file of the same codec and code, where every node and this process can
                open it.

        Raises:
            FormatError, OSError: no index file, or it cannot be opened; the old one is served.
            RuntimeError: no replica of it came up; the old ones answer.
            ValueError: no such shard, or an index of another codec, code or ``keep``.
        """
        shard = checks.integer(shard, "shard", 0, self.shards - 1)
        others = [self.about(other)["path"] for other in range(self.shards) if other != shard]
        merging.checked([Index.open(each) for each in (*others[:1], path)])
        _run([_shard(self.name, shard, path, self._options)])

    def close(self) -> None:
        """Serve no more, the router first."""
        names = [self.name, *(_application(self.name, shard) for shard in range(self.shards))]
        for name in names:
            _serve().delete(name)


def serve_shards(
    paths: Sequence[str | os.PathLike[str]],
    *,
    name: str = "qama",
    replicas: int | Sequence[int] = 1,
    routers: int = 1,
    threads: int = 1,
    timeout_s: float = 10.0,
    cpus: float = 1.0,
    route: str | None = None,
) -> Served:
    """Serve index files of one codec and code as one index.

    Args:
        paths: The shards, in the order that ties go by, where every node and this process can open
            them.
        name: Of the Serve application of the router; those of shards begin with it.
        replicas: Of each shard: one number for all, or one for each.
        routers: Replicas of the router.
        threads: CPU threads of a search in a replica.
        timeout_s: Seconds that a shard has to answer a query, at whichever of its replicas.
        cpus: What a replica reserves of Ray's CPUs; while a file is replaced, twice as much.
        route: Path of HTTP requests, such as "/search"; None: none are served.

    Returns:
        A client; another process gets one by `connect`.

    Raises:
        MissingExtraError: Ray Serve is not installed.
        FormatError, OSError: no index file, or it cannot be opened.
        ValueError: no paths, or not one number of replicas for each; or indexes of several codecs
            or codes.
        RuntimeError: a file could not be served.
    """
    if not paths:
        raise ValueError("paths is empty; give at least one")
    counts = [replicas] * len(paths) if isinstance(replicas, int) else list(replicas)
    for count in counts:
        checks.integer(count, "replicas", 1)
    if len(counts) != len(paths):
        raise ValueError(f"replicas has {len(counts)} numbers for {len(paths)} paths")
    merging.checked([Index.open(path) for path in paths])
    options = {"threads": threads, "timeout_s": timeout_s, "cpus": cpus, "replicas": counts}
    shards = [_shard(name, shard, path, options) for shard, path in enumerate(paths)]
    names = [application for application, _, _ in shards]
    router = _serve().deployment(
        Router, name="router", num_replicas=routers, max_ongoing_requests=_MOST,
        health_check_period_s=1, ray_actor_options={"num_cpus": 0},
    )  # fmt: skip
    _run([*shards, (name, router.bind(names, options), route)])
    return Served(name, len(paths), options)


def connect(name: str = "qama") -> Served:
    """Return a client of shards that are served already, in this Ray cluster.

    Raises:
        MissingExtraError: Ray Serve is not installed.
        RayServeException: nothing is served under that name.
    """
    options = _serve().get_app_handle(name).about.remote().result()
    return Served(name, len(options["replicas"]), options)


def _shard(
    name: str, shard: int, path: str | os.PathLike[str], options: dict[str, Any]
) -> tuple[str, Any, None]:
    """Return the application of a shard: its name, what is run, and no route."""
    deployment = _serve().deployment(
        ShardReplica, name="shard", num_replicas=options["replicas"][shard],
        max_ongoing_requests=_MOST, max_surge_percent=100, health_check_period_s=1,
        graceful_shutdown_wait_loop_s=0.2, ray_actor_options={"num_cpus": options["cpus"]},
    )  # fmt: skip
    bound = deployment.bind(os.path.abspath(path), options["threads"])
    return _application(name, shard), bound, None


def _run(applications: Sequence[tuple[str, Any, str | None]]) -> None:
    """Run applications, or update those that run already, replica by replica; wait for them."""
    serve = _serve()
    serve.run_many([serve.RunTarget(bound, name, route) for name, bound, route in applications])


def _application(name: str, shard: int) -> str:
    return f"{name}-shard-{shard}"


def _serve() -> Any:
    try:
        from ray import serve
    except ImportError:
        raise MissingExtraError("serving shards", "ray", "ray-serve") from None
    return serve
