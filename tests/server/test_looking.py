"""Shorter codes, documents as queries, the curve and the inspector: what the page asks for."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="FastAPI is not installed: make test-server")

from dataclasses import replace

from serving import CODE, COUNT, DIMS, GRID, POOL, client, embed, make_documents, make_index, wrong

import qama
from qama import drift
from qama.server.limits import Limits

KEPT = {**CODE, "keep_vectors": "float16"}


@pytest.fixture
def kept(tmp_path):
    return make_documents(tmp_path / "kept", **KEPT)


def ids(results):
    return [[hit["id"] for hit in hits] for hits in results]


# --- search ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [
    {"nbytes": GRID.byte_budgets[0]}, {"rescore": 50}, {"nbytes": 12, "rescore": 30},
])  # fmt: skip
def test_shorter_codes_and_kept_vectors_are_searched(kept, options):
    with client(kept) as (api, service):
        docs = service.named(None).documents("test")
        where = {"odd": True}
        told = {"k": 7, "where": where, **options}
        answer = api.post("/v1/search", json={"queries": POOL[-4:].tolist(), **told})
        wanted = [[vars(hit) for hit in docs.search(q, **told)] for q in POOL[-4:]]
        assert answer.json() == {"results": wanted}


def test_documents_are_queries(kept, tmp_path):
    index = make_index(tmp_path / "plain.qama", **CODE)
    with client(kept, index) as (api, service):
        docs = service.named("kept").documents("test")
        asked = {"collection": "kept", "like": ["d7", "d3"], "k": 4}
        wanted = [docs.search(vector, 4) for vector in docs.vectors(["d7", "d3"])]
        results = api.post("/v1/search", json=asked).json()["results"]
        assert results == [[vars(hit) for hit in hits] for hits in wanted]
        assert [row[0] for row in ids(results)] == ["d7", "d3"]
        asked = {"collection": "plain", "like": [5, 9], "k": 3}
        results = api.post("/v1/search", json=asked).json()["results"]
        opened = qama.Index.open(index)
        assert ids(results) == opened.search(opened.vectors([5, 9]), 3).ids.tolist()


def test_what_cannot_be_asked_for_so_is_refused(kept, tmp_path):
    grid = make_documents(tmp_path / "grid", dims=16, level="2")
    index = make_index(tmp_path / "plain.qama")
    limits = Limits(candidates=1000, sample=9)
    with client(kept, grid, index, limits=limits) as (api, _):
        for path, asked, status, said in (
            ("search", {"collection": "kept", "like": ["none"]}, 400, "no document 'none'"),
            ("search", {"collection": "kept", "like": [3]}, 400, "id"),
            ("search", {"collection": "kept", "like": []}, 400, "at least 1"),
            ("search", {"collection": "plain", "like": ["d3"]}, 400, "whole numbers"),
            ("search", {"collection": "plain", "like": [-3]}, 400, "ids"),
            ("search", {"collection": "plain", "like": [2**70]}, 400, "ids"),
            ("search", {"collection": "plain", "like": [5000]}, 400, "id 5000 is not in the index"),
            ("search", {"collection": "grid", "like": ["d1"]}, 400, "keeps no vectors"),
            ("search", {"collection": "kept", "like": ["d1"], "queries": ["a"]}, 400, "excludes"),
            ("search", {"collection": "kept", "queries": ["a"], "nbytes": 13}, 400, "nbytes is 13"),
            ("search", {"collection": "plain", "queries": ["a"], "rescore": 5}, 400, "rescore"),
            ("search", {"collection": "grid", "queries": ["a"], "rescore": 5}, 400, "rescore"),
            ("search", {"collection": "kept", "queries": ["a"] * 9, "rescore": 112}, 413, "ask in"),
            ("curve", {"collection": "kept", "sample": 10}, 413, "at most 9"),
            ("curve", {"collection": "kept", "queries": ["a"] * 10}, 413, "10 queries"),
            ("curve", {"collection": "kept", "k": 101}, 400, "k: "),
            ("curve", {"collection": "grid", "sample": 5}, 400, "keeps no vectors"),
            ("curve", {"collection": "none"}, 404, "no collection"),
            ("inspect", {"collection": "none"}, 404, "no collection"),
        ):  # fmt: skip
            answer = wrong(api.post(f"/v1/{path}", json=asked))
            assert answer[0] == status, asked
            assert said in answer[2], asked


# --- the curve ---------------------------------------------------------------------------------


def overlaps(wanted, found):
    """The mean share of wanted ids that are found, its error at 95 %."""
    shares = [len({*a} & {*b}) / len(a) for a, b in zip(wanted, found, strict=True)]
    return np.mean(shares), 1.96 * np.std(shares, ddof=1) / np.sqrt(len(shares))


def test_the_curve_is_a_count_by_hand(kept):
    docs = qama.Documents.open(kept)
    sample = docs.sample(20)
    X = POOL[[int(key[1:]) for key in sample]]
    units = POOL[:COUNT] / np.linalg.norm(POOL[:COUNT], axis=1, keepdims=True)
    cosines = X @ units.T
    with client(kept) as (api, _):
        curve = api.post("/v1/curve", json={"sample": 20, "k": 5}).json()
    assert (curve["source"], curve["queries"], curve["k"]) == ("sample", 20, 5)
    assert (curve["reference"], curve["candidates"]) == ("float16", 1000)
    order = np.argsort(-cosines, axis=1)
    wanted = [
        [f"d{i}" for i in row if f"d{i}" != own][:5] for own, row in zip(sample, order, strict=True)
    ]
    assert [point["nbytes"] for point in curve["points"]] == list(docs.lengths)
    for point in curve["points"]:
        hits = docs.search_batch(docs.vectors(sample), 6, nbytes=point["nbytes"])
        found = [
            [i for i in row.ids if i != own][:5] for own, row in zip(sample, hits, strict=True)
        ]
        mean, error = overlaps(wanted, found)
        assert point["overlap"] == pytest.approx(mean)
        assert point["low"] == pytest.approx(max(0, mean - error))
        assert point["high"] == pytest.approx(min(1, mean + error))
    assert curve["points"][0]["overlap"] < curve["points"][-1]["overlap"] <= 1


def test_the_curve_of_queries_against_the_longest_code(tmp_path):
    folder = make_documents(tmp_path / "plain")
    texts = [f"text {i}" for i in range(6)]
    with client(folder) as (api, service):
        docs = service.named(None).documents("test")
        curve = api.post("/v1/curve", json={"queries": texts, "k": 4}).json()
        wanted = [hits.ids for hits in docs.search_batch(embed(texts), 4)]
        for point in curve["points"]:
            found = docs.search_batch(embed(texts), 4, nbytes=point["nbytes"])
            mean, _ = overlaps(wanted, [hits.ids for hits in found])
            assert point["overlap"] == pytest.approx(mean)
        assert (curve["source"], curve["reference"], curve["candidates"]) == ("queries", "code", 0)
        assert curve["points"][-1]["overlap"] == 1
        one = api.post("/v1/curve", json={"like": ["d3"]}).json()
        assert {(p["low"], p["high"]) for p in one["points"]} == {(0, 1)}  # of one, nothing is sure


def test_an_empty_collection_has_no_curve(tmp_path):
    with client(make_documents(tmp_path / "none", count=0)) as (api, _):
        assert "is empty" in wrong(api.post("/v1/curve", json={}))[2]
        found = api.post("/v1/inspect", json={}).json()
        assert (found["examples"], found["codes_size"], found["drift"]) == ([], 0, None)


# --- the inspector -----------------------------------------------------------------------------


def test_what_a_collection_is(kept, tmp_path):
    index = make_index(tmp_path / "plain.qama", nbytes=12)
    with client(kept, index) as (api, service):
        info = {each["name"]: each for each in api.get("/v1/info").json()["collections"]}
        found = api.post("/v1/inspect", json={"collection": "kept"}).json()
        size = service.named("kept").code.stored_bytes
        assert found["collection"] == info["kept"]
        assert found["collection"]["lengths"][-1] == size
        assert (found["collection"]["keeps"], found["collection"]["fulltext"]) == ("float16", True)
        assert found["codes_size"] == COUNT * size
        assert found["float32_size"] == COUNT * DIMS * 4
        assert found["disk_size"] == sum(f.stat().st_size for f in kept.iterdir())
        assert found["process_size"] > 2**20
        assert found["kernel"] == qama.kernels.info()
        assert found["examples"] == service.named("kept").documents("test").sample(5)
        other = api.post("/v1/inspect", json={"collection": "plain"}).json()
        assert (other["collection"]["keeps"], other["lists"]) == (None, None)
        assert "no vectors are kept" in other["drift_note"]
        assert other["disk_size"] == index.stat().st_size
        assert other["examples"][0] == 0


def test_drift_of_what_is_kept_is_told(tmp_path):
    codec = replace(
        GRID, facts={**GRID.facts, drift.FACT: {"rows": 1000, "mean": 1.5, "deviation": 0.1}}
    )
    index = qama.Index(codec, **CODE, keep="int8")
    index.add(POOL[:60])  # too few to be warned of
    index.save(tmp_path / "drifted.qama")
    with client(tmp_path / "drifted.qama") as (api, _):
        found = api.post("/v1/inspect", json={}).json()
    assert found["drift"]["drifted"]
    assert found["drift"]["rows"] == 60
    assert "drifted: refit the codec" in found["drift_note"]
