"""What is recorded of codes in a folder: of each file in itself, of all files in the manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from qama.distributed.columns import Columns
from qama.distributed.places import File, Place
from qama.engines.label import Label
from qama.errors import FormatError

MANIFEST = "_manifest.json"
VERSION = 1


@dataclass(frozen=True)
class Record:
    """What is recorded of one file of codes.

    Attributes:
        name: Of the file of vectors, and of the file of codes, each within its folder.
        rows: How many rows both have, in the same order.
        size: Bytes of the file of vectors.
        modified: When that was last changed, in nanoseconds since 1970; None: nobody knows.
        ids: SHA-256 of all ids: int64, little-endian; strings in UTF-8, each with a NUL behind it.
        codes: SHA-256 of all codes, row after row.
    """

    name: str
    rows: int
    size: int
    modified: int | None
    ids: str
    codes: str

    def check_unchanged(self, file: File, source: Place, out: Place) -> None:
        """Refuse a file of vectors that is not what it was when it was encoded.

        Raises:
            ValueError: another size or time; the message names the file and both.
        """
        for what, was, now in (
            ("bytes", self.size, file.size),
            ("ns since 1970", self.modified, file.modified),
        ):
            if was != now:
                raise ValueError(
                    f"{source.shown(file.name)} was changed since it was encoded (it was of {was} "
                    f"{what}, and is of {now}): remove {out.shown(file.name)} to encode it again, "
                    f"or give another folder"
                )

    def to_json(self) -> str:
        """Return the record as one line of ASCII; inverts `from_json`."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes | None, place: str) -> Record:
        """Return the record that lies in a file.

        Raises:
            FormatError: nothing, or no record.
        """
        try:
            return cls(**json.loads(text or ""))
        except (ValueError, TypeError):
            raise FormatError(
                f"{place} was not written by qama.distributed: remove it, or give another folder"
            ) from None


@dataclass(frozen=True)
class Manifest:
    """What a folder of codes holds.

    Attributes:
        label: Which codec and which code: see docs/engines.md.
        source: The folder of vectors, as TYPE:PATH.
        columns: Of ids and vectors, in the files of vectors.
        files: A record of each file by name, in the order of their rows; none until all are done.
        complete: Whether all are done.
    """

    label: Label
    source: str
    columns: Columns
    files: Sequence[Record] = field(default=())
    complete: bool = False

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(record.rows for record in self.files)

    def check_same(self, other: Manifest, place: str) -> None:
        """Refuse to go on with another codec, code, source or column.

        Raises:
            FormatError: the message names what differs.
        """
        self.label.check_same(other.label, place)
        for name in ("source", "columns"):
            here, there = getattr(self, name), getattr(other, name)
            if here != there:
                raise FormatError(
                    f"{place} was written with {name} {here!r}, and now {name} is {there!r}: give "
                    f"the same, or another name"
                )

    def to_json(self) -> str:
        """Return the manifest as JSON; inverts `from_json`."""
        first, listed = 0, []
        for record in self.files:
            listed.append({**asdict(record), "first": first})
            first += record.rows
        made = {
            "qama": VERSION,
            "complete": self.complete,
            "source": self.source,
            "columns": asdict(self.columns),
            "label": json.loads(self.label.to_json()),
            "rows": self.rows,
            "files": listed,
        }
        return json.dumps(made, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, place: str) -> Manifest:
        """Return the manifest of a folder.

        Raises:
            FormatError: it is none of this version.
        """
        try:
            made = json.loads(text)
            if made["qama"] != VERSION:
                raise ValueError(f"version {made['qama']!r}; this is {VERSION}")
            return cls(
                Label.from_json(json.dumps(made["label"]), place),
                made["source"],
                Columns(**made["columns"]),
                [_record(listed) for listed in made["files"]],
                made["complete"],
            )
        except (ValueError, TypeError, KeyError) as error:
            raise FormatError(f"{place} is no manifest of codes ({error})") from None

    def write(self, out: Place) -> None:
        """Write the manifest into its folder, in place of the one that is there."""
        with out.replacing(MANIFEST) as stream:
            stream.write(self.to_json().encode())

    @classmethod
    def read(cls, out: Place) -> Manifest | None:
        """Return the manifest of a folder; None where there is none.

        Raises:
            FormatError: it is none of this version.
        """
        if out.find(MANIFEST) is None:
            return None
        return cls.from_json(out.read(MANIFEST), out.shown(MANIFEST))


def _record(listed: Mapping[str, Any]) -> Record:
    return Record(**{name: value for name, value in listed.items() if name != "first"})
