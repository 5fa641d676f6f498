"""One file of vectors into one file of codes: wholly, once, wherever it is called and how often."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from qama.checks import Bytes
from qama.distributed.columns import Encoder, batches, id_bytes, id_type, parquet_file
from qama.distributed.places import File, Place, needed
from qama.distributed.records import Record
from qama.engines import arrow
from qama.engines.label import Label

_KEY = b"qama.record"  # of the record in the metadata of a file
_GROUP = 65_536  # rows of a row group


@dataclass(frozen=True)
class Job:
    """What is done with each file of a folder; it can be pickled, and is all that a worker needs.

    Attributes:
        source: The folder of vectors.
        out: The folder of codes.
        encoder: What makes them.
        label: What lies beside them.
    """

    source: Place
    out: Place
    encoder: Encoder
    label: Label

    def __call__(self, file: File) -> Record:
        """Encode a file, unless that is done; see `encode`."""
        done = self.done(file)
        return self.encode(file) if done is None else done

    def try_first(self, file: File) -> None:
        """Encode one row of a file, so that what fits no file is refused before all else.

        Raises:
            ValueError: see `encode`.
        """
        with parquet_file(self.source, file.name, self.columns) as opened:
            for batch in itertools.islice(opened.iter_batches(1, columns=self.columns), 1):
                self.encoder.encode(batch, self.source.shown(file.name))

    def done(self, file: File) -> Record | None:
        """Return the record of a file whose codes are there; None where they are not.

        Raises:
            FormatError: what is there holds other codes, or is not of qama.
            ValueError: the file of vectors was changed since.
        """
        place = self.out.shown(file.name)
        if self.out.find(file.name) is None:
            return None
        with parquet_file(self.out, file.name, ["id", "code"]) as opened:
            kept = opened.metadata.metadata or {}
        Label.from_json(kept.get(arrow.KEY), place).check_same(self.label, place)
        record = Record.from_json(kept.get(_KEY), place)
        record.check_unchanged(file, self.source, self.out)
        return record

    def encode(self, file: File) -> Record:
        """Encode a file of vectors into a file of codes of the same name.

        Memory does not grow with the file: see docs/distributed.md. The codes take their place
        when all of them are written, with the record of them in the file itself, so that what is
        there is whole and known.

        Raises:
            ValueError: rows that cannot be encoded, by file and row; or a file that was changed
                meanwhile.
            OSError: it cannot be read, or the codes cannot be written.
        """
        parquet = needed("pyarrow.parquet")
        hashes = hashlib.sha256(), hashlib.sha256()
        rows = 0
        none = self._none(file)
        with self.out.replacing(file.name) as sink:
            with parquet.ParquetWriter(sink, none.schema, **arrow.OPTIONS) as writer:
                for ids, codes in self._groups(file):
                    hashes[0].update(id_bytes(ids))
                    hashes[1].update(codes.data)
                    writer.write_table(arrow.table(ids, codes, self.label))
                    rows += len(codes)
                sums = (made.hexdigest() for made in hashes)
                record = Record(file.name, rows, file.size, file.modified, *sums)
                writer.add_key_value_metadata({_KEY: record.to_json()})
            now = self.source.find(file.name)
            record.check_unchanged(now or File(file.name, 0, None), self.source, self.out)
        return record

    def _none(self, file: File) -> Any:
        """Return a table of codes without rows."""
        pa, key = needed("pyarrow"), self.encoder.columns.ids
        with parquet_file(self.source, file.name, self.columns) as opened:
            dtype = opened.schema_arrow.field(key).type
        ids = id_type(dtype, f"column {key!r} of {self.source.shown(file.name)}")
        codes = np.empty((0, self.label.nbytes), dtype=np.uint8)
        return arrow.table(pa.array([], ids), codes, self.label)

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return [self.encoder.columns.ids, self.encoder.columns.vectors]

    def _groups(self, file: File) -> Iterator[tuple[Any, Bytes]]:
        """Yield ids and codes of a file, some ten thousand rows at a time."""
        pa, name = needed("pyarrow"), self.source.shown(file.name)
        held: list[tuple[Any, Bytes]] = []
        first = begun = 0
        for batch in batches(self.source, file.name, self.columns, self.encoder.codec.dims_in):
            held.append(self.encoder.encode(batch, name, first))
            first += len(batch)
            if first - begun >= _GROUP:
                yield _joined(pa, held)
                held, begun = [], first
        if held:
            yield _joined(pa, held)


def _joined(pa: Any, held: list[tuple[Any, Bytes]]) -> tuple[Any, Bytes]:
    ids, codes = zip(*held, strict=True)
    return pa.concat_arrays(ids), np.concatenate(codes)
