"""Engines whose table is one file, read whole: rows are gathered, then the file is replaced."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from pathlib import Path

import numpy as np

from qama import files
from qama.checks import Bytes, Ids
from qama.engines.label import Label
from qama.engines.table import Rows, Table
from qama.errors import FormatError


class FileTable(Table):
    """A table in one file, with its label in a second one beside it: NAME.label.json.

    Rows of a transfer are held in memory until all are there; then the file is replaced.
    """

    def __init__(self, place: str, table: str = "") -> None:
        super().__init__(place)
        self.path = Path(place)
        self._beside = self.path.with_name(self.path.name + ".label.json")
        self._put: list[Rows] = []

    def label(self) -> Label | None:
        """See `Store`."""
        if self._beside.exists():
            return Label.from_json(files.read(self._beside).tobytes(), str(self))
        return Label.from_json(None, str(self)) if self.path.exists() else None

    def create(self, label: Label) -> None:
        """See `Store`."""
        with files.replacing(self._beside) as file:
            file.write(label.to_json().encode())

    def begin(self) -> None:
        """See `Store`."""
        self._put = []

    def put(self, ids: Ids, codes: Bytes) -> None:
        """See `Store`."""
        self._put.append(Rows(ids, np.array(codes)))

    def finish(self, label: Label) -> None:
        """Write the file anew, with what was put in place of rows with the same ids."""
        parts = [self._rows(label), *self._put] if self.path.exists() else self._put
        if not parts:
            return
        rows = _newest(Rows.joined(parts))
        with files.replacing(self.path) as file:
            file.write(self._packed(rows, label))
        self._put = []
        self.__dict__.pop("opened", None)

    def check_bits(self, bits: int, label: Label) -> None:
        """Refuse a file of rows of another length than its label says."""
        if bits != label.bits:
            raise FormatError(f"{self} has rows of {bits} bits; its label says {label.bits}")

    @cached_property
    def opened(self) -> object:
        """The index in the file, as the engine has it."""
        return self._unpacked(files.read(self.path))

    @abstractmethod
    def _packed(self, rows: Rows, label: Label) -> Bytes | bytes:
        """Return the bytes of a file with these rows."""

    @abstractmethod
    def _unpacked(self, data: Bytes) -> object:
        """Return the engine's index of a file's bytes."""

    @abstractmethod
    def _rows(self, label: Label) -> Rows:
        """Return all rows of the file."""


def _newest(rows: Rows) -> Rows:
    """Return rows by ascending id, of equal ids the last."""
    order = np.argsort(rows.ids, kind="stable")
    ids = rows.ids[order]
    last = order[np.append(ids[1:] != ids[:-1], np.ones(min(1, len(ids)), dtype=bool))]
    return Rows(rows.ids[last], rows.codes[last])
