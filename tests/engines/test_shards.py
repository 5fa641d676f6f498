"""Tables in parts: PostgreSQL's partitions and Citus, shards of Milvus, clusters of ClickHouse."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import CODE, nearest, some_ids, target_of

from qama import engines

pytestmark = pytest.mark.filterwarnings("default")  # what clients of engines warn of is theirs

CLUSTER = """<clickhouse><tcp_port>9000</tcp_port><remote_servers><alone>
<shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard>
</alone></remote_servers></clickhouse>"""  # a node that is this process


@pytest.fixture(scope="module")
def codes(rows, codec):
    return codec.encode(rows, **CODE)


@pytest.fixture(scope="module")
def ids(rows):
    return some_ids(len(rows))


def sharded(engine, folder):
    """A target whose table can be in parts, and parts that it can have."""
    target = target_of(engine, folder)
    if engine != "clickhouse":
        return target, 3
    configured = folder / "clusters.xml"
    configured.write_text(CLUSTER)
    place, name = target.split("#")
    return f"{place}?config-file={configured}#{name}", "alone"


@pytest.mark.parametrize("engine", ["pgvector", "milvus", "clickhouse"])
def test_parts_hold_what_one_table_holds(engine, tmp_path, codec, queries, codes, ids):
    target, shards = sharded(engine, tmp_path)
    with engines.opened(target) as table:
        old = np.roll(codes[:50], 7, axis=0)
        engines.write(table, old, ids[:50], codec, shards=shards, **CODE)  # are replaced
        engines.write(table, codes, ids, codec, **CODE)  # the table knows its parts
        for k in (10, 1000):
            found = engines.search(table, queries, k, codec=codec, oversample=1)
            np.testing.assert_array_equal(found.ids, nearest(codec, queries, codes, ids, k)[0])


def test_partitions_of_postgresql_share_the_rows_and_the_index(
    tmp_path, codec, queries, codes, ids
):
    target = target_of("pgvector", tmp_path)
    engines.write(target, codes, ids, codec, shards=4, index="hnsw", **CODE)
    with engines.opened(target) as table:
        run = table._connection.execute
        of = "select inhrelid::regclass::text from pg_inherits where inhparent = %s::regclass"
        names = [name for (name,) in run(of, [table.table])]
        indexed = run(of, [f"{table.table}_qama_code"]).fetchall()
        counts = [run(f"select count(*) from {name}").fetchone()[0] for name in names]
    assert sorted(names) == [f"{table.table}_{part}" for part in range(4)]
    assert sum(counts) == len(ids)
    assert min(counts) > 0
    assert len(indexed) == 4
    found = engines.search(target, queries, 10, codec=codec)
    wanted = nearest(codec, queries, codes, ids, 10)[0]
    assert np.mean([np.isin(a, b).mean() for a, b in zip(wanted, found.ids, strict=True)]) > 0.5


def test_citus_distributes_the_table_where_it_is_installed(tmp_path, codec, codes, ids):
    """A function that notes its arguments stands for Citus, which no package has."""
    target = target_of("pgvector", tmp_path)
    with engines.opened(target) as table:
        run = table._connection.execute
        run("create table told (what text)")
        run(
            "create function create_distributed_table(t regclass, key text, shard_count int) "
            "returns void language sql as "
            "$$ insert into told values (t::text || ' ' || key || ' ' || shard_count) $$"
        )
        try:
            engines.write(table, codes, ids, codec, shards=32, **CODE)
            assert run("select what from told").fetchall() == [(f"{table.table} id 32",)]
        finally:
            run("drop function create_distributed_table")
            run("drop table told")


@pytest.mark.parametrize(
    ("engine", "shards", "words"),
    [
        ("duckdb", 2, "shards is 2, and a table of duckdb is in one piece"),
        ("pgvector", 0, "shards is 0; give a whole number >= 1 and <= 1024"),
        ("pgvector", "many", "shards is 'many'; give a whole number"),
        ("clickhouse", 2, "shards is 2; clickhouse wants the name of a cluster"),
        ("clickhouse", "elsewhere", "shards is 'elsewhere', no cluster of .*; there is none"),
        ("clickhouse", "a' b", "clickhouse wants the name of a cluster"),
    ],
)
def test_parts_that_cannot_be_are_refused(engine, shards, words, tmp_path, codec, codes, ids):
    target = target_of(engine, tmp_path)
    with pytest.raises(ValueError, match=words):
        engines.write(target, codes, ids, codec, shards=shards, **CODE)
    with engines.opened(target) as table:
        assert table.label() is None
