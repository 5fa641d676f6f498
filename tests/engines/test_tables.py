"""Every engine beside a brute force: what it finds, keeps, refuses and survives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from oracle import CODE, ENGINES, WITH_INDEX, nearest, rescored, some_ids, target_of, unreachable

from qama import Index, engines
from qama.engines import writing
from qama.errors import EngineError, FormatError

pytestmark = pytest.mark.filterwarnings("default")  # what clients of engines warn of is theirs


@pytest.fixture(params=ENGINES)
def target(request, tmp_path):
    """A target of each engine, nothing there yet."""
    return target_of(request.param, tmp_path)


@pytest.fixture(scope="module")
def codes(rows, codec):
    return codec.encode(rows, **CODE)


@pytest.fixture(scope="module")
def ids(rows):
    return some_ids(len(rows))


@pytest.fixture
def written(target, codes, ids, codec):
    """A target with all rows."""
    assert engines.write(target, codes, ids, codec, **CODE) == len(ids)
    return target


# --- what is found ------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 10, 299, 300, 1000])
def test_plain_hamming_equals_brute_force(written, codec, queries, codes, ids, k):
    found = engines.search(written, queries, k, codec=codec, oversample=1)
    wanted, distances, _ = nearest(codec, queries, codes, ids, k)
    np.testing.assert_array_equal(found.ids, wanted)
    bits = codec.code(**CODE).similarity_bits
    np.testing.assert_array_equal(found.scores, (1 - distances / bits).astype(np.float32))


@pytest.mark.parametrize(("k", "oversample"), [(1, 2), (10, 3), (7, 11), (300, 2)])
def test_rescoring_equals_brute_force(written, codec, queries, codes, ids, k, oversample):
    found = engines.search(written, queries, k, codec=codec, oversample=oversample)
    wanted, scores = rescored(codec, queries, codes, ids, k, k * oversample)
    np.testing.assert_array_equal(found.ids, wanted)
    np.testing.assert_array_equal(found.scores, scores)


def test_rescoring_of_all_rows_is_a_search_of_qamas_own_index(written, codec, queries, codes, ids):
    index = Index(codec, **CODE)
    order = np.argsort(ids)  # its ties go to the lower row
    index.add_codes(codes[order], ids[order], compact=False)
    found = engines.search(written, queries, 15, codec=codec, oversample=20)
    wanted = index.search(queries, 15)
    np.testing.assert_array_equal(found.ids, wanted.ids)
    np.testing.assert_array_equal(found.scores, wanted.scores)


def test_ties_go_to_the_lower_id(target, codec, queries, codes, ids):
    """Ten copies of every code: whatever the engine does in a tie, the ids are the lowest."""
    many, keys = np.tile(codes[:40], (10, 1)), np.concatenate([ids, ids[:100] + 1])
    engines.write(target, many, keys, codec, **CODE)
    for k in (5, 10, 37):
        found = engines.search(target, queries, k, codec=codec, oversample=1)
        np.testing.assert_array_equal(found.ids, nearest(codec, queries, many, keys, k)[0])


def test_no_queries_and_one_query(written, codec, queries):
    assert engines.search(written, queries[:0], 3, codec=codec).ids.shape == (0, 3)
    one = engines.search(written, queries[:1], 3, codec=codec)
    assert one.ids.shape == one.scores.shape == (1, 3)


def test_a_filter_in_the_engines_words(written, codec, queries, codes, ids):
    with engines.opened(written) as table:
        filters = table.filters
    least = int(np.median(ids))
    where = f"id >= {least}"
    if written.startswith("qdrant:"):
        from qdrant_client import models

        chosen = models.HasIdCondition(has_id=ids[ids >= least].tolist())
        where = models.Filter(must=[chosen])
    if not filters:
        with pytest.raises(ValueError, match="has no filters"):
            engines.search(written, queries, 5, codec=codec, where=where)
        return
    found = engines.search(written, queries, 5, codec=codec, oversample=1, where=where)
    some = ids >= least
    wanted, _, _ = nearest(codec, queries, codes[some], ids[some], 5)
    np.testing.assert_array_equal(found.ids, wanted)


@pytest.mark.parametrize(("engine", "index"), WITH_INDEX)
def test_an_approximate_index_finds_most(engine, index, tmp_path, codec, queries, codes, ids):
    target = target_of(engine, tmp_path)
    engines.write(target, codes, ids, codec, index=index, **CODE)
    found = engines.search(target, queries, 10, codec=codec, oversample=5)
    wanted, _ = rescored(codec, queries, codes, ids, 10, 50)
    share = np.mean([len(np.intersect1d(a, b)) for a, b in zip(found.ids, wanted, strict=True)])
    assert share > 8
    assert (np.diff(found.scores, axis=1) <= 0).all()


# --- what is kept -------------------------------------------------------------------------------


def test_rows_of_the_same_ids_are_replaced(written, codec, queries, codes, ids):
    changed = codes.copy()
    changed[:100] = codes[100:200]
    engines.write(written, changed[:100], ids[:100], codec, **CODE)
    found = engines.search(written, queries, 50, codec=codec, oversample=1)
    np.testing.assert_array_equal(found.ids, nearest(codec, queries, changed, ids, 50)[0])


def test_rows_are_added_to_those_that_are_there(target, codec, queries, codes, ids):
    for some in (slice(0, 10), slice(10, 200), slice(200, 300)):
        engines.write(target, codes[some], ids[some], codec, **CODE)
    found = engines.search(target, queries, 50, codec=codec, oversample=1)
    np.testing.assert_array_equal(found.ids, nearest(codec, queries, codes, ids, 50)[0])


def test_nothing_to_write_makes_an_empty_table(target, codec, queries, codes, ids):
    engines.write(target, codes[:0], ids[:0], codec, **CODE)
    assert engines.search(target, queries, 3, codec=codec).ids.shape == (20, 0)


class Dying:
    """Codes that stop to come at a row."""

    def __init__(self, codes, row, error):
        self.codes, self.row, self.error = codes, row, error

    def __len__(self):
        return len(self.codes)

    def __getitem__(self, rows):
        if rows.stop > self.row:
            raise self.error
        return self.codes[rows]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("gone"), MemoryError()])
def test_a_transfer_that_dies_leaves_whole_rows_and_a_rerun_completes_it(
    target, codec, queries, codes, ids, monkeypatch, error
):
    monkeypatch.setattr(writing, "_BATCH_BYTES", 50 * codes.shape[1])
    seen = []
    with pytest.raises(type(error)):
        engines.write(target, Dying(codes, 170, error), ids, codec, progress=seen.append, **CODE)
    assert seen == [50, 100, 150]
    found = engines.search(target, queries, 300, codec=codec, oversample=1)
    there = found.ids.shape[1]
    assert there in (0, 150)  # a file takes all rows at once
    np.testing.assert_array_equal(
        found.ids, nearest(codec, queries, codes[:there], ids[:there], 300)[0]
    )
    engines.write(target, codes, ids, codec, progress=seen.append, **CODE)
    assert seen[3:] == [50, 100, 150, 200, 250, 300]
    again = engines.search(target, queries, 300, codec=codec, oversample=1)
    np.testing.assert_array_equal(again.ids, nearest(codec, queries, codes, ids, 300)[0])


KILLED = """
import os, signal, sys
import numpy as np, qama
from qama import engines
from qama.engines import writing

