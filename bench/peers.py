"""Peers at equal stored bytes, each in several settings.

A peer is fitted on the given vectors, then stores ``docs`` and returns the best rows per query, of
one collection after the other. The caller judges every variant; tables show the best one, which
favours the peer. FAISS's own distances are used as they are; METRIC_L2 on unit vectors ranks better
than inner product for every product quantizer here.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from qama.evaluation.topk import Hits, chunked_top_k

Floats = NDArray[np.float32]
SPARE = 20  # rows fetched beyond k, so that ties can be put in row order


@dataclass(frozen=True)
class Outcome:
    """What one variant of a peer returned.

    Attributes:
        hits: Rows and scores, best first.
        nbytes: Bytes stored per vector, corrections included.
        model_bytes: Bytes of codebooks and rotations.
    """

    hits: Hits
    nbytes: int
    model_bytes: int


Search = Callable[[Floats, Floats, int], Outcome]  # of documents by queries: the best k
Fit = Callable[[Floats, int], Search]  # on vectors, with a seed


@dataclass(frozen=True)
class Variant:
    """One setting of one peer at one budget."""

    method: str
    scorer: str
    nbytes: int
    setting: str
    fit: Fit


def set_threads(threads: int) -> None:
    """Use this many threads in FAISS."""
    faiss.omp_set_num_threads(threads)


def variants(method: str, nbytes: int, d: int, n_fit: int) -> Iterator[Variant]:
    """Settings of a method that store exactly or, where noted, at most ``nbytes``.

    Args:
        method: A key of METHODS.
        nbytes: Budget in bytes per vector.
        d: Dimension of the vectors.
        n_fit: Number of vectors to fit on (dear methods skip large fits).
    """
    yield from METHODS[method](nbytes, d, n_fit)


# --- product quantizers -------------------------------------------------------------------------


def _pq(nbytes: int, d: int, n_fit: int) -> Iterator[Variant]:
    def trained(fit: Floats, seed: int) -> Search:
        return _pq_search(
            faiss.IndexPQ(_next_multiple(d, nbytes), nbytes, 8, faiss.METRIC_L2), fit, seed
        )

    yield Variant("PQ", "asymmetric", nbytes, "8 bit, L2", trained)


def _pq4(nbytes: int, d: int, n_fit: int) -> Iterator[Variant]:
    def trained(fit: Floats, seed: int) -> Search:
        return _pq_search(
            faiss.IndexPQ(_next_multiple(d, 2 * nbytes), 2 * nbytes, 4, faiss.METRIC_L2), fit, seed
        )

    if 2 * nbytes <= d:
        yield Variant("PQ 4-bit", "asymmetric", nbytes, "4 bit, L2, exact tables", trained)


def _opq(nbytes: int, d: int, n_fit: int) -> Iterator[Variant]:
    """Several output dims, from a random rotation and from balanced principal axes; at its best.

    The best is all dims from balanced axes, its rotation fitted on all rows.
    """
    whole, half, quarter = _next_multiple(d, nbytes), d // 2 // nbytes, d // 4 // nbytes
    tried = [(whole, "random"), (whole, "principal")]
    if half and half * nbytes < whole:
        tried.append((half * nbytes, "principal"))
    if quarter > 1 and quarter != half:
        tried.append((quarter * nbytes, "principal"))
    for out, start in tried:
        setting = f"L2, {out} output dims, {start} start, {OPQ_ITERATIONS} iterations"
        yield Variant("OPQ+PQ", "asymmetric", nbytes, setting, _opq_fit(nbytes, out, start))
    best = f"L2, {whole} output dims, principal start, {OPQ_ITERATIONS} iterations, all rows"
    yield Variant(
        "OPQ+PQ", "asymmetric", nbytes, best, lambda fit, seed: best_opq(fit, nbytes, seed)
    )


OPQ_ITERATIONS = 25
OPQ_SAMPLE = 20_000  # vectors for the rotation; the codebooks are fitted on all


def _opq_fit(nbytes: int, out: int, start: str) -> Fit:
    def trained(fit: Floats, seed: int) -> Search:
        d = max(fit.shape[1], out)
        opq, index = _opq_fitted(_pad(fit, d), nbytes, out, start, OPQ_SAMPLE, seed)
        model_bytes = 4 * (256 * out + d * out)
        return _of_index(index, lambda X: opq.apply(_pad(X, d)), model_bytes)

    return trained


def _opq_fitted(
    fit: Floats, nbytes: int, out: int, start: str, sample: int, seed: int
) -> tuple[faiss.OPQMatrix, faiss.IndexPQ]:
    """A rotation to out dims fitted on so many rows at most, and an empty index fitted on all."""
    d = fit.shape[1]
    opq, inner = faiss.OPQMatrix(d, nbytes, out), faiss.ProductQuantizer(out, nbytes, 8)
    _prepare(inner.cp, seed)
    opq.pq, opq.niter, opq.max_train_points = inner, OPQ_ITERATIONS, sample
    begin = _balanced_axes(fit, out, nbytes) if start == "principal" else _random(d, out, seed)
    faiss.copy_array_to_vector(begin.ravel(), opq.A)
    opq.train(fit)
    index = faiss.IndexPQ(out, nbytes, 8, faiss.METRIC_L2)
    _prepare(index.pq.cp, seed)
    index.train(opq.apply(fit))
    return opq, index


def best_opq(fit: Floats, nbytes: int, seed: int) -> Search:
    """OPQ from balanced axes, its rotation fitted on all rows."""
    d = _next_multiple(fit.shape[1], nbytes)
    opq, index = _opq_fitted(_pad(fit, d), nbytes, d, "principal", len(fit), seed)
    return _of_index(index, lambda X: opq.apply(_pad(X, d)), 4 * (256 * d + d * d))


def opq_decoded(fit: Floats, nbytes: int, rows: Floats) -> Floats:
    """What the codes of rows stand for, in OPQ at its best: float32 (n, d)."""
    d = _next_multiple(fit.shape[1], nbytes)
    opq, index = _opq_fitted(_pad(fit, d), nbytes, d, "principal", len(fit), 0)
    index.add(opq.apply(_pad(rows, d)))
    return opq.reverse_transform(index.reconstruct_n(0, len(rows)))[:, : rows.shape[1]]


def _balanced_axes(fit: Floats, out: int, parts: int) -> Floats:
    """Principal axes dealt to parts so that their products of variances are alike (OPQ-P)."""
    values, axes = np.linalg.eigh(np.cov(fit.T.astype(np.float64)))
    order = np.argsort(-values)[:out]
    logs = np.log(np.maximum(values[order], 1e-12))
    size, sums, rows = out // parts, np.zeros(parts), [[] for _ in range(parts)]
    for axis, log in zip(order, logs - logs.min(), strict=True):
        open_parts = [p for p in range(parts) if len(rows[p]) < size]
        part = min(open_parts, key=lambda p: sums[p])
        rows[part].append(axis)
        sums[part] += log
    return np.ascontiguousarray(axes[:, np.concatenate(rows)].T, dtype=np.float32)


def _random(d: int, out: int, seed: int) -> Floats:
    normal = np.random.default_rng(seed).standard_normal((d, d))
    return np.ascontiguousarray(np.linalg.qr(normal)[0][:out], dtype=np.float32)


def _pq_search(index: faiss.IndexPQ, fit: Floats, seed: int) -> Search:
    """Train and return the search; vectors get zero dims at the end."""
    _prepare(index.pq.cp, seed)
    index.train(_pad(fit, index.d))
    model_bytes = 4 * index.pq.centroids.size()
    return _of_index(index, lambda X: _pad(X, index.d), model_bytes)


# --- additive quantizers ------------------------------------------------------------------------


def _rq(nbytes: int, d: int, n_fit: int) -> Iterator[Variant]:
    """Residual quantizer; the time grows with bytes squared, so only short codes."""
    if nbytes > (24 if n_fit < 20_000 else 12):
        return

    def trained(fit: Floats, seed: int) -> Search:
        index = faiss.IndexResidualQuantizer(d, nbytes, 8, faiss.METRIC_L2)
        index.rq.max_beam_size = 8
        _prepare(index.rq.cp, seed)
        index.train(fit)
        return _of_index(index, _rows, 4 * 256 * nbytes * d)

    yield Variant("RQ", "asymmetric", nbytes, "L2, beam 8", trained)


def _lsq(nbytes: int, d: int, n_fit: int) -> Iterator[Variant]:
    """Local-search quantizer, only where it ends in minutes."""
    if nbytes > 12 or n_fit > 20_000:
        return

    def trained(fit: Floats, seed: int) -> Search:
        index = faiss.IndexLocalSearchQuantizer(d, nbytes, 8, faiss.METRIC_L2)
        index.lsq.random_seed = 0x12345 + seed
        index.lsq.train_iters = 15
        index.train(fit)
        return _of_index(index, _rows, 4 * 256 * nbytes * d)

    yield Variant("LSQ", "asymmetric", nbytes, "L2, 15 iterations", trained)


def _prq(nbytes: int, d: int, n_fit: int) -> Iterator[Variant]:
    """Product of residual quantizers on balanced axes; on large fits only short codes."""
    if nbytes > (96 if n_fit < 20_000 else 24):
        return
    for splits in (nbytes // 4, nbytes // 2):
        if splits and nbytes % splits == 0 and d % splits == 0:
            yield Variant(
                "PRQ",
                "asymmetric",
                nbytes,
                f"L2, {splits} splits x {nbytes // splits}, balanced axes",
                _prq_fit(splits, nbytes // splits),
            )


def _prq_fit(splits: int, depth: int) -> Fit:
    def trained(fit: Floats, seed: int) -> Search:
        d = fit.shape[1]
        axes = _balanced_axes(fit, d, splits).T
        index = faiss.IndexProductResidualQuantizer(d, splits, depth, 8, faiss.METRIC_L2)
        for part in range(splits):
            _prepare(faiss.downcast_AdditiveQuantizer(index.prq.subquantizer(part)).cp, seed)
        index.train(_rows(fit @ axes))
        return _of_index(index, lambda X: _rows(X @ axes), 4 * (256 * depth * d + d * d))

    return trained


# --- scalar quantizers and RaBitQ ---------------------------------------------------------------


def _rabitq(bits: int) -> Callable[[int, int, int], Iterator[Variant]]:
    """RaBitQ on as many principal axes as fit, corrections included, query not rounded."""

    def settings(nbytes: int, d: int, n_fit: int) -> Iterator[Variant]:
        sizes = [
            (kept, faiss.IndexRaBitQ(kept, faiss.METRIC_L2, bits).sa_code_size())
            for kept in range(8, d + 1, 8)
        ]
        fitting = [kept for kept, size in sizes if size <= nbytes]
        if not fitting:
            return
        kept = fitting[-1]
        if dict(sizes)[kept] < 0.85 * nbytes:  # the whole vector needs far less: another budget
            return
        for metric in ("L2", "IP"):
            yield Variant(
                f"RaBitQ {bits}-bit",
                "asymmetric",
                nbytes,
                f"{kept} principal axes, rotated, {metric}",
                _rabitq_fit(bits, kept, metric),
            )

    return settings


def _rabitq_full(bits: int) -> Callable[[int, int, int], Iterator[Variant]]:
    """RaBitQ as shipped, on all dims, at the bytes it takes."""

    def settings(nbytes: int, d: int, n_fit: int) -> Iterator[Variant]:
        size = faiss.IndexRaBitQ(d, faiss.METRIC_L2, bits).sa_code_size()
        for metric in ("L2", "IP"):
            trained = _rabitq_fit(bits, d, metric)
            yield Variant(f"RaBitQ {bits}-bit, all dims", "asymmetric", size, metric, trained)

    return settings


def _rabitq_fit(bits: int, kept: int, metric: str) -> Fit:
    def trained(fit: Floats, seed: int) -> Search:
        kind = faiss.METRIC_L2 if metric == "L2" else faiss.METRIC_INNER_PRODUCT
        axes = _rotated_axes(fit, kept, seed)
        index = faiss.IndexRaBitQ(kept, kind, bits)
        index.qb = 0
        index.train(_rows(fit @ axes))
        return _of_index(index, lambda X: _rows(X @ axes), 4 * (axes.size + kept))

    return trained


def _scalar(bits: int) -> Callable[[int, int, int], Iterator[Variant]]:
    """4 or 8 bits per principal axis; at d * bits / 8 bytes also on the plain dims."""

    def settings(nbytes: int, d: int, n_fit: int) -> Iterator[Variant]:
        kept = nbytes * 8 // bits
        if kept > d:
            return
        for axes in ("principal", "rotated") + (("plain",) if kept == d else ()):
            for spread in ("minmax", "optim"):
                trained = _scalar_fit(bits, kept, axes, spread)
                setting = f"{kept} {axes} axes, range by {spread}"
                yield Variant(f"SQ{bits}", "asymmetric", nbytes, setting, trained)

    return settings


def _scalar_full(nbytes: int, d: int, n_fit: int) -> Iterator[Variant]:
    """Int8 on the plain dims, at d bytes."""
    yield Variant(
        "int8, all dims",
        "asymmetric",
        d,
        "range by minmax",
        _scalar_fit(8, d, "plain", "minmax"),
    )


def _scalar_fit(bits: int, kept: int, axes: str, spread: str) -> Fit:
    def trained(fit: Floats, seed: int) -> Search:
        d = fit.shape[1]
        turn = {
            "plain": lambda: np.eye(d, dtype=np.float32),
            "principal": lambda: _principal_axes(fit, kept),
            "rotated": lambda: _rotated_axes(fit, kept, seed),
        }[axes]()
        kind = faiss.ScalarQuantizer.QT_8bit if bits == 8 else faiss.ScalarQuantizer.QT_4bit
        index = faiss.IndexScalarQuantizer(kept, kind, faiss.METRIC_L2)
        index.sq.rangestat = getattr(faiss.ScalarQuantizer, f"RS_{spread}")
        index.train(_rows(fit @ turn))
        return _of_index(index, lambda X: _rows(X @ turn), 4 * (turn.size + 2 * kept))

    return trained


# --- sign bits ----------------------------------------------------------------------------------


def _sign(scorer: str) -> Callable[[int, int, int], Iterator[Variant]]:
    """Signs of the plain dims (d / 8 bytes only) or of random projections, as IndexLSH does."""

    def settings(nbytes: int, d: int, n_fit: int) -> Iterator[Variant]:
        kinds = ("plain", "random") if 8 * nbytes == d else ("random",)
        for kind in kinds:
            trained = _sign_fit(kind, 8 * nbytes, scorer)
            yield Variant("sign", scorer, nbytes, f"{kind} directions", trained)

    return settings


def _pca_sign(scorer: str) -> Callable[[int, int, int], Iterator[Variant]]:
    """Signs about the mean of principal axes: as they are, rotated at random, or ITQ."""

    def settings(nbytes: int, d: int, n_fit: int) -> Iterator[Variant]:
        if 8 * nbytes > d:
            return
        for kind in ("principal", "rotated", "itq"):
            trained = _sign_fit(kind, 8 * nbytes, scorer)
            yield Variant("PCA+sign", scorer, nbytes, f"{kind} axes", trained)

    return settings


def _sign_fit(kind: str, bits: int, scorer: str) -> Fit:
    def trained(fit: Floats, seed: int) -> Search:
        turn = _directions(kind, fit, bits, seed)
        mean = np.zeros(fit.shape[1], np.float32)
        if kind in ("principal", "rotated", "itq"):
            mean = fit.mean(axis=0)

        def search(docs: Floats, queries: Floats, k: int) -> Outcome:
            signs = np.where((docs - mean) @ turn > 0, np.float32(1), np.float32(-1))
            turned = (queries - mean) @ turn if scorer == "hamming" else queries @ turn
            if scorer == "hamming":
                turned = np.where(turned > 0, np.float32(1), np.float32(-1))
            hits = chunked_top_k(lambda part: turned[part] @ signs.T, len(queries), len(docs), k)
            return Outcome(hits, bits // 8, 4 * (turn.size if kind != "plain" else 0))

        return search

    return trained


def _directions(kind: str, fit: Floats, bits: int, seed: int) -> Floats:
    """Directions as columns, (d, bits)."""
    d = fit.shape[1]
    if kind == "plain":
        return np.eye(d, dtype=np.float32)
    if kind == "principal":
        return _principal_axes(fit, bits)
    if kind == "rotated":
        return _rotated_axes(fit, bits, seed)
    if kind == "itq":
        return _itq_axes(fit, bits, seed)
    rng, blocks = np.random.default_rng(seed), []
    for _ in range(-(-bits // d)):
        blocks.append(np.linalg.qr(rng.standard_normal((d, d)))[0])
    return np.concatenate(blocks, axis=1)[:, :bits].astype(np.float32)


def _itq_axes(fit: Floats, bits: int, seed: int, rounds: int = 50) -> Floats:
    """Iterative quantization (Gong and Lazebnik, CVPR 2011) on principal axes."""
    axes = _principal_axes(fit, bits)
    projected = ((fit - fit.mean(axis=0)) @ axes)[:50_000]
    turn = _random(bits, bits, seed)
    for _ in range(rounds):
        left, _, right = np.linalg.svd(np.sign(projected @ turn).T @ projected)
        turn = (left @ right).T.astype(np.float32)
    return _rows(axes @ turn)


# --- shared -------------------------------------------------------------------------------------


def _prepare(clustering: faiss.ClusteringParameters, seed: int) -> None:
    """Seed a k-means and let it accept small collections without a warning."""
    clustering.seed = 1234 + seed
    clustering.min_points_per_centroid = 1


def _principal_axes(fit: Floats, kept: int) -> Floats:
    """The kept axes of largest variance as columns, (d, kept)."""
    values, axes = np.linalg.eigh(np.cov(fit.T.astype(np.float64)))
    return _rows(axes[:, np.argsort(-values)[:kept]])


def _rotated_axes(fit: Floats, kept: int, seed: int) -> Floats:
    return _rows(_principal_axes(fit, kept) @ _random(kept, kept, seed))


def _rows(matrix: NDArray[np.floating]) -> Floats:
    return np.ascontiguousarray(matrix, dtype=np.float32)


def _next_multiple(d: int, parts: int) -> int:
    return -(-d // parts) * parts


def _pad(vectors: Floats, d: int) -> Floats:
    """Zero dims at the end up to d."""
    return _rows(np.pad(vectors, ((0, 0), (0, d - vectors.shape[1]))))


def _of_index(index: faiss.Index, prepare: Callable[[Floats], Floats], model_bytes: int) -> Search:
    """Return the search of a trained index for vectors that are prepared first."""

    def search(docs: Floats, queries: Floats, k: int) -> Outcome:
        index.reset()
        index.add(prepare(docs))
        return Outcome(_faiss_top_k(index, prepare(queries), k), index.sa_code_size(), model_bytes)

    return search


def _faiss_top_k(index: faiss.Index, queries: Floats, k: int) -> Hits:
    """FAISS's answer with ties put in row order."""
    k = min(k, index.ntotal)
    scores, ids = index.search(queries, min(k + SPARE, index.ntotal))
    if index.metric_type == faiss.METRIC_L2:
        scores = -scores
    order = np.lexsort((ids, -scores), axis=1)[:, :k]
    return Hits(np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1))


METHODS: dict[str, Callable[[int, int, int], Iterator[Variant]]] = {
    "pq": _pq,
    "opq": _opq,
    "pq4": _pq4,
    "rq": _rq,
    "lsq": _lsq,
    "prq": _prq,
    "rabitq1": _rabitq(1),
    "rabitq2": _rabitq(2),
    "rabitq4": _rabitq(4),
    "rabitq1-all": _rabitq_full(1),
    "rabitq2-all": _rabitq_full(2),
    "rabitq4-all": _rabitq_full(4),
    "sq4": _scalar(4),
    "sq8": _scalar(8),
    "int8-all": _scalar_full,
    "sign": _sign("hamming"),
    "sign-asym": _sign("asymmetric"),
    "pca-sign": _pca_sign("hamming"),
    "pca-sign-asym": _pca_sign("asymmetric"),
}
