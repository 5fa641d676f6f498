"""How a target is read, and what is said where an engine's client is not installed."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from oracle import CODE

from qama import MissingExtraError, engines
from qama.engines import targets
from qama.engines.table import masked

ROOT = Path(__file__).parent.parent.parent
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize(
    ("target", "read"),
    [
        ("duckdb:codes.db#docs", ("duckdb", "codes.db", "docs")),
        ("duckdb:codes.db", ("duckdb", "codes.db", "qama")),
        ("faiss:/a/b:c.faiss", ("faiss", "/a/b:c.faiss", "qama")),
        ("sqlite:a#b/c.sqlite#t_1", ("sqlite", "a#b/c.sqlite", "t_1")),
    ],
)
def test_a_target_is_an_engine_a_place_and_a_table(target, read):
    assert targets.parsed(target) == read


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("codes.db", "give ENGINE:PLACE or ENGINE:PLACE#TABLE"),
        ("oracle:db#docs", "duckdb"),
        ("duckdb", "ENGINE:PLACE"),
        ("duckdb:#docs", "without a place"),
        ("duckdb:codes.db#", "the table is named ''"),
        ("duckdb:codes.db#a; drop table b", "letters, digits and underscores"),
        ("duckdb:codes.db#_a", "letters, digits and underscores"),
    ],
)
def test_a_target_that_is_none_is_refused(target, said):
    with pytest.raises(ValueError, match=said):
        targets.parsed(target)


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (
            "pgvector:postgresql://me:secret@host:5432/db#docs",
            "postgresql://me:***@host:5432/db#docs",
        ),
        ("pgvector:postgresql://me:s/e:c#r@host/db#docs", "postgresql://me:***@host/db#docs"),
        ("pgvector:host=a password=secret dbname=b#docs", "host=a password=*** dbname=b#docs"),
        ("clickhouse:http://host:8123/db#docs", "http://host:8123/db#docs"),
        ("duckdb:codes.db#docs", "codes.db#docs"),
    ],
)
def test_passwords_are_not_shown(target, shown):
    assert masked(target) == f"{target.partition(':')[0]}:{shown}"


@pytest.mark.parametrize("engine", targets.STORES)
def test_every_engine_says_how_it_is_called_and_installed(engine):
    store = targets.store_of(engine)
    assert store.engine == engine
    assert store.__doc__
    assert not store.extra or store.extra in EXTRAS


@pytest.mark.parametrize("engine", [e for e in targets.STORES if targets.store_of(e).extra])
def test_a_missing_client_is_told_with_the_command(engine, tmp_path, monkeypatch, codec, rows):
    """The first module that an engine imports is not there."""

    def lacking(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("importlib.import_module", _keep_ours(lacking))
    extra = targets.store_of(engine).extra
    with pytest.raises(MissingExtraError, match=rf'pip install "qama\[{extra}\]"'):
        engines.write(
            f"{engine}:{tmp_path}/place#docs", codec.encode(rows, **CODE), range(300), codec, **CODE
        )


def _keep_ours(lacking):
    import importlib

    found = importlib.import_module
    return lambda name: found(name) if name.startswith("qama") else lacking(name)


def test_no_engine_is_imported_before_it_is_asked_for():
    names = ("faiss", "usearch", "duckdb", "apsw", "pyarrow", "safetensors", "psycopg", "lancedb")
    program = f"import sys, qama.engines; print(sorted(set({names!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
