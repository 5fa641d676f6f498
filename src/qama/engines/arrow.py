"""Arrow and Parquet: columns id INT64 and code FixedSizeBinary, the label in the schema."""

from __future__ import annotations

from typing import Any

import numpy as np

from qama.checks import Bytes, Ids
from qama.engines.codefiles import CodesFile
from qama.engines.label import Label
from qama.engines.table import Rows, client

KEY = b"qama"  # of the label in the schema's metadata
OPTIONS = {"compression": "none", "use_dictionary": False}  # of Parquet: codes hardly shrink


def table(ids: Ids | Any, codes: Bytes, label: Label | None = None) -> Any:
    """Return an Arrow table of codes, which shares their memory.

    Args:
        ids: int64 (n,), or an Arrow array (n,) of another type of ids.
        codes: uint8 (n, bytes).
        label: What is to lie in the schema.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    pa = client(Arrow, "pyarrow")
    width = codes.shape[1]
    buffers = [None, pa.py_buffer(np.ascontiguousarray(codes))]
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(codes), buffers)
    metadata = None if label is None else {KEY: label.to_json()}
    keys = ids if isinstance(ids, pa.Array) else pa.array(ids)
    fields = [pa.field("id", keys.type, False), pa.field("code", column.type, False)]
    return pa.Table.from_arrays([keys, column], schema=pa.schema(fields, metadata))


def codes_of(column: Any) -> Bytes:
    """Return a column of FixedSizeBinary as uint8 (n, bytes)."""
    width = column.type.byte_width
    parts = [
        np.frombuffer(chunk.buffers()[1], np.uint8)[chunk.offset * width :][: len(chunk) * width]
        for chunk in column.chunks
        if len(chunk)
    ]
    joined = np.concatenate(parts) if parts else np.empty(0, np.uint8)
    return joined.reshape(-1, width)


class Arrow(CodesFile):
    """An Arrow IPC file."""

    engine = "arrow"
    extra = "arrow"

    def __init__(self, place: str, table: str = "") -> None:
        super().__init__(place)
        self._arrow = client(type(self), "pyarrow")

    def _write(self, rows: Rows, label: Label) -> None:
        sink = self._arrow.BufferOutputStream()
        self._pack(table(rows.ids, rows.codes, label), sink)
        self.replace(sink.getvalue())

    def _read(self, data: Bytes) -> tuple[str | bytes | None, Rows]:
        made = self._unpack(self._arrow.BufferReader(self._arrow.py_buffer(data)))
        rows = Rows(made.column("id").to_numpy(), codes_of(made.column("code")))
        return (made.schema.metadata or {}).get(KEY), rows

    def _pack(self, made: Any, sink: Any) -> None:
        with self._arrow.ipc.new_file(sink, made.schema) as writer:
            writer.write_table(made)

    def _unpack(self, source: Any) -> Any:
        return self._arrow.ipc.open_file(source).read_all()


class Parquet(Arrow):
    """A Parquet file."""

    engine = "parquet"

    def __init__(self, place: str, table: str = "") -> None:
        super().__init__(place)
        self._parquet = client(type(self), "pyarrow.parquet")

    def _pack(self, made: Any, sink: Any) -> None:
        self._parquet.write_table(made, sink, **OPTIONS)

    def _unpack(self, source: Any) -> Any:
        return self._parquet.read_table(source)
