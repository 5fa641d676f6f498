"""Documents: texts, fields and codes under string ids, in one folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, SupportsIndex, TypeVar

import numpy as np

from qama import checks, drift, files
from qama.checks import Floats
from qama.codec import Code, Codec, checked
from qama.documents import derived, embedding, filters, fusing, given, recoding, store, tables
from qama.documents.allowed import Allowed
from qama.documents.derived import Derived
from qama.documents.filters import Condition, Filter
from qama.documents.given import Given
from qama.documents.hits import Document, Hit, Hits
from qama.documents.schema import About
from qama.documents.store import Store
from qama.documents.transactions import Change, Rows, View
from qama.embedders.embedder import Embedder
from qama.quantizers.additive.units import evenly
from qama.quantizers.kept import Form
from qama.quantizers.vectors import unit
from qama.search.index import Index
from qama.search.rows import filters as rowwise
from qama.search.rows.kept import Kept
from qama.search.scan.rescoring import rescored
from qama.search.scan.results import SearchResult
from qama.search.storage.turns import WriterLock
from qama.shown import facts_html, size

T = TypeVar("T")
Ranking = list[tuple[int, float]]  # numbers of documents and their scores, best first

_TRIES = 3  # searches beside a writer, before one that lets nobody change the index meanwhile
_BEHIND = 20_000  # changes that the index file may lag, or a quarter of all documents
_BEHIND_AT_CLOSE = 1000


@dataclass(frozen=True)
class _Options:
    """How a search by vector is done, see `Documents.search`."""

    scorer: str
    funnel: bool | int
    rescore: int
    nbytes: int | None
    threads: int


class Documents:
    """Documents in a folder: string ids, texts, metadata, codes.

    A change is one transaction of a SQLite database: when it returns it is on the disk, whole, and
    when it raises nothing was changed. The index that searches is derived from it. One process
    changes the documents, in any number of threads, and any number of processes search; a search
    sees one moment of the database.

    `create` and `open` make one; it is closed by `close`, or as a context.
    """

    def __init__(self, folder: Path, mode: str, embed: object) -> None:
        self._embedder = Embedder.of(embed)
        self._read_only = mode == "r"
        self._folder = folder
        self._turn = WriterLock()
        self._allowed = Allowed()
        self._store = Store(folder, mode)
        try:
            self._derived = Derived(folder)
            if not self._read_only:
                with self._store.reading() as view:
                    self._derived.drop_later(view)
            self._watch = drift.Watch(self.codec)
        except BaseException:
            self._store.close()
            raise

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        codec: Codec,
        *,
        nbytes: int | None = None,
        dims: int | None = None,
        level: object | None = None,
        keep_vectors: str | None = None,
        fulltext: bool = True,
        embed: object = None,
    ) -> Self:
        """Make a folder of documents and open it for changes.

        Args:
            folder: A folder, made if it is not there, in which there are no documents yet.
            codec: What encodes documents and queries; it is kept in the folder.
            nbytes: Length of a byte code, see `Codec.code`.
            dims: Dims of a grid code.
            level: Level of a grid code.
            keep_vectors: "float16" keeps vectors beside their codes, brought to length 1, so that
                `rebuild` can encode them anew; 2 d bytes a document.
            fulltext: Whether the words of texts can be searched, too.
            embed: What makes vectors of texts: a function from a list of n texts to floats (n, d),
                or an object with ``encode``, as a SentenceTransformer is. It is not kept.

        Raises:
            ValueError: a code that the codec does not have, another ``keep_vectors``, or an
                ``embed`` that makes no vectors.
            FileExistsError: there are documents in the folder.
            LockedError: another process is making some.
            OSError: the folder cannot be written.
        """
        code = checked(codec).code(dims, level, nbytes)
        checks.one_of(keep_vectors, "keep_vectors", (None, "float16"))
        Embedder.of(embed)  # refused before a folder is made
        path = files.real(folder)
        path.mkdir(parents=True, exist_ok=True)
        files.sync_folder(path.parent)
        derived.write_codec(path, codec)
        about = About(codec.fingerprint, dict(code.request), keep_vectors is not None, fulltext)
        store.create(path, about)
        return cls.open(path, "a", embed=embed)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], mode: str = "r", *, embed: object = None) -> Self:
        """Open a folder of documents.

        Args:
            folder: What `create` made.
            mode: "r" to search; "a" to change them too, which one process at a time can.
            embed: See `create`.

        Raises:
            ValueError: another mode.
            FileNotFoundError: there are no documents.
            FormatError: the folder is damaged, of a later version, or holds another codec.
            LockedError: another process has them open for changes.
            OSError: the folder cannot be read.
        """
        checks.one_of(mode, "mode", ("r", "a"))
        return cls(files.real(folder), mode, embed)

    def __repr__(self) -> str:
        if self._store.closed:
            return f"<qama.Documents in {self._folder}, closed>"
        code = self.code
        return (
            f"<qama.Documents in {self._folder}: {len(self)} documents, {code.label}, "
            f"{code.stored_bytes} B each>"
        )

    def _repr_html_(self) -> str:
        facts: dict[str, object] = {"folder": self._folder}
        if self._store.closed:
            return facts_html("qama.Documents, closed", facts)
        code, count = self.code, len(self)
        facts |= {
            "documents": f"{count:,}",
            "code": f"{code.label}, {code.stored_bytes} B each",
            "codes": size(count * code.stored_bytes),
            "as float32": size(4 * count * self.codec.dims_in),
            "codec": self.codec.fingerprint,
            "open": "to search" if self._read_only else "for changes",
        }
        return facts_html("qama.Documents", facts)

    def __len__(self) -> int:
        """Documents that there are."""
        with self._store.reading() as view:
            return view.about.count

    def __contains__(self, key: object) -> bool:
        """Whether there is a document of an id."""
        try:
            keys = given.ids([key])
        except ValueError:  # no document can have it
            return False
        with self._store.reading() as view:
            return bool(view.numbers_of(keys))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse `copy` and `pickle`.

        Raises:
            TypeError: always.
        """
        raise TypeError("Documents can be neither copied nor pickled; open their folder again")

    @property
    def codec(self) -> Codec:
        """What encodes documents and queries."""
        return self._consistently(lambda _, index: index.codec)

    @property
    def code(self) -> Code:
        """Which of the codec's codes the documents have."""
        return self._consistently(lambda _, index: index.code)

    @property
    def code_size(self) -> int:
        """Bytes of a document's code."""
        return self.code.stored_bytes

    @property
    def lengths(self) -> tuple[int, ...]:
        """Bytes of codes by which `search` can search, see `Index.lengths`."""
        return self._consistently(lambda _, index: index.lengths)

    @property
    def keeps_vectors(self) -> bool:
        """Whether vectors are kept beside their codes."""
        with self._store.reading() as view:
            return view.about.keeps_vectors

    @property
    def fulltext(self) -> bool:
        """Whether the words of texts can be searched."""
        with self._store.reading() as view:
            return view.about.fulltext

    @property
    def embedder(self) -> Embedder | None:
        """What makes vectors of texts, if anything does: ``embed`` of `open`."""
        return self._embedder

    # -- changing ---------------------------------------------------------------------------

    def add(
        self,
        ids: Iterable[str] | None = None,
        vectors: object = None,
        texts: Iterable[str | None] | None = None,
        metadata: Iterable[dict[str, Any] | None] | None = None,
        *,
        threads: int = 0,
    ) -> list[str]:
        """Add documents, all of them or none.

        Args:
            ids: n strings that are not empty, each once and new; default: random ones.
            vectors: Floats (n, d), see `Codec.encode`; default: what ``embed`` makes of the texts.
            texts: n strings or None.
            metadata: n dicts of JSON values, or None.
            threads: CPU threads of encoding; 0 uses all cores, fewer for little work.

        Returns:
            The ids.

        Raises:
            ValueError: something does not fit, an id exists, or opened read-only; nothing changed.
            OSError: the change could not be written; nothing changed.
        """
        self._check_writable("add")
        new = self._given(ids, vectors, texts, metadata)
        with self._changing("add") as change:
            change.insert(self._encoded(change, new, threads))
        return new.ids

    def upsert(
        self,
        ids: Iterable[str],
        vectors: object = None,
        texts: Iterable[str | None] | None = None,
        metadata: Iterable[dict[str, Any] | None] | None = None,
        *,
        threads: int = 0,
    ) -> list[str]:
        """Replace the documents of ids that exist, as a whole, and add the others; see `add`.

        Raises:
            ValueError: something does not fit, or opened read-only; nothing changed.
            OSError: the change could not be written; nothing changed.
        """
        if ids is None:
            raise ValueError("upsert needs ids; add makes some")
        self._check_writable("upsert")
        new = self._given(ids, vectors, texts, metadata)
        with self._changing("upsert") as change:
            rows = self._encoded(change, new, threads)
            change.remove(sorted(change.numbers_of(rows.ids).values()))
            change.insert(rows)
        return new.ids

    def delete(self, ids: Iterable[str] | None = None, *, where: Filter | None = None) -> int:
        """Remove documents, by id or by filter; ids that are not there are ignored.

        Args:
            ids: Their ids.
            where: Instead, or of these ids: which documents, see `search`.

        Returns:
            How many were removed.

        Raises:
            ValueError: neither ids nor a filter, unfitting ones, or opened read-only.
            OSError: the change could not be written; nothing was removed.
        """
        if ids is None and where is None:
            raise ValueError("delete needs ids or where; where={} removes every document")
        with self._changing("delete") as change:
            numbers = sorted(self._chosen(change, ids, where))
            change.remove(numbers)
        return len(numbers)

    def add_parquet(
        self,
        path: str | os.PathLike[str],
        *,
        id: str = "id",
        vector: str | None = "embedding",
        text: str | None = None,
        metadata: Sequence[str] = (),
        threads: int = 0,
    ) -> int:
        """Add the rows of a Parquet file, some thousands in each transaction, in bounded memory.

        Rows whose ids are there already are passed over: what was interrupted is completed by the
        same call.

        Args:
            path: The file.
            id: The column of ids, strings.
            vector: The column of vectors, lists of floats; None: ``embed`` makes them of texts.
            text: The column of texts, if any.
            metadata: The columns of fields.
            threads: See `add`.

        Returns:
            How many were added.

        Raises:
            ValueError, OSError: see `add`; rows before the unfitting ones were added.
            MissingExtraError: pyarrow is not installed.
        """
        added = 0
        for part in tables.parquet(path, id, vector, text, metadata):
            fresh = part.without(self._known(part.ids))
            if fresh.ids:
                self.add(fresh.ids, fresh.vectors, fresh.texts, fresh.metadata, threads=threads)
                added += len(fresh.ids)
        return added

    def create_index(self, field: str) -> None:
        """Let filters on a field look it up instead of reading every document.

        Args:
            field: A key of the metadata, or keys joined by dots.

        Raises:
            ValueError: no field, or opened read-only.
            OSError: it could not be written.
        """
        filters.scalar(field)
        with self._changing("create_index") as change:
            change.index(field)

    def rebuild(
        self,
        codec: Codec | None = None,
        *,
        nbytes: int | None = None,
        dims: int | None = None,
        level: object | None = None,
        vectors: object = None,
        threads: int = 0,
    ) -> None:
        """Derive the index and the words anew, or encode all documents anew before.

        Without arguments the codes stay as they are. A shorter byte code of the same codec follows
        from the codes; any other needs the vectors, kept (``keep_vectors`` of `create`) or given.

        Args:
            codec: Another codec; default: the same.
            nbytes: See `create`.
            dims: See `create`.
            level: See `create`.
            vectors: Floats (n, d) of all documents, in the order of `ids`.
            threads: See `add`.

        Raises:
            ValueError: the vectors are not at hand or do not fit; nothing changed.
            OSError: it could not be written; nothing changed.
        """
        with self._changing("rebuild", behind=0) as change:
            if any(value is not None for value in (codec, nbytes, dims, level, vectors)):
                maker = self.codec if codec is None else checked(codec)
                code = maker.code(dims, level, nbytes)
                derived.write_codec(self._folder, maker)
                recoding.recode(change, maker, code, vectors, checks.threads(threads))
            change.rebuild_words()
            self._derived.forget()
        self._watch = drift.Watch(self.codec)

    def close(self) -> None:
        """Write the index to its file if that lags, and let others change the documents.

        Raises:
            OSError: the disk failed; no document is lost.
        """
        with self._turn:
            if self._store.closed:
                return
            try:
                if not self._read_only:
                    self._save_index(_BEHIND_AT_CLOSE)
            finally:
                self._store.close()

    # -- searching --------------------------------------------------------------------------

    def search(
        self,
        q: object = None,
        k: int = 10,
        *,
        where: Filter | None = None,
        text: str | None = None,
        scorer: str = "asymmetric",
        funnel: bool | int = False,
        rescore: int = 0,
        nbytes: int | None = None,
        threads: int = 0,
    ) -> Hits:
        """Find the k documents nearest to a query.

        Args:
            q: Floats (d,) or (1, d); or a question, of which ``embed`` makes the vector. None: by
                words alone.
            k: How many; all that there are where they are fewer.
            where: Which documents may be found: see `qama.documents.filters`.
            text: Words to look for as well, any of them. The two rankings become one by reciprocal
                rank fusion.
            scorer: See `Index.search`.
            funnel: See `Index.search`; for a million documents and more.
            rescore: Of documents that keep vectors: so many best ones by codes are ordered by the
                exact cosine with them, as `Index.search` does.
            nbytes: Search by a shorter code, see `Index.search`.
            threads: See `Index.search`.

        Returns:
            Hits, best first. Their scores: of a vector alone as `Index.search` says, of words alone
            BM25, of both the sum of 1 / (60 + rank).

        Raises:
            ValueError: neither a query nor a text, unfitting ones, or an unfitting filter.
            OSError: the folder cannot be read.
        """
        if q is None and text is None:
            raise ValueError("search needs a query, a text, or both")
        query = None if q is None else embedding.query(q, self._embedder)
        words = None if text is None else [text]
        options = _Options(scorer, funnel, rescore, nbytes, threads)
        return self._found(query, words, k, where, options)[0]

    def search_batch(
        self,
        Q: object = None,
        k: int = 10,
        *,
        where: Filter | None = None,
        texts: Sequence[str] | None = None,
        scorer: str = "asymmetric",
        funnel: bool | int = False,
        rescore: int = 0,
        nbytes: int | None = None,
        threads: int = 0,
    ) -> list[Hits]:
        """Find the k documents nearest to each of m queries, as of one moment.

        Args:
            Q: Floats (m, d); or m questions, of which ``embed`` makes the vectors. None: by words
                alone.
            k: See `search`.
            where: See `search`; the same for every query.
            texts: m strings, words to look for as well; see `search`.
            scorer: See `Index.search`.
            funnel: See `Index.search`.
            rescore: See `search`.
            nbytes: See `search`.
            threads: See `Index.search`.

        Returns:
            m hits: of each query what `search` finds for it alone, bit for bit.

        Raises:
            ValueError, OSError: see `search`; or not as many texts as queries.
        """
        if Q is None and texts is None:
            raise ValueError("search_batch needs queries, texts, or both")
        if isinstance(texts, str):
            raise ValueError("texts is one string; give a list of strings")
        queries = None if Q is None else embedding.queries(Q, self._embedder)
        if queries is not None and texts is not None:
            given.counted(list(texts), "texts", len(queries))
        options = _Options(scorer, funnel, rescore, nbytes, threads)
        return self._found(queries, texts, k, where, options)

    def get(
        self,
        ids: Iterable[str] | None = None,
        *,
        where: Filter | None = None,
        limit: int | None = None,
    ) -> list[Document]:
        """Return documents.

        Args:
            ids: Their ids; those that are not there are passed over. None: all.
            where: Which of them, see `search`.
            limit: How many at most.

        Returns:
            The documents in the order of ``ids``, or in insertion order.

        Raises:
            ValueError: unfitting ids or filter.
        """
        limit = None if limit is None else checks.integer(limit, "limit", 0)
        with self._store.reading() as view:
            numbers = self._chosen(view, ids, where, limit)
            found = view.documents(numbers)
            return [found[number] for number in numbers]

    def vectors(self, ids: Iterable[str]) -> Floats:
        """Return the vectors of documents: those kept, or what their codes stand for.

        Args:
            ids: Their ids.

        Returns:
            float32, in the order of ``ids``: kept ones (n, d), of length 1; else what
            `Codec.decode` returns.

        Raises:
            ValueError: unfitting ids, or one that is not there.
        """
        checks.ordered(ids, "ids")
        keys = given.ids([ids] if isinstance(ids, str) else ids)

        def found(view: View, index: Index) -> Floats:
            known = view.numbers_of(keys)
            if len(known) < len(keys):
                gone = next(key for key in keys if key not in known)
                raise ValueError(f"there is no document {gone!r}")
            wanted = np.array([known[key] for key in keys], dtype=np.int64)
            numbers, places = np.unique(wanted, return_inverse=True)
            if view.about.keeps_vectors:
                kept = view.vectors(numbers).reshape(len(numbers), index.codec.dims_in)
                return np.asarray(kept[places], dtype=np.float32)
            codes = view.codes(numbers).reshape(len(numbers), index.code_size)[places]
            return index.codec.decode(codes, compact=True, **view.about.request)

        return self._consistently(found)

    def sample(self, count: int) -> list[str]:
        """Return the ids of so many documents, or of all, evenly spread in insertion order.

        Raises:
            ValueError: count is no whole number >= 1.
        """
        wanted = checks.integer(count, "count", 1)

        def found(view: View, index: Index) -> list[str]:
            numbers = np.sort(index.ids)
            chosen = evenly(numbers, wanted).tolist()
            there = view.documents(chosen)
            return [there[number].id for number in chosen if number in there]

        return self._consistently(found)

    def count(self, where: Filter | None = None) -> int:
        """Return how many documents there are, of those that pass a filter.

        Raises:
            ValueError: an unfitting filter.
        """
        condition = filters.compiled(where)
        with self._store.reading() as view:
            return view.about.count if where is None else view.count(condition)

    def ids(self, where: Filter | None = None) -> list[str]:
        """Return the ids of the documents that pass a filter, in insertion order.

        A document that is replaced comes last.

        Raises:
            ValueError: an unfitting filter.
        """
        condition = filters.compiled(where)
        with self._store.reading() as view:
            return view.ids(condition)

    # -- inside -----------------------------------------------------------------------------

    def _check_writable(self, verb: str) -> None:
        if self._read_only:
            raise ValueError(
                f'these documents were opened read-only; to {verb}, open them with mode="a"'
            )

    @contextmanager
    def _changing(self, verb: str, behind: int | None = None) -> Iterator[Change]:
        """Let one thread at a time change the documents, in one transaction.

        Args:
            verb: What messages call the change.
            behind: How far the index file may lag afterwards; default: as far as pays.
        """
        self._check_writable(verb)
        with self._turn, checks.default_errstate():
            with self._store.writing() as change:
                yield change
            count = change.about.count
            with contextlib.suppress(OSError):  # the change is made, and the index catches up
                self._save_index(max(_BEHIND, count // 4) if behind is None else behind)

    def _save_index(self, behind: int) -> None:
        """Write the index to a file if that is behind by more changes than so many."""
        with self._derived.alone():
            with self._reading():
                if self._derived.behind() <= behind:
                    return
            written = self._derived.write()
        with self._store.writing() as change:
            change.trim(written)

    def _given(self, ids: object, vectors: object, texts: object, metadata: object) -> Given:
        """Check what a user gives; vectors of texts are made here, while others may change."""
        codec = self.codec
        words = None if texts is None else given.texts(texts)
        if vectors is None:
            if words is None or self._embedder is None:
                raise ValueError("give vectors, or texts and open the documents with embed=")
            vectors = self._embedder.documents(words, codec.dims_in)
        A = checks.matrix(vectors, "vectors", codec.dims_in, empty=True)
        words = [None] * len(A) if words is None else given.counted(words, "texts", len(A))
        return Given(given.ids(ids, len(A)), A, words, given.metadata(metadata, len(A)))

    def _encoded(self, change: Change, new: Given, threads: int) -> Rows:
        """Encode what was given, by the codec of now."""
        codec, about = self.codec, change.about
        codes = codec.encode(new.vectors, compact=True, threads=threads, **about.request)
        self._watch.look(new.vectors)  # before the change: a warning may be an error
        kept = unit(checks.finite(new.vectors, "vectors")) if about.keeps_vectors else None
        return Rows(new.ids, new.texts, new.metadata, codes, kept)

    def _found(
        self,
        queries: Floats | None,
        words: Sequence[str] | None,
        k: int,
        where: Filter | None,
        options: _Options,
    ) -> list[Hits]:
        """Return the hits of each query, of each text, or of each query with its text."""
        k = checks.integer(k, "k", 1)
        for text in words or ():
            if not isinstance(text, str):
                raise ValueError(f"text is a {type(text).__name__}; give a string")
        condition = filters.compiled(where)

        def found(view: View, index: Index) -> list[Hits]:
            depth = k if queries is None or words is None else max(k, fusing.DEPTH)
            rankings = []
            if queries is None:
                _check_options(view, index, options)
            else:
                rows = self._allowed.of(view, index, condition)
                near = _near(view, index, queries, depth, rows, options)
                pairs = zip(near.ids.tolist(), near.scores.tolist(), strict=True)
                rankings.append([list(zip(*both, strict=True)) for both in pairs])
            if words is not None:
                rankings.append([_worded(view, text, depth, condition) for text in words])
            if len(rankings) == 1:
                return _hits(view, rankings[0])
            return _hits(view, [_fused(both, k) for both in zip(*rankings, strict=True)])

        return self._consistently(found)

    def _known(self, ids: Sequence[str]) -> set[str]:
        with self._store.reading() as view:
            return set(view.numbers_of(ids))

    def _chosen(
        self, view: View, ids: object, where: Filter | None, limit: int | None = None
    ) -> list[int]:
        """Return the numbers of documents that ids and a filter name."""
        condition = filters.compiled(where)
        if ids is None:
            every: list[int] = view.numbers(condition, limit).tolist()
            return every
        keys = given.ids([ids] if isinstance(ids, str) else ids)
        known = view.numbers_of(keys)
        if where is not None:
            within = {*view.numbers(condition).tolist()}
            known = {key: number for key, number in known.items() if number in within}
        return [known[key] for key in keys if key in known][:limit]

    @contextmanager
    def _reading(self) -> Iterator[tuple[View, Index]]:
        """Yield a moment and the index of it, for one who keeps others from changing that."""
        with self._store.reading() as view:
            index = self._derived.at(view, whatever=True)
            assert index is not None
            yield view, index

    def _consistently(self, work: Callable[[View, Index], T]) -> T:
        """Return what is found in database and index as of one moment."""
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError), self._store.reading() as view:
                index = self._derived.at(view)
                if index is None:
                    continue
                found = work(view, index)
                if self._derived.is_of(view, index):
                    return found
        with self._derived.alone(), self._reading() as (view, index):
            return work(view, index)


def _check_options(view: View, index: Index, options: _Options) -> None:
    """Refuse, where words alone are searched, the options that a search by vector refuses.

    An index without rows is asked by no query: a tenth of a millisecond.

    Raises:
        ValueError: an unfitting option.
    """
    empty = Index(index.codec, **index.code.request)
    nobody = np.empty((0, index.codec.dims_in), np.float32)
    _near(view, empty, nobody, 1, None, options)


def _near(
    view: View,
    index: Index,
    queries: Floats,
    k: int,
    rows: rowwise.Filter | None,
    options: _Options,
) -> SearchResult:
    """Return the numbers of the documents that are nearest to each query."""
    rescore = checks.integer(options.rescore, "rescore", 0)
    if rescore and not view.about.keeps_vectors:
        raise ValueError(
            "rescore needs the vectors themselves, and these documents keep codes alone: create "
            'them with keep_vectors="float16"'
        )
    near = index.search(
        queries, max(k, rescore), filter=rows, scorer=options.scorer, funnel=options.funnel,
        nbytes=options.nbytes, threads=options.threads,
    )  # fmt: skip
    if not rescore or not near.ids.size:
        return near
    numbers, places = np.unique(near.ids, return_inverse=True)
    stored = np.ascontiguousarray(view.vectors(numbers), dtype="<f2").view(np.uint8)
    kept = Kept.of(Form.of("float16", index.codec.dims_in), stored)
    candidates = places.reshape(near.ids.shape)
    found, scores = rescored(kept, queries, candidates, k, checks.threads(options.threads))
    return SearchResult(numbers[found], scores)


def _worded(view: View, text: str, k: int, where: Condition) -> list[tuple[int, float]]:
    """Return the numbers and scores of the documents that have words of a text."""
    if not view.about.fulltext:
        raise ValueError("these documents were created with fulltext=False; give q alone")
    return view.words(text, where, k)


def _fused(rankings: Iterable[Ranking], k: int) -> Ranking:
    return fusing.fused([[number for number, _ in ranked] for ranked in rankings], k)


def _hits(view: View, rankings: Sequence[Ranking]) -> list[Hits]:
    """Return the hits of several rankings, whose documents are read together."""
    found = view.documents({number for ranked in rankings for number, _ in ranked})

    def hits(ranked: Ranking) -> Hits:
        there = ((found[n], score) for n, score in ranked if n in found)  # of one moment: all
        return Hits(Hit(d.id, score, d.text, d.metadata) for d, score in there)

    return [hits(ranked) for ranked in rankings]
