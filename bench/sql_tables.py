"""Byte codes scored by lookup tables in SQL, beside fetching the codes and scoring them here.

    .venv-engines/bin/python bench/sql_tables.py

A table of 48 byte codes in DuckDB and in ClickHouse (chdb). Something else, such as a full-text
search, has found candidates; the ten best of them are wanted. "client": their codes are fetched and
scored by the same call as what `engines.search` found. "sql": the query's lookup table, 48 x 256
numbers, goes along with the statement, which adds up what the bytes of each code choose and returns
ten rows; the table is made before the time begins. One thread, one query at a time, medians in ms.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from _record import write_record
from engines import vectors

import qama
from qama.search.scan import given

BYTES, K = 48, 10
CANDIDATES = (100, 1_000, 10_000)


class Tables:
    """What every byte adds to q . x_hat, as rows of one matrix; and what codes are divided by."""

    def __init__(self, codec):
        self.codec, self.zero = codec, codec.decode(np.zeros((1, BYTES), np.uint8), nbytes=BYTES)
        single = np.zeros((BYTES * 256, BYTES), np.uint8)
        single[np.arange(BYTES * 256), np.repeat(np.arange(BYTES), 256)] = np.tile(
            np.arange(256), BYTES
        )
        self.added = codec.decode(single, nbytes=BYTES) - self.zero

    def of(self, q):
        """The table of a query, float32 (12,288,), what all codes have put into that of byte 0."""
        table = self.added @ q
        table[:256] += self.zero[0] @ q
        return table

    def inverse_lengths(self, codes):
        return 1 / np.linalg.norm(self.codec.decode(codes, nbytes=BYTES), axis=1)


class DuckDB:
    name = "DuckDB"

    def __init__(self, folder, rows):
        import duckdb

        self.base = duckdb.connect(f"{folder}/x.db")
        self.base.execute("set threads = 1")
        self.base.register("rows", rows)
        self.base.execute(
            "create table t as select id, code, bytes::usmallint[] as bytes, norm from rows"
        )
        self.base.execute("create unique index i on t (id)")
        self.version = f"duckdb {duckdb.__version__}"

    def codes(self, ids):
        sql = "select id, code from t where id in (select unnest(?))"
        found = self.base.execute(sql, [ids]).to_arrow_table()
        return found["id"].to_numpy(), found["code"].to_pylist()

    def best(self, ids, table):
        places = ", ".join(f"l[{256 * i + 1} + bytes[{i + 1}]]" for i in range(BYTES))
        sql = (
            "with q as (select ?::float[] as l) "
            f"select id, list_sum([{places}]) * norm as s from t, q "
            f"where id in (select unnest(?)) order by s desc, id limit {K}"
        )
        return [row[0] for row in self.base.execute(sql, [table, ids]).fetchall()]


class ClickHouse:
    name = "ClickHouse"

    def __init__(self, folder, rows):
        import clickhouse_connect

        self.base = clickhouse_connect.get_client(interface="chdb", path=f"{folder}/ch")
        self.base.command(
            f"create table t (id Int64, code FixedString({BYTES}), bytes Array(UInt8), "
            "norm Float32) engine = MergeTree order by id"
        )
        self.base.insert_arrow("t", rows)
        self.version = "chdb " + __import__("chdb").__version__

    def _asked(self, sql, **parameters):
        return self.base.query(
            sql, parameters=parameters, settings={"max_threads": 1, "max_query_size": 10**7},
            query_formats={"FixedString": "bytes"},
        ).result_rows  # fmt: skip

    def codes(self, ids):
        listed = ",".join(map(str, ids))
        found = self._asked(f"select id, code from t where id in ({listed})")
        return np.array([row[0] for row in found]), [row[1] for row in found]

    def best(self, ids, table):
        listed, numbers = ",".join(map(str, ids)), ",".join(f"{x:.7g}" for x in table)
        found = self._asked(
            f"with [{numbers}] as l select id, "
            f"arraySum((c, i) -> l[i * 256 + c + 1], bytes, range({BYTES})) * norm as s "
            f"from t where id in ({listed}) order by s desc, id limit {K}"
        )
        return [row[0] for row in found]


def of_client(store, code, q, ids):
    """The ten best of candidates, by their codes."""
    found, codes = store.codes(ids)
    order = np.argsort(found)
    packed = np.frombuffer(b"".join(codes), np.uint8).reshape(-1, BYTES)[order]
    stored = code.stored_form(packed)[None]
    places, _ = given.best(code, q[None], stored, np.ones((1, len(found)), bool), K, 1)
    return found[order][places[0]].tolist()


def milliseconds(work, times):
    work()
    each = []
    for _ in range(times):
        began = time.perf_counter()
        found = work()
        each.append(1e3 * (time.perf_counter() - began))
    return statistics.median(each), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("bench/results/sql_tables.json"))
    options = parser.parse_args()
    codec = qama.fit(vectors(4000, 2), max_bytes=BYTES, threads=1)
    tables, code = Tables(codec), codec.code(nbytes=BYTES)
    codes = codec.encode(vectors(options.rows, 0), nbytes=BYTES, threads=1)
    rows = pa.table({
        "id": np.arange(options.rows),
        "code": pa.array([row.tobytes() for row in codes], pa.binary()),
        "bytes": pa.array(list(codes), pa.list_(pa.uint8())),
        "norm": tables.inverse_lengths(codes).astype(np.float32),
    })  # fmt: skip
    q = vectors(1, 1)[0]
    q /= np.linalg.norm(q)
    table, random, results = tables.of(q).tolist(), np.random.default_rng(0), []
    for kind in (DuckDB, ClickHouse):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            store = kind(folder, rows)
            for count in CANDIDATES:
                ids = random.permutation(options.rows)[:count].tolist()
                here, ten = milliseconds(lambda: of_client(store, code, q, ids), options.times)  # noqa: B023
                there, best = milliseconds(lambda: store.best(ids, table), options.times)  # noqa: B023
                row = {
                    "engine": kind.name, "version": store.version, "rows": options.rows,
                    "candidates": count, "client_ms": here, "sql_ms": there,
                    "same": len({*ten} & {*best}) / K,
                }  # fmt: skip
                print(row, flush=True)
                results.append(row)
    write_record(options.out, results)


if __name__ == "__main__":
    main()
