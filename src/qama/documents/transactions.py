"""Transactions: one moment of the database to read, and one change of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qama.checks import Bytes, Floats, Ids
from qama.documents import fulltext, schema
from qama.documents.filters import Condition, scalar
from qama.documents.hits import Document
from qama.documents.schema import About
from qama.errors import FormatError


@dataclass(frozen=True)
class Rows:
    """Documents to be written, checked.

    Attributes:
        ids: Ids, each once.
        texts: Their texts.
        metadata: Their fields, as JSON.
        codes: uint8 (n, bytes), compact.
        vectors: float32 (n, d) of length 1, to be kept; None: they are not.
    """

    ids: Sequence[str]
    texts: Sequence[str | None]
    metadata: Sequence[str]
    codes: Bytes
    vectors: Floats | None


class View:
    """One moment of the database: a transaction that reads.

    Args:
        connection: A connection that began it.
        path: The database, for messages.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self._path = connection, path
        try:
            (row,) = self._rows(f"SELECT {', '.join(schema.ABOUT)} FROM about")
            codec, code, keeps, words, *counters = row
            numbers = [int(counter) for counter in counters]
            self.about = About(
                str(codec), dict(json.loads(code)), bool(keeps), bool(words), *numbers
            )
        except (sqlite3.OperationalError, TypeError, ValueError) as error:
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) != sqlite3.SQLITE_ERROR:
                raise
            raise FormatError(f"{path} does not say what it holds: {error}") from error

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        return self._connection.execute(sql, values).fetchall()

    def numbers(self, where: Condition, limit: int | None = None) -> Ids:
        """Return the numbers int64 (n,) of the documents where a condition holds, ascending.

        Args:
            where: The condition.
            limit: Only so many, the lowest ones.
        """
        if limit is None:
            return self._numbers(f"documents WHERE {where.sql}", *where.values)
        first = f"SELECT number FROM documents WHERE {where.sql} ORDER BY number LIMIT ?"
        return self._numbers(f"({first})", *where.values, limit)

    def _numbers(self, rows: str, *values: Any) -> Ids:
        """Return the numbers of some rows as one text: one by one takes three times as long."""
        sql = f"SELECT group_concat(CAST(number AS INTEGER)) FROM {rows}"
        ((listed,),) = self._rows(sql, *values)
        numbers = np.fromstring(listed or "", dtype=np.int64, sep=",")
        numbers.sort()  # in whatever order an index had them
        return numbers

    def count(self, where: Condition) -> int:
        """Return how many documents there are where a condition holds."""
        ((count,),) = self._rows(f"SELECT count(*) FROM documents WHERE {where.sql}", *where.values)
        return int(count)

    def ids(self, where: Condition) -> list[str]:
        """Return the ids of the documents where a condition holds, in insertion order."""
        sql = f"SELECT id FROM documents WHERE {where.sql} ORDER BY number"
        return [row[0] for row in self._rows(sql, *where.values)]

    def numbers_of(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the number of each id that there is."""
        sql = "SELECT id, number FROM documents WHERE id IN (SELECT value FROM json_each(?))"
        return dict(self._rows(sql, json.dumps(list(ids), ensure_ascii=False)))

    def documents(self, numbers: Iterable[int]) -> dict[int, Document]:
        """Return documents by number."""
        sql = (
            "SELECT number, id, text, metadata FROM documents "
            "WHERE number IN (SELECT value FROM json_each(?))"
        )
        rows = self._rows(sql, json.dumps(list(numbers)))
        try:
            return {n: Document(key, text, json.loads(held)) for n, key, text, held in rows}
        except (TypeError, ValueError) as error:
            raise FormatError(f"{self._path} has metadata that is no JSON: {error}") from error

    def words(self, text: str, where: Condition, k: int) -> list[tuple[int, float]]:
        """Return the numbers of the k documents that have the words of a text, and BM25 scores."""
        query = fulltext.query(text)
        if not query:
            return []
        within = f"SELECT number FROM documents WHERE {where.sql}"
        restricted = "" if where.sql == "1" else f"AND rowid IN ({within})"
        sql = (
            f"SELECT rowid, -rank FROM words WHERE words MATCH ? {restricted} "
            f"ORDER BY rank, rowid LIMIT ?"
        )
        return self._rows(sql, query, *where.values, k)

    def codes_after(self, number: int, limit: int) -> tuple[Ids, Bytes]:
        """Return numbers int64 (n,) behind one and codes uint8 (n, bytes), n at most ``limit``."""
        sql = "SELECT number, code FROM documents WHERE number > ? ORDER BY number LIMIT ?"
        return self._arrays(self._rows(sql, number, limit), np.uint8)

    def codes(self, numbers: Ids) -> Any:
        """Return the codes uint8 (n, bytes) of documents, ascending by number."""
        return self._column("documents", "code", numbers, np.uint8)

    def vectors(self, numbers: Ids) -> Any:
        """Return the kept vectors float16 (n, d) of documents, ascending by number."""
        return self._column("vectors", "vector", numbers, np.float16)

    def _column(self, table: str, column: str, numbers: Ids, dtype: type[np.generic]) -> Any:
        sql = (
            f"SELECT number, {column} FROM {table} "
            f"WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number"
        )
        return self._arrays(self._rows(sql, json.dumps(numbers.tolist())), dtype)[1]

    def vectors_after(self, number: int, limit: int) -> tuple[Ids, Any]:
        """Return numbers int64 (n,) behind one and kept vectors float16 (n, d)."""
        sql = "SELECT number, vector FROM vectors WHERE number > ? ORDER BY number LIMIT ?"
        return self._arrays(self._rows(sql, number, limit), np.float16)

    def _arrays(self, rows: list[Any], dtype: type[np.generic]) -> tuple[Ids, Any]:
        """Return (number, bytes) as two arrays."""
        if not rows:
            return np.empty(0, dtype=np.int64), np.empty((0, 0), dtype=dtype)
        numbers, values = zip(*rows, strict=True)
        if {*map(type, values)} != {bytes} or len({*map(len, values)}) > 1:
            raise FormatError(f"{self._path} has codes or vectors of several lengths")
        table = np.frombuffer(b"".join(values), dtype=np.dtype(dtype).newbyteorder("<"))
        return np.array(numbers, dtype=np.int64), table.reshape(len(rows), -1)

    def deleted_after(self, number: int) -> Ids:
        """Return the numbers int64 (n,) of the rows that were removed behind one."""
        return self._numbers("deletions WHERE at > ?", number)


class Change(View):
    """A transaction that writes."""

    def insert(self, rows: Rows) -> None:
        """Add documents.

        Raises:
            ValueError: an id is there already, or metadata nested deeper than SQLite reads.
        """
        first = self.about.last + 1
        numbers = range(first, first + len(rows.ids))
        stored, size = rows.codes.tobytes(), rows.codes.shape[1]
        codes = (stored[at : at + size] for at in range(0, len(stored), size))
        try:
            self._connection.executemany(
                "INSERT INTO documents (number, id, code, metadata, text) VALUES (?, ?, ?, ?, ?)",
                zip(numbers, rows.ids, codes, rows.metadata, rows.texts, strict=True),
            )
        except sqlite3.IntegrityError as error:
            raise ValueError(self._unfitting(rows, first, error)) from None
        if self.about.fulltext:
            self._connection.execute(fulltext.ADDED, (first,))
        if rows.vectors is not None:
            self.keep(numbers, rows.vectors)
        self._note(last=first - 1 + len(rows.ids), count=self.about.count + len(rows.ids))

    def _unfitting(self, rows: Rows, first: int, error: sqlite3.IntegrityError) -> str:
        known = [key for key, n in self.numbers_of(rows.ids).items() if n < first]
        if known:
            return f"id {known[0]!r} is in the documents already; upsert replaces, or give new ids"
        return f"metadata is nested deeper than SQLite reads ({error})"

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove documents by number."""
        first = self.about.last + 1
        self._connection.executemany(
            "INSERT INTO deletions (at, number) VALUES (?, ?)", enumerate(numbers, first)
        )
        listed = json.dumps(list(numbers))
        if self.about.fulltext:
            self._connection.execute(fulltext.REMOVED, (listed,))
        for table in ("documents", "vectors"):
            self._connection.execute(
                f"DELETE FROM {table} WHERE number IN (SELECT value FROM json_each(?))", (listed,)
            )
        self._note(last=first - 1 + len(numbers), count=self.about.count - len(numbers))

    def keep(self, numbers: Iterable[int], vectors: Floats) -> None:
        """Keep vectors float32 (n, d) of length 1 as float16, in place of those kept before."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO vectors (number, vector) VALUES (?, ?)",
            zip(numbers, (row.tobytes() for row in vectors.astype("<f2")), strict=True),
        )

    def recode(self, numbers: Iterable[int], codes: Bytes) -> None:
        """Replace the codes of documents; `begin_generation` must follow."""
        self._connection.executemany(
            "UPDATE documents SET code = ? WHERE number = ?",
            zip((code.tobytes() for code in codes), numbers, strict=True),
        )

    def begin_generation(self, codec: str, request: dict[str, Any]) -> None:
        """Say that all codes were made anew."""
        self._note(generation=self.about.generation + 1, codec=codec, code=json.dumps(request))

    def trim(self, number: int) -> None:
        """Forget the deletions up to a number."""
        self._connection.execute("DELETE FROM deletions WHERE at <= ?", (number,))
        self._note(trimmed=max(number, self.about.trimmed))

    def index(self, field: str) -> None:
        """Keep an index on what filters ask of a field."""
        self._connection.execute(
            f"CREATE INDEX IF NOT EXISTS {_index_name(field)} ON documents ({scalar(field)})"
        )

    def rebuild_words(self) -> None:
        """Find the words of all texts again."""
        if self.about.fulltext:
            self._connection.execute(fulltext.REBUILD)

    def _note(self, **changed: Any) -> None:
        columns = ", ".join(f"{name} = ?" for name in changed)
        self._connection.execute(f"UPDATE about SET {columns}", tuple(changed.values()))
        View.__init__(self, self._connection, self._path)


def _index_name(field: str) -> str:
    return '"by ' + field.replace('"', '""') + '"'
