"""DuckDB: a table with a column BIT, scanned; ties go to the lower id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qama.checks import Bytes, Ids
from qama.engines import arrow
from qama.engines.label import Label
from qama.engines.table import Candidates, Table, client, reaching


class DuckDB(Table):
    """A table (id BIGINT, code BIT) of a database file, its label in the table's comment."""

    engine = "duckdb"
    extra = "duckdb"
    makes_place = True
    ties_by_id = True
    filters = "an SQL condition"

    def __init__(self, place: str, table: str) -> None:
        super().__init__(place, table)
        duckdb = client(type(self), "duckdb")
        with reaching(self):
            self._connection = duckdb.connect(place)

    def label(self) -> Label | None:
        """See `Store`."""
        known = self._connection.execute(
            "select comment from duckdb_tables() where table_name = ?", [self.table]
        ).fetchall()
        return Label.from_json(known[0][0], str(self)) if known else None

    def create(self, label: Label) -> None:
        """See `Store`."""
        with self._transaction():
            self._connection.execute(
                f"create table {self.table} (id bigint primary key, code bit not null)"
            )
            text = label.to_json().replace("'", "''")
            self._connection.execute(f"comment on table {self.table} is '{text}'")

    def put(self, ids: Ids, codes: Bytes) -> None:
        """See `Store`."""
        self._connection.register("qama_rows", arrow.table(ids, codes))
        try:
            self._connection.execute(
                f"insert or replace into {self.table} (id, code) "
                f"select id, code::blob::bit from qama_rows"
            )
        finally:
            self._connection.unregister("qama_rows")

    def nearest(self, queries: Bytes, count: int, label: Label, where: Any) -> Candidates:
        """See `Table`."""
        sql = (
            f"select id, bit_count(xor(code, ?::blob::bit))::integer as d, code::blob "
            f"from {self.table} where {where or 'true'} order by d, id limit {count}"
        )
        found = [self._connection.execute(sql, [query.tobytes()]).fetchall() for query in queries]
        return Candidates.of_rows(found, label.nbytes)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.begin()
        try:
            yield
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise

    def close(self) -> None:
        """See `Store`."""
        self._connection.close()
