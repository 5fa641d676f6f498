"""What the tests of the server share: small documents, an application, a live server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
from starlette.testclient import TestClient

import qama
from qama.server.app import application
from qama.server.keys import Keys
from qama.server.limits import Limits
from qama.server.served import ServedIndex, all_opened
from qama.server.service import Service

GRID = qama.Codec.load(Path(__file__).parent.parent / "golden" / "codec-all.qama")
DIMS = GRID.dims_in
POOL = np.random.default_rng(3).standard_normal((400, DIMS)).astype(np.float32)
COUNT = 300
CODE = {"nbytes": GRID.byte_budgets[-1]}


def embed(texts):
    """A vector of each text, by its letters alone: the same in every process."""
    letters = [np.frombuffer(f"{text:64.64}".encode()[:64], np.uint8) for text in texts]
    return np.array([[np.cos(row * (i + 1.0)).sum() for i in range(DIMS)] for row in letters])


def make_documents(folder, count=COUNT, **options):
    """A folder of documents d0, d1, ... with vectors of `POOL`."""
    with qama.Documents.create(folder, GRID, **(options or CODE)) as docs:
        docs.add(
            [f"d{i}" for i in range(count)], POOL[:count], [f"page {i}" for i in range(count)],
            [{"year": 2000 + i % 25, "odd": bool(i % 2)} for i in range(count)],
        )  # fmt: skip
    return folder


def make_index(path, **options):
    """An index file of `POOL`, ids counted."""
    index = qama.Index(GRID, **(options or CODE))
    index.add(POOL[:COUNT])
    index.save(path)
    return path


@contextlib.contextmanager
def client(*paths, write=True, embedder=embed, keys=(), limits=None, origins=(), **options):
    """Yield a client of an application in this process, and its service."""
    served = all_opened([str(path) for path in paths], write=write, embed=embedder)
    service = Service(served, limits or Limits())
    app = application(service, Keys(keys), origins)
    with TestClient(app, base_url="http://localhost", **options) as made:
        yield made, service


def wrong(response):
    """The status, type and message of a refusal, whose shape is checked."""
    (name, error), *more = response.json().items()
    assert (name, more, {*error}) == ("error", [], {"type", "message"})
    return response.status_code, error["type"], error["message"]


class Live:
    """`qama serve` in a process of its own, at a port that was free.

    Args:
        arguments: Of the command.
        environment: Further variables.
    """

    def __init__(self, *arguments, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qama", "serve", "--port", "0", *map(str, arguments)],
            stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), **environment},
        )  # fmt: skip
        self.lines = [self.process.stderr.readline()]
        self.port = json.loads(self.lines[0])["port"]
        self.url = f"http://127.0.0.1:{self.port}"
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        self.lines.extend(self.process.stderr)

    def stop(self, sign=signal.SIGTERM, seconds=60):
        """Ask for a stop; return the exit code and every line that was logged."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        code = self.process.wait(seconds)
        self._reader.join()
        self.process.stderr.close()
        said = self.process.stdout.read()
        self.process.stdout.close()
        assert said == ""
        return code, self.lines

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stderr.close()
        self.process.stdout.close()


class Slow(ServedIndex):
    """Something served whose search waits until it may answer."""

    def __init__(self, index):
        super().__init__("slow", index, None, False)
        self.may, self.began = threading.Event(), threading.Event()

    def search(self, options, questions):
        self.began.set()
        assert self.may.wait(60)
        return [[] for _ in questions]
