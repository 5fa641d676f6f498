"""Speed of the search beside FAISS, USearch and NumPy, in one process, in interleaved rounds.

    python bench/speed.py                     everything, some 20 minutes on two idle cores
    python bench/speed.py --quick             a tenth of the rows, two minutes
    python bench/speed.py --only flat float   some parts; the others stay as the file has them

Writes bench/results/speed.json: rows of timings, by part, and one row for every target.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that wait must not take cores from others

import argparse  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import faiss  # noqa: E402
import numpy as np  # noqa: E402
import speed_data as data  # noqa: E402
import speed_peers as peers  # noqa: E402
import speed_quality as quality_of  # noqa: E402
from _record import write_record  # noqa: E402
from speed_data import K  # noqa: E402
from speed_index import features, partitions  # noqa: E402
from speed_targets import targets  # noqa: E402
from speed_timing import measure  # noqa: E402

import qama  # noqa: E402
from qama import kernels  # noqa: E402
from qama.search.rows.blocks import Blocks, leading_bytes  # noqa: E402

BATCHES = (1, 16, 256, 1000)


class Bench:
    """Sizes and the codec that all parts share."""

    def __init__(self, quick):
        self.quick = quick
        self.million = 100_000 if quick else 1_000_000
        self.rounds = 2 if quick else 7
        self.random = np.random.default_rng(0)
        self._codec = None

    @property
    def codec(self):
        if self._codec is None:
            self._codec = qama.fit(data.vectors(2000))
        return self._codec

    def codes(self, nbytes, rows):
        base = self.codec.encode(data.vectors(20_000, seed=1), nbytes=nbytes)
        return data.noisy(base, rows, self.random)

    def rows(self, jobs, rounds=None, **facts):
        """Measure jobs {(engine, batch): function}; return rows in ms per query."""
        timed = measure(jobs, rounds or self.rounds)
        return [
            {"engine": engine, "batch": batch, **facts, "calls": calls,
             "ms": 1e3 * wall / batch, "cpu_ms": 1e3 * cpu / batch}
            for (engine, batch), (wall, cpu, calls) in timed.items()
        ]  # fmt: skip


class Codes:
    """Stored codes with queries, for the kernels of both scorers, in blocks as an index has them:
    for Hamming in one piece, for asymmetric scores with the leading bytes apart."""

    def __init__(self, bench, nbytes, rows):
        self.codes = bench.codes(nbytes, rows)
        self.blocks = kernels.to_blocks(self.codes)
        self.rows, self.bits = rows, 8 * nbytes
        Q = data.vectors(1000, seed=2)
        code = bench.codec.code(nbytes=nbytes)
        self.apart = Blocks.of(self.codes, leading_bytes(code))
        self.queries = bench.codec.encode(Q, nbytes=nbytes)
        self.ready = code.query_tables(Q)
        some = code.inverse_norm_indices(self.codes[:20_000])
        self.norm_indices, self.steps = np.resize(some, rows), code.inverse_norm_steps

    def hamming(self, batch, threads=1, path=None):
        stored = kernels.StoredCodes(self.blocks, self.rows)
        scan = kernels.HammingScan(stored, self.queries[:batch], self.bits)
        return lambda: kernels.hamming_topk(scan, K, threads=threads, path=path)

    def asymmetric(self, batch, threads=1, path=None):
        stored = kernels.StoredCodes(
            self.apart.leading, self.rows, self.apart.rest, self.norm_indices, self.steps
        )
        scan = kernels.TableScan(stored, self.ready[:batch])
        return lambda: kernels.table_topk(scan, K, threads=threads, path=path)


def reads(blocks):
    """Ways to read all bytes once; the fastest is the ceiling."""
    words = blocks.reshape(-1).view(np.uint64)
    floats = np.ones(words.nbytes // 4, dtype=np.float32)  # a dot product must not meet NaN
    return {
        ("read: or", 1): lambda: np.bitwise_or.reduce(words),
        ("read: max", 1): lambda: words.max(),
        ("read: sum", 1): lambda: words.sum(),
        ("read: dot", 1): lambda: floats @ floats,
    }


def popcounts(held):
    """Hamming distances of one query in NumPy, and their top k."""
    words, query = held.codes.view(np.uint32), held.queries[:1].view(np.uint32)

    def job():
        distances = np.bitwise_count(words ^ query).sum(axis=1, dtype=np.int32)
        return np.argpartition(distances, K)[:K]

    return job


def flat(bench):
    """One million rows, one thread: all widths and batches."""
    found = []
    for nbytes in (24, 48, 96, 156):
        held = Codes(bench, nbytes, bench.million)
        fast = peers.fast_scan(bench.million, nbytes, bench.random)
        one = peers.binary(held.codes)
        jobs = dict(reads(held.blocks))
        if nbytes == 48:
            rabitq = peers.rabitq(bench.million, bench.random)
            exact = peers.usearch_exact(held.codes, 1)
            jobs["NumPy", 1] = popcounts(held)
        for batch in BATCHES if nbytes == 48 and not bench.quick else (1, 256):
            Q = held.queries[:batch]
            jobs["Hamming", batch] = held.hamming(batch)
            jobs["asymmetric", batch] = held.asymmetric(batch)
            jobs["FAISS IndexBinaryFlat", batch] = lambda one=one, Q=Q: one(Q, K)
            jobs["FAISS PQ fast-scan", batch] = lambda fast=fast, Q=Q: fast(Q, K)
            if nbytes == 48:
                jobs["FAISS RaBitQ fast-scan", batch] = lambda f=rabitq, Q=Q: f(Q, K)
            if nbytes == 48 and batch != 1000:  # see `few`
                jobs["USearch exact", batch] = lambda f=exact, Q=Q: f(Q, K)
            if nbytes == 48 and batch in (1, 256) and "avx512" in kernels.info()["available"]:
                jobs["Hamming, avx2", batch] = held.hamming(batch, path="avx2")
                jobs["asymmetric, avx2", batch] = held.asymmetric(batch, path="avx2")
        found += bench.rows(jobs, nbytes=nbytes, rows=bench.million, threads=1)
    return found


def few(bench):
    """USearch's batches of 1,000, on a tenth of the rows: on all of them a call takes 40 s."""
    held = Codes(bench, 48, bench.million // 10)
    exact = peers.usearch_exact(held.codes, 1)
    jobs = {
        ("USearch exact", 1000): lambda: exact(held.queries, K),
        ("Hamming", 1000): held.hamming(1000),
        ("asymmetric", 1000): held.asymmetric(1000),
    }
    return bench.rows(jobs, 2, nbytes=48, rows=held.rows, threads=1)


def threads(bench):
    """48 bytes on two threads."""
    held = Codes(bench, 48, bench.million)
    one = peers.binary(held.codes)
    fast = peers.fast_scan(bench.million, 48, bench.random)
    faiss.omp_set_num_threads(2)
    jobs = {}
    for batch in (1, 256):
        Q = held.queries[:batch]
        jobs["Hamming", batch] = held.hamming(batch, 2)
        jobs["asymmetric", batch] = held.asymmetric(batch, 2)
        jobs["FAISS IndexBinaryFlat", batch] = lambda Q=Q: one(Q, K)
        jobs["FAISS PQ fast-scan", batch] = lambda Q=Q: fast(Q, K)
    found = bench.rows(jobs, nbytes=48, rows=bench.million, threads=2)
    faiss.omp_set_num_threads(1)
    return found


def large(bench):
    """Ten million rows."""
    found = []
    for nbytes in (24, 48, 96, 156):
        held = Codes(bench, nbytes, 10 * bench.million)
        jobs = {}
        for batch in (1, 256) if nbytes == 48 else (1,):
            jobs["Hamming", batch] = held.hamming(batch)
            jobs["asymmetric", batch] = held.asymmetric(batch)
        one = peers.binary(held.codes)
        jobs["FAISS IndexBinaryFlat", 1] = lambda one=one, Q=held.queries[:1]: one(Q, K)
        if nbytes == 48:
            fast = peers.fast_scan(bench.million, 48, bench.random, copies=10)
            for batch in (1, 256):
                some = held.queries[:batch]
                jobs["FAISS PQ fast-scan", batch] = lambda fast=fast, some=some: fast(some, K)
        jobs |= reads(held.blocks)
        found += bench.rows(jobs, 3, nbytes=nbytes, rows=10 * bench.million, threads=1)
    return found


def float32(bench):
    """Flat float32 vectors of 384 dims against codes of 48 bytes."""
    rows = bench.million
    held = Codes(bench, 48, rows)
    X = np.resize(data.vectors(20_000, seed=1), (rows, 384))
    Q = data.vectors(1000, seed=2)
    flat_faiss = peers.flat_float(X)

    def blas(some):
        best = []
        for start in range(0, rows, 50_000):
            scores = some @ X[start : start + 50_000].T
            near = np.argpartition(-scores, K, axis=1)[:, :K]
            best.append(np.take_along_axis(scores, near, axis=1))
        return np.sort(np.concatenate(best, axis=1), axis=1)[:, -K:]

    jobs = {}
    for batch in (1, 1000):
        some = Q[:batch]
        jobs["FAISS IndexFlatIP", batch] = lambda some=some: flat_faiss(some, K)
        jobs["BLAS and top-k", batch] = lambda some=some: blas(some)
        jobs["Hamming", batch] = held.hamming(batch)
        jobs["asymmetric", batch] = held.asymmetric(batch)
    return bench.rows(jobs, 3, nbytes=48, rows=rows, threads=1)


def graphs(bench):
    """What is not flat elsewhere: FAISS IVF and USearch HNSW, on a fifth of the rows."""
    rows = bench.million // 5
    held = Codes(bench, 48, rows)
    truth = held.hamming(1000)()[0]
    ivf, hnsw = peers.binary_ivf(held.codes), peers.usearch_hnsw(held.codes, 2)
    scan = peers.ivf_fast_scan(rows, bench.random)
    jobs = {}
    for batch in (1, 256):
        Q = held.queries[:batch]
        jobs["FAISS IndexBinaryIVF", batch] = lambda Q=Q: ivf(Q, K)
        jobs["FAISS IVF PQ fast-scan", batch] = lambda Q=Q: scan(Q, K)
        jobs["USearch HNSW", batch] = lambda Q=Q: hnsw(Q, K)
        jobs["Hamming", batch] = held.hamming(batch)
    found = bench.rows(jobs, nbytes=48, rows=rows, threads=1)
    for name, ids in (
        ("FAISS IndexBinaryIVF", ivf(held.queries, K)[1]),
        ("USearch HNSW", hnsw(held.queries, K).keys),
    ):
        hits = [len(set(a) & set(b)) / K for a, b in zip(truth, ids, strict=True)]
        found.append({"engine": f"recall of {name}", "value": float(np.mean(hits))})
    return found


def quality(bench):
    """nDCG@10 of the engines on real collections; needs QAMA_DATA."""
    names = quality_of.available()[: 1 if bench.quick else None]
    general = quality_of.general(bench.codec) if names else None
    found = [row for name in names for row in quality_of.small(name)]
    return found + [row for n in names for row in quality_of.funnel(bench.codec, n, general)]


PARTS = {
    "flat": flat, "few": few, "threads": threads, "large": large, "float32": float32,
    "features": features, "partitions": partitions, "graphs": graphs, "quality": quality,
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("bench/results/speed.json"))
    args = parser.parse_args()
    faiss.omp_set_num_threads(1)
    bench = Bench(args.quick)
    kept = json.loads(args.out.read_text())["results"] if args.out.exists() else {}
    results = {part: kept[part] for part in PARTS if part in kept}
    for part in args.only:
        started = time.perf_counter()
        results[part] = PARTS[part](bench)
        print(f"{part}: {time.perf_counter() - started:.0f} s", flush=True)
        rows = targets(results)
        more = {"quick": args.quick, "kernel": kernels.info()["path"], "targets": rows}
        write_record(args.out, {name: results[name] for name in PARTS if name in results}, **more)
    for row in rows:
        met = {True: "met", False: "MISSED", None: "not run"}[row["met"]]
        print(f"{met:8s} {row['target']}: {row['measured']}")


if __name__ == "__main__":
    main()
