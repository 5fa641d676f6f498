"""How many queries `qama serve` answers, and how long each waits: bench/results/serving.json.

    python bench/serving.py                       # 200,000 vectors, 10 s for each number of clients
    python bench/serving.py --rows 1000000 --seconds 60

The server is a process of its own over an index file; this one is all the clients, each of which
asks one query at a time over a connection that stays open. Both share the cores of the machine, so
that the numbers are those of a small machine, and not what the kernels can do.

Each number of clients is measured alone, and again beside writers, which add documents to a folder
that the same server has, one at a time. The last time the server is killed (SIGKILL) in the middle
of that; then the folder is opened, and every document whose addition was answered has to be there.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
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
WRITERS = 8
INDEX, FOLDER = "index", "library"
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
    return codec


@contextmanager
def server(paths, *options):
    """Yield the port of a server, and the process; stop it afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "qama", "serve", *map(str, paths), "--port", "0", *options],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    line = process.stderr.readline()
    if not line.startswith("{"):
        raise SystemExit(f"qama serve did not start: {line}{process.stderr.read()}")
    port = json.loads(line)["port"]
    drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
    try:
        yield port, process
    finally:
        process.terminate()
        process.wait()
        drain.wait()


def request(path, body):
    """A request as the bytes of HTTP."""
    sent = json.dumps(body).encode()
    head = (
        f"POST /v1/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(sent)}\r\n\r\n"
    )
    return head.encode() + sent


def queries():
    """Queries as requests."""
    for row in vectors(QUERIES, 99):
        yield request("search", {"collection": INDEX, "queries": [row.tolist()], "k": 10})


async def asked(port, requests, until, answered):
    """Send one request after the other over a connection, until a time or the server is gone.

    Args:
        port: Of the server.
        requests: Yields keys and requests.
        until: When to stop.
        answered: Is told the key, the seconds and the status of each.
    """
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for key, sent in requests:
            began = time.perf_counter()
            if began >= until:
                break
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))
            answered(key, time.perf_counter() - began, int(head[9:12]))
        writer.close()
        await writer.wait_closed()
    except (OSError, asyncio.IncompleteReadError) as error:
        answered(None, 0, type(error).__name__)


async def load(port, every, clients, duration, writers=0, kill=None):
    """Ask by so many clients, and write by so many writers, for a time.

    Args:
        port: Of the server.
        every: The queries.
        clients: How many ask.
        duration: Seconds.
        writers: How many add documents meanwhile.
        kill: Kills the server in the middle; None: nobody does.

    Returns:
        The seconds of every query that was answered, what failed, the seconds of every addition
        that was answered, and their ids.
    """
    seconds, failed, written, ids = [], [], [], []

    def searched(_, took, status):
        seconds.append(took) if status == 200 else failed.append(status)

    def added(key, took, status):
        if status != 200:
            failed.append(status)
            return
        written.append(took)
        ids.append(key)

    def documents(number):
        rows = vectors(64, 1000 + number)
        for i in itertools.count():
            key = f"{time.time_ns()}-{number}-{i}"
            body = {"collection": FOLDER, "ids": [key], "vectors": [rows[i % 64].tolist()]}
            yield key, request("add", body)

    until = time.perf_counter() + duration
    work = []
    for i in range(clients):
        own = enumerate(itertools.cycle(every[17 * i % QUERIES :] + every))
        work.append(asked(port, own, until, searched))
    work += [asked(port, documents(i), until, added) for i in range(writers)]
    if kill is not None:
        asyncio.get_running_loop().call_later(duration / 2, kill)
    await asyncio.gather(*work)
    return np.array(seconds), failed, np.array(written), ids


def gathered(port):
    """Queries of a call, on average, since the server began: sum and count."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        told = answer.read().decode()
    return [
        float(re.search(rf"qama_batch_queries_{name} (\S+)", told)[1]) for name in ("sum", "count")
    ]


def milliseconds(seconds, prefix=""):
    """The middle and the slowest hundredth; None of none."""
    found = np.percentile(seconds, [50, 99]) * 1000 if len(seconds) else [None, None]
    return {f"{prefix}{name}_ms": value for name, value in zip(("p50", "p99"), found, strict=True)}


def measured(port, every, clients, duration, writers):
    """One row of the results."""
    before = gathered(port)
    seconds, failed, written, ids = asyncio.run(load(port, every, clients, duration, writers))
    count, calls = (a - b for a, b in zip(gathered(port), before, strict=True))
    row = {
        "requests": len(seconds), "errors": len(failed), "per_second": len(seconds) / duration,
        **milliseconds(seconds), "queries_per_call": count / max(1, calls),
        "failures": sorted({*map(str, failed)}),
    }  # fmt: skip
    if writers:
        row |= {"written_per_second": len(written) / duration, **milliseconds(written, "write_")}
    return row, ids


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--wait-ms", type=float, default=2)
    parser.add_argument("--clients", type=int, nargs="+", default=list(CLIENTS))
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    rows = Rows(given.output, ("rows", "wait_ms", "clients", "writers", "killed"), SEED)
    every = list(queries())
    with tempfile.TemporaryDirectory() as home:
        index, folder, acknowledged = Path(home) / f"{INDEX}.qama", Path(home) / FOLDER, []
        codec = make_index(index, given.rows)
        qama.Documents.create(folder, codec, nbytes=NBYTES).close()
        of = {"rows": given.rows, "wait_ms": given.wait_ms, "seconds": given.seconds}
        options = ("--write", "--wait-ms", str(given.wait_ms), "--max-requests", "1024")
        with server([index, folder], *options) as (port, process):
            asyncio.run(load(port, every, 8, 1))  # nothing is cold any more
            for writers in (0, WRITERS):
                for clients in given.clients:
                    row, ids = measured(port, every, clients, given.seconds, writers)
                    acknowledged += ids
                    rows.add(**of, clients=clients, writers=writers, killed=False, **row)
            clients = min(32, max(given.clients))
            answers = asyncio.run(load(port, every, clients, given.seconds, WRITERS, process.kill))
        acknowledged += answers[3]
        with qama.Documents.open(folder, "a") as documents:
            lost = {*acknowledged} - {*documents.ids()}
            row = {"acknowledged": len(acknowledged), "there": len(documents), "lost": len(lost)}
        rows.add(
            **of, clients=clients, writers=WRITERS, killed=True, requests=len(answers[0]), **row
        )
        if lost:
            raise SystemExit(f"{len(lost)} documents were lost whose addition was answered")


if __name__ == "__main__":
    main()