target, codec, codes, ids, dims, level = sys.argv[1:]
writing._BATCH_BYTES = 600
engines.write(
    target, np.load(codes), np.load(ids), qama.Codec.load(codec), dims=int(dims), level=level,
    progress=lambda done: os.kill(os.getpid(), signal.SIGKILL) if done >= 150 else None,
)
"""


def test_a_killed_transfer_leaves_whole_rows_and_a_rerun_completes_it(
    target, tmp_path, codec, queries, codes, ids
):
    codec.save(tmp_path / "codec")
    np.save(tmp_path / "codes.npy", codes)
    np.save(tmp_path / "ids.npy", ids)
    given = [tmp_path / name for name in ("codec", "codes.npy", "ids.npy")]
    command = [sys.executable, "-W", "ignore", "-c", KILLED, target, *given, *CODE.values()]
    killed = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    there = engines.search(target, queries, 300, codec=codec, oversample=1)
    rows = there.ids.shape[1]
    assert rows in (0, 150)
    wanted, *_ = nearest(codec, queries, codes[:rows], ids[:rows], 300)
    np.testing.assert_array_equal(there.ids, wanted)
    engines.write(target, codes, ids, codec, **CODE)
    found = engines.search(target, queries, 300, codec=codec, oversample=1)
    np.testing.assert_array_equal(found.ids, nearest(codec, queries, codes, ids, 300)[0])


@pytest.mark.parametrize("engine", ["faiss", "usearch"])
def test_an_open_file_forgets_a_transfer_that_died(engine, tmp_path, codec, codes, ids):
    def stop(done):
        raise KeyboardInterrupt

    with engines.opened(target_of(engine, tmp_path)) as table:
        with pytest.raises(KeyboardInterrupt):
            engines.write(table, codes, ids, codec, progress=stop, **CODE)
        engines.write(table, codes[:5], ids[:5], codec, **CODE)
        found = engines.search(table, np.ones((1, 32), np.float32), 300, codec=codec)
    assert sorted(found.ids[0]) == sorted(ids[:5])


def test_an_open_table_serves_many_calls(target, codec, queries, codes, ids):
    with engines.opened(target) as table:
        engines.write(table, codes[:200], ids[:200], codec, **CODE)
        engines.search(table, queries, 3, codec=codec)
        engines.write(table, codes[200:], ids[200:], codec, **CODE)
        found = engines.search(table, queries, 50, codec=codec, oversample=1)
    np.testing.assert_array_equal(found.ids, nearest(codec, queries, codes, ids, 50)[0])


# --- what is refused ----------------------------------------------------------------------------


def test_another_codec_is_refused_by_name(written, codec, paper_codec, queries, codes, ids):
    both = f"{codec.fingerprint}.*{paper_codec.fingerprint}"
    with pytest.raises(FormatError, match=both):
        engines.search(written, queries, 3, codec=paper_codec)
    with pytest.raises(FormatError, match=both):
        engines.write(written, codes, ids, paper_codec, **CODE)


def test_another_code_of_the_codec_is_refused(written, codec, rows, ids):
    other = codec.encode(rows, dims=16, level="2")
    with pytest.raises(FormatError, match=r"code \{'dims': 32.*'dims': 16"):
        engines.write(written, other, ids, codec, dims=16, level="2")


def test_codes_of_another_length_are_refused(target, codec, codes, ids):
    with pytest.raises(ValueError, match=r"codes has 8 bytes a row; this code has 12"):
        engines.write(target, codes[:, :8], ids, codec, **CODE)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda ids: np.append(ids[:-1], ids[0]), "more than once"),
        (lambda ids: ids[:-1], "299 entries for 300"),
        (lambda ids: -ids, "whole numbers from 0"),
        (lambda ids: [str(key) for key in ids], "whole numbers from 0"),
    ],
)
def test_ids_that_are_none_are_refused(target, codec, codes, ids, wrong, said):
    with pytest.raises(ValueError, match=said):
        engines.write(target, codes, wrong(ids), codec, **CODE)


def test_byte_codes_are_refused(target, byte_codec, rows, ids):
    with pytest.raises(ValueError, match="ranks by Hamming distance, which"):
        engines.write(target, byte_codec.encode(rows, nbytes=8), ids, byte_codec, nbytes=8)


# How a table of somebody else is made, in the connection of an open store, and named there.
FOREIGN = {
    "faiss": lambda table: table.path.write_bytes(b"an index"),
    "usearch": lambda table: table.path.write_bytes(b"an index"),
    "duckdb": lambda table: table._connection.execute("create table docs (id int, code bit)"),
    "sqlite": lambda table: table._connection.execute("create table docs (id int, code blob)"),
    "pgvector": lambda table: table._connection.execute("create table docs (id int, code bit(96))"),
    "clickhouse": lambda table: table._client.command(
        "create table docs (id Int64, code FixedString(12)) engine = MergeTree order by id"
    ),
    "lancedb": lambda table: table._database.create_table("docs", [{"id": 1, "code": [1.0, 2.0]}]),
    "milvus": lambda table: table._client.create_collection("docs", dimension=8),
    "qdrant": lambda table: table._client.create_collection("docs", vectors_config={}),
}


def test_a_table_of_somebody_else_is_left_alone(target, codec, queries, codes, ids):
    with engines.opened(target) as table:
        FOREIGN[table.engine](table)
    with pytest.raises(FormatError, match="was not written by qama"):
        engines.write(target, codes, ids, codec, **CODE)
    with pytest.raises(FormatError, match="was not written by qama"):
        engines.search(target, queries, 3, codec=codec)


def test_a_label_that_lies_is_found_out(tmp_path, codec, queries, codes, ids):
    """Rows of another length than the label says, as where files were mixed up."""
    for engine in ("faiss", "usearch"):
        target = target_of(engine, tmp_path)
        engines.write(target, codes, ids, codec, **CODE)
        other = f"{target}2"
        short = codec.encode(np.zeros((3, 32), np.float32), dims=16, level="2")
        engines.write(other, short, [1, 2, 3], codec, dims=16, level="2")
        place = target.partition(":")[2]
        os.replace(f"{place}2.label.json", f"{place}.label.json")
        with pytest.raises(FormatError, match="has rows of 96 bits; its label says 48"):
            engines.search(target, queries, 3, codec=codec)


def test_a_table_that_is_not_there_is_refused_and_not_made(target, codec, queries, tmp_path):
    for _ in range(2):
        with pytest.raises(FormatError, match="is not there: write codes to it first"):
            engines.search(target, queries, 3, codec=codec)
        assert not list(tmp_path.iterdir())


def test_a_table_that_is_not_there_in_a_place_that_is(target, codec, queries, codes, ids):
    engines.write(target, codes, ids, codec, **CODE)
    other = target.replace("#docs", "#others").replace("/c.", "/d.")
    with pytest.raises(FormatError, match="is not there: write codes to it first"):
        engines.search(other, queries, 3, codec=codec)


def test_an_index_that_an_engine_lacks_is_refused(target, codec, codes, ids):
    with pytest.raises(ValueError, match="choose one of"):
        engines.write(target, codes, ids, codec, index="tree", **CODE)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_that_cannot_be_reached_is_named(engine, codec, codes, ids, tmp_path):
    target = unreachable(engine, tmp_path)
    with pytest.raises(EngineError, match=f"{engine}:.* failed as"):
        engines.write(target, codes, ids, codec, **CODE)


def test_a_prefix_of_the_codes_is_what_an_index_is_over(tmp_path, codec, queries, codes, ids):
    target = target_of("pgvector", tmp_path)
    engines.write(target, codes, ids, codec, index="hnsw", prefix=16, **CODE)
    found = engines.search(target, queries, 10, codec=codec, oversample=5)
    wanted, _ = rescored(codec, queries, codes, ids, 10, 50)
    assert np.mean([np.isin(a, b).mean() for a, b in zip(found.ids, wanted, strict=True)]) > 0.9
    with engines.opened(target) as table:
        ((made,),) = table._connection.execute(
            "select indexdef from pg_indexes where indexname = 'docs_qama_code'"
        ).fetchall()
    assert "1, 48" in made or "FROM 1 FOR 48" in made


@pytest.mark.parametrize("prefix", [24, 32, 0])
def test_a_prefix_that_the_code_has_not_is_refused(tmp_path, codec, codes, ids, prefix):
    target = target_of("pgvector", tmp_path)
    with pytest.raises(ValueError, match="prefix"):
        engines.write(target, codes, ids, codec, index="hnsw", prefix=prefix, **CODE)


def test_a_prefix_without_an_index_over_it_is_refused(target, codec, codes, ids):
    with pytest.raises(ValueError, match="no index over a prefix"):
        engines.write(target, codes, ids, codec, prefix=16, **CODE)
