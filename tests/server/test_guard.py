"""Keys, hosts, origins, numbers, times and stops: what a request passes before its route."""

from __future__ import annotations

import concurrent.futures
import json

import pytest

pytest.importorskip("fastapi", reason="FastAPI is not installed: make test-server")

from serving import POOL, Slow, client, make_documents, make_index, wrong
from starlette.testclient import TestClient

import qama
from qama.server.app import application
from qama.server.keys import Keys, check, is_loopback
from qama.server.limits import Limits
from qama.server.service import Service

KEYS = ("0123456789abcdef", "a-second-key-of-more-characters")


@pytest.fixture
def folder(tmp_path):
    return make_documents(tmp_path / "library", count=20)


# --- keys --------------------------------------------------------------------------------------


def test_every_route_but_health_needs_a_key(folder):
    with client(folder, keys=KEYS) as (api, _):
        paths = api.get("/openapi.json", headers={"Authorization": f"Bearer {KEYS[0]}"}).json()
        for path, methods in paths["paths"].items():
            for method in methods:
                answer = api.request(method, path, json={} if method == "post" else None)
                if path in ("/health", "/ready"):
                    assert answer.status_code == 200
                else:
                    assert wrong(answer)[:2] == (401, "authentication_error")
                    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("given", "right"), [
    (f"Bearer {KEYS[0]}", True), (f"bearer  {KEYS[1]}", True), (f"Basic {KEYS[0]}", False),
    (KEYS[0], False), (f"Bearer {KEYS[0]}x", False), (f"Bearer {KEYS[0][:-1]}", False),
    ("Bearer ", False), ("", False), (f"Bearer {KEYS[0]} {KEYS[1]}", False),
])  # fmt: skip
def test_which_keys_are_accepted(given, right):
    assert Keys(KEYS).accept(given.encode()) is right


def test_where_keys_come_from(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"{KEYS[0]}\n\n  {KEYS[1]}\n")
    variable = {"QAMA_API_KEY": "k" * 16}
    both = Keys.read(file, variable)
    for key in (*KEYS, "k" * 16):
        assert both.accept(b"Bearer " + key.encode())
    assert not Keys.read(None, {})
    file.write_text("\n")
    with pytest.raises(ValueError, match="holds no keys"):
        Keys.read(file, variable)
    for short in ("shorter", "with a space in it", "ümlaut-in-the-middle"):
        with pytest.raises(ValueError, match="16 or more visible ASCII") as caught:
            Keys([short])
        assert short not in str(caught.value)


def test_what_is_loopback():
    for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"):
        assert is_loopback(host)
        check(host, Keys())
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.org", "", "localhost.example.org"):
        assert not is_loopback(host)
        check(host, Keys(KEYS))
        with pytest.raises(ValueError, match="which other machines reach"):
            check(host, Keys())


def test_without_keys_only_localhost_is_answered(folder):
    with client(folder) as (api, _):
        for host, status in (
            ("localhost", 200), ("127.0.0.1:8000", 200), ("[::1]:80", 200), ("evil.example", 403),
            ("localhost.evil.example:80", 403),
        ):  # fmt: skip
            assert api.get("/v1/info", headers={"Host": host}).status_code == status
    with client(folder, keys=KEYS) as (api, _):
        told = {"Host": "docs.example", "Authorization": f"Bearer {KEYS[0]}"}
        assert api.get("/v1/info", headers=told).status_code == 200


def test_pages_of_other_origins_are_let_in_by_name_alone(folder):
    asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    with client(folder) as (api, _):
        for answer in (api.options("/v1/search", headers=asked), api.get("/ready", headers=asked)):
            assert not [name for name in answer.headers if name.startswith("access-control")]
    with client(folder, keys=KEYS, origins=["https://page.example"]) as (api, _):
        answer = api.options("/v1/search", headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://page.example"
        other = api.options("/v1/search", headers=asked | {"Origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers


# --- numbers, times, stops ---------------------------------------------------------------------


@pytest.fixture
def slow(tmp_path):
    return Slow(qama.Index.open(make_index(tmp_path / "slow.qama")))


ASKED = {"queries": POOL[:1].tolist()}


def test_more_requests_than_there_may_be_are_refused(slow):
    service = Service([slow], Limits(requests=3))
    with (
        TestClient(application(service, Keys()), base_url="http://localhost") as api,
        concurrent.futures.ThreadPoolExecutor(8) as pool,
    ):
        asked = [pool.submit(api.post, "/v1/search", json=ASKED) for _ in range(8)]
        done = concurrent.futures.as_completed(asked)
        for answer in (next(done).result() for _ in range(5)):
            assert wrong(answer)[:2] == (503, "unavailable_error")
            assert answer.headers["retry-after"] == "1"
        for path in ("/health", "/ready", "/metrics"):
            assert api.get(path).status_code == 200
        assert "qama_requests_at_work 3.0" in api.get("/metrics").text
        slow.may.set()
        statuses = sorted(each.result().status_code for each in asked)
        assert statuses == [200] * 3 + [503] * 5
        assert api.post("/v1/search", json=ASKED).status_code == 200


def test_a_request_that_takes_too_long_is_told_so(slow):
    service = Service([slow], Limits(seconds=1))
    with TestClient(application(service, Keys()), base_url="http://localhost") as api:
        assert wrong(api.post("/v1/search", json=ASKED))[:2] == (504, "timeout_error")
        assert api.get("/health").status_code == 200
        slow.may.set()
        assert api.post("/v1/search", json=ASKED).status_code == 200


def test_a_stop_finishes_what_began_and_refuses_the_rest(slow):
    service = Service([slow], Limits())
    with (
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        TestClient(application(service, Keys()), base_url="http://localhost") as api,
    ):
        began = pool.submit(api.post, "/v1/search", json=ASKED)
        assert slow.began.wait(60)
        service.stopping = True
        for method, path in (("POST", "/v1/search"), ("GET", "/ready"), ("GET", "/metrics")):
            answer = api.request(method, path, json=ASKED)
            assert wrong(answer) == (503, "unavailable_error", "the server is stopping")
        assert api.get("/health").status_code == 200
        slow.may.set()
        assert began.result().json() == {"results": [[]]}


def test_limits_are_checked():
    for name in ("body", "rows", "k", "hits", "requests", "seconds"):
        with pytest.raises(ValueError, match=f"{name} is 0"):
            Limits(**{name: 0})
    for wait in (-1, 2.5, float("nan")):
        with pytest.raises(ValueError, match="milliseconds from 0 to 2"):
            Limits(wait_ms=wait)


def test_what_is_logged_of_a_warning_is_a_line_of_json(capfd):
    import warnings

    from qama.server import logs

    logs.set_up()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("vectors are unlike", qama.DriftWarning, stacklevel=1)
    line = json.loads(capfd.readouterr().err)
    assert line["level"] == "warning"
    assert "vectors are unlike" in line["event"]
