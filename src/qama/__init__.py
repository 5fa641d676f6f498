"""qama makes any embedding 20 to 100 times smaller and searches it faster.

codec = qama.fit(X)                        # codes="all" adds grid codes, and needs torch
codes = codec.encode(X, nbytes=48)
index = qama.Index(codec, nbytes=48)
index.add(X)
result = index.search(Q, k=10)
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from qama import embedders as embedders
from qama import forked as forked  # notes forks from here on
from qama.bases import base, make_base
from qama.codec import Codec
from qama.errors import (
    DriftWarning,
    EmbeddingError,
    EngineError,
    FewRowsWarning,
    FormatError,
    LockedError,
    MissingExtraError,
    NormWarning,
    RecoveryWarning,
)
from qama.fitting import fit
from qama.progress import Bar
from qama.search.index import Index
from qama.search.many import search_many
from qama.search.rows.filters import Filter
from qama.search.scan.results import SearchResult
from qama.search.sharding import shard
from qama.search.shards import Shards
from qama.search.storage.backup import backup, backups, restore
from qama.search.storage.replica import replicate

if TYPE_CHECKING:
    from qama import distributed, engines, tasks
    from qama.documents import Documents

__version__: str  # as pyproject.toml says it, read from what is installed when it is asked for
__all__ = [
    "Bar",
    "Codec",
    "Documents",
    "DriftWarning",
    "EmbeddingError",
    "EngineError",
    "FewRowsWarning",
    "Filter",
    "FormatError",
    "Index",
    "LockedError",
    "MissingExtraError",
    "NormWarning",
    "RecoveryWarning",
    "SearchResult",
    "Shards",
    "backup",
    "backups",
    "base",
    "distributed",
    "embedders",
    "engines",
    "fit",
    "make_base",
    "replicate",
    "restore",
    "search_many",
    "shard",
    "tasks",
]


logging.getLogger("qama").addHandler(logging.NullHandler())  # who wants to read it says where


def __getattr__(name: str) -> Any:
    if name in ("distributed", "engines", "tasks"):  # found without an import of their own
        return importlib.import_module(f"qama.{name}")
    if name == "Documents":  # which needs sqlite3: some Pythons are built without it
        return importlib.import_module("qama.documents").Documents
    if name == "__version__":
        from importlib import metadata

        return metadata.version("qama")
    raise AttributeError(f"module 'qama' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
