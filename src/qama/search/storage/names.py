"""Names of any kind beside the whole-number ids of an index."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from qama import container
from qama.checks import Bytes, Ids
from qama.errors import FormatError

KIND = "names"
FORMAT = 1


class Names:
    """A map between strings and the ids of an index.

    names = qama.Names()
    index.add(X, names.number(["doc-a", "doc-b"]))
    names.of(index.search(Q).ids)

    A name keeps its number for ever; numbers count from 0. The map is apart from the index, so that
    an index costs no string where nobody needs one.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}
        self.number(names)

    def __len__(self) -> int:
        """Names that there are."""
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._numbers

    def number(self, names: Iterable[str]) -> Ids:
        """Return the id of each name, int64 (n,); unknown names get the next free ones.

        Raises:
            ValueError: one is not a string, or no UTF-8; nothing was numbered.
        """
        given = _strings(names)
        for name in given:
            if name not in self._numbers:
                self._numbers[name] = len(self._names)
                self._names.append(name)
        return np.array([self._numbers[name] for name in given], dtype=np.int64)

    def find(self, names: Iterable[str]) -> Ids:
        """Return the ids of the names that are known, for a filter or a deletion.

        Raises:
            ValueError: one is not a string, or no UTF-8.
        """
        known = (self._numbers.get(name) for name in _strings(names))
        return np.array([number for number in known if number is not None], dtype=np.int64)

    def of(self, ids: Ids) -> npt.NDArray[np.object_]:
        """Return the names of ids of any shape, as an array of str.

        Raises:
            ValueError: an id that no name has, or that is no whole number.
        """
        A = np.asarray(ids)
        if A.size and A.dtype.kind not in "iu":
            raise ValueError(f"ids have dtype {A.dtype}; give whole numbers, as searches return")
        if A.size and not 0 <= A.min() <= A.max() < len(self._names):
            raise ValueError(f"ids reach from {A.min()} to {A.max()}; {len(self)} names exist")
        out = np.empty(A.shape, dtype=object)
        out.reshape(-1)[:] = [self._names[i] for i in A.reshape(-1).tolist()]
        return out

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the map atomically.

        Raises:
            OSError: the file cannot be written; what stood there before is intact.
        """
        encoded = [name.encode() for name in self._names]
        arrays: dict[str, npt.NDArray[Any]] = {
            "text": np.frombuffer(b"".join(encoded), dtype=np.uint8),
            "ends": np.cumsum([len(e) for e in encoded], dtype=np.int64),
        }
        container.write(path, KIND, FORMAT, {}, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Names:
        """Read a map that `save` wrote.

        Raises:
            FormatError: not such a file, or damaged.
            OSError: the file cannot be opened.
        """
        contents = container.read(path, KIND, FORMAT)
        contents.check_sections()
        arrays = contents.arrays
        try:
            text, ends = arrays["text"].tobytes(), _checked_ends(arrays["ends"], arrays["text"])
            loaded = cls(text[a:b].decode() for a, b in pairwise([0, *ends]))
        except (KeyError, ValueError, TypeError) as error:
            raise FormatError(f"{path}: the names are inconsistent: {error}") from error
        if len(loaded) != len(ends):
            raise FormatError(f"{path}: a name occurs twice")
        return loaded


def _checked_ends(ends: Ids, text: Bytes) -> list[int]:
    """Refuse ends out of order, by which few bytes could become many names."""
    starts = np.concatenate([[0], ends])
    if ends.dtype != np.int64 or (starts[1:] < starts[:-1]).any() or starts[-1] != text.nbytes:
        raise ValueError(f"the ends of the names do not divide the text of {text.nbytes} bytes")
    checked: list[int] = ends.tolist()
    return checked


def _strings(names: Iterable[str]) -> Sequence[str]:
    if isinstance(names, str):
        raise ValueError(f"names is the string {names!r}; give a list of strings")
    given = list(names)
    for name in given:
        if not isinstance(name, str):
            raise ValueError(f"names holds {name!r}; give strings")
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(f"names holds {name!r}, which is no text in UTF-8") from None
    return given
