"""The same codes on a Ray cluster, also where a node dies, or the process that asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import vectorfolders
from vectorfolders import NBYTES, check_codes, needs, times

from qama import distributed

pytestmark = pytest.mark.filterwarnings("default")  # what Ray warns of is its own
MANY = tuple(f"{i:02}.parquet" for i in range(16))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    needs("ray")
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(3):
        made.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


def test_codes_are_those_of_one_process(cluster, tmp_path, bytes_codec):
    held = vectorfolders.folder(tmp_path / "in")
    told = []
    made = distributed.encode(
        tmp_path / "in", bytes_codec, tmp_path / "out", nbytes=NBYTES, progress=told.append
    )
    check_codes(tmp_path / "out", held, bytes_codec)
    here = distributed.encode(
        tmp_path / "in", bytes_codec, tmp_path / "here", nbytes=NBYTES, on="local"
    )
    assert made == here
    assert [(step.files, step.total) for step in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told[-1].rows == 1000


def test_a_fit_is_that_of_one_process(cluster, tmp_path):
    vectorfolders.folder(tmp_path)
    made = distributed.fit(tmp_path, rows=300, max_bytes=8, threads=1)
    here = distributed.fit(tmp_path, rows=300, max_bytes=8, threads=1, on="local")
    assert made.fingerprint == here.fingerprint


def test_rows_that_cannot_be_encoded_are_named(cluster, tmp_path, bytes_codec):
    held = vectorfolders.folder(tmp_path / "in")
    X = held["b/d.parquet"].copy()
    X[17, 3] = np.nan
    vectorfolders.write(tmp_path / "in" / "b" / "d.parquet", X, range(250))
    with pytest.raises(ValueError, match=r"'embedding' of .*b/d.parquet\[17, 3\] is nan"):
        distributed.encode(tmp_path / "in", bytes_codec, tmp_path / "out", nbytes=NBYTES)
    vectorfolders.write(tmp_path / "in" / "b" / "d.parquet", held["b/d.parquet"], range(500, 750))
    distributed.encode(tmp_path / "in", bytes_codec, tmp_path / "out", nbytes=NBYTES)
    check_codes(tmp_path / "out", held, bytes_codec)


def test_a_node_that_dies_costs_nothing(cluster, tmp_path, bytes_codec):
    held = vectorfolders.folder(tmp_path / "in", 160_000, MANY)
    node = next(iter(cluster.worker_nodes))

    def kill(step):
        if step.files == 3:
            cluster.remove_node(node, allow_graceful=False)

    distributed.encode(tmp_path / "in", bytes_codec, tmp_path / "out", nbytes=NBYTES, progress=kill)
    check_codes(tmp_path / "out", held, bytes_codec)


def test_a_driver_that_dies_is_gone_on_with(cluster, tmp_path, bytes_codec):
    held = vectorfolders.folder(tmp_path / "in", 16_000, MANY)
    bytes_codec.save(tmp_path / "my.codec")
    program = f"""
    import os, ray, qama
    ray.init(address={cluster.address!r}, log_to_driver=False)
    def kill(step):
        if step.files == 5:
            os.kill(os.getpid(), {int(signal.SIGKILL)})
    codec = qama.Codec.load("my.codec")
    qama.distributed.encode("in", codec, "out", nbytes={NBYTES}, progress=kill)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        cwd=tmp_path, capture_output=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    before = times(tmp_path / "out")
    assert len(before) >= 5
    distributed.encode(tmp_path / "in", bytes_codec, tmp_path / "out", nbytes=NBYTES)
    after = times(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    check_codes(tmp_path / "out", held, bytes_codec)
