"""The truth: documents and their codes in one SQLite database, changed in transactions.

Every change draws numbers from one counter, ``about.last``, in its own transaction. A row of
``documents`` is one version of a document: an upsert removes the row and adds one with a new
number, so that a number means the same code for ever (until ``rebuild`` begins a new generation).
What is derived and holds everything up to a number catches up by the rows with later numbers and
by the ``deletions`` behind it; older ones are forgotten (``about.trimmed``).

The database is in WAL mode with synchronous=FULL: what was committed survives a power cut, and
readers never wait for the writer. https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from qama import files
from qama.checks import Bytes, Floats, Ids
from qama.documents import fulltext
from qama.documents.filters import Condition, scalar
from qama.documents.hits import Document
from qama.errors import FormatError, LockedError
from qama.search.storage.lock import Lock

NAME = "documents.sqlite"
FORMAT = 1
_APPLICATION = 0x51414D41  # "QAMA", by which the database says whose it is
_SCHEMA = """
CREATE TABLE about (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    codec TEXT NOT NULL,         -- fingerprint of the codec that made the codes
    code TEXT NOT NULL,          -- which of its codes, as JSON
    keeps_vectors INTEGER NOT NULL,
    fulltext INTEGER NOT NULL,
    generation INTEGER NOT NULL, -- how often all codes were made anew
    last INTEGER NOT NULL,       -- the number given last
    count INTEGER NOT NULL,      -- documents
    trimmed INTEGER NOT NULL     -- deletions up to this number are forgotten
);
CREATE TABLE documents (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    code BLOB NOT NULL,          -- compact
    metadata TEXT NOT NULL CHECK (json_valid(metadata)),
    text TEXT
);
CREATE TABLE vectors (           -- float16 of length 1, where they are kept
    number INTEGER PRIMARY KEY,
    vector BLOB NOT NULL
);
CREATE TABLE deletions (
    at INTEGER PRIMARY KEY,
    number INTEGER NOT NULL      -- of the row that was removed
);
"""
_ABOUT = ("codec", "code", "keeps_vectors", "fulltext", "generation", "last", "count", "trimmed")


@dataclass(frozen=True)
class About:
    """What the database says of itself.

    Attributes:
        codec: Fingerprint of the codec that made the codes.
        request: Which of its codes they are, as `Codec.code` takes it.
        keeps_vectors: Whether vectors are kept beside codes.
        fulltext: Whether words can be searched.
        generation: How often all codes were made anew.
        last: The number given last.
        count: Documents.
        trimmed: Deletions up to this number are forgotten.
    """

    codec: str
    request: dict[str, Any]
    keeps_vectors: bool
    fulltext: bool
    generation: int = 0
    last: int = 0
    count: int = 0
    trimmed: int = 0

    def values(self) -> tuple[Any, ...]:
        """Return the row of table ``about``."""
        flags = (self.keeps_vectors, self.fulltext)
        counters = (self.generation, self.last, self.count, self.trimmed)
        return (self.codec, json.dumps(self.request), *flags, *counters)


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
    """One moment of the database: a transaction that reads."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        try:
            (row,) = self._rows(f"SELECT {', '.join(_ABOUT)} FROM about")
            codec, code, keeps, words, *counters = row
            numbers = [int(counter) for counter in counters]
            self.about = About(
                str(codec), dict(json.loads(code)), bool(keeps), bool(words), *numbers
            )
        except (sqlite3.OperationalError, TypeError, ValueError) as error:
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) != sqlite3.SQLITE_ERROR:
                raise
            raise FormatError(f"the database does not say what it holds: {error}") from error

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        return self._connection.execute(sql, values).fetchall()

    def numbers(self, where: Condition) -> Ids:
        """Return the numbers int64 (n,) of the documents where a condition holds, ascending."""
        return self._numbers(f"documents WHERE {where.sql}", *where.values)

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
            raise FormatError(f"the database holds metadata that is no JSON: {error}") from error

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
        return _arrays(self._rows(sql, number, limit), np.uint8)

    def vectors_after(self, number: int, limit: int) -> tuple[Ids, Any]:
        """Return numbers int64 (n,) behind one and kept vectors float16 (n, d)."""
        sql = "SELECT number, vector FROM vectors WHERE number > ? ORDER BY number LIMIT ?"
        return _arrays(self._rows(sql, number, limit), np.float16)

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
        View.__init__(self, self._connection)


