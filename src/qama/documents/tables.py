"""Documents from the columns of a table in a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qama import arrays
from qama.errors import MissingExtraError

_PIECE = 16_384  # rows at a time


@dataclass(frozen=True)
class Part:
    """Some rows.

    Attributes:
        ids: Their ids.
        vectors: Floats (n, d), if there are any.
        texts: Their texts, if there are any.
        metadata: Their fields.
    """

    ids: list[str]
    vectors: Any | None
    texts: list[str | None] | None
    metadata: list[dict[str, Any]]

    def without(self, known: set[str]) -> Part:
        """Return the rows whose ids are not among those known."""
        if not known:
            return self
        rows = [row for row, key in enumerate(self.ids) if key not in known]
        return Part(
            [self.ids[row] for row in rows],
            None if self.vectors is None else self.vectors[np.array(rows, dtype=np.int64)],
            None if self.texts is None else [self.texts[row] for row in rows],
            [self.metadata[row] for row in rows],
        )


def parquet(
    path: str | os.PathLike[str],
    key: str,
    vector: str | None,
    text: str | None,
    metadata: Sequence[str],
) -> Iterator[Part]:
    """Yield the rows of a Parquet file, some thousands at a time; see `Documents.add_parquet`.

    Raises:
        ValueError: no Parquet, it lacks a column, or ``metadata`` is one string.
        FileNotFoundError: no such file.
        MissingExtraError: pyarrow is not installed.
    """
    if isinstance(metadata, str):
        raise ValueError(f"metadata is {metadata!r}; give a list of columns: [{metadata!r}]")
    try:
        import pyarrow as pa
        from pyarrow import parquet as reader
    except ImportError:
        raise MissingExtraError("reading Parquet", "pyarrow", "arrow") from None
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    columns = [name for name in (key, vector, text, *metadata) if name is not None]
    try:
        with reader.ParquetFile(path) as opened:
            if missing := set(columns) - set(opened.schema_arrow.names):
                have = ", ".join(opened.schema_arrow.names)
                raise ValueError(f"{path} has no column {sorted(missing)[0]!r}; it has {have}")
            for batch in opened.iter_batches(_PIECE, columns=list(dict.fromkeys(columns))):
                yield _part(batch, key, vector, text, metadata)
    except pa.ArrowException as error:
        raise ValueError(f"{path} cannot be read as Parquet ({error})") from None


def _part(
    batch: Any, key: str, vector: str | None, text: str | None, metadata: Sequence[str]
) -> Part:
    ids = batch.column(key).to_pylist()
    fields = {name: batch.column(name).to_pylist() for name in metadata}
    return Part(
        [str(value) if type(value) is int else value for value in ids],
        None if vector is None else arrays.plain(batch.column(vector), vector),
        None if text is None else batch.column(text).to_pylist(),
        [{name: fields[name][row] for name in metadata} for row in range(len(ids))],
    )
