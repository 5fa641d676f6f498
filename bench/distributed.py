"""Folders of vectors encoded on a Ray cluster: time against one process, and what a kill costs.

    python bench/distributed.py --rows 5000000 --files 64

Synthetic vectors of a falling spectrum (float16) in Parquet files; a cluster of nodes that are
processes of this machine, one CPU each. The same folder is encoded by one process on one thread; on
the cluster; on the cluster while one node of it is killed; and by a driver that is killed, then
started again. Each time the checksums of all files must be those of the one process, and no file
may be written twice. Cores of this machine are all that there is: where they are fewer than nodes,
times say what a cluster costs, and not what it gains.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from _record import write_record

from qama import distributed

RESULTS = Path(__file__).parent / "results" / "distributed.json"
NODES = 4
FITTED = 32_768  # rows
DRIVER = """
import os, signal, sys, ray, qama
address, source, codec, out, nbytes, files = sys.argv[1:]
ray.init(address=address, log_to_driver=False)
def kill(step):
    if step.files >= int(files):
        os.kill(os.getpid(), signal.SIGKILL)
codec = qama.Codec.load(codec)
qama.distributed.encode(source, codec, out, nbytes=int(nbytes), progress=kill)
"""


def make(folder, rows, files, dims, seed):
    """Write the vectors; returns their bytes on disk."""
    import pyarrow as pa
    from pyarrow import parquet

    folder.mkdir()
    cuts = np.linspace(0, rows, files + 1).astype(int)
    spectrum = ((1 + np.arange(dims)) ** -0.5).astype(np.float32)
    for i in range(files):
        ids = np.arange(cuts[i], cuts[i + 1])
        random = np.random.default_rng([seed, i])
        X = random.standard_normal((len(ids), dims), dtype=np.float32) * spectrum
        flat = pa.array(X.astype(np.float16).reshape(-1))
        made = pa.table({"id": ids, "embedding": pa.FixedSizeListArray.from_arrays(flat, dims)})
        parquet.write_table(made, folder / f"{i:05}.parquet", compression="none")
    return sum(file.stat().st_size for file in folder.iterdir())


class Watch:
    """Counts how often each file takes its place in a folder, looking twenty times a second."""

    def __init__(self, folder):
        self.folder, self.seen, self._over = folder, {}, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self):
        while not self._over.wait(0.05):
            self.look()

    def look(self):
        for file in self.folder.glob("*.parquet"):
            found = file.stat()
            self.seen.setdefault(file.name, set()).add((found.st_ino, found.st_mtime_ns))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self.look()

    @property
    def twice(self):
        return sum(len(times) > 1 for times in self.seen.values())


def measure(run, folder, expected=None):
    """Run, and return what came of it: seconds, rows, files that were written twice."""
    began = time.perf_counter()
    with Watch(folder) as watch:
        more = run(folder) or {}
    made = distributed.Manifest.from_json((folder / "_manifest.json").read_text(), str(folder))
    sums = [(record.name, record.ids, record.codes) for record in made.files]
    row = {
        "seconds": round(time.perf_counter() - began, 1),
        "rows": made.rows,
        "files": len(made.files),
    }
    row |= {"twice": watch.twice, "equal": expected is None or sums == expected, **more}
    row["load"] = round(os.getloadavg()[0], 1)  # others on the machine make all of it slower
    print(folder.name, row, flush=True)
    return row, sums


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--files", type=int, default=64)
    parser.add_argument("--dims", type=int, default=96)
    parser.add_argument("--nbytes", type=int, default=8)
    parser.add_argument("--folder", help="where vectors and codes lie meanwhile")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        found = {}
        for name, row in ways(args, Path(folder)):
            found[name] = row
            write_record(args.output, found, **sizes(args))


def sizes(args):
    kinds = ("rows", "files", "dims", "nbytes")
    usable = len(os.sched_getaffinity(0))
    return {
        "usable_cores": usable,
        "nodes": NODES,
        "dtype": "float16",
        **{kind: getattr(args, kind) for kind in kinds},
    }


def ways(args, folder):
    """Yield the name and the row of each way, as it was measured."""
    import ray
    from ray.cluster_utils import Cluster

    source = folder / "vectors"
    nbytes = make(source, args.rows, args.files, args.dims, 0)
    yield "vectors", {"bytes": nbytes}
    began = time.perf_counter()
    codec = distributed.fit(source, rows=FITTED, on="local", max_bytes=args.nbytes, threads=1)
    yield "fit", {"seconds": round(time.perf_counter() - began, 1), "rows": FITTED}
    codec.save(folder / "my.codec")
    options = {"on": "ray", "nbytes": args.nbytes}

    def one(out):
        code = (
            "import re, sys, qama\n"
            "qama.distributed.encode(sys.argv[1], qama.Codec.load(sys.argv[2]), sys.argv[3], "
            f"nbytes={args.nbytes}, on='local')\n"
            "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
        )
        run = [sys.executable, "-c", code, source, folder / "my.codec", out]
        said = subprocess.run(run, check=True, capture_output=True, text=True).stdout
        return {"peak_mb": round(int(said) / 1024)}

    row, sums = measure(one, folder / "one")
    yield "one process", row
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20) for _ in range(NODES)]
    ray.init(address=cluster.address, log_to_driver=False)

    def on_cluster(out):
        distributed.encode(source, codec, out, **options)

    def killed_node(out):
        def kill(step):
            if step.files == args.files // 3:
                cluster.remove_node(nodes.pop(), allow_graceful=False)

        distributed.encode(source, codec, out, progress=kill, **options)

    def killed_driver(out):
        asked = [cluster.address, source, folder / "my.codec", out, args.nbytes, args.files // 3]
        began = time.perf_counter()
        run = subprocess.run([sys.executable, "-c", DRIVER, *map(str, asked)], capture_output=True)
        assert run.returncode == -signal.SIGKILL, run.stderr.decode()
        first = time.perf_counter() - began
        there = len(list(out.glob("*.parquet")))
        distributed.encode(source, codec, out, **options)
        return {"until_the_kill": round(first, 1), "there_then": there}

    yield "cluster", measure(on_cluster, folder / "cluster", sums)[0]
    yield "a node killed", measure(killed_node, folder / "node", sums)[0]
    cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    yield "the driver killed", measure(killed_driver, folder / "driver", sums)[0]
    began = time.perf_counter()
    on_cluster(folder / "driver")
    yield "again, all done", {"seconds": round(time.perf_counter() - began, 1)}
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
