"""What Prometheus is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from qama.server.served import Served

KIND = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counts of one server.

    Args:
        served: What it serves.
    """

    def __init__(self, served: Iterable[Served]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "qama_requests", "Requests answered.", ("path", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "qama_request_seconds", "From a request's head to the end of its answer.", ("path",),
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self.at_work = Gauge("qama_requests_at_work", "Now.", registry=self._registry)
        self._batches = Histogram(
            "qama_batch_queries", "Queries of each call of a search.", buckets=_SIZES,
            registry=self._registry,
        )  # fmt: skip
        self._registry.register(_Sizes(list(served)))

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def batched(self, queries: int) -> None:
        """Count a call of a search."""
        self._batches.observe(queries)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return bytes(generate_latest(self._registry))


class _Sizes(Collector):
    """How many vectors there are, counted when Prometheus asks."""

    def __init__(self, served: list[Served]) -> None:
        self._served = served

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return nothing: documents are not counted before that."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the count of each collection."""
        sizes = GaugeMetricFamily("qama_vectors", "That can be found.", labels=["collection"])
        for served in self._served:
            sizes.add_metric([served.name], served.count())
        yield sizes
