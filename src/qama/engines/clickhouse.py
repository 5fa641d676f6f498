"""ClickHouse: a column FixedString, scanned; a server, or chdb in a folder."""

from __future__ import annotations

from typing import Any

from qama.checks import Bytes, Ids
from qama.engines import arrow
from qama.engines.label import Label
from qama.engines.table import Candidates, Table, client, reaching


class ClickHouse(Table):
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
        self._client.command(
            f"create table {self.table} (id Int64, code FixedString({label.nbytes})) "
            f"engine = ReplacingMergeTree order by id comment '{text}'"
        )

    def put(self, ids: Ids, codes: Bytes) -> None:
        """See `Store`."""
        self._client.insert_arrow(self.table, arrow.table(ids, codes))

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
