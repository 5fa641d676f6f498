"""Shards behind a real Ray Serve: one index's answers; deaths, losses, replacements under load."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import urllib.request

import numpy as np
import pytest
from conftest import mixture

import qama
from qama.distributed import answers, serving
from qama.search.scan.results import SearchResult

pytest.importorskip("ray")
pytestmark = [pytest.mark.filterwarnings("ignore")]  # those of Ray itself
LONG = 120  # seconds after which something hangs
TIMEOUT = 15.0  # that a shard has
CLIENTS = 32


@pytest.fixture(scope="module")
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def cluster(port):
    import ray
    from ray import serve

    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ |= {"RAY_worker_niceness": "0"}  # clients here take no precedence over replicas
    for left in (2, 1, 0):  # Ray gives its processes half a minute, which a busy machine may miss
        try:
            ray.init(
                "local", num_cpus=8, include_dashboard=False, log_to_driver=False,
                object_store_memory=10**8, configure_logging=False,
            )  # fmt: skip
            break
        except Exception:
            ray.shutdown()
            if not left:
                raise
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    yield
    serve.shutdown()
    ray.shutdown()


@pytest.fixture(scope="module")
def index(bytes_codec):
    """Every vector three times, so that every score is a tie."""
    made = qama.Index(bytes_codec, nbytes=16, keep="int8")
    made.add(np.tile(mixture(200, 32), (3, 1)), np.arange(600) * 3)
    return made


@pytest.fixture(scope="module")
def served(cluster, index, tmp_path_factory):
    """Four shards, the first with two replicas."""
    folder = tmp_path_factory.mktemp("served") / "parts"
    shards = qama.shard(index, folder, 4)
    served = serving.serve_shards(
        shards.paths, name="news", replicas=[2, 1, 1, 1], timeout_s=TIMEOUT, cpus=0.1,
        route="/search",
    )  # fmt: skip
    served.paths = shards.paths
    yield served
    served.close()


def same(found, wanted):
    np.testing.assert_array_equal(found.ids, wanted.ids)
    np.testing.assert_array_equal(found.scores.view(np.uint32), wanted.scores.view(np.uint32))
    assert not found.partial


def until(reached):
    deadline = time.monotonic() + LONG
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Clients:
    """Threads that ask until they are told to stop; what each found is handed to a check."""

    def __init__(self, served, queries, check):
        self.served, self.queries, self.check = served, queries, check
        self.answered, self.failed, self.ended = 0, [], threading.Event()
        self.lock = threading.Lock()

    def _ask(self, number):
        while not self.ended.is_set():
            try:
                row = number % len(self.queries)
                self.check(row, self.served.search(self.queries[row : row + 1], 20))
                with self.lock:
                    self.answered += 1
            except BaseException as error:
                self.failed.append(error)
                return
            number += 1

    def __enter__(self):
        self.threads = [threading.Thread(target=self._ask, args=(i,)) for i in range(CLIENTS)]
        for thread in self.threads:
            thread.start()
        return self

    def more(self, count):
        """Wait until so many more queries were answered."""
        wanted = self.answered + count
        until(lambda: self.failed or self.answered >= wanted)
        assert not self.failed, self.failed

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join(LONG)
            assert not thread.is_alive()
        assert not self.failed, self.failed


def test_answers_are_those_of_one_index_to_the_bit(served, index, queries):
    same(served.search(queries, 50), index.search(queries, 50))
    same(served.search(queries, 5, nbytes=12), index.search(queries, 5, nbytes=12))
    chosen = {"filter": lambda ids: ids % 2 == 0, "exclude": [0, 600, 12]}
    same(served.search(queries, 30, **chosen), index.search(queries, 30, **chosen))
    few = {"filter": [3, 300, 900, 7]}
    same(served.search(queries, 30, **few), index.search(queries, 30, **few))
    assert served.search(queries, 2).answered == (0, 1, 2, 3)
    assert {served.about(shard)["path"] for shard in range(4)} == {str(p) for p in served.paths}
    assert serving.connect("news").search(queries, 2).ids.shape == (20, 2)


def test_what_a_search_refuses_is_refused(served, queries):
    with pytest.raises(ValueError, match="this codec was fitted on 32"):
        served.search(queries[:, :7], 5)
    with pytest.raises(ValueError, match="nprobe and recall are for an index with inverted lists"):
        served.search(queries, 5, nprobe=3)
    with pytest.raises(ValueError, match="k is 0"):
        served.search(queries, 0)
    with pytest.raises(ValueError, match="shard is 4"):
        served.replace(4, "x")


def test_http_answers_the_same(served, port, index, queries):
    body = {"queries": queries[:2].tolist(), "k": 5, "exclude": [3]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/search", json.dumps(body).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=LONG) as answer:
        said = json.load(answer)
    wanted = index.search(queries[:2], 5, exclude=[3])
    assert said["ids"] == wanted.ids.tolist()
    np.testing.assert_array_equal(np.float32(said["scores"]), wanted.scores)
    assert said["shards"] == {"answered": [0, 1, 2, 3], "missing": []}


def test_a_replica_that_is_killed_under_load_fails_no_query(served, index, queries):
    wanted = [index.search(queries[i : i + 1], 20) for i in range(len(queries))]
    with Clients(served, queries, lambda row, found: same(found, wanted[row])) as clients:
        clients.more(CLIENTS)
        os.kill(served.about(0)["process"], signal.SIGKILL)
        clients.more(5 * CLIENTS)


def test_a_file_is_replaced_under_load_and_no_query_fails(
    served, index, queries, bytes_codec, tmp_path
):
    old = [index.search(queries[i : i + 1], 20) for i in range(len(queries))]
    part = qama.Index.open(served.paths[1], "c")
    part.delete(part.ids[::2])
    part.save(tmp_path / "new.qama")
    parts = [qama.Index.open(path) for path in served.paths]
    parts[1] = part
    new = [qama.search_many(parts, queries[i : i + 1], 20) for i in range(len(queries))]

    def either(row, found):
        same(found, new[row] if found.ids.tolist() == new[row].ids.tolist() else old[row])

    with Clients(served, queries, either) as clients:
        clients.more(CLIENTS)
        before = served.about(1)["process"]
        served.replace(1, tmp_path / "new.qama")
        until(lambda: served.about(1)["process"] != before)
        clients.more(2 * CLIENTS)
    assert served.about(1)["path"] == str(tmp_path / "new.qama")
    same(served.search(queries, 20), qama.search_many(parts, queries, 20))
    served.replace(1, served.paths[1])
    until(lambda: served.about(1)["path"] == str(served.paths[1]))


def test_a_file_that_cannot_be_served_leaves_the_old_one(served, index, queries, tmp_path):
    (tmp_path / "bad.qama").write_bytes(b"no index")
    with pytest.raises(qama.FormatError):
        served.replace(3, tmp_path / "bad.qama")
    same(served.search(queries, 20), index.search(queries, 20))


def test_a_shard_that_is_lost_is_said_to_be_missing(served, index, queries):
    path = served.paths[2]
    process = served.about(2)["process"]
    path.rename(path.with_suffix(".away"))  # so that no new replica comes up
    os.kill(process, signal.SIGKILL)
    strict = []

    def whole_or_nothing():
        try:
            served.search(queries, 20, partial=False)
        except TimeoutError as error:
            strict.append(error)

    thread = threading.Thread(target=whole_or_nothing)
    thread.start()
    found = served.search(queries, 20)
    thread.join(LONG)
    assert (found.partial, found.missing, found.answered) == (True, (2,), (0, 1, 3))
    parts = [qama.Index.open(served.paths[shard]) for shard in (0, 1, 3)]
    left = qama.search_many(parts, queries, 20)
    np.testing.assert_array_equal(found.ids, left.ids)
    np.testing.assert_array_equal(found.sources, np.array([0, 1, 3])[left.sources])
    assert "shards 2 did not answer within 15 s" in str(strict[0])
    path.with_suffix(".away").rename(path)
    until(lambda: not served.search(queries, 20).partial)
    same(served.search(queries, 20), index.search(queries, 20))


def test_some_answers_are_merged_by_the_numbers_of_their_shards():
    one = SearchResult(np.array([[5, 6]]), np.float32([[0.9, 0.5]]))
    two = SearchResult(np.array([[7, 8]]), np.float32([[0.9, 0.7]]))
    found = answers.merged({3: two, 1: one}, 4, 3)
    assert found.ids.tolist() == [[5, 7, 8]]
    assert found.sources.tolist() == [[1, 3, 3]]
    assert (found.answered, found.missing, found.partial) == ((1, 3), (0, 2), True)
    assert "missing" in repr(found)


def test_what_does_not_fit_is_refused_before_anything_is_served(index, tmp_path):
    with pytest.raises(ValueError, match="paths is empty"):
        serving.serve_shards([])
    with pytest.raises(ValueError, match="replicas has 2 numbers for 1 paths"):
        serving.serve_shards([tmp_path / "x"], replicas=[1, 2])
