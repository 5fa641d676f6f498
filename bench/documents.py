"""What documents cost beside codes alone: adding, opening, searching, filtering, bytes on disk.

    python bench/documents.py --documents 1000000

Documents of 200 characters with 48 byte codes of drawn vectors (384 dims). Times of searches are
medians of single queries in ms, those of an index in memory beside them. "1 %" is a filter on an
indexed field that every hundredth document passes, another value with each query; "1 % again" the
same one every time.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from _record import write_record

import qama

ROOT = Path(__file__).parent.parent
DIMS, BYTES, BATCH, CHARACTERS = 384, 48, 100_000, 200
ENDS = ("n", "r", "st", "lo", "mi")
WORDS = [a + b + c for a in "bdfghklmnprst" for b in "aeiou" for c in ENDS]


def vectors(rng, basis, count):
    """Rows of few directions and noise, as embeddings have."""
    rows = rng.standard_normal((count, len(basis)), dtype=np.float32) @ basis
    return rows + 0.3 * rng.standard_normal((count, DIMS), dtype=np.float32)


def texts(rng, count):
    chosen = rng.integers(len(WORDS), size=(count, CHARACTERS // 4))
    return [" ".join(WORDS[i] for i in row)[:CHARACTERS] for row in chosen]


def seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median_ms(search, queries):
    search(queries[0])
    return 1e3 * statistics.median(seconds(lambda q=q: search(q)) for q in queries)


def fill(docs, index, count, rng, basis, threads):
    """Add documents; returns the seconds of encoding and of adding the first ones, and of all."""
    first, total = None, 0.0
    for start in range(0, count, BATCH):
        n = min(BATCH, count - start)
        X, words = vectors(rng, basis, n), texts(rng, n)
        ids = [f"document-{i}" for i in range(start, start + n)]
        fields = [{"year": i % 100, "source": "wiki" if i % 3 else "web"} for i in range(n)]
        started = time.perf_counter()
        codes = docs.codec.encode(X, nbytes=BYTES, threads=threads)
        encoding = time.perf_counter() - started
        adding = seconds(lambda: docs.add(ids, X, words, fields, threads=threads))  # noqa: B023
        index.add_codes(codes)
        first = first or (encoding, adding)
        total += adding
    return *first, total


def measure(folder, count, fulltext, threads, seed):
    rng = np.random.default_rng(seed)
    basis = rng.standard_normal((48, DIMS), dtype=np.float32)
    codec = qama.fit(vectors(rng, basis, 8000), max_bytes=BYTES, threads=threads)
    docs = qama.Documents.create(folder, codec, nbytes=BYTES, fulltext=fulltext)
    index = qama.Index(codec, nbytes=BYTES)
    encoding, adding, total = fill(docs, index, count, rng, basis, threads)
    indexing = seconds(lambda: docs.create_index("year"))
    docs.close()
    size = sum(file.stat().st_size for file in Path(folder).iterdir())
    opened = []
    opening = seconds(lambda: opened.append(qama.Documents.open(folder)))
    docs, queries = opened[0], vectors(rng, basis, 200)
    options = {"k": 10, "threads": threads}
    year = iter(np.resize(np.arange(100), 10**6).tolist())
    alone = median_ms(lambda q: index.search(q[None], **options), queries)
    found = {
        "documents": count, "fulltext": fulltext, "threads": threads,
        "encode_100k_s": encoding, "add_100k_s": adding, "add_all_s": total,
        "create_index_s": indexing, "open_s": opening, "bytes_per_document": size / count,
        "index_ms": alone,
        "search_ms": median_ms(lambda q: docs.search(q, **options), queries),
        "filter_ms": median_ms(
            lambda q: docs.search(q, where={"year": next(year)}, **options), queries
        ),
        "filter_again_ms": median_ms(
            lambda q: docs.search(q, where={"year": 7}, **options), queries
        ),
    }  # fmt: skip
    if fulltext:
        asked = iter(texts(rng, 10**4))
        found["words_ms"] = median_ms(
            lambda q: docs.search(text=next(asked)[:15], k=10), queries[:20]
        )
    docs.close()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/documents.json")
    args = parser.parse_args()
    rows = []
    for fulltext in (True, False):
        folder = tempfile.mkdtemp()
        try:
            rows.append(
                measure(f"{folder}/docs", args.documents, fulltext, args.threads, args.seed)
            )
        finally:
            shutil.rmtree(folder)
        for name, value in rows[-1].items():
            print(f"{name:>20} {value:.4g}", flush=True)
    write_record(args.out, rows, args.seed)


if __name__ == "__main__":
    main()
