"""What wide vectors cost and keep: bench/results/wide.json.

    QAMA_DATA=../shared python bench/wide.py                                  some minutes
    python bench/wide.py --sizes 1536x4000 --max-bytes 48 --out x.json        small

No wide model can be had here, so vectors are made wide: a fixed random network (tanh, 3,072 units)
turns MiniLM's vectors into as many dims as wanted, and spreads them over far more axes than they
had. Each size runs in a process of its own. `fit_seconds` and `fit_cpu`: of qama.fit on all cores;
`fit_mb`: the most memory that it took beyond the vectors; `codec_mb`: the codec as a file;
`encode`: vectors a second of one core, 48 bytes; `query_ms`: lookup tables of one query, 48 bytes,
one core; `fitted` and `unseen`: squared error over variance by bytes, of rows of the fit and of
others; `outside`: the share of the variance of others that lies outside of the codec's axes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _record import write_record
from quality_data import COLLECTIONS, data_folder, vectors

import qama

MODEL, UNITS, UNSEEN, ENCODED = "all-minilm-l6-v2", 3072, 3000, 3000
LENGTHS = (11, 23, 47, 95)


def widened(X: np.ndarray, dims: int) -> np.ndarray:
    """Return what the network makes of vectors (n, 384): float32 (n, dims)."""
    random = np.random.default_rng(0)
    first = 1.5 * random.standard_normal((X.shape[1], UNITS), dtype=np.float32)
    shift = 0.5 * random.standard_normal(UNITS, dtype=np.float32)
    second = random.standard_normal((UNITS, dims), dtype=np.float32)
    made = np.empty((len(X), dims), np.float32)
    for start in range(0, len(X), 4096):
        some = slice(start, start + 4096)
        made[some] = np.tanh(X[some] @ first + shift) @ second
    return made


def memory() -> float:
    """Return the most MB that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def seconds(work, clock=time.thread_time) -> float:
    began = clock()
    work()
    return clock() - began


def error(codec, U: np.ndarray, nbytes: int) -> float:
    decoded = codec.decode(codec.encode(U, nbytes=nbytes), nbytes=nbytes)
    spread = np.square(U - U.mean(axis=0)).sum()
    return round(float(np.square(U - decoded).sum() / spread), 4)


def outside(codec, U: np.ndarray) -> float:
    """Return the share of the variance that the codec's axes leave out."""
    axes = codec.additive.axes
    if axes is None:
        return 0.0
    centred = U - U.mean(axis=0)
    kept = np.square(axes.projected(centred)).sum() / np.square(centred).sum()
    return round(1 - float(kept), 4)


def measured(dims: int, rows: int, max_bytes: int) -> dict[str, object]:
    """Return what one size costs and keeps."""
    names = [f"{name}.docs" for name in COLLECTIONS]
    X = np.concatenate([vectors(MODEL, name) for name in ("train-text", *names)])
    X = X[np.random.default_rng(1).permutation(len(X))[: rows + UNSEEN]]
    wide = widened(X, dims)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    fitted, unseen = wide[:-UNSEEN], wide[-UNSEEN:]
    before, cpu, began = memory(), time.process_time(), time.perf_counter()
    codec = qama.fit(fitted, seed=0, max_bytes=max_bytes)
    took, spent, peak = time.perf_counter() - began, time.process_time() - cpu, memory() - before
    lengths = [nbytes for nbytes in LENGTHS if nbytes <= max_bytes]
    code = codec.code(nbytes=min(48, max_bytes))
    code.encode(unseen[:64], threads=1)
    encoding = seconds(lambda: code.encode(unseen[:ENCODED], threads=1))
    weighing = [seconds(lambda: code.query_tables(unseen[:1], 1)) for _ in range(50)]
    with tempfile.TemporaryDirectory() as folder:
        codec.save(Path(folder) / "codec")
        size = (Path(folder) / "codec").stat().st_size / 1e6
    axes = codec.additive.axes
    return {
        "dims": dims, "rows": len(fitted), "axes": dims if axes is None else axes.count,
        "max_bytes": max_bytes, "fit_seconds": round(took, 1), "fit_cpu": round(spent, 1),
        "fit_mb": round(peak), "codec_mb": round(size, 2), "encode": round(ENCODED / encoding),
        "query_ms": round(1e3 * min(weighing), 4), "outside": outside(codec, unseen),
        "fitted": {n: error(codec, fitted[:UNSEEN], n) for n in lengths},
        "unseen": {n: error(codec, unseen, n) for n in lengths},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["1536x60000", "3072x20000"])
    parser.add_argument("--max-bytes", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path("bench/results/wide.json"))
    parser.add_argument("--one", help=argparse.SUPPRESS)  # a size, in the process of its own
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(*map(int, given.one.split("x")), given.max_bytes)))
        return
    data_folder()  # ends here where there is none
    rows = []
    for size in given.sizes:
        run = [sys.executable, __file__, "--one", size, "--max-bytes", str(given.max_bytes)]
        done = subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True, env=os.environ)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    write_record(given.out, rows)


if __name__ == "__main__":
    main()
