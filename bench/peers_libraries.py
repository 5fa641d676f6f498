"""Peers of other libraries than FAISS: codes of all dims, at the bytes that they take.

What is not installed is left out with a reason. The NumPy work of remex is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import faiss
import numpy as np
from numpy.typing import NDArray
from peers import Floats, Outcome, Search, Variant

from qama.evaluation.topk import Hits

_LISTS = 16  # of the RaBitQ library, all of which are read


def _rabitq_library(bits: int) -> Callable[[int, int, int], Iterator[Variant]]:
    """RaBitQ by its authors, inner product, centroids of the fitted vectors."""

    def trained(fit: Floats, seed: int) -> Search:
        import rabitqlib

        means = faiss.Kmeans(fit.shape[1], _LISTS, niter=20, seed=seed)
        means.train(fit)

        def search(docs: Floats, queries: Floats, k: int) -> Outcome:
            owners = means.index.search(docs, 1)[1][:, 0].astype(np.uint32)
            index = rabitqlib.IvfIndex(docs.shape[1], len(docs), _LISTS, bits, "ip")
            index.build(docs, np.asarray(means.centroids, np.float32), owners, 1)
            return _outcome(index.search(queries, k, _LISTS, None, 1)[0], _nbytes(docs.shape[1]))

        return search

    def _nbytes(d: int) -> int:
        return -(-d // 64) * 8 * bits + 24  # dims are filled up to 64, three pairs of floats

    def settings(nbytes: int, d: int, n_fit: int) -> Iterator[Variant]:
        setting = f"{_LISTS} centroids, all read"
        yield Variant(f"RaBitQ library {bits}-bit", "asymmetric", _nbytes(d), setting, trained)

    return settings


def _turbovec(bits: int) -> Callable[[int, int, int], Iterator[Variant]]:
    def settings(nbytes: int, d: int, n_fit: int) -> Iterator[Variant]:
        size = d * bits // 8 + 7

        def trained(fit: Floats, seed: int) -> Search:
            import turbovec

            def search(docs: Floats, queries: Floats, k: int) -> Outcome:
                index = turbovec.TurboQuantIndex(d, bits)
                index.add(docs)
                return _outcome(index.search(queries, k)[1], size)

            return search

        yield Variant(f"turbovec {bits}-bit", "asymmetric", size, "", trained)

    return settings


def _remex(bits: int) -> Callable[[int, int, int], Iterator[Variant]]:
    """Remex with the mean of the fitted vectors, and a float32 length of each."""

    def settings(nbytes: int, d: int, n_fit: int) -> Iterator[Variant]:
        size = d * bits // 8 + 4

        def trained(fit: Floats, seed: int) -> Search:
            import remex

            made = remex.Quantizer(d, bits, seed=seed, mean=remex.corpus_mean(fit))

            def search(docs: Floats, queries: Floats, k: int) -> Outcome:
                return _outcome(made.search_batch(made.encode(docs), queries, k)[0], size)

            return search

        yield Variant(f"remex {bits}-bit", "asymmetric", size, "centred", trained)

    return settings


def _outcome(ids: NDArray[np.integer], nbytes: int) -> Outcome:
    rows = np.asarray(ids).astype(np.int64)
    return Outcome(Hits(rows, np.zeros(rows.shape, np.float32)), nbytes, 0)


METHODS: dict[str, Callable[[int, int, int], Iterator[Variant]]] = {
    "rabitqlib1-all": _rabitq_library(1),
    "rabitqlib2-all": _rabitq_library(2),
    "turbovec2-all": _turbovec(2),
    "remex1-all": _remex(1),
    "remex2-all": _remex(2),
}
