"""What is measured through `qama.Index`, not the kernels alone."""

import ctypes
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import speed_data as data
from speed_data import K

import qama
from qama.search.rows.entries import Columns, joined
from qama.search.storage.loading import State


def features(bench):
    """Through `qama.Index`: filters, funnel, adding codes, opening, memory."""
    rows = bench.million
    codes = bench.codes(48, rows)
    index = qama.Index(bench.codec, nbytes=48)
    started = time.perf_counter()
    index.add_codes(codes)
    adding = time.perf_counter() - started
    Q = data.vectors(256, seed=2)
    index.search(Q[:1], K)  # makes the inverse norms
    share = bench.random.random(rows)
    chosen = {
        "all": None,
        "random 1 %": index.filter(share < 0.01),
        "random 0.1 %": index.filter(share < 0.001),
        "contiguous 1 %": index.filter(np.arange(rows) // (rows // 100) == 50),
    }
    jobs = {
        (f"filter: {name}", 1): lambda f=f: index.search(Q[:1], K, filter=f, threads=1)
        for name, f in chosen.items()
    }
    jobs["funnel", 1] = lambda: index.search(Q[:1], K, threads=1, funnel=True)
    found = bench.rows(jobs, nbytes=48, rows=rows, threads=1)
    full, short = (index.search(Q, K, threads=1, funnel=f).ids for f in (False, True))
    kept = np.mean([len(set(a) & set(b)) / K for a, b in zip(full, short, strict=True)])
    found.append({"engine": "funnel recall", "value": float(kept)})
    found.append({"engine": "add codes", "value": codes.nbytes / adding / 1e9, "unit": "GB/s"})
    return [*found, *funnels(bench), memory(bench, codes), *opening(bench, codes), *single(bench)]


def single(bench):
    """A thousand additions of one row, without lists and with 64: milliseconds each."""
    X, found = data.vectors(3000, seed=3), []
    for nlist in (None, 64):
        index, times = qama.Index(bench.codec, nbytes=48, nlist=nlist), []
        index.add(X[:2000])
        for row in range(2000, 3000):
            started = time.perf_counter()
            index.add(X[row : row + 1], threads=1)
            times.append(1e3 * (time.perf_counter() - started))
        found.append({
            "engine": "add one row", "nlist": nlist, "value": float(np.mean(times)), "unit": "ms",
            "median": float(np.median(times)), "p99": float(np.quantile(times, 0.99)),
        })  # fmt: skip
    return found


def funnels(bench):
    """The flat scan and the funnel behind longer codes, whose prefixes are longer too."""
    found, Q = [], data.vectors(256, seed=2)
    for nbytes in (96, 192):
        index = qama.Index(bench.codec, nbytes=nbytes)
        index.add_codes(bench.codes(nbytes, bench.million))
        jobs = {
            ("filter: all", 1): lambda i=index: i.search(Q[:1], K, threads=1),
            ("funnel", 1): lambda i=index: i.search(Q[:1], K, threads=1, funnel=True),
        }
        found += bench.rows(jobs, nbytes=nbytes, rows=len(index), threads=1)
        full, short = (index.search(Q, K, threads=1, funnel=f).ids for f in (False, True))
        kept = np.mean([len(set(a) & set(b)) / K for a, b in zip(full, short, strict=True)])
        found.append({"engine": f"funnel recall, {nbytes} B", "value": float(kept)})
    return found


def memory(bench, codes):
    """What an index with given ids takes up, as a share of its codes and ids."""
    before = resident()
    index = qama.Index(bench.codec, nbytes=48)
    index.add_codes(codes, ids=3 * np.arange(len(codes)))
    index.search(data.vectors(1, seed=2), K)
    share = (resident() - before) / (codes.nbytes + 8 * len(codes))
    return {"engine": "resident memory", "value": share, "rows": len(index)}


def resident():
    """Bytes of this process in memory, without what the allocator keeps of what was freed."""
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def opening(bench, codes):
    """Ten million rows in a file: milliseconds to open."""
    index = qama.Index(bench.codec, nbytes=48)
    for _ in range(10):
        index.add_codes(codes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        index.save(path)
        del index
        times = []
        for _ in range(5):
            started = time.perf_counter()
            qama.Index.open(path)
            times.append(time.perf_counter() - started)
    return [{"engine": "open", "value": 1e3 * float(np.median(times)), "unit": "ms",
             "rows": 10 * len(codes)}]  # fmt: skip


def partitions(bench):
    """Ten million vectors in lists, against the flat scan of the same pool."""
    rows, nlist = 10 * bench.million, 512 if bench.quick else 2048
    base = data.vectors(48_000, seed=3)
    index = qama.Index(bench.codec, nbytes=48, nlist=nlist)
    started = time.perf_counter()
    index.add(base)
    adding = (time.perf_counter() - started) / len(base)
    # copies of the base codes with flipped bits join the lists of their originals
    lists = index._now.lists.numbers_of(np.arange(len(base)))
    stored = bench.codec.encode(base, nbytes=48)
    for start in range(len(base), rows, 1_008_000):
        copies = -(-min(1_008_000, rows - start) // len(base))
        some = data.noisy(stored, copies * len(base), bench.random)
        ids = np.arange(start, start + len(some))
        entries = joined(Columns(some, numbers=np.tile(lists, copies)[: len(some)]))
        index._state = State(index._now.changed(ids, entries), None)
    Q = data.vectors(400, seed=4) + 0.02 * bench.random.standard_normal((400, 384))
    Q = Q.astype(np.float32)
    curve = index.calibrate(Q[:200])
    nprobe = int(np.searchsorted(curve, 0.95)) + 1
    truth = index.search(Q[200:], K, nprobe=nlist).ids
    found = index.search(Q[200:], K, nprobe=nprobe, threads=1).ids
    recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(truth, found, strict=True)])
    jobs = {
        ("partitions", 1): lambda: index.search(Q[:1], K, nprobe=nprobe, threads=1),
        ("flat", 1): lambda: index.search(Q[:1], K, nprobe=nlist, threads=1),
    }
    result = bench.rows(jobs, nbytes=48, rows=len(index), threads=1, nprobe=nprobe)
    read = [
        {"engine": "recall by lists", "nprobe": int(i), "recall": float(curve[i - 1]),
         "share of bytes read": float(i / nlist)}
        for i in (1, 2, 4, 8, 16, 32, 64, 128, 256, nlist) if i <= nlist
    ]  # fmt: skip
    extra = {"engine": "recall", "value": float(recall), "nprobe": nprobe, "nlist": nlist}
    return [*result, extra, *read, {"engine": "add", "value": 1e6 * adding, "unit": "us a row"}]
