"""`qama serve` as a process: OpenAI's client, slow clients, stops and kills."""

from __future__ import annotations

import concurrent.futures
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="FastAPI is not installed: make test-server")

import openai
from serving import COUNT, GRID, POOL, Live, embed, make_documents, make_index

import qama

KEY = "a-key-for-the-tests-0123456789"


@pytest.fixture
def folder(tmp_path):
    return make_documents(tmp_path / "library", dims=16, level="2")


def ask(url, path, key=None, **body):
    """The answer to one request: its status and JSON."""
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_client_of_openai_is_served(folder):
    texts = ["one", "two", "three"]
    wanted = embed(texts).astype(np.float32)
    with Live(folder, "--embed", "serving:embed", QAMA_API_KEY=KEY) as live:
        with openai.OpenAI(base_url=f"{live.url}/v1", api_key=KEY, max_retries=0) as client:

            def vectors(**asked):
                made = client.embeddings.create(model="library", input=texts, **asked)
                return [each.embedding for each in made.data]

            assert vectors() == wanted.tolist()  # for which the client asks in base64
            assert vectors(encoding_format="float") == wanted.tolist()
            nested = np.array(vectors(dimensions=8), dtype=np.float32)
            z = GRID.transform(wanted, 8)
            wanted_nested = z / np.linalg.norm(z, axis=1, keepdims=True)
            np.testing.assert_allclose(nested, wanted_nested, rtol=1e-6)
            codes = GRID.encode(wanted, dims=16, level="2").tolist()
            assert vectors(encoding_format="ubinary") == codes
            assert vectors(extra_body={"encoding_format": "ubinary"}) == codes
            with pytest.raises(openai.NotFoundError, match="there is no collection 'gpt'"):
                client.embeddings.create(model="gpt", input="a")
            with pytest.raises(openai.BadRequestError, match="dims is 3"):
                vectors(dimensions=3)
        other = "another-key-of-nobody-9876543210"
        with (
            openai.OpenAI(base_url=f"{live.url}/v1", api_key=other, max_retries=0) as client,
            pytest.raises(openai.AuthenticationError, match="give an API key"),
        ):
            client.embeddings.create(model="library", input="a")
        code, lines = live.stop()
    assert code == -signal.SIGTERM
    told = "".join(lines)
    for hidden in (*texts, KEY, other, str(wanted[0, 0])[:6]):
        assert hidden not in told
    requests = [line for line in map(json.loads, lines) if line["event"] == "request"]
    statuses = [line["status"] for line in requests]
    assert statuses == [200] * 5 + [404, 400, 401]
    assert {line["path"] for line in requests} == {"/v1/embeddings"}
    wanted_keys = {"time", "level", "event", "id", "method", "path", "status", "ms"}
    assert all({*line} == wanted_keys for line in requests)


def test_a_stop_loses_nothing_that_was_answered(folder):
    with Live(folder, "--write") as live:

        def add(worker):
            done = []
            for i in range(10_000):
                body = {"ids": [f"{worker}-{i}"], "vectors": [POOL[i % 300].tolist()]}
                try:
                    status, answer = ask(live.url, "/v1/add", **body)
                except OSError:  # the server is gone, or goes
                    return done, None
                if status != 200:
                    return done, (status, answer)
                done += answer["ids"]
            raise AssertionError("it was never stopped")

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            workers = [pool.submit(add, worker) for worker in range(4)]
            time.sleep(1.5)
            code, lines = live.stop()
            ends = [worker.result() for worker in workers]
    assert code == -signal.SIGTERM
    assert all(done for done, _ in ends)
    for _, refused in ends:
        if refused is not None:
            assert refused[0] == 503
            assert refused[1]["error"]["type"] == "unavailable_error"
    events = [json.loads(line)["event"] for line in lines]
    assert events.count("stopping") == 1
    assert "defect" not in events
    with qama.Documents.open(folder, "a") as docs:  # whose lock was given back
        answered = {key for done, _ in ends for key in done}
        kept = {*docs.ids()} - {f"d{i}" for i in range(COUNT)}
        assert kept == answered  # and nothing was done that nobody heard of


