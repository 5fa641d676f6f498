"""How many queries `qama serve` answers, and how long each waits: bench/results/serving.json.

    python bench/serving.py                       # 200,000 vectors, 10 s for each number of clients
    python bench/serving.py --rows 1000000 --seconds 30

The server is a process of its own over an index file; this one is all the clients, each of which
asks one query at a time over a connection that stays open. Both share the cores of the machine, so
that the numbers are those of a small machine, and not what the kernels can do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from _record import Rows

import qama

RESULTS = Path(__file__).parent / "results" / "serving.json"
CLIENTS = (1, 32, 256)
DIMS, NBYTES, QUERIES, SEED = 384, 48, 512, 0


def vectors(rows, seed):
    """Vectors of 256 clusters in 64 of the dims, as embeddings have them."""
    shapes, random = np.random.default_rng(SEED), np.random.default_rng(seed)
    centers, basis = shapes.standard_normal((256, 64)), shapes.standard_normal((64, DIMS))
    low = centers[random.integers(256, size=rows)] + random.standard_normal((rows, 64))
    return (low @ basis + random.standard_normal((rows, DIMS))).astype(np.float32)


def make_index(path, rows):
    codec = qama.fit(vectors(min(20_000, rows), 1), max_bytes=NBYTES)
    index = qama.Index(codec, nbytes=NBYTES)
    for start in range(0, rows, 100_000):
        index.add(vectors(min(100_000, rows - start), 2 + start))
    index.save(path)


@contextmanager
def server(path, *options):
    """Yield the port of a server; stop it afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "qama", "serve", str(path), "--port", "0", *options],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    port = json.loads(process.stderr.readline())["port"]
    drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()
        drain.wait()


def requests():
    """Queries as the bytes of HTTP requests."""
    for row in vectors(QUERIES, 99):
        body = json.dumps({"queries": [row.tolist()], "k": 10}).encode()
        head = (
            "POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        yield head.encode() + body


async def client(port, asked, offset, until, seconds, errors):
    """Ask one query after the other until a time; note how long each took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    at = offset
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(asked[at % len(asked)])
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))
        seconds.append(time.perf_counter() - began)
        if not head.startswith(b"HTTP/1.1 200"):
            errors.append(head[:12].decode())
        at += 1
    writer.close()
    await writer.wait_closed()


async def load(port, asked, clients, duration):
    """The seconds of every request of so many clients, and what failed."""
    seconds, errors = [], []
    until = time.perf_counter() + duration
    every = (client(port, asked, 17 * i, until, seconds, errors) for i in range(clients))
    for end in await asyncio.gather(*every, return_exceptions=True):
        if end is not None:
            errors.append(repr(end))
    return np.array(seconds), errors


def gathered(port):
    """Queries of a call, on average, since the server began: sum and count."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        told = answer.read().decode()
    return [
        float(re.search(rf"qama_batch_queries_{name} (\S+)", told)[1]) for name in ("sum", "count")
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--wait-ms", type=float, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    rows = Rows(given.output, ("rows", "wait_ms", "clients"), SEED)
    asked = list(requests())
    with tempfile.TemporaryDirectory() as folder:
        make_index(Path(folder) / "bench.qama", given.rows)
        with server(Path(folder) / "bench.qama", "--wait-ms", str(given.wait_ms)) as port:
            asyncio.run(load(port, asked, 8, 1))  # nothing is cold any more
            for clients in CLIENTS:
                before = gathered(port)
                seconds, errors = asyncio.run(load(port, asked, clients, given.seconds))
                queries, calls = (a - b for a, b in zip(gathered(port), before, strict=True))
                p50, p99 = np.percentile(seconds, [50, 99]) * 1000
                rows.add(
                    rows=given.rows, wait_ms=given.wait_ms, clients=clients,
                    seconds=given.seconds, requests=len(seconds), errors=len(errors),
                    per_second=len(seconds) / given.seconds, p50_ms=p50, p99_ms=p99,
                    queries_per_call=queries / calls, failures=sorted({*errors}),
                )  # fmt: skip


if __name__ == "__main__":
    main()
