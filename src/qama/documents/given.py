"""What users give of documents, checked: ids, texts, metadata."""

from __future__ import annotations

import json
import reprlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy.typing as npt

from qama import checks

T = TypeVar("T")
_NUL = "\\u0000"  # in JSON


@dataclass(frozen=True)
class Given:
    """New documents, checked.

    Attributes:
        ids: n ids, each once.
        vectors: Floats (n, d) of any dtype; their values were not looked at.
        texts: n texts.
        metadata: n fields, as JSON.
    """

    ids: list[str]
    vectors: npt.NDArray[Any]
    texts: list[str | None]
    metadata: list[str]


def ids(given: object, count: int | None = None) -> list[str]:
    """Return ids as a list; None makes so many new ones.

    Raises:
        ValueError: not strings, empty or repeated ones, or another number than ``count``.
    """
    if given is None:
        return [uuid.uuid4().hex for _ in range(count or 0)]
    listed = _listed(given, "ids")
    if count is not None:
        checks.ordered(given, "ids")
        counted(listed, "ids", count)
    out = [_id(value) for value in listed]
    if len(set(out)) < len(out):
        seen: set[str] = set()
        twice = next(i for i in out if i in seen or seen.add(i))  # type: ignore[func-returns-value]
        raise ValueError(f"ids holds {twice!r} more than once; give each id once")
    return out


def texts(given: object) -> list[str | None]:
    """Return texts as a list, None where a document has none.

    Raises:
        ValueError: neither strings nor None.
    """
    checks.ordered(given, "texts")
    return [
        None if text is None else _string(text, f"texts[{i}]")
        for i, text in enumerate(_listed(given, "texts"))
    ]


def metadata(given: object, count: int) -> list[str]:
    """Return metadata as JSON, ``{}`` where a document has none.

    Raises:
        ValueError: not dicts that JSON can hold, or another number than ``count``.
    """
    if given is None:
        return ["{}"] * count
    if isinstance(given, Mapping):
        raise ValueError("metadata is one dict; give a list with one for each document")
    listed = counted(_listed(given, "metadata"), "metadata", count)
    return [_json(value, f"metadata[{i}]") for i, value in enumerate(listed)]


def _id(value: object) -> str:
    text = _string(value, "an id")
    if not text or "\0" in text:
        raise ValueError(f"an id is {text!r}; give one or more characters, none of them NUL")
    return text


def _string(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {reprlib.repr(value)}; give a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} is {value!r}, which is no text in UTF-8") from None
    return value if type(value) is str else str(value)


def _json(value: object, name: str) -> str:
    """Return a dict as JSON that reads back as the same."""
    if value is None:
        return "{}"
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {reprlib.repr(value)}; give a dict")
    try:
        held = json.dumps(dict(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        same = json.loads(held) == value
        held.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} is no JSON: {error}") from None
    if not same:
        raise ValueError(
            f"{name} is {reprlib.repr(value)}, which JSON holds as {held[:200]}: give strings for "
            f"keys, and lists instead of tuples"
        )
    if _NUL in held and any("\0" in text for text in _strings(value)):
        raise ValueError(f"{name} holds {reprlib.repr(value)}, with a NUL, at which SQLite would "
                         f"end the string; leave it out")  # fmt: skip
    return held


def _strings(value: object) -> Iterator[str]:
    """Yield every string in a value of JSON, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, held in value.items():
            yield from (key, *_strings(held))
    elif isinstance(value, list):
        for held in value:
            yield from _strings(held)


def _listed(given: object, name: str) -> list[Any]:
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ValueError(f"{name} is {reprlib.repr(given)}; give a list")
    return list(given)


def counted(listed: list[T], name: str, count: int) -> list[T]:
    """Return a list that has an entry for each document.

    Raises:
        ValueError: it has more or fewer.
    """
    if len(listed) != count:
        raise ValueError(
            f"{name} has {len(listed)} entries for {count} documents; give one for each"
        )
    return listed
