"""What is served under one name: documents, or an index file."""

from __future__ import annotations

import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qama.checks import Floats
from qama.codec import Code, Codec
from qama.documents import Documents
from qama.embedders.embedder import Embedder
from qama.quantizers.additive.units import evenly
from qama.search.index import Index
from qama.server.refusals import RequestError

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


class Question(NamedTuple):
    """One query.

    Attributes:
        vector: float32 (d,), or None.
        words: Words to look for, or None.
    """

    vector: Floats | None
    words: str | None


@dataclass(frozen=True)
class Options:
    """What queries of one call have in common.

    Attributes:
        k: See `Index.search`, as those below.
        scorer: Of the codes.
        funnel: Coarse to fine.
        nprobe: Of an index file with inverted lists.
        rescore: Where vectors are kept.
        nbytes: The first bytes of codes, see `lengths`.
        where: The filter of documents as JSON, or None.
    """

    k: int
    scorer: str = "asymmetric"
    funnel: bool | int = False
    nprobe: int | None = None
    rescore: int = 0
    where: str | None = None
    nbytes: int | None = None


Hits = list[dict[str, Any]]


class Served(ABC):
    """Codes of a codec under a name.

    Args:
        name: What requests call it.
        held: What is served.
        embedder: What makes vectors of texts, if anything does.
        writable: Whether documents may be changed.
        path: Where it lies.
    """

    kind: str

    def __init__(
        self,
        name: str,
        held: Documents | Index,
        embedder: Embedder | None,
        writable: bool,
        path: Path | None = None,
    ) -> None:
        self.name, self.embedder, self.writable, self.path = name, embedder, writable, path
        self._held = held

    @property
    def codec(self) -> Codec:
        """What encodes vectors and queries."""
        return self._held.codec

    @property
    def code(self) -> Code:
        """Which of the codec's codes there are."""
        return self._held.code

    @property
    def lengths(self) -> tuple[int, ...]:
        """Bytes of codes by which a search can search."""
        return self._held.lengths

    @property
    def lists(self) -> int | None:
        """Inverted lists of an index file, if it has some."""
        return None

    @property
    @abstractmethod
    def keeps(self) -> str | None:
        """The form in which vectors are kept, if they are."""

    @property
    def fulltext(self) -> bool:
        """Whether words can be searched."""
        return False

    def count(self) -> int:
        """Return how many vectors can be found."""
        return len(self._held)

    def vectors(self, ids: Sequence[str] | Sequence[int]) -> Floats:
        """Return the vectors float32 (n, d) of ids: those kept, or what byte codes stand for.

        Raises:
            RequestError: vectors are not kept, and the codes are none of bytes.
            ValueError: an id that is not there.
        """
        if self.keeps is None and "nbytes" not in self.code.request:
            raise RequestError(
                400,
                f"collection {self.name!r} keeps no vectors, and its grid codes cannot stand for "
                f"queries: like needs kept vectors or byte codes",
            )
        return self._vectors(ids)

    @abstractmethod
    def _vectors(self, ids: Sequence[str] | Sequence[int]) -> Floats:
        """See `vectors`."""

    @abstractmethod
    def sample(self, count: int) -> list[str] | list[int]:
        """Return so many ids, evenly spread."""

    def close(self) -> None:
        """Write what is to be written, and let others change it."""
        self._held.close()

    def info(self) -> dict[str, Any]:
        """Return what a client may want to know."""
        code = self.code
        return {
            "name": self.name,
            "kind": self.kind,
            "count": self.count(),
            "dims": self.codec.dims_in,
            "code": code.label,
            "code_bytes": code.stored_bytes,
            "codec": self.codec.fingerprint,
            "nested_dims": list(self.codec.dims),
            "lengths": list(self.lengths),
            "keeps": self.keeps,
            "fulltext": self.fulltext,
            "embeds": self.embedder is not None,
            "writable": self.writable,
        }

    def documents(self, to: str) -> Documents:
        """Return the documents that are served.

        Raises:
            RequestError: it is an index file.
        """
        raise RequestError(
            400, f"collection {self.name!r} is an index file; to {to}, name documents"
        )

    def changeable(self) -> Documents:
        """Return the documents, where they may be changed.

        Raises:
            RequestError: it is an index file, or served to be read.
        """
        documents = self.documents("change it")
        if not self.writable:
            raise RequestError(
                403, f"collection {self.name!r} is served to be read; see qama serve"
            )
        return documents

    @abstractmethod
    def search(self, options: Options, questions: Sequence[Question]) -> list[Hits]:
        """Return the hits of questions, all of which have a vector or none, and words or none."""