def test_a_kill_loses_nothing_that_was_answered(folder):
    with Live(folder, "--write") as live:
        done = []
        for i in range(20):
            _, answer = ask(live.url, "/v1/add", vectors=[POOL[i].tolist()])
            done += answer["ids"]
        assert ask(live.url, "/v1/delete", ids=["d3"]) == (200, {"deleted": 1})
        live.process.kill()
    with qama.Documents.open(folder, "a") as docs:
        assert docs.ids() == [f"d{i}" for i in range(COUNT) if i != 3] + done


def test_clients_that_never_finish_harm_nobody(folder):
    with Live(folder, "--max-seconds", "2") as live:
        head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        began = time.monotonic()
        heads = [socket.create_connection(("127.0.0.1", live.port)) for _ in range(50)]
        for i, slow in enumerate(heads):
            slow.sendall(head[: i % 40])  # some say nothing at all
        bodies = [socket.create_connection(("127.0.0.1", live.port)) for _ in range(50)]
        for slow in bodies:
            slow.sendall(head + b'Content-Length: 100\r\n\r\n{"words":')
        assert ask(live.url, "/v1/search", words=["page 7"], k=1)[0] == 200
        for slow in bodies:
            slow.settimeout(60)
            answer = b"".join(iter(lambda slow=slow: slow.recv(4096), b""))
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b'"type":"timeout_error"' in answer
            slow.close()
        for slow in heads:
            slow.settimeout(60)
            assert slow.recv(4096) == b""  # closed
            slow.close()
        assert time.monotonic() - began < 60
        assert ask(live.url, "/v1/count")[0] == 200
        assert live.stop()[0] == -signal.SIGTERM


def test_requests_that_are_cut_off_or_no_http_harm_nobody(folder):
    with Live(folder) as live:
        for sent in (
            b"\x16\x03\x01 no HTTP\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/add HTT",
            b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 999\r\n\r\n{",
        ):  # fmt: skip
            with socket.create_connection(("127.0.0.1", live.port)) as client:
                client.sendall(sent)
        assert ask(live.url, "/v1/count") == (200, {"count": COUNT})
        _, lines = live.stop(signal.SIGINT)
    assert all(json.loads(line) for line in lines if line.startswith("{"))
    assert "defect" not in "".join(lines)


def run(*arguments, **environment):
    command = [sys.executable, "-m", "qama", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_other_machines_need_a_key(folder, tmp_path):
    refused = run("serve", folder, "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 2
    assert "set QAMA_API_KEY, or give --key-file" in refused.stderr
    (tmp_path / "keys").write_text(f"{KEY}\n{KEY[::-1]}\n")
    with Live(folder, "--host", "0.0.0.0", "--key-file", tmp_path / "keys") as live:
        assert ask(live.url, "/v1/count", key=KEY)[0] == 200
        assert ask(live.url, "/v1/count", key=KEY[::-1])[0] == 200
        assert ask(live.url, "/v1/count", key=KEY[:-1])[0] == 401
        assert ask(live.url, "/v1/count")[0] == 401
        with urllib.request.urlopen(f"{live.url}/ready", timeout=60) as answer:
            assert answer.status == 200


def test_what_cannot_be_served_is_said_in_a_sentence(folder, tmp_path):
    index = make_index(tmp_path / "a.qama")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, said in (
            ([tmp_path / "none"], "No such file"),
            ([index, "--port", port], "Address already in use"),
            ([folder, "--embed", "serving"], "give MODULE:NAME"),
            ([folder, "--embed", "json:nothing"], "json has no 'nothing'"),
            ([folder, "--embed", "json:dumps", "--model", "a"], "--embed excludes --model"),
            ([index, index], "two collections are called 'a'"),
        ):
            refused = run("serve", *arguments)
            assert refused.returncode == 2
            assert said in refused.stderr
            assert "Traceback" not in refused.stderr
    with qama.Documents.open(folder, "a"):  # which a second writer may not change meanwhile
        refused = run("serve", folder, "--write", "--port", "0")
        assert refused.returncode == 2


def test_connections_send_at_once():
    from qama.server.run import listening

    with (
        listening("127.0.0.1", 0) as heard,
        socket.create_connection(heard.getsockname()),
        heard.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
