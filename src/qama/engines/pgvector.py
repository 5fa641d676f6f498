"""PostgreSQL with pgvector: a column bit(n), scanned, or by HNSW over all dims or a prefix."""

from __future__ import annotations

from typing import Any

import numpy as np

from qama.checks import Bytes, Ids
from qama.engines.label import Label
from qama.engines.table import Candidates, InParts, client, reaching

_BY_PREFIX = 4  # candidates by a prefix for each candidate by the whole code
_MOST_EFFORT = 1000  # what hnsw.ef_search may be


class PgVector(InParts):
    """A table (id bigint, code bit(n)) of a database, its label in the table's comment.

    The place is what libpq connects to: "postgresql://user@host/database".
    """

    engine = "pgvector"
    extra = "pgvector"
    indexes = ("", "hnsw")
    prefixes = True
    ties_by_id = True
    filters = "an SQL condition"

    def __init__(self, place: str, table: str) -> None:
        super().__init__(place, table)
        psycopg = client(type(self), "psycopg")
        with reaching(self):
            self._connection = psycopg.connect(place, autocommit=True)

    def label(self) -> Label | None:
        """See `Store`."""
        sql = "select to_regclass(%s), obj_description(to_regclass(%s), 'pg_class')"
        ((there, text),) = self._connection.execute(sql, (self.table, self.table)).fetchall()
        return None if there is None else Label.from_json(text, str(self))

    def create(self, label: Label) -> None:
        """See `Store`."""
        self._execute_all(self._making(label))

    def create_sharded(self, label: Label, shards: int | str) -> None:
        """Make a table of so many parts by a hash of the id.

        These are shards of Citus, which lays them on its nodes, where the database has that
        extension; else partitions of PostgreSQL's own.
        """
        ((citus,),) = self._connection.execute(
            "select exists (select from pg_proc where proname = 'create_distributed_table')"
        ).fetchall()
        if citus:
            spread = f"create_distributed_table('{self.table}', 'id', shard_count := {shards})"
            self._execute_all([*self._making(label), f"select {spread}"])
            return
        parts = [
            f"create table {self.table}_{part} partition of {self.table} "
            f"for values with (modulus {shards}, remainder {part})"
            for part in range(int(shards))
        ]
        self._execute_all([*self._making(label, "partition by hash (id)"), *parts])

    def _making(self, label: Label, spread: str = "") -> list[str]:
        """Return the SQL of an empty table."""
        text = label.to_json().replace("'", "''")
        columns = f"id bigint primary key, code bit({label.bits}) not null"
        return [
            "create extension if not exists vector",
            f"create table {self.table} ({columns}) {spread}",
            f"comment on table {self.table} is '{text}'",
        ]

    def _execute_all(self, statements: list[str]) -> None:
        with self._connection.transaction():
            for statement in statements:
                self._connection.execute(statement)

    def put(self, ids: Ids, codes: Bytes) -> None:
        """See `Store`."""
        bits = 8 * codes.shape[1]
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute(
                f"create temporary table qama_rows (id bigint, code bit({bits})) on commit drop"
            )
            with cursor.copy("copy qama_rows (id, code) from stdin") as copy:
                for row in zip(ids.tolist(), _texts(codes), strict=True):
                    copy.write_row(row)
            cursor.execute(
                f"insert into {self.table} (id, code) select id, code from qama_rows "
                f"on conflict (id) do update set code = excluded.code"
            )

    def finish(self, label: Label) -> None:
        """Build the index, if one was asked for and it is not there."""
        if label.index:
            self._connection.execute(
                f"create index if not exists {self.table}_qama_code on {self.table} "
                f"using hnsw (({_prefix('code', label)}) bit_hamming_ops)"
            )

    def nearest(self, queries: Bytes, count: int, label: Label, where: Any) -> Candidates:
        """See `Table`."""
        make = self._by_index if label.index else self._by_scan
        sql = make(count, label, (where or "true").replace("%", "%%"))
        effort = min(_MOST_EFFORT, max(100, count * (_BY_PREFIX if label.prefix else 1)))
        with self._connection.transaction(), self._connection.cursor(binary=True) as cursor:
            if label.index:
                cursor.execute(f"set local hnsw.ef_search = {effort}")
                cursor.execute("set local hnsw.iterative_scan = relaxed_order")
            found = [cursor.execute(sql, {"q": text}).fetchall() for text in _texts(queries)]
        return Candidates.of_rows(found, label.nbytes)

    def _by_scan(self, count: int, label: Label, where: str) -> str:
        return (
            f"select id, (code <~> {_query(label)})::integer as d, {_BYTES} from {self.table} "
            f"where {where} order by d, id limit {count}"
        )

    def _by_index(self, count: int, label: Label, where: str) -> str:
        """Return a query whose inner ``order by`` repeats the expression of the index."""
        wide = count * (_BY_PREFIX if label.prefix else 1)
        return (
            f"select id, (code <~> {_query(label)})::integer as d, {_BYTES} from ("
            f"select id, code from {self.table} where {where} "
            f"order by {_prefix('code', label)} <~> {_prefix(_query(label), label)} limit {wide}"
            f") as near order by d, id limit {count}"
        )

    def close(self) -> None:
        """See `Store`."""
        self._connection.close()


_BYTES = "substring(bit_send(code) from 5)"  # behind the length in bits


def _query(label: Label) -> str:
    return f"%(q)s::bit({label.bits})"


def _prefix(bits: str, label: Label) -> str:
    """Return the SQL of what the index is over: the first bits, or all."""
    if not label.prefix:
        return bits
    return f"substring({bits} from 1 for {label.prefix_bits})::bit({label.prefix_bits})"


def _texts(codes: Bytes) -> list[str]:
    """Return codes as texts of zeros and ones, the most significant bit first."""
    digits = np.unpackbits(codes, axis=1) + np.uint8(ord("0"))
    return [row.tobytes().decode() for row in digits]
