"""The index, derived from the database: it catches up, and is written to a file now and then.

    index-GENERATION-LAST.qama    everything up to the number LAST of that generation

The name says what a file holds, so that both appear at once. A file is always behind the database
or equal to it; what came later is read from the database into memory, and where no file fits,
everything is. Losing files loses time, and nothing else.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qama import files
from qama.codec import Codec
from qama.documents.transactions import View
from qama.errors import FormatError
from qama.search.index import Index

_log = logging.getLogger(__name__)
_NAME = re.compile(r"index-(\d+)-(\d+)\.qama")
_LEFT = re.compile(r"\.?index-\d+-\d+\.qama\b.*")  # killed writers' locks and halves, too
_PIECE = 100_000  # rows that are read from the database at a time


@dataclass(frozen=True)
class Held:
    """An index and what it holds.

    Attributes:
        index: The index, in memory or over a mapped file; its ids are numbers of rows.
        generation: The generation of its codes.
        last: It holds everything up to this number, and perhaps more.
        saved: The file holds everything up to this number; 0: there is none.
    """

    index: Index
    generation: int
    last: int
    saved: int


class Derived:
    """The index of a folder.

    Args:
        folder: Where its files lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turn = threading.RLock()
        self._held: Held | None = None
        # The moment that the index is of: nothing while one changes it. It changes in one step with
        # the index, so that who finds a moment finds the index of it.
        self._exact: tuple[int, int, Index] | None = None

    def at(self, view: View, whatever: bool = False) -> Index | None:
        """Return the index as of a view, or None if it is of a later moment already.

        Args:
            view: One moment of the database.
            whatever: Read everything anew rather than return None.

        Raises:
            FormatError: codec or codes in the folder do not fit the database.
            OSError: files cannot be read.
        """
        exact = self._exact
        if exact is not None and exact[:2] == (view.about.generation, view.about.last):
            return exact[2]
        with self._turn:
            held, about = self._held, view.about
            if held is None or held.generation < about.generation or held.last < about.trimmed:
                held = self._opened(view)
            elif (about.generation, about.last) < (held.generation, held.last):
                if not whatever:
                    return None
                held = self._opened(view)
            self._exact = None
            self._held = self._caught_up(held, view)
            self._exact = about.generation, about.last, self._held.index
            return self._held.index

    def is_of(self, view: View, index: Index) -> bool:
        """Whether an index is of exactly this moment, and nothing is changing it."""
        return self._exact == (view.about.generation, view.about.last, index)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other thread change the index within a block."""
        with self._turn:
            yield

    def behind(self) -> int:
        """Return how many changes the file does not hold."""
        held = self._held
        return 0 if held is None else held.last - held.saved

    def write(self) -> int:
        """Write the index to a file, and go on from that; returns the number that it holds.

        Raises:
            OSError: it cannot be written; the file before is intact.
        """
        with self._turn:
            held = self._held
            assert held is not None
            assert self._exact is not None
            path = self._folder / f"index-{held.generation}-{held.last}.qama"
            held.index.save(path)
            self._held = Held(Index.open(path, "c"), held.generation, held.last, held.last)
            self._exact = held.generation, held.last, self._held.index
            self._clear(path)
            for other in self._folder.glob("codec-*.qama"):
                if other != codec_path(self._folder, held.index.codec.fingerprint):
                    _remove(other)
            return held.last

    def drop_later(self, view: View) -> None:
        """Remove files of later moments than a view, for good: a database from before was put back.

        Later on they would be taken for files of what happened instead.

        Raises:
            OSError: one cannot be removed.
        """
        for path in self._folder.iterdir():
            named = _NAME.fullmatch(path.name)
            if named and (int(named[1]), int(named[2])) > (view.about.generation, view.about.last):
                files.remove(path)

    def forget(self) -> None:
        """Begin anew from the database at the next use."""
        with self._turn:
            self._clear()
            self._held = self._exact = None

    # -- inside -----------------------------------------------------------------------------

    def _clear(self, but: Path | None = None) -> None:
        """Remove the files of the index that count no more."""
        for path in self._folder.iterdir():
            if _LEFT.fullmatch(path.name) and path != but:
                _remove(path)

    def _opened(self, view: View) -> Held:
        """Return the newest file's index that is not later than a view, or an empty one."""
        about = view.about
        for last, path in sorted(self._written(about.generation), reverse=True):
            if not about.trimmed <= last <= about.last:
                continue
            try:
                index = Index.open(path, "c", verify=True)
            except FileNotFoundError:
                continue
            except FormatError as error:
                _log.warning("%s; the index is made anew of the database", error)
                continue
            if (index.codec.fingerprint, index.code.request) == (about.codec, about.request):
                return Held(index, about.generation, last, last)
        return self._empty(view)

    def _written(self, generation: int) -> Iterator[tuple[int, Path]]:
        for path in self._folder.iterdir():
            named = _NAME.fullmatch(path.name)
            if named and int(named[1]) == generation:
                yield int(named[2]), path

    def _empty(self, view: View) -> Held:
        about = view.about
        path = codec_path(self._folder, about.codec)
        codec = Codec.load(path)
        if codec.fingerprint != about.codec:
            raise FormatError(
                f"{path} is codec {codec.fingerprint}, and the documents were encoded with "
                f"{about.codec}"
            )
        return Held(Index(codec, **about.request), about.generation, 0, 0)

    def _caught_up(self, held: Held, view: View) -> Held:
        """Let an index catch up with a view; what it holds of that already is done again."""
        held = self._replayed(held, view)
        if len(held.index) != view.about.count:  # the file lied
            _log.warning("%s: an index file was not of this database", self._folder)
            held = self._replayed(self._empty(view), view)
        if len(held.index) != view.about.count:
            raise FormatError(
                f"{self._folder}: the database counts {view.about.count} documents and holds "
                f"{len(held.index)}"
            )
        return held

    def _replayed(self, held: Held, view: View) -> Held:
        after = held.last
        while after < view.about.last:
            numbers, codes = view.codes_after(after, _PIECE)
            if not len(numbers):
                break
            held.index.upsert_codes(numbers, codes, compact=True)
            after = int(numbers[-1])
        held.index.delete(view.deleted_after(held.last))
        return Held(held.index, held.generation, view.about.last, held.saved)


def _remove(path: Path) -> None:
    """Remove a file that nobody needs any more, if that can be done now."""
    with contextlib.suppress(OSError):
        path.unlink()


def codec_path(folder: Path, fingerprint: str) -> Path:
    """Return where the codec of a fingerprint lies."""
    return folder / f"codec-{fingerprint}.qama"


def write_codec(folder: Path, codec: Codec) -> None:
    """Write a codec to its place in a folder, if it is not there."""
    path = codec_path(folder, codec.fingerprint)
    if not files.begins(path, b"\x93QAMA"):
        codec.save(path)
