"""ClickHouse: a column FixedString, scanned; a server, or chdb in a folder."""

from __future__ import annotations

import re
from typing import Any

from qama.checks import Bytes, Ids
from qama.engines import arrow
from qama.engines.label import Label
from qama.engines.table import Candidates, Sharded, client, reaching


class ClickHouse(Sharded):
    """A table (id Int64, code FixedString(n)), its label in the table's comment.

    The place is the address of a server, "http://user@host:8123/database", or a folder, which
    chdb, the engine in this process, keeps. Rows are replaced when the engine merges them
    (ReplacingMergeTree): queries of your own say FINAL.
    """

    engine = "clickhouse"
    extra = "clickhouse"
    makes_place = True
    ties_by_id = True
    filters = "an SQL condition"

    def __init__(self, place: str, table: str) -> None:
        super().__init__(place, table)
        connect = client(type(self), "clickhouse_connect")
        remote = place.startswith(("http://", "https://"))
        if not remote:
            client(type(self), "chdb")
        with reaching(self):
            where = {"dsn": place} if remote else {"interface": "chdb", "path": place}
            self._client = connect.get_client(**where)

    def label(self) -> Label | None:
        """See `Store`."""
        known = self._client.query(
            "select comment from system.tables where database = currentDatabase() "
            "and name = {name:String}",
            parameters={"name": self.table},
        ).result_rows
        return Label.from_json(known[0][0], str(self)) if known else None

    def create(self, label: Label) -> None:
        """See `Store`."""
        text = label.to_json().replace("'", "''")
        self._client.command(f"create table {self.table} {_rows(label)} comment '{text}'")

    def check_shards(self, shards: int | str) -> None:
        """See `Sharded`: the name of a cluster that the server knows."""
        if not (isinstance(shards, str) and re.fullmatch(r"\w[\w.-]*", shards)):
            raise ValueError(f"shards is {shards!r}; clickhouse wants the name of a cluster")
        clusters = self._client.query("select distinct cluster from system.clusters").result_rows
        known = sorted(name for (name,) in clusters)
        if shards not in known:
            there = f"there are {', '.join(known)}" if known else "there is none"
            raise ValueError(f"shards is {shards!r}, no cluster of {self}; {there}")

    def create_sharded(self, label: Label, shards: int | str) -> None:
        """Make a table NAME_local on every node of a cluster, and one that stands for all of them.

        A row lies where its id says, so that a later row of the same id replaces it there.
        """
        text = label.to_json().replace("'", "''")
        ((nodes,),) = self._client.query(
            "select count() from system.clusters where cluster = {name:String}",
            parameters={"name": shards},
        ).result_rows
        everywhere = f"on cluster '{shards}'" if nodes > 1 else ""
        local = f"{self.table}_local"
        self._client.command(f"create table if not exists {local} {everywhere} {_rows(label)}")
        self._client.command(
            f"create table {self.table} {everywhere} as {local} engine = "
            f"Distributed('{shards}', currentDatabase(), {local}, id) comment '{text}'"
        )

    def put(self, ids: Ids, codes: Bytes) -> None:
        """See `Store`."""
        self._client.insert_arrow(
            self.table, arrow.table(ids, codes), settings={"distributed_foreground_insert": 1}
        )

    def nearest(self, queries: Bytes, count: int, label: Label, where: Any) -> Candidates:
        """See `Table`."""
        sql = (
            f"select id, bitHammingDistance(code, toFixedString(unhex({{q:String}}), "
            f"{label.nbytes})) as d, code from {self.table} final "
            f"where {where or 'true'} order by d, id limit {count}"
        )
        found = [
            self._client.query(
                sql,
                parameters={"q": query.tobytes().hex()},
                query_formats={"FixedString": "bytes"},
            ).result_rows
            for query in queries
        ]
        return Candidates.of_rows(found, label.nbytes)

    def close(self) -> None:
        """See `Store`."""
        self._client.close()


def _rows(label: Label) -> str:
    """Return the SQL of columns, and that a later row of the same id replaces the earlier one."""
    columns = f"(id Int64, code FixedString({label.nbytes}))"
    return f"{columns} engine = ReplacingMergeTree order by id"
