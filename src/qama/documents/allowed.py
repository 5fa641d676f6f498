"""Which rows of the index a filter allows: kept for the next search that asks for the same."""

from __future__ import annotations

import threading

from qama.documents.filters import EVERY, Condition
from qama.documents.transactions import View
from qama.search.index import Index
from qama.search.rows.filters import Filter

_KEPT = 32  # filters; each is a bit a document


class Allowed:
    """Compiled filters of one moment of the documents, those used last."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._moment: tuple[Index, int, int] | None = None
        self._kept: dict[Condition, Filter] = {}

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
        with self._turn:
            if self._moment != moment:  # of another one nothing holds
                self._moment, self._kept = moment, {}
            found = self._kept.pop(where, None)
        if found is None:
            found = index.filter(view.numbers(where))
        with self._turn:
            if self._moment == moment:
                self._kept[where] = found  # behind the others
                while len(self._kept) > _KEPT:
                    del self._kept[next(iter(self._kept))]
        return found
