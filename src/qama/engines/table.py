"""What every engine and every file does: the shape that the files beside this one have.

A *store* takes codes with ids. A *table* is a store that an engine ranks by Hamming distance.
"""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from qama import checks
from qama.checks import Bytes, Ids
from qama.engines.label import Label
from qama.errors import EngineError, FormatError, MissingExtraError

MOST_SHARDS = 1024  # parts of a table
NO_ID = -1  # where an approximate index found fewer candidates than asked for


class Candidates(NamedTuple):
    """What an engine found for queries, nearest first; ids of no row are -1 and come last.

    Attributes:
        ids: int64 (m, c).
        distances: Hamming distances int64 (m, c).
        codes: uint8 (m, c, bytes).
    """

    ids: Ids
    distances: npt.NDArray[np.int64]
    codes: Bytes

    @classmethod
    def of_rows(cls, found: list[list[tuple[Any, Any, Any]]], nbytes: int) -> Candidates:
        """Return rows (id, distance, code as bytes) of each query, padded to one width."""
        width = max((len(rows) for rows in found), default=0)
        made = cls.none(len(found), width, nbytes)
        for query, rows in enumerate(found):
            if rows:
                ids, distances, codes = zip(*rows, strict=True)
                made.ids[query, : len(rows)] = ids
                made.distances[query, : len(rows)] = distances
                joined = np.frombuffer(b"".join(map(bytes, codes)), dtype=np.uint8)
                made.codes[query, : len(rows)] = joined.reshape(len(rows), nbytes)
        return made

    @classmethod
    def none(cls, queries: int, width: int, nbytes: int) -> Candidates:
        """Return room for candidates that are none yet."""
        shape = queries, width
        return cls(
            np.full(shape, NO_ID, dtype=np.int64),
            np.full(shape, np.iinfo(np.int64).max, dtype=np.int64),
            np.zeros((*shape, nbytes), dtype=np.uint8),
        )


class Rows(NamedTuple):
    """Codes uint8 (n, bytes) with their ids int64 (n,)."""

    ids: Ids
    codes: Bytes

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """Put rows, of at least one part, behind each other."""
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class Store(ABC):
    """Codes with ids, opened: a table of an engine, or a file.

    Attributes:
        engine: Its name in targets, and in messages.
        extra: The extra of qama that installs its client; "" where it needs none.
        any_code: Whether it takes byte codes too, since it ranks nothing itself.
        indexes: The kinds of index that it can have over the codes; "" is none, an exact scan.
        prefixes: Whether such an index can be over a prefix of the codes.
        makes_place: Whether opening a path where nothing is makes a file or a folder there.
    """

    engine: ClassVar[str]
    extra: ClassVar[str] = ""
    any_code: ClassVar[bool] = False
    indexes: ClassVar[tuple[str, ...]] = ("",)
    prefixes: ClassVar[bool] = False
    makes_place: ClassVar[bool] = False

    def __init__(self, place: str, table: str = "") -> None:
        self.place = place
        self.table = table

    def __str__(self) -> str:
        return masked(f"{self.engine}:{self.place}" + (f"#{self.table}" if self.table else ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def label(self) -> Label | None:
        """Return what lies beside the table; None where there is no table.

        Raises:
            FormatError: a table that qama did not write.
        """

    @abstractmethod
    def create(self, label: Label) -> None:
        """Make an empty table with its label, both or none."""

    @abstractmethod
    def put(self, ids: Ids, codes: Bytes) -> None:
        """Write rows, in place of those with the same ids; each of them wholly or not at all."""

    def begin(self) -> None:  # noqa: B027 - most keep what was put
        """Begin a transfer: forget what an earlier one put that never finished."""

    def finish(self, label: Label) -> None:  # noqa: B027 - most have nothing left to do
        """Make what is only made of all rows: an index, or the file itself."""

    def close(self) -> None:  # noqa: B027 - some hold nothing open
        """Give back what is held; what was put and not finished may be lost."""


class Table(Store):
    """A store that an engine ranks by Hamming distance.

    Attributes:
        ties_by_id: Whether the engine itself cuts ties by the lower id.
        most: Rows that it returns for a query, at most.
        filters: What ``where`` of a search is, in the words of the docs; "" where it takes none.
    """

    ties_by_id: ClassVar[bool] = False
    most: ClassVar[int] = 2**31 - 1
    filters: ClassVar[str] = ""

    @abstractmethod
    def nearest(self, queries: Bytes, count: int, label: Label, where: Any) -> Candidates:
        """Return so many rows nearest to queries uint8 (m, bytes), or all where there are fewer."""


class Sharded(Table):
    """A table that can be in parts, which the engine asks as one."""

    @abstractmethod
    def check_shards(self, shards: int | str) -> None:
        """Refuse what cannot say how a table is spread.

        Raises:
            ValueError: such a value; the message says what would be right.
        """

    @abstractmethod
    def create_sharded(self, label: Label, shards: int | str) -> None:
        """Make an empty table in parts with its label, all or none."""


class InParts(Sharded):
    """A table that can be in so many parts."""

    def check_shards(self, shards: int | str) -> None:
        """See `Sharded`: a whole number."""
        checks.integer(shards, "shards", 1, MOST_SHARDS)


def masked(target: str) -> str:
    """Return a target, or what an engine says of it, as it may be shown: without passwords."""
    known = re.sub(r"(://[^:/@\s]*:)[^@\s]+(?=@)", r"\1***", target)
    return re.sub(r"(password=)\S+", r"\1***", known)


def client(store: type[Store], module: str) -> Any:
    """Import a module of an engine's client.

    Raises:
        MissingExtraError: it is not installed; the message holds the command that does it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0].replace("_", "-")
        raise MissingExtraError(f"the engine {store.engine}", name, store.extra) from error


def reaching(store: Store) -> AbstractContextManager[None]:
    """Say which engine could not be reached, whatever its client raises."""
    remedy = "check that the place is right, that nothing else holds it, or that the server runs"
    return working(store, "as it was opened", remedy)


@contextmanager
def working(store: Store, doing: str, remedy: str) -> Iterator[None]:
    """Say which engine failed at what, whatever its client raises."""
    try:
        yield
    except (FormatError, MissingExtraError, EngineError, MemoryError):
        raise
    except Exception as error:
        raise EngineError(f"{store} failed {doing}: {_first_line(error)}; {remedy}") from error


def label_of(store: Store) -> Label | None:
    """Return what lies beside a table; see `Store.label`.

    Raises:
        FormatError: a table that qama did not write.
        EngineError: the engine failed.
    """
    with working(store, "as its label was read", "check the connection"):
        return store.label()


def _first_line(error: Exception) -> str:
    return masked((str(error).strip() or type(error).__name__).splitlines()[0])
