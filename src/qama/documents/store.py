"""The truth: documents and their codes in one SQLite database, changed in transactions.

The database is in WAL mode with synchronous=FULL: what was committed survives a power cut, and
readers never wait for the writer. https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qama import files
from qama.documents import fulltext, schema
from qama.documents.schema import About
from qama.documents.transactions import Change, View
from qama.errors import FormatError, LockedError
from qama.search.storage.lock import Lock

NAME = "documents.sqlite"
_READING_KIB = 16384  # pages that a reader keeps: the inner ones of millions of documents


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
                yield View(connection, self.path)
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
                yield Change(connection, self.path)
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
        name = f"{self.path.as_uri()}?mode=ro"
        connection = _connection(name)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError as error:
            connection.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK:
                raise _unfinished(self.path) from error  # nothing but `create` leaves a journal
            refused = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
            beside = self.path.with_name(NAME + "-wal")
            if error.sqlite_errorcode & 0xFF not in refused or beside.exists():
                raise
            self._frozen = _stamp(self.path)
            return _connection(name + "&immutable=1")  # SQLite has no look for changes then
        connection.execute(f"PRAGMA cache_size = -{_READING_KIB}")
        return connection


def create(folder: Path, about: About) -> None:
    """Make the database of a folder, in one transaction.

    Raises:
        FileExistsError: there are documents, or another database.
        OSError: it cannot be written.
    """
    path = folder / NAME
    lock = Lock(path)
    try:
        lock.acquire()
        with _telling(path), contextlib.closing(_opened_to_write(path)) as connection:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise FileExistsError(f"there are documents in {folder} already; open them")
            connection.execute("BEGIN IMMEDIATE")
            script = schema.TABLES + (fulltext.SCHEMA if about.fulltext else "")
            for statement in _statements(script):
                connection.execute(statement)
            marks = ", ".join("?" * len(schema.ABOUT))
            connection.execute(
                f"INSERT INTO about (one, {', '.join(schema.ABOUT)}) VALUES (1, {marks})",
                about.values(),
            )
            connection.execute(f"PRAGMA application_id = {schema.APPLICATION}")
            connection.execute(f"PRAGMA user_version = {schema.FORMAT}")
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
    connection = _connection(f"{path.as_uri()}?mode=rwc")
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
        raise _unfinished(path)
    if application != schema.APPLICATION:
        raise FormatError(f"{path} is not a database of documents")
    if version != schema.FORMAT:
        raise FormatError(
            f"{path} is of version {version}, this qama reads {schema.FORMAT}; update qama"
        )


def _unfinished(path: Path) -> FormatError:
    return FormatError(f"{path} was not finished when it was made; call Documents.create again")


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
