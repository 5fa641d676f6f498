"""What lies beside a table: which codec and which code it holds; the one home of that check."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from qama.codec import Code, Codec
from qama.errors import FormatError

VERSION = 1


@dataclass(frozen=True)
class Label:
    """What is recorded of a table.

    Attributes:
        codec: Fingerprint of the codec.
        code: The arguments that ask the codec for the code: dims and level, or nbytes.
        bits: Bits of a row as the engine holds it: 8 for each byte.
        index: The kind of index over the codes; "" for none.
        prefix: Dims that the index is over, where it is over a prefix of the codes; else 0.
        prefix_bits: Bits of that prefix.
    """

    codec: str
    code: Mapping[str, Any] = field(default_factory=dict)
    bits: int = 0
    index: str = ""
    prefix: int = 0
    prefix_bits: int = 0

    @classmethod
    def of(cls, codec: Codec, code: Code, index: str = "", prefix: int | None = None) -> Label:
        """Return the label of a table for codes of one kind.

        Args:
            codec: What made them.
            code: Of which kind they are.
            index: The kind of index over them; "" for none.
            prefix: Dims that it is over; None: all.
        """
        made = cls(codec.fingerprint, code.request, 8 * code.nbytes, index)
        if prefix is None:
            return made
        short = codec.code(**{**code.request, "dims": prefix})
        return replace(made, prefix=prefix, prefix_bits=short.similarity_bits)

    @property
    def nbytes(self) -> int:
        """Bytes of a row."""
        return self.bits // 8

    @property
    def request(self) -> str:
        """The code, as messages say it."""
        return ", ".join(f"{name}={value!r}" for name, value in self.code.items())

    def to_json(self) -> str:
        """Return the label as one line of ASCII; inverts `from_json`."""
        return json.dumps({"qama": VERSION, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes | None, place: str) -> Label:
        """Return the label that lies beside a table.

        Args:
            text: What lies there; None: nothing.
            place: What messages call the table.

        Raises:
            FormatError: nothing, or no label of this version.
        """
        try:
            known = json.loads(text or "")
            version = known.pop("qama")
        except (ValueError, TypeError, AttributeError, KeyError):
            raise FormatError(
                f"{place} has no label of qama: it was not written by qama; give another name"
            ) from None
        try:
            if version == VERSION:
                return cls(**known)
        except TypeError:
            pass
        raise FormatError(f"{place} has a label of version {version!r}; this is {VERSION}")

    def code_of(self, codec: Codec, place: str) -> Code:
        """Return the code that a table holds.

        Raises:
            FormatError: it holds codes of another codec, and the message names both; or the label
                is damaged.
        """
        if self.codec != codec.fingerprint:
            raise FormatError(
                f"{place} holds codes of codec {self.codec} ({self.request}); this codec is "
                f"{codec.fingerprint}: give the codec that wrote it, or the name of another table"
            )
        try:
            code = codec.code(**self.code)
        except (TypeError, ValueError) as error:
            raise FormatError(f"the label of {place} is of no code: {error}") from error
        if 8 * code.nbytes != self.bits:
            raise FormatError(
                f"the label of {place} says {self.bits} bits; {code.label} have {8 * code.nbytes}"
            )
        return code

    def check_same(self, other: Label, place: str) -> None:
        """Refuse rows of another label than the table's.

        Raises:
            FormatError: another codec, code or index; the message names what differs.
        """
        for name, here in asdict(self).items():
            there = asdict(other)[name]
            if here != there:
                raise FormatError(
                    f"{place} was written with {name} {here!r}, and now {name} is {there!r}: "
                    f"give the same, or another name"
                )
