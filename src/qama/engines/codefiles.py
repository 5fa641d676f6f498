"""Files of codes for other programs, which rank nothing: written anew by each transfer."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from qama import files
from qama.checks import Bytes, Ids
from qama.engines.label import Label
from qama.engines.table import Rows, Store
from qama.errors import FormatError


class CodesFile(Store):
    """A file that takes the place of the old one when all rows of a transfer are there."""

    any_code = True

    def __init__(self, place: str, table: str = "") -> None:
        super().__init__(place)
        self._put: list[Rows] = []

    def label(self) -> Label | None:
        """Return None: whatever is there is replaced."""
        return None

    def create(self, label: Label) -> None:
        """See `Store`."""

    def begin(self) -> None:
        """See `Store`."""
        self._put = []

    def put(self, ids: Ids, codes: Bytes) -> None:
        """See `Store`."""
        self._put.append(Rows(ids, codes))

    def finish(self, label: Label) -> None:
        """Write the file."""
        none = Rows(np.empty(0, np.int64), np.empty((0, label.nbytes), np.uint8))
        rows, self._put = Rows.joined([none, *self._put]), []
        self._write(rows, label)

    def replace(self, data: Any) -> None:
        """Let bytes take the place of the file, all at once."""
        with files.replacing(self.place) as file:
            file.write(data)

    def read(self) -> tuple[Label, Rows]:
        """Return what the file holds.

        Raises:
            FormatError: not such a file, damaged, or without a label.
            OSError: the file cannot be opened.
        """
        try:
            text, rows = self._read(files.read(self.place))
        except (OSError, MemoryError, ImportError):
            raise
        except Exception as error:
            raise FormatError(f"{self} is not such a file of codes ({error})") from error
        label = Label.from_json(text, str(self))
        if rows.ids.dtype != np.int64:
            raise FormatError(f"{self} has ids that are no whole numbers: read it with pyarrow")
        shape = len(rows.ids), label.nbytes
        if rows.codes.shape != shape or rows.codes.dtype != np.uint8:
            raise FormatError(f"{self} has codes of shape {rows.codes.shape}, not {shape}")
        return label, rows

    @abstractmethod
    def _write(self, rows: Rows, label: Label) -> None:
        """Write the file."""

    @abstractmethod
    def _read(self, data: Bytes) -> tuple[str | bytes | None, Rows]:
        """Return the label's text and the rows of a file's bytes."""