class Store:
    """The database of a folder.

    Args:
        folder: Where it lies.
        mode: "r" or "a"; "a" takes the lock, which `close` gives back.

    Raises:
        FileNotFoundError: there is none.
        FormatError: it is no database of documents, damaged, or of a later version.
        LockedError: another writer has it open.
        OSError: it cannot be opened.
    """

    def __init__(self, folder: Path, mode: str) -> None:
        self.path = folder / NAME
        self._process = os.getpid()
        self._idle: list[sqlite3.Connection] = []
        self._frozen: object = None  # of a folder that may not be written: as it was
        self._writer: sqlite3.Connection | None = None
        self._lock: Lock | None = None
        self.closed = False
        if not self.path.is_file():
            raise FileNotFoundError(f"there are no documents in {folder}; see Documents.create")
        try:
            if mode == "a":
                self._lock = Lock(self.path)
                self._lock.acquire()
                with _telling(self.path):
                    self._writer = _opened_to_write(self.path)
            with _telling(self.path):
                self._idle.append(self._connected())
                _check(self._idle[0], self.path)
        except BaseException:
            self.close()
            raise

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    @contextmanager
    def reading(self) -> Iterator[View]:
        """Yield one moment of the database; any number of threads may."""
        self._check_usable()
        with _telling(self.path):
            connection = self._ready()
            try:
                connection.execute("BEGIN")
                yield View(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._idle.append(connection)
                if self.closed:
                    self.close()

    @contextmanager
    def writing(self) -> Iterator[Change]:
        """Yield a transaction, committed when the block ends well and undone otherwise.

        Raises:
            OSError: it could not be written, the lock was lost, or this process is a fork.
        """
        self._check_usable()
        assert self._writer is not None
        assert self._lock is not None
        if self._lock.lost:
            raise OSError(f"{self._lock.path} was removed or replaced by someone else; open again")
        connection = self._writer
        with _telling(self.path):
            if connection.in_transaction:  # an exception came before the block below
                connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Change(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connections and give back the lock; does nothing the second time."""
        self.closed = True
        if self._process != os.getpid():
            if self._lock is not None:
                self._lock.drop()
            return
        while self._idle:
            self._idle.pop().close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._lock is not None:
            self._lock.release()

    def _check_usable(self) -> None:
        if self._process != os.getpid():
            raise OSError(
                f"{self.path} was opened in process {self._process}; open it again in this one"
            )
        if self.closed:
            raise ValueError(f"the documents of {self.path.parent} are closed; open them again")

    def _ready(self) -> sqlite3.Connection:
        """Return a connection that reads and that nobody uses."""
        if self._frozen is not None and self._frozen != _stamp(self.path):
            self._frozen = None
            while self._idle:
                self._idle.pop().close()
        try:
            return self._idle.pop()
        except IndexError:
            return self._connected()

    def _connected(self) -> sqlite3.Connection:
        """Open a connection that reads."""
        name = f"file:{quote(str(self.path))}?mode=ro"
        connection = _connection(name)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError as error:
            connection.close()
            refused = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
            beside = self.path.with_name(NAME + "-wal")
            if error.sqlite_errorcode & 0xFF not in refused or beside.exists():
                raise
            self._frozen = _stamp(self.path)
            return _connection(name + "&immutable=1")  # SQLite has no look for changes then
        return connection


def create(folder: Path, about: About) -> None:
    """Make the database of a folder, in one transaction.

    Raises:
        FileExistsError: there are documents, or another database.
        OSError: it cannot be written.
    """
    path = folder / NAME
    lock = Lock(path)
    lock.acquire()
    try:
        with _telling(path), contextlib.closing(_opened_to_write(path)) as connection:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise FileExistsError(f"there are documents in {folder} already; open them")
            connection.execute("BEGIN IMMEDIATE")
            script = _SCHEMA + (fulltext.SCHEMA if about.fulltext else "")
            for statement in _statements(script):
                connection.execute(statement)
            marks = ", ".join("?" * len(_ABOUT))
            connection.execute(
                f"INSERT INTO about (one, {', '.join(_ABOUT)}) VALUES (1, {marks})", about.values()
            )
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("COMMIT")
        files.sync_folder(folder)
    finally:
        lock.release()


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _stamp(path: Path) -> object:
    """Return what changes where a database does, or is open for changes."""
    about = path.stat()
    return about.st_ino, about.st_size, about.st_mtime_ns, path.with_name(NAME + "-wal").exists()


def _connection(name: str) -> sqlite3.Connection:
    return sqlite3.connect(
        name, uri=True, timeout=30, isolation_level=None, check_same_thread=False
    )


def _opened_to_write(path: Path) -> sqlite3.Connection:
    connection = _connection(f"file:{quote(str(path))}?mode=rwc")
    try:
        for setting in (
            "journal_mode = WAL", "synchronous = FULL", "fullfsync = 1",
            "journal_size_limit = 67108864", "cache_size = -65536",
        ):  # fmt: skip
            connection.execute(f"PRAGMA {setting}")
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a database that holds no documents."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables:
        raise FormatError(f"{path} was not finished when it was made; call Documents.create again")
    if application != _APPLICATION:
        raise FormatError(f"{path} is not a database of documents")
    if version != FORMAT:
        raise FormatError(f"{path} is of version {version}, this qama reads {FORMAT}; update qama")


def _arrays(rows: list[Any], dtype: type[np.generic]) -> tuple[Ids, Any]:
    """Return (number, bytes) as two arrays."""
    if not rows:
        return np.empty(0, dtype=np.int64), np.empty((0, 0), dtype=dtype)
    numbers, values = zip(*rows, strict=True)
    if {*map(type, values)} != {bytes} or len({*map(len, values)}) > 1:
        raise FormatError("the database holds codes or vectors of several lengths")
    table = np.frombuffer(b"".join(values), dtype=np.dtype(dtype).newbyteorder("<"))
    return np.array(numbers, dtype=np.int64), table.reshape(len(rows), -1)


def _index_name(field: str) -> str:
    return '"by ' + field.replace('"', '""') + '"'


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Say what SQLite says in the words of this library."""
    try:
        yield
    except UnicodeDecodeError as error:  # a name in a damaged schema, of which SQLite speaks
        raise FormatError(f"{path} is damaged: {error}") from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise LockedError(f"{path}: {error}") from error
        if kind in _FAILURES:
            raise OSError(f"{path}: {error}") from error
        if "no such module" in str(error):
            raise OSError(
                f"{path}: the SQLite of this Python, {sqlite3.sqlite_version}, has no FTS5 to find "
                f"words with; create documents with fulltext=False"
            ) from error
        raise FormatError(f"{path}: {error}") from error


_FAILURES = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOLFS, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_INTERRUPT,
}  # fmt: skip
