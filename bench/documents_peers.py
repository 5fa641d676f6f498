"""Documents beside other embedded stores: bytes on disk, adding, searching, filtering, recall.

    pip install lancedb chromadb sqlite-vec apsw
    python bench/documents_peers.py --documents 100000

The same drawn documents as in documents.py go into each store as it is by default, peers with
float32 vectors: LanceDB (a scan, with a scalar index on the field), Chroma (HNSW), sqlite-vec (a
scan, the field a column of its own). Recall is of the ten nearest by cosine. Stores that are not
installed are passed over.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from _record import Rows
from documents import BYTES, DIMS, ROOT, median_ms, seconds, texts, vectors

import qama
from qama.evaluation.baselines import float_hits
from qama.quantizers.vectors import unit

K, PIECE = 10, 5000


class Qama:
    """Documents with 48 byte codes."""

    name = f"qama, {BYTES} B"

    def __init__(self, folder, sample):
        self.codec = qama.fit(sample, max_bytes=BYTES)
        self.docs = qama.Documents.create(f"{folder}/docs", self.codec, nbytes=BYTES)

    def add(self, ids, X, words, years):
        self.docs.add(ids, X, words, [{"year": year} for year in years])

    def finish(self):
        self.docs.create_index("year")

    def search(self, q):
        return self.docs.search(q, K).ids

    def filter(self, q, year):
        return self.docs.search(q, K, where={"year": year}).ids

    def close(self):
        self.docs.close()


class LanceDB:
    """A table of vectors, ids, texts and years."""

    name = "LanceDB, float32"

    def __init__(self, folder, sample):
        import lancedb
        import pyarrow as pa

        self.arrow, self.base = pa, lancedb.connect(folder)
        kinds = {"id": pa.string(), "vector": pa.list_(pa.float32(), DIMS), "text": pa.string()}
        self.table = self.base.create_table("t", schema=pa.schema({**kinds, "year": pa.int64()}))

    def add(self, ids, X, words, years):
        X = self.arrow.FixedSizeListArray.from_arrays(self.arrow.array(X.ravel()), DIMS)
        self.table.add(
            self.arrow.table({"id": ids, "vector": X, "text": words, "year": list(years)})
        )

    def finish(self):
        self.table.create_scalar_index("year")

    def _found(self, q, where=None):
        asked = self.table.search(q).distance_type("cosine").limit(K)
        if where:
            asked = asked.where(where, prefilter=True)
        return asked.select(["id", "text", "year", "_distance"]).to_arrow()["id"].to_pylist()

    def search(self, q):
        return self._found(q)

    def filter(self, q, year):
        return self._found(q, f"year = {year}")

    def close(self):
        self.base = self.table = None


class Chroma:
    """A collection with an HNSW graph."""

    name = "Chroma, float32, HNSW"

    def __init__(self, folder, sample):
        import chromadb

        self.client = chromadb.PersistentClient(folder)
        self.items = self.client.create_collection(
            "documents", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
        )

    def add(self, ids, X, words, years):
        for at in range(0, len(ids), PIECE):
            part = slice(at, at + PIECE)
            fields = [{"year": year} for year in years[part]]
            self.items.add(
                ids=ids[part], embeddings=X[part], documents=words[part], metadatas=fields
            )

    def finish(self):
        pass

    def search(self, q):
        return self.items.query(query_embeddings=q[None], n_results=K)["ids"][0]

    def filter(self, q, year):
        found = self.items.query(query_embeddings=q[None], n_results=K, where={"year": year})
        return found["ids"][0]

    def close(self):
        self.client = self.items = None


class SqliteVec:
    """A virtual table of vectors beside a table of documents."""

    name = "sqlite-vec, float32"

    def __init__(self, folder, sample):
        import apsw  # the SQLite of a Python may load no extensions
        import sqlite_vec

        self.base = apsw.Connection(f"{folder}/x.sqlite")
        self.base.enable_load_extension(True)
        self.base.load_extension(sqlite_vec.loadable_path())
        self.base.execute(
            "CREATE TABLE d (n INTEGER PRIMARY KEY, id TEXT UNIQUE, text TEXT, metadata TEXT)"
        )
        self.base.execute(
            f"CREATE VIRTUAL TABLE v USING vec0(n INTEGER PRIMARY KEY, "
            f"x float[{DIMS}] distance_metric=cosine, year INTEGER)"
        )
        self.count = 0

    def add(self, ids, X, words, years):
        numbers = range(self.count, self.count + len(ids))
        self.count += len(ids)
        fields = [json.dumps({"year": year}) for year in years]
        self.base.execute("BEGIN")
        self.base.executemany(
            "INSERT INTO d VALUES (?, ?, ?, ?)", zip(numbers, ids, words, fields, strict=True)
        )
        self.base.executemany(
            "INSERT INTO v VALUES (?, ?, ?)",
            zip(numbers, (x.tobytes() for x in X), years, strict=True),
        )
        self.base.execute("COMMIT")

    def finish(self):
        pass

    def _found(self, q, where="", *values):
        sql = f"SELECT n FROM v WHERE x MATCH ? AND k = {K} {where} ORDER BY distance"
        numbers = [n for (n,) in self.base.execute(sql, (q.tobytes(), *values))]
        marks = ", ".join("?" * len(numbers))
        rows = self.base.execute(f"SELECT n, id, text FROM d WHERE n IN ({marks})", numbers)
        known = {n: key for n, key, _ in rows}
        return [known[n] for n in numbers]

    def search(self, q):
        return self._found(q)

    def filter(self, q, year):
        return self._found(q, "AND year = ?", year)

    def close(self):
        self.base.close()


STORES = (Qama, LanceDB, Chroma, SqliteVec)


def recall(search, queries, wanted):
    """Return the share of the ids wanted that a search finds."""
    found = [len({*search(q)} & {*ids}) for q, ids in zip(queries, wanted, strict=True)]
    return sum(found) / sum(map(len, wanted))


def measure(kind, folder, count, seed):
    rng = np.random.default_rng(seed)
    basis = rng.standard_normal((48, DIMS), dtype=np.float32)
    sample, X, queries = (vectors(rng, basis, n) for n in (8000, count, 100))
    ids, words = [f"document-{i}" for i in range(count)], texts(rng, count)
    years = (np.arange(count) % 100).tolist()
    store = kind(folder, sample)
    adding = seconds(lambda: store.add(ids, X, words, years))
    store.finish()
    near = float_hits(unit(X), unit(queries), K).ids
    some = np.arange(7, count, 100)
    within = some[float_hits(unit(X[some]), unit(queries), K).ids]
    found = {
        "add_s": adding,
        "search_ms": median_ms(store.search, queries),
        "filter_ms": median_ms(lambda q: store.filter(q, 7), queries),
        "recall": recall(store.search, queries, [[ids[i] for i in row] for row in near]),
        "recall_filtered": recall(
            lambda q: store.filter(q, 7), queries, [[ids[i] for i in row] for row in within]
        ),
    }
    store.close()
    size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return found | {"bytes_per_document": size / count}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/documents_peers.json")
    args = parser.parse_args()
    rows = Rows(args.out, ("store", "documents"), args.seed)
    for kind in STORES:
        folder = tempfile.mkdtemp()
        try:
            if rows.lacks(kind.name, args.documents):
                found = measure(kind, folder, args.documents, args.seed)
                rows.add(store=kind.name, documents=args.documents, **found)
        except ImportError as error:
            print(f"{kind.name}: passed over ({error})", flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
