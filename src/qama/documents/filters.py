"""Filters over metadata, compiled to parameterised SQL.

    {"source": "wiki", "year": {"$gte": 2020}, "$not": {"lang": {"$in": ["de", "fr"]}}}

What a condition means, whatever a document holds:

* A field is a key, or keys within each other joined by dots. Arrays have no fields.
* Numbers are compared with numbers, strings with strings by their characters. True and false count
  as 1 and 0. A value of another type, a list or an object is neither equal nor more nor less: such
  a document does not match, and that is no error.
* None equals null and a field that is not there.
* ``$ne``, ``$nin`` and ``$not`` match exactly the documents that ``$eq``, ``$in`` and the filter
  within do not.
* ``$contains`` matches a list of which an element equals the value, and a string of which the value
  is a part. An empty list equals an empty list.
* ``$id`` and ``$text``, at the place of a field, are the document's own.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_DEPTH = 10  # filters within each other; SQLite's parser has a stack of 100
_LONGEST = 900_000  # characters of SQL; SQLite takes a million
_COLUMNS = {"$id": "id", "$text": "text"}
_LEAST, _MOST = -(2**63), 2**63 - 1  # whole numbers that SQLite has

Filter = Mapping[str, Any]


@dataclass(frozen=True)
class Condition:
    """A condition on the rows of table ``documents``.

    Attributes:
        sql: An expression that is 1 where it holds, and 0 or null elsewhere.
        values: Its parameters.
    """

    sql: str
    values: tuple[Any, ...] = ()


EVERY = Condition("1")


def compiled(where: Filter | None) -> Condition:
    """Compile a filter; None is one that every document passes.

    Raises:
        ValueError: no filter, an unknown operator, or a value that cannot be compared.
    """
    condition = EVERY if where is None else _filter(where, 0)
    if len(condition.sql) > _LONGEST:
        raise ValueError("a filter has too many conditions; of many values of a field, give $in")
    return condition


def scalar(field: object) -> str:
    """Return the SQL of what a field holds, null where that is no string, number or boolean.

    An index on the same expression is used by filters.

    Raises:
        ValueError: no field.
    """
    if field in _COLUMNS:
        return _COLUMNS[str(field)]
    path = _path(field)
    extracted = f"json_extract(metadata, {path})"
    return (
        f"CASE json_type(metadata, {path}) WHEN 'array' THEN NULL WHEN 'object' THEN NULL "
        f"ELSE {extracted} END"
    )


def _kind(field: object) -> str:
    """Return the SQL of the JSON type of what a field holds, null where it is not there."""
    if field in _COLUMNS:
        return f"iif({scalar(field)} IS NULL, NULL, 'text')"
    return f"json_type(metadata, {_path(field)})"


def _path(field: object) -> str:
    """Return the JSON path of a field as an SQL literal."""
    if not isinstance(field, str) or not all(field.split(".")) or not _plain(field):
        raise ValueError(
            f"a filter names the field {field!r}; give a key of the metadata, or keys joined by "
            f'dots, without " and \\ and control characters'
        )
    path = "$" + "".join(f'."{key}"' for key in field.split("."))
    return "'" + path.replace("'", "''") + "'"


def _plain(text: str) -> bool:
    return text.isprintable() and not set(text) & {'"', "\\"}


def _filter(where: object, depth: int) -> Condition:
    if not isinstance(where, Mapping):
        raise ValueError(f"a filter is {reprlib.repr(where)}; give a dict")
    if depth > _DEPTH:
        raise ValueError(f"a filter has more than {_DEPTH} filters within each other")
    parts = []
    for key, value in where.items():
        if key in ("$and", "$or"):
            parts.append(_joined(key, _listed(value, key), depth))
        elif key == "$not":
            parts.append(_not(_filter(value, depth + 1)))
        elif isinstance(key, str) and key.startswith("$") and key not in _COLUMNS:
            raise ValueError(f"unknown operator {key!r}; a filter has fields, $and, $or and $not")
        else:
            parts.append(_field(key, value, depth))
    return _all(parts)


def _joined(key: str, filters: list[Any], depth: int) -> Condition:
    parts = [_filter(each, depth + 1) for each in filters]
    return _all(parts) if key == "$and" else _any(parts)


def _field(field: object, value: object, depth: int) -> Condition:
    """Compile what one field must be: a value, or operators with theirs."""
    scalar(field)
    if not isinstance(value, Mapping):
        return _equal(field, value)
    if not value:
        raise ValueError(f"the filter of {field!r} is empty; give a value, or {_operators()}")
    if depth > _DEPTH:
        raise ValueError(f"a filter has more than {_DEPTH} filters within each other")
    parts = []
    for key, operand in value.items():
        if key == "$not":
            parts.append(_not(_field(field, operand, depth + 1)))
        elif key in _OPERATORS:
            parts.append(_OPERATORS[key](field, operand))
        else:
            raise ValueError(f"unknown operator {key!r} of {field!r}; give {_operators()}")
    return _all(parts)


# -- operators ----------------------------------------------------------------------------------


def _equal(field: object, value: object) -> Condition:
    if value is None:
        return Condition(f"ifnull({_kind(field)}, 'null') = 'null'")
    if isinstance(value, list) and not value and field not in _COLUMNS:
        path = _path(field)
        return Condition(f"({_kind(field)} = 'array' AND json_extract(metadata, {path}) = '[]')")
    return Condition(f"{scalar(field)} = ?", (_value(value, field),))


def _in(field: object, values: object) -> Condition:
    listed = _listed(values, "$in")
    given = [_value(value, field) for value in listed if value is not None]
    found = Condition(
        f"{scalar(field)} IN (SELECT value FROM json_each(?))",
        (json.dumps(given, ensure_ascii=False),),
    )
    return _any([found, _equal(field, None)]) if None in listed else found


def _ordered(sign: str) -> Callable[[object, object], Condition]:
    """Return the operator of an order. SQLite puts every string behind every number."""

    def compare(field: object, value: object) -> Condition:
        if value is None:
            raise ValueError(f"{field!r} is compared with None, which has no order; see $exists")
        given = _value(value, field)
        one = Condition(f"{scalar(field)} {sign} ?", (given,))
        if isinstance(given, str):
            return _all([one, Condition(f"{scalar(field)} >= ''")]) if "<" in sign else one
        return _all([one, Condition(f"{scalar(field)} < ''")]) if ">" in sign else one

    return compare


def _exists(field: object, value: object) -> Condition:
    if not isinstance(value, bool):
        raise ValueError(f"$exists of {field!r} is {value!r}; give True or False")
    return Condition(f"{_kind(field)} IS {'NOT ' if value else ''}NULL")


def _contains(field: object, value: object) -> Condition:
    given = _value(value, field)
    part = Condition("0")
    if isinstance(given, str):
        part = Condition(f"instr({scalar(field)}, ?) > 0", (given,))
    if field in _COLUMNS:
        return part
    within = f"SELECT 1 FROM json_each(metadata, {_path(field)}) AS each WHERE each.atom = ?"
    cases = f"WHEN 'array' THEN EXISTS ({within}) WHEN 'text' THEN {part.sql}"
    return Condition(f"CASE {_kind(field)} {cases} END", (given, *part.values))


_OPERATORS: dict[str, Callable[[object, object], Condition]] = {
    "$eq": _equal,
    "$ne": lambda field, value: _not(_equal(field, value)),
    "$gt": _ordered(">"),
    "$gte": _ordered(">="),
    "$lt": _ordered("<"),
    "$lte": _ordered("<="),
    "$in": _in,
    "$nin": lambda field, values: _not(_in(field, values)),
    "$exists": _exists,
    "$contains": _contains,
}


def _operators() -> str:
    return ", ".join([*_OPERATORS, "$not"])


# -- putting together ---------------------------------------------------------------------------


def _not(part: Condition) -> Condition:
    return Condition(f"NOT ifnull({part.sql}, 0)", part.values)


def _all(parts: list[Condition]) -> Condition:
    return _with(" AND ", parts, EVERY)


def _any(parts: list[Condition]) -> Condition:
    return _with(" OR ", parts, Condition("0"))


def _with(word: str, parts: list[Condition], none: Condition) -> Condition:
    """Join conditions by halves: SQLite bears no more than 1000 of them in a row."""
    if len(parts) < 2:
        return parts[0] if parts else none
    middle = len(parts) // 2
    one, other = _with(word, parts[:middle], none), _with(word, parts[middle:], none)
    return Condition(f"({one.sql}{word}{other.sql})", one.values + other.values)


def _listed(value: object, operator: str) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise ValueError(f"{operator} is {reprlib.repr(value)}; give a list")
    return list(value)


def _value(value: object, field: object) -> str | int | float:
    """Return what can be compared, as SQLite takes it.

    Raises:
        ValueError: it is no string, number or boolean.
    """
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # a number of NumPy
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int) and _LEAST <= value <= _MOST:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str) and _is_utf8(value):
        return str(value)
    raise ValueError(
        f"{field!r} is compared with {reprlib.repr(value)}; give a string, a finite number (whole "
        f"ones of 64 bits) or a boolean"
    )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
