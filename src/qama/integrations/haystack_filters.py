"""Haystack's filters as filters of `qama.documents`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from haystack.errors import FilterError

from qama.documents import filters as conditions

_COLUMNS = {"id": "$id", "content": "$text"}
_NO_FIELDS = ("embedding", "blob", "score", "sparse_embedding")
_EQUAL = {"==": "$eq", "!=": "$ne", "in": "$in", "not in": "$nin"}
_ORDERED = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}


def compiled(filters: dict[str, Any] | None) -> dict[str, Any]:
    """Return the filter of `qama.documents.filters` that says what Haystack's filter says.

    Raises:
        FilterError: an unfitting filter.
    """
    where = _compiled(filters) if filters else {}
    try:
        conditions.compiled(where)
    except ValueError as error:
        raise FilterError(str(error)) from error
    return where


def _compiled(part: dict[str, Any]) -> dict[str, Any]:
    kind = "field" if "field" in part else "conditions"
    missing = {kind, "operator", *(["value"] if kind == "field" else [])} - set(part)
    if missing:
        raise FilterError(f"a filter lacks {sorted(missing)}: {part}")
    operator = part["operator"]
    if kind == "field":
        return _comparison(_field(part["field"]), operator, part["value"])
    within = [_compiled(each) for each in part["conditions"]]
    if operator == "NOT":
        return {"$not": {"$and": within}}
    if operator not in ("AND", "OR"):
        raise FilterError(f"unknown operator {operator!r}; give AND, OR or NOT")
    return {f"${operator.lower()}": within}


def _comparison(field: str, operator: str, value: Any) -> dict[str, Any]:
    value = value.isoformat() if isinstance(value, datetime) else value
    if operator in _EQUAL:
        if "in" in operator and not isinstance(value, list):
            raise FilterError(f"{operator!r} of {field!r} takes a list, and was given {value!r}")
        return {field: {_EQUAL[operator]: value}}
    if operator not in _ORDERED:
        raise FilterError(f"unknown operator {operator!r}; give {[*_EQUAL, *_ORDERED]}")
    if value is None:
        return {"$or": []}  # nothing is more or less than None
    if isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            raise FilterError(f"{field!r} is compared with {value!r}, which is no date") from None
    return {field: {_ORDERED[operator]: value}}


def _field(name: str) -> str:
    if name.partition(".")[0] in _NO_FIELDS:
        raise FilterError(f"{name!r} cannot be filtered by; give id, content, or fields of meta")
    return _COLUMNS.get(name, name.removeprefix("meta."))
