"""What routes answer, beside what documents and indexes answer themselves."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import re

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="FastAPI is not installed: make test-server")

from serving import CODE, COUNT, DIMS, GRID, POOL, client, embed, make_documents, make_index, wrong

import qama
from qama.server.limits import Limits

SMALL = Limits(body=20_000, rows=20, k=50, hits=200, requests=4, seconds=20)


@pytest.fixture
def folder(tmp_path):
    return make_documents(tmp_path / "library")


@pytest.fixture
def api(folder):
    with client(folder) as (made, _):
        yield made


def found(hits):
    return [vars(hit) for hit in hits]


# --- search ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scorer", ["asymmetric", "hamming"])
@pytest.mark.parametrize("where", [None, {"odd": True, "year": {"$gte": 2010}}])
def test_a_search_finds_what_the_documents_find(tmp_path, scorer, where):
    folder = make_documents(tmp_path / "library", dims=16, level="1.5")
    Q, words = POOL[-9:], [f"page {n}" for n in range(9)]
    told = {"k": 7, "where": where, "scorer": scorer}
    with client(folder) as (api, service):
        docs = service.named(None).documents("test")
        for asked, wanted in (
            ({"queries": Q.tolist()}, [docs.search(q, **told) for q in Q]),
            ({"words": words}, [docs.search(text=w, **told) for w in words]),
            (
                {"queries": Q.tolist(), "words": words},
                [docs.search(q, text=w, **told) for q, w in zip(Q, words, strict=True)],
            ),
            ({"queries": words}, [docs.search(w, **told) for w in words]),
        ):
            answer = api.post("/v1/search", json=asked | told)
            assert answer.status_code == 200
            assert answer.json() == {"results": [found(hits) for hits in wanted]}


@pytest.mark.parametrize("options", [
    {}, {"nprobe": 3}, {"rescore": 40}, {"scorer": "hamming"}, {"nprobe": 8, "rescore": 20},
])  # fmt: skip
def test_a_search_of_an_index_file_finds_what_the_index_finds(tmp_path, options):
    index = qama.Index(GRID, dims=16, level="2", keep="float16")
    index.add(POOL[:COUNT])
    index.partition(8)
    index.save(tmp_path / "some.qama")
    wanted = index.search(POOL[-5:], 6, **options)
    with client(tmp_path / "some.qama") as (api, _):
        asked = {"collection": "some", "queries": POOL[-5:].tolist(), "k": 6, **options}
        results = api.post("/v1/search", json=asked).json()["results"]
    assert [[hit["id"] for hit in hits] for hits in results] == wanted.ids.tolist()
    assert [[hit["score"] for hit in hits] for hits in results] == wanted.scores.tolist()


def test_concurrent_searches_are_gathered_and_equal_single_ones(folder):
    with client(folder) as (api, service):
        docs = service.named(None).documents("test")
        wanted = [found(docs.search(q, 5, where={"odd": bool(i % 2)})) for i, q in enumerate(POOL)]

        def ask(i):
            asked = {"queries": [POOL[i].tolist()], "k": 5, "where": {"odd": bool(i % 2)}}
            return api.post("/v1/search", json=asked).json()["results"][0]

        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            assert list(pool.map(ask, range(len(POOL)))) == wanted
        calls, queries = (
            float(line.split()[1])
            for name in ("count", "sum")
            for line in api.get("/metrics").text.splitlines()
            if line.startswith(f"qama_batch_queries_{name}")
        )
    assert queries == len(POOL)
    assert calls < queries


def test_a_bad_query_among_good_ones_harms_nobody_else(tmp_path):
    with client(make_index(tmp_path / "a.qama")) as (api, _):

        def ask(i):
            asked = {"queries": [POOL[i].tolist()], "k": 3}
            return api.post("/v1/search", json=asked | ({"nprobe": 2} if i % 4 == 0 else {}))

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            statuses = [answer.status_code for answer in pool.map(ask, range(64))]
    assert statuses == [400 if i % 4 == 0 else 200 for i in range(64)]


# --- embeddings --------------------------------------------------------------------------------

TEXTS = ["one", "another", "page 7"]


def embeddings(api, **asked):
    answer = api.post("/v1/embeddings", json={"model": "library", "input": TEXTS, **asked})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["object"] == "list"
    assert [each["index"] for each in body["data"]] == [*range(len(body["data"]))]
    return [each["embedding"] for each in body["data"]]


def test_embeddings_are_what_the_embedder_makes(api):
    wanted = embed(TEXTS).astype(np.float32)
    assert embeddings(api) == wanted.tolist()
    assert embeddings(api, input="one") == wanted[:1].tolist()
    for text, row in zip(embeddings(api, encoding_format="base64"), wanted, strict=True):
        assert np.frombuffer(base64.b64decode(text), "<f4").tolist() == row.tolist()


def test_dimensions_are_nested_ones_of_length_1(api):
    z = GRID.transform(embed(TEXTS), 8)
    got = np.array(embeddings(api, dimensions=8))
    np.testing.assert_allclose(got, z / np.linalg.norm(z, axis=1, keepdims=True), rtol=1e-6)


def test_packed_codes_are_integers_that_the_codec_would_make(tmp_path):
    A = embed(TEXTS)
    grid = make_documents(tmp_path / "grid", dims=16, level="1.5")
    with client(f"library={grid}", make_documents(tmp_path / "bytes")) as (api, _):
        packed = embeddings(api, encoding_format="ubinary")
        assert packed == GRID.encode(A, dims=16, level="1.5").tolist()
        packed = embeddings(api, encoding_format="ubinary", dimensions=8)
        assert packed == GRID.encode(A, dims=8, level="1.5").tolist()
        packed = embeddings(api, encoding_format="ubinary", model="bytes")
        assert packed == GRID.encode(A, **CODE).tolist()
        packed = embeddings(api, encoding_format="ubinary", model="bytes", nbytes=5)
        assert packed == GRID.encode(A, nbytes=5).tolist()


def test_queries_and_documents_may_be_embedded_differently(folder):
    class Model:
        encode_document = staticmethod(embed)

        def encode(self, texts):
            raise AssertionError("neither documents nor queries")

        def encode_query(self, texts):
            return -embed(texts)

    with client(folder, embedder=Model()) as (api, _):
        documents = embeddings(api)
        assert embeddings(api, input_type="query") == (-np.array(documents)).tolist()
        one = api.post("/v1/search", json={"queries": TEXTS[:1], "k": 3}).json()
        same = [(-np.array(documents[0])).tolist()]
        assert one == api.post("/v1/search", json={"queries": same, "k": 3}).json()


# --- changes -----------------------------------------------------------------------------------


def test_changes_are_on_the_disk_when_they_are_answered(folder):
    with client(folder) as (api, _):
        asked = {"ids": ["x", "y"], "vectors": POOL[-2:].tolist(), "texts": ["new", None]}
        assert api.post("/v1/add", json=asked).json() == {"ids": ["x", "y"]}
        asked = {"ids": ["x", "d0"], "texts": ["page x", "page o"], "metadata": [{"a": 1}, None]}
        assert api.post("/v1/upsert", json=asked).json() == {"ids": ["x", "d0"]}
        made = api.post("/v1/add", json={"texts": ["unnamed"]}).json()["ids"]
        assert api.post("/v1/delete", json={"ids": ["d1", "none"]}).json() == {"deleted": 1}
        assert api.post("/v1/delete", json={"where": {"year": 2003}}).json() == {"deleted": 12}
        beside = qama.Documents.open(folder)  # while the server has them open
        assert len(beside) == COUNT + 3 - 13
        assert beside.ids()[-4:] == ["y", "x", "d0", *made]
        (x,) = beside.get(["x"])
        assert (x.text, x.metadata) == ("page x", {"a": 1})
        np.testing.assert_array_equal(
            beside.vectors(["x", *made]),
            GRID.decode(GRID.encode(embed(["page x", "unnamed"]), **CODE), **CODE),
        )
        beside.close()


def test_documents_are_returned_counted_and_described(api):
    got = api.post("/v1/get", json={"ids": ["d4", "none", "d2"]}).json()["documents"]
    assert got == [
        {"id": f"d{i}", "text": f"page {i}", "metadata": {"year": 2000 + i, "odd": False}}
        for i in (4, 2)
    ]
    got = api.post("/v1/get", json={"where": {"odd": True}, "limit": 2}).json()["documents"]
    assert [document["id"] for document in got] == ["d1", "d3"]
    assert api.post("/v1/count", json={}).json() == {"count": COUNT}
    assert api.post("/v1/count", json={"where": {"odd": True}}).json() == {"count": COUNT // 2}
    info = api.get("/v1/info").json()
    (collection,) = info["collections"]
    assert collection == {
        "name": "library", "kind": "documents", "count": COUNT, "dims": DIMS, "code": "16 bytes",
        "code_bytes": 17, "codec": GRID.fingerprint, "nested_dims": [16, 8], "embeds": True,
        "writable": True, "lengths": [12, 16], "keeps": None, "fulltext": True,
    } | {"code_bytes": collection["code_bytes"]}  # fmt: skip
    assert info["version"] == qama.__version__


def test_health_readiness_and_metrics(api):
    for path in ("/health", "/ready"):
        assert api.get(path).json() == {"status": "ok"}
    api.post("/v1/get", json={"ids": ["d1"]})
    api.get("/none/such")
    told = api.get("/metrics").text
    assert 'qama_requests_total{path="/v1/get",status="200"} 1.0' in told
    assert 'qama_requests_total{path="other",status="404"} 1.0' in told
    assert f'qama_vectors{{collection="library"}} {float(COUNT)}' in told
    assert "/none/such" not in told


# --- refusals ----------------------------------------------------------------------------------


DEEP = "more than 10 filters|too deep|error parsing the body"  # by how deep it got


def vectors(*rows):
    return json.dumps({"queries": [[*rows]]})


@pytest.mark.parametrize(("path", "body", "status", "said"), [
    ("search", "", 400, "body"),
    ("search", "not json", 400, "the body is no JSON: Expecting value at character 0"),
    ("search", b"\xff\xfe", 400, "body"),
    ("search", "[" * 9999, 400, "body"),
    ("search", "[]", 400, "body"),
    ("search", "{}", 400, "a search needs queries, words, or both"),
    ("search", '{"queries": [], "k": 1}', 400, "at least 1"),
    ("search", vectors(*[0.5] * 15), 400, "15 columns; this codec was fitted on 16"),
    ("search", vectors(*[0.5] * 15, float("nan")), 400, r"queries\[0, 15\] is nan"),
    ("search", vectors(*[0.5] * 15, float("inf")), 400, r"queries\[0, 15\] is inf"),
    ("search", vectors(*[1e300] * 16), 400, "finite in float32"),
    ("search", '{"queries": [[1.0], [1.0, 2.0]]}', 400, "queries"),
    ("search", '{"queries": [["a"]]}', 400, "queries.vectors.0.0: Input should be a valid number"),
    ("search", '{"queries": [[0.5, null]]}', 400, "queries.vectors.0.1: Input should be a valid n"),
    ("search", '{"queries": [0.5, 1.0]}', 400, "queries.vectors.0: Input should be a valid list"),
    ("search", '{"queries": "tea"}', 400, "queries.questions: Input should be a valid list"),
    ("search", '{"queries": ["a", 3]}', 400, "queries.questions.1: Input should be a valid string"),
    ("search", '{"queries": [[' + "9" * 5000 + "]]}", 400, "body"),
    ("search", '{"queries": [[' + "9" * 4000 + "]]}", 400, "queries"),
    ("search", '{"words": ["a", "b"], "k": 1, "queries": ["a"]}', 400, "2 entries for 1 queries"),
    ("search", '{"words": ["a"], "k": 0}', 400, "k: "),
    ("search", '{"words": ["a"], "k": 51}', 413, "k is 51; this server returns at most 50"),
    ("search", '{"words": ["a"], "k": 1e30}', 400, "k: "),
    ("search", json.dumps({"words": ["a"] * 5, "k": 41}), 413, "more than the 200 hits"),
    ("search", json.dumps({"words": ["a"] * 21, "k": 1}), 413, "queries is 21"),
    ("search", '{"words": ["a"], "limit": 3}', 400, "limit: "),
    ("search", '{"words": ["a"], "nprobe": 3}', 400, "for index files"),
    ("search", '{"words": ["a"], "scorer": "best"}', 400, "scorer: "),
    ("search", '{"words": ["a"], "where": {"$or": 1}}', 400, "or"),
    ("search", '{"words": ["a"], "where": {"\\ud800": 1}}', 400, "ud800"),
    ("search", '{"words": ["a"], "collection": "b"}', 404, "no collection 'b'; there are library"),
    ("get", json.dumps({"ids": ["a"] * 21}), 413, "ids is 21"),
    ("get", '{"limit": 21}', 413, "limit is 21"),
    ("get", '{"ids": ["a", "a"]}', 400, "more than once"),
    ("get", '{"ids": [""]}', 400, "an id is ''"),
    ("add", '{"ids": ["a"]}', 400, "give vectors"),
    ("add", '{"ids": ["d1"], "texts": ["a"]}', 400, "id 'd1' is in the documents already"),
    ("add", '{"texts": ["a", null]}', 400, r"texts\[1\] is None"),
    ("add", '{"texts": ["a"], "metadata": [{"a": NaN}]}', 400, "no JSON"),
    ("add", '{"texts": ["a"], "metadata": [{"a": "\\udc00"}]}', 400, "no JSON"),
    ("upsert", '{"texts": ["a"]}', 400, "ids: "),
    ("delete", "{}", 400, "delete needs ids or where"),
    ("count", '{"where": {"a": {"$b": 1}}}', 400, "unknown operator"),
    ("count", '{"where": ' + '{"$not": ' * 600 + "{}" + "}" * 601, 400, "more than 10 filters"),
    ("search", '{"words": ["a"], "where": ' + '{"$not": ' * 900 + "{}" + "}" * 901, 400, DEEP),
    ("add", '{"texts": [], "metadata": [' + '{"a": ' * 2000 + "{}" + "}" * 2000 + "]}", 400, DEEP),
    ("embeddings", '{"model": "gpt", "input": "a"}', 404, "no collection 'gpt'"),
    ("embeddings", '{"model": "library", "input": []}', 400, "input"),
    ("embeddings", '{"model": "library", "input": [1, 2]}', 400, "input"),
    ("embeddings", '{"model": "library", "input": "a", "dimensions": 9}', 400, "dims is 9"),
    ("embeddings", '{"model": "library", "input": "a", "nbytes": 9}', 400, "ubinary"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(folder, path, body, status, said):
    with client(folder, limits=SMALL) as (api, service):
        docs = service.named(None).documents("test")
        before = docs.get()
        told = {"Content-Type": "application/json"}
        answer = wrong(api.post(f"/v1/{path}", content=body, headers=told))
        assert answer[0] == status
        assert re.search(said, answer[2])
        assert docs.get() == before
        assert api.get("/ready").status_code == 200


def test_a_body_that_is_too_large_is_refused(folder):
    with client(folder, limits=SMALL) as (api, _):
        large = {"words": ["a" * 20_000]}
        assert wrong(api.post("/v1/search", json=large))[:2] == (413, "too_large_error")

        def pieces():  # without a length
            for _ in range(30):
                yield b" " * 1000

        told = {"Content-Type": "application/json"}
        assert wrong(api.post("/v1/search", content=pieces(), headers=told))[0] == 413


def test_routes_and_methods_and_kinds_that_there_are_not(api):
    assert wrong(api.get("/v2/search"))[:2] == (404, "not_found_error")
    refused = api.get("/v1/search")
    assert wrong(refused)[:2] == (405, "method_not_allowed_error")
    assert refused.headers["allow"] == "POST"
    assert wrong(api.post("/v1/count", content="{}"))[:2] == (415, "content_type_error")


def test_what_is_served_to_be_read_is_not_changed(tmp_path):
    folder, index = make_documents(tmp_path / "library"), make_index(tmp_path / "plain.qama")
    with client(folder, index, write=False, embedder=None) as (api, _):
        for path in ("add", "upsert", "delete"):
            asked = {"collection": "library", "ids": ["d1"]}
            assert wrong(api.post(f"/v1/{path}", json=asked))[:2] == (403, "permission_error")
            asked = {"collection": "plain", "ids": ["1"]}
            assert wrong(api.post(f"/v1/{path}", json=asked))[0] == 400
        for path, more in (
            ("get", {}), ("count", {"where": {}}), ("search", {"words": ["a"]}),
            ("search", {"queries": POOL[:1].tolist(), "where": {"a": 1}}),
            ("search", {"queries": ["a"]}),
        ):  # fmt: skip
            refused = wrong(api.post(f"/v1/{path}", json={"collection": "plain", **more}))
            assert refused[0] == 400
            assert "'plain'" in refused[2]
        asked = {"collection": "library", "queries": ["a"]}
        assert "no embedder" in wrong(api.post("/v1/search", json=asked))[2]
        assert (
            "collection is missing; name one of library, plain"
            in wrong(api.post("/v1/count", json={}))[2]
        )
        assert api.post("/v1/count", json={"collection": "plain"}).json() == {"count": COUNT}
        assert len(qama.Documents.open(folder, "a")) == COUNT  # another process may change them


# --- failures ----------------------------------------------------------------------------------


def test_a_full_disk_is_told_and_loses_nothing(folder):
    with client(folder) as (api, service):
        docs = service.named(None).documents("test")
        before = docs.get()
        writer = docs._store._writer
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count = {pages}")
        asked = {"ids": ["x"], "vectors": POOL[:1].tolist(), "texts": ["long " * 100_000]}
        status, kind, said = wrong(api.post("/v1/add", json=asked))
        assert (status, kind) == (507, "storage_error")
        assert "full" in said
        assert docs.get() == before
        assert api.post("/v1/search", json={"words": ["page 7"], "k": 1}).status_code == 200
        writer.execute("PRAGMA max_page_count = 1000000")
        assert api.post("/v1/add", json=asked).json() == {"ids": ["x"]}


def test_a_defect_is_told_without_what_it_says(folder, capfd):
    from qama.server import logs

    def broken(texts):
        raise RuntimeError("secret " + texts[0])

    logs.set_up()
    with client(folder, embedder=broken, raise_server_exceptions=False) as (api, _):
        answer = api.post("/v1/embeddings", json={"model": "library", "input": "a text"})
        assert wrong(answer)[:2] == (500, "server_error")
        assert api.get("/ready").status_code == 200
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    defect = next(line for line in lines if line["event"] == "defect")
    assert defect["id"] == answer.headers["x-request-id"]
    assert defect["exception"] == "RuntimeError"
    assert defect["frames"][-1].endswith(" broken")
    for hidden in ("secret", "a text"):
        assert hidden not in answer.text + json.dumps(lines)


def test_names_of_collections(tmp_path):
    folder = make_documents(tmp_path / "my library", count=1)
    from qama.server.served import all_opened

    with pytest.raises(ValueError, match="'my library' is no name of a collection: give NAME="):
        all_opened([str(folder)])
    with pytest.raises(ValueError, match="two collections are called 'a'"):
        all_opened([f"a={folder}", f"a={folder}"])
    (served,) = all_opened([f"a={folder}"], write=True)  # which the refusal left open to nobody
    assert served.name == "a"
    served.close()
    with pytest.raises(FileNotFoundError):
        all_opened([str(tmp_path / "none.qama")])