class ServedDocuments(Served):
    """A folder of documents."""

    kind = "documents"
    _held: Documents

    @property
    def keeps(self) -> str | None:
        """The form in which vectors are kept, if they are."""
        return "float16" if self._held.keeps_vectors else None

    @property
    def fulltext(self) -> bool:
        """Whether words can be searched."""
        return self._held.fulltext

    def _vectors(self, ids: Sequence[str] | Sequence[int]) -> Floats:
        return self._held.vectors(ids)  # type: ignore[arg-type]  # which refuses numbers

    def sample(self, count: int) -> list[str] | list[int]:
        """Return so many ids, evenly spread."""
        return self._held.sample(count)

    def documents(self, to: str) -> Documents:
        """Return the documents that are served."""
        return self._held

    def search(self, options: Options, questions: Sequence[Question]) -> list[Hits]:
        """Return hits with the texts and fields of their documents.

        Raises:
            RequestError: an option of an index file.
        """
        if options.nprobe is not None:
            raise RequestError(400, "nprobe is for index files")
        where = None if options.where is None else json.loads(options.where)
        found = self._held.search_batch(
            _vectors(questions),
            options.k,
            where=where,
            texts=_words(questions),
            scorer=options.scorer,
            funnel=options.funnel,
            rescore=options.rescore,
            nbytes=options.nbytes,
        )
        return [[vars(hit) for hit in hits] for hits in found]


class ServedIndex(Served):
    """An index file, as it was when the server started."""

    kind = "index"
    _held: Index

    @property
    def keeps(self) -> str | None:
        """The form in which vectors are kept, if they are."""
        return self._held.keep

    @property
    def lists(self) -> int | None:
        """Inverted lists, if there are some."""
        return self._held.nlist

    def _vectors(self, ids: Sequence[str] | Sequence[int]) -> Floats:
        if any(isinstance(key, str) for key in ids):
            raise RequestError(400, "ids of an index file are whole numbers")
        return self._held.vectors(ids)

    def sample(self, count: int) -> list[str] | list[int]:
        """Return so many ids, evenly spread."""
        found: list[int] = evenly(self._held.ids, count).tolist()
        return found

    def search(self, options: Options, questions: Sequence[Question]) -> list[Hits]:
        """Return hits that are ids and scores.

        Raises:
            RequestError: words or a filter.
        """
        if options.where is not None or _words(questions) is not None:
            raise RequestError(
                400, f"collection {self.name!r} is an index file: no words, no where"
            )
        found = self._held.search(
            _vectors(questions),
            options.k,
            scorer=options.scorer,
            funnel=options.funnel,
            nprobe=options.nprobe,
            rescore=options.rescore,
            nbytes=options.nbytes,
        )
        return [
            [{"id": key, "score": score} for key, score in zip(ids, scores, strict=True)]
            for ids, scores in zip(found.ids.tolist(), found.scores.tolist(), strict=True)
        ]


def _vectors(questions: Sequence[Question]) -> Floats | None:
    found = [question.vector for question in questions if question.vector is not None]
    return np.stack(found) if found else None


def _words(questions: Sequence[Question]) -> list[str] | None:
    return [question.words for question in questions if question.words is not None] or None


def opened(asked: str, *, write: bool = False, embed: object = None) -> Served:
    """Open what ``[NAME=]PATH`` names: a folder of documents, or an index file.

    Args:
        asked: The path; without a name the last part of it, of a file without its suffix, is one.
        write: Whether documents may be changed, which takes their lock.
        embed: See `Documents.open`.

    Raises:
        ValueError: no such name.
        FileNotFoundError, FormatError, LockedError, OSError: see `Documents.open`, `Index.open`.
    """
    given, _, rest = asked.rpartition("=")
    path = Path(rest)
    resolved = Path(os.path.abspath(path))
    name = given or (resolved.name if path.is_dir() else resolved.stem)
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name of a collection: give NAME={rest}, letters, digits, '.', '_', '-'"
        )
    embedder = Embedder.of(embed)
    if path.is_dir():
        documents = Documents.open(path, "a" if write else "r", embed=embed)
        return ServedDocuments(name, documents, documents.embedder, write, resolved)
    return ServedIndex(name, Index.open(path), embedder, False, resolved)


def all_opened(asked: Sequence[str], *, write: bool = False, embed: object = None) -> list[Served]:
    """Open several, see `opened`; where one cannot be, none is open.

    Raises:
        ValueError: two of one name, or see `opened`.
    """
    served: list[Served] = []
    try:
        for path in asked:
            served.append(opened(path, write=write, embed=embed))
        names = [each.name for each in served]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two collections are called {twice[0]!r}: give NAME=PATH")
    except BaseException:
        for each in served:
            each.close()
        raise
    return served
