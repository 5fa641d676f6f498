"""Where codes go, in one line: ENGINE:PLACE, or ENGINE:PLACE#TABLE."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import NamedTuple

from qama.engines.table import Store, masked
from qama.errors import FormatError

# Which class serves an engine or a file, by its name in targets.
STORES = {
    "faiss": "faiss.Faiss",
    "usearch": "usearch.USearch",
    "duckdb": "duckdb.DuckDB",
    "sqlite": "sqlite.SQLite",
    "pgvector": "pgvector.PgVector",
    "lancedb": "lancedb.LanceDB",
    "clickhouse": "clickhouse.ClickHouse",
    "milvus": "milvus.Milvus",
    "qdrant": "qdrant.Qdrant",
    "npy": "plain.Npy",
    "parquet": "arrow.Parquet",
    "arrow": "arrow.Arrow",
    "elasticsearch": "bulk.Elasticsearch",
    "opensearch": "bulk.OpenSearch",
    "vespa": "bulk.Vespa",
    "safetensors": "plain.Safetensors",
}
DEFAULT_TABLE = "qama"


class Target(NamedTuple):
    """A target, read.

    Attributes:
        engine: A key of `STORES`.
        place: A path, or the address of a server.
        table: The name of a table there.
    """

    engine: str
    place: str
    table: str


def parsed(target: str) -> Target:
    """Read a target such as "duckdb:codes.db#docs".

    Raises:
        ValueError: no engine of that name, no place, or a table's name that is no plain name.
    """
    engine, colon, rest = target.partition(":")
    if engine not in STORES or not colon:
        raise ValueError(
            f"target is {masked(target)!r}; give ENGINE:PLACE or ENGINE:PLACE#TABLE, for instance "
            f"duckdb:codes.db#docs, with one of the engines {', '.join(STORES)}"
        )
    place, _, table = rest.rpartition("#") if "#" in rest else (rest, "", DEFAULT_TABLE)
    if not place:
        raise ValueError(f"target is {target!r}, without a place: give {engine}:PLACE, a path")
    return Target(engine, place, checked_name(table))


def checked_name(table: str) -> str:
    """Return a table's name, refusing what engines would have to quote.

    Raises:
        ValueError: not a letter, then letters, digits and underscores.
    """
    if not (table.isidentifier() and table.isascii() and not table.startswith("_")):
        raise ValueError(
            f"the table is named {table!r}; give a letter, then letters, digits and underscores"
        )
    return table


def store_of(engine: str) -> type[Store]:
    """Return the class that serves an engine."""
    module, _, name = STORES[engine].partition(".")
    found: type[Store] = getattr(importlib.import_module(f"qama.engines.{module}"), name)
    return found


def opened(target: str | Store, to_read: bool = False) -> Store:
    """Open a target; what is open already is returned.

    Args:
        target: "ENGINE:PLACE#TABLE", or a store.
        to_read: Refuse a path where nothing is, rather than let the engine make it.

    Raises:
        ValueError: no such target.
        FormatError: nothing is there to be read.
        MissingExtraError: the engine's client is not installed.
        EngineError: the engine cannot be reached.
    """
    if isinstance(target, Store):
        return target
    engine, place, table = parsed(target)
    found = store_of(engine)
    is_path = "://" not in place and place != ":memory:"
    if to_read and found.makes_place and is_path and not Path(place).exists():
        raise FormatError(f"{target} is not there: write codes to it first")
    return found(place, table)
