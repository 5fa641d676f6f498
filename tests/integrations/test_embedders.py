"""The clients of OpenAI, Cohere and Voyage AI, against a server of this machine."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import qama
from qama.embedders import Cohere, OpenAI, Voyage

KEY = "sk-secret"
SERVICES = {"openai": OpenAI, "cohere": Cohere, "voyageai": Voyage}
TEXTS = [f"text {i}" for i in range(40)]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the clients


def vector(text, dims):
    return np.random.default_rng(zlib.crc32(text.encode())).standard_normal(dims).astype("<f4")


def as_openai(body, dims):
    """Answers of OpenAI and of Voyage AI, in base64 where that is asked for."""
    data = []
    for index, text in enumerate(body["input"]):
        held = vector(text, dims)
        coded = body.get("encoding_format") == "base64"
        packed = base64.b64encode(held.tobytes()).decode() if coded else held.tolist()
        data.append({"object": "embedding", "index": index, "embedding": packed})
    usage = {"prompt_tokens": 2 * len(data), "total_tokens": 2 * len(data)}
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}


def as_cohere(body, dims):
    rows = [vector(text, dims).tolist() for text in body["texts"]]
    units = {"input_tokens": 2 * len(rows)}
    meta = {"api_version": {"version": "2"}, "billed_units": units}
    return {"id": "1", "embeddings": {"float": rows}, "texts": body["texts"], "meta": meta,
            "response_type": "embeddings_by_type"}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """Answers by the shape of the path, after the failures that it was told to give first."""

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.asked.append((self.path, self.headers["Authorization"], body))
        status = server.failures.pop(0) if server.failures else 200
        if status != 200:
            answer = {"error": {"message": server.says}, "detail": server.says}
        else:
            dims = body.get("dimensions") or body.get("output_dimension") or server.dims
            answer = (as_cohere if self.path == "/v2/embed" else as_openai)(body, dims)
            if server.backwards:
                answer["data"].reverse()
        packed = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(packed)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(packed)

    def log_message(self, *given):
        """Say nothing."""


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        served.asked, served.failures, served.backwards = [], [], False
        served.says, served.dims = f"no, not with {KEY}", 8
        served.url = f"http://127.0.0.1:{served.server_port}"
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield served
        served.shutdown()
        thread.join()


@pytest.fixture(params=SERVICES)
def service(request, monkeypatch, server):
    """The class of a service, whose client is installed."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed: make test-integrations")
    made = SERVICES[request.param]
    monkeypatch.setenv(made.key, KEY)
    return made


def test_texts_become_vectors_in_their_order(service, server, monkeypatch):
    monkeypatch.setattr(service, "max_texts", 16)
    embed = service("some-model", url=server.url)
    X = embed.encode_document(TEXTS)
    assert X.dtype == np.float32
    assert ([vector(text, 8) for text in TEXTS] == X).all()
    assert len(server.asked) == 3
    assert {authorization for _, authorization, _ in server.asked} == {f"Bearer {KEY}"}
    assert embed.estimate(TEXTS).tokens == 80
    short = service("some-model", 4, url=server.url)
    assert (short.encode(["a"]) == vector("a", 4)).all()


def test_queries_are_told_from_documents_where_the_service_does(service, server):
    embed = service("some-model", url=server.url)
    embed.encode_query(["q"])
    embed.encode_document(["d"])
    kinds = [body.get("input_type") for _, _, body in server.asked]
    assert (
        kinds
        == {
            OpenAI: [None, None],
            Cohere: ["search_query", "search_document"],
            Voyage: ["query", "document"],
        }[service]
    )


def test_what_may_pass_is_tried_again(service, server):
    server.failures = [429]
    embed = service("some-model", url=server.url, retries=1)
    assert (embed.encode(["a"]) == vector("a", 8)).all()
    assert len(server.asked) == 2


def test_what_does_not_pass_is_told_without_the_key(service, server):
    for failures, retries in (([401], 3), ([429], 0)):
        server.failures = list(failures)
        server.asked.clear()
        embed = service("some-model", url=server.url, retries=retries)
        with pytest.raises(qama.EmbeddingError, match="'some-model' made no vectors of 1") as said:
            embed.encode(["a"])
        assert len(server.asked) == 1
        assert KEY not in str(said.value)
        assert "***" in str(said.value)
        assert KEY not in repr(embed)


def test_clients_that_log_everything_log_no_key(service, server, caplog):
    caplog.set_level("DEBUG")
    server.says, server.failures = "no", [401]
    embed = service("some-model", url=server.url)
    with pytest.raises(qama.EmbeddingError):
        embed.encode(["a"])
    embed.encode(["a"])
    assert caplog.records
    assert KEY not in caplog.text


def test_a_server_that_is_not_there_is_told(service):
    embed = service("some-model", url="http://127.0.0.1:9", retries=0)
    with pytest.raises(qama.EmbeddingError, match="made no vectors of 1 texts: "):
        embed.encode(["a"])


def test_answers_of_openai_are_put_in_order(server, monkeypatch):
    pytest.importorskip("openai", reason="openai is not installed")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.backwards = True
    X = OpenAI("some-model", url=server.url).encode(TEXTS)
    assert ([vector(text, 8) for text in TEXTS] == X).all()


def test_the_example_runs(server, tmp_path):
    pytest.importorskip("openai", reason="openai is not installed")
    page = (Path(__file__).parents[2] / "docs" / "vectors.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    server.dims = 32
    given = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.url}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True,
                          text=True, env=os.environ | given)  # fmt: skip
    assert done.returncode == 0, done.stderr
    estimate, found = done.stdout.splitlines()
    assert estimate == "200 texts in 1 requests, about 373 tokens, about $0.00"
    assert found == "note 7"


def test_a_fit_and_documents_by_a_service(service, server, tmp_path):
    embed = service("some-model", url=server.url)
    codec = qama.fit(embed, TEXTS, threads=1)
    assert codec.model == "some-model"
    with qama.Documents.create(tmp_path / "docs", codec, nbytes=8, embed=embed) as docs:
        docs.add(texts=TEXTS)
        assert docs.search("text 7", k=1)[0].text == "text 7"
