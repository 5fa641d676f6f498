"""Requests of every kind that the OpenAPI allows and forbids, made up by schemathesis: no 5xx.

`make fuzz-server` makes up more of them; EXAMPLES=... says how many for each operation.
"""

from __future__ import annotations

import json
import os

import pytest

pytest.importorskip("schemathesis", reason="schemathesis is not installed: make test-server")

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode, checks
from serving import Live, client, make_documents, make_index

EXAMPLES = int(os.environ.get("QAMA_EXAMPLES", "10"))
POSTS = (
    "/v1/embeddings", "/v1/search", "/v1/add", "/v1/upsert", "/v1/delete", "/v1/get", "/v1/count",
    "/v1/curve", "/v1/inspect",
)  # fmt: skip
GETS = ("/v1/info", "/health", "/ready", "/metrics")
RIGHT, WRONG = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
CASES = [
    *((path, "post", mode) for path in POSTS for mode in (RIGHT, WRONG)),
    *((path, "get", RIGHT) for path in GETS),  # in which nothing could be wrong
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder of documents that clients may change, beside an index."""
    home = tmp_path_factory.mktemp("schema")
    make_documents(home / "library", dims=16, level="2")
    make_index(home / "plain.qama")
    return home


@pytest.fixture(scope="module")
def openapi(home):
    with client(home / "plain.qama") as (api, _):
        return api.get("/openapi.json").json()


@pytest.fixture(scope="module")
def live(home):
    """Both, served for all requests: nothing unexpected may happen in any of them."""
    limits = ("--max-rows", "50", "--max-k", "100")
    with Live(home / "library", home / "plain.qama", "--write", "--embed", "serving:embed",
              *limits) as served:  # fmt: skip
        yield served
        _, lines = served.stop()
    events = [json.loads(line)["event"] for line in lines]
    assert "request" in events
    assert "defect" not in events


def test_every_operation_is_tried(openapi):
    there = {(path, method) for path, methods in openapi["paths"].items() for method in methods}
    assert there == {(path, method) for path, method, _ in CASES}


@pytest.mark.parametrize(("path", "method", "mode"), CASES)
def test_no_request_breaks_the_server(openapi, live, path, method, mode):
    operation = schemathesis.openapi.from_dict(openapi)[path][method]

    @given(operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
    def every(case):
        answer = case.call(base_url=live.url)
        assert answer.status_code < 500, answer.text
        case.validate_response(answer, checks=[
            checks.response_schema_conformance, checks.status_code_conformance,
            checks.content_type_conformance,
        ])  # fmt: skip

    every()
