"""Which rows of the index a filter allows: kept for the next search that asks for the same."""

from __future__ import annotations

import threading

from qama.documents.filters import EVERY, Condition
from qama.documents.transactions import View
from qama.search.index import Index
from qama.search.rows.filters import Filter

_KEPT = 32  # filters; each is a bit a document

_Entry = tuple[Index, int, int, Filter]


class Allowed:
    """Compiled filters of one moment of the documents, those used last."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._kept: dict[Condition, _Entry] = {}

    def of(self, view: View, index: Index, where: Condition) -> Filter | None:
        """Return what a condition allows at a moment; None: every document.

        Args:
            view: The moment.
            index: The index of it.
            where: The condition.
        """
        if where == EVERY:
            return None
        moment = index, view.about.generation, view.about.last
        kept = self._kept.get(where)
        if kept is None or kept[:3] != moment:
            kept = (*moment, index.filter(view.numbers(where)))
        with self._turn:
            self._kept.pop(where, None)
            self._kept[where] = kept  # behind the others
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return kept[3]
