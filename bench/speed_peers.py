"""FAISS and USearch on the same sizes; each returns a function that searches a batch."""

import faiss
import numpy as np

CHUNK = 50_000


def binary(codes):
    index = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index.add(codes)
    return lambda Q, k: index.search(Q, k)


def fast_scan(rows, nbytes, random, copies=1):
    """PQ of two sub-quantizers of 4 bits a byte; its time does not depend on what the codes say."""
    dims = 4 * nbytes
    index = faiss.IndexPQFastScan(dims, 2 * nbytes, 4, faiss.METRIC_INNER_PRODUCT)
    return filled(index, rows, dims, random, copies)


def rabitq(rows, random):
    """One bit a dim of 384 and 8 B of factors a row."""
    return filled(faiss.IndexRaBitQFastScan(384, faiss.METRIC_INNER_PRODUCT), rows, 384, random)


def filled(index, rows, dims, random, copies=1):
    X = random.standard_normal((CHUNK, dims), dtype=np.float32)
    index.train(X[:5000])
    for start in range(0, rows, CHUNK):
        index.add(X[: min(CHUNK, rows - start)])
    if copies > 1:  # not every index can be cloned
        once = faiss.clone_index(index)
        for _ in range(copies - 1):
            index.merge_from(faiss.clone_index(once))
    Q = random.standard_normal((1000, dims), dtype=np.float32)
    return lambda some, k: index.search(Q[: len(some)], k)


def ivf_fast_scan(rows, random, nlist=1024, nprobe=16):
    quantizer = faiss.IndexFlatIP(384)
    index = faiss.IndexIVFPQFastScan(quantizer, 384, nlist, 96, 4, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = nprobe
    X = random.standard_normal((CHUNK, 384), dtype=np.float32)
    index.cp.niter = 4
    index.train(X)
    for start in range(0, rows, CHUNK):
        index.add(X[: min(CHUNK, rows - start)])
    Q = random.standard_normal((1000, 384), dtype=np.float32)
    index.own_fields = False
    return lambda some, k: (quantizer, index.search(Q[: len(some)], k))[1]


def binary_ivf(codes, nlist=1024, nprobe=16):
    quantizer = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index = faiss.IndexBinaryIVF(quantizer, 8 * codes.shape[1], nlist)
    index.nprobe = nprobe
    index.cp.niter = 4
    index.train(codes[: 64 * nlist])
    index.add(codes)
    return lambda Q, k: (quantizer, index.search(Q, k))[1]


def flat_float(X):
    index = faiss.IndexFlatIP(X.shape[1])
    index.add(X)
    return lambda Q, k: index.search(Q, k)


def usearch_exact(codes, threads):
    from usearch.index import MetricKind, search

    return lambda Q, k: search(
        codes, Q, k, MetricKind.Hamming, exact=True, threads=threads, dtype="b1"
    )


def usearch_hnsw(codes, threads):
    from usearch.index import Index, MetricKind

    index = Index(ndim=8 * codes.shape[1], metric=MetricKind.Hamming, dtype="b1")
    index.add(np.arange(len(codes)), codes, threads=threads)
    return lambda Q, k: index.search(Q, k, threads=threads)
