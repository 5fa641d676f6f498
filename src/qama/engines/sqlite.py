"""SQLite with sqlite-vec: a virtual table with a column of bits, scanned."""

from __future__ import annotations

from typing import Any

from qama.checks import Bytes, Ids
from qama.engines.label import Label
from qama.engines.table import Candidates, Table, client, reaching

_MOST_BY_MATCH = 4096  # rows that sqlite-vec's own search returns


class SQLite(Table):
    """A table vec0(id, code bit[...]) of a database file, its label in the table NAME_qama."""

    engine = "sqlite"
    extra = "sqlite"
    makes_place = True
    filters = "an SQL condition"

    def __init__(self, place: str, table: str) -> None:
        super().__init__(place, table)
        apsw, extension = client(type(self), "apsw"), client(type(self), "sqlite_vec")
        with reaching(self):
            self._connection = apsw.Connection(place)
            self._connection.set_busy_timeout(10_000)
            self._connection.enable_load_extension(True)
            self._connection.load_extension(extension.loadable_path())
            self._connection.enable_load_extension(False)

    def label(self) -> Label | None:
        """See `Store`."""
        names = {name for (name,) in self._connection.execute("select name from sqlite_master")}
        if self.table not in names:
            return None
        if f"{self.table}_qama" not in names:
            return Label.from_json(None, str(self))
        ((text,),) = self._connection.execute(f"select label from {self.table}_qama").fetchall()
        return Label.from_json(text, str(self))

    def create(self, label: Label) -> None:
        """See `Store`."""
        with self._connection:
            self._connection.execute(
                f"create virtual table {self.table} "
                f"using vec0(id integer primary key, code bit[{label.bits}])"
            )
            self._connection.execute(f"create table {self.table}_qama (label text)")
            self._connection.execute(
                f"insert into {self.table}_qama values (?)", (label.to_json(),)
            )

    def put(self, ids: Ids, codes: Bytes) -> None:
        """See `Store`."""
        with self._connection:  # vec0 has no upsert
            self._connection.executemany(
                f"delete from {self.table} where id = ?", ((key,) for key in ids.tolist())
            )
            self._connection.executemany(
                f"insert into {self.table} (id, code) values (?, vec_bit(?))",
                zip(ids.tolist(), map(bytes, codes), strict=True),
            )

    def nearest(self, queries: Bytes, count: int, label: Label, where: Any) -> Candidates:
        """See `Table`."""
        sql = self._by_match(count, where) if count <= _MOST_BY_MATCH else self._by_scan(where)
        found = [
            self._connection.execute(sql, (query.tobytes(), count)).fetchall() for query in queries
        ]
        return Candidates.of_rows(found, label.nbytes)

    def _by_match(self, count: int, where: Any) -> str:
        some = "" if where is None else f"and id in (select id from {self.table} where {where})"
        return (
            f"select id, distance, code from {self.table} "
            f"where code match vec_bit(?) and k = ? {some}"
        )

    def _by_scan(self, where: Any) -> str:
        return (
            f"select id, vec_distance_hamming(code, vec_bit(?)) as d, code from {self.table} "
            f"where {where or 'true'} order by d, id limit ?"
        )

    def close(self) -> None:
        """See `Store`."""
        self._connection.close()
