"""qama makes any embedding 20 to 100 times smaller and searches it faster.

codec = qama.fit(X)                        # needs torch; nothing else here does
codes = codec.encode(X, dims=192, level="2")
index = qama.Index(codec, dims=192, level="2")
index.add(X)
result = index.search(Q, k=10)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from qama import forked as forked  # notes forks from here on
from qama.codec import Codec
from qama.errors import (
    DriftWarning,
    FormatError,
    LockedError,
    MissingExtraError,
    NormWarning,
    RecoveryWarning,
)
from qama.search.filters import Filter
from qama.search.index import Index
from qama.search.many import search_many
from qama.search.names import Names
from qama.search.partitioned import PartitionedIndex
from qama.search.results import SearchResult

if TYPE_CHECKING:
    from qama import tasks
    from qama.training.fit import fit

__version__ = "0.1.0"
__all__ = [
    "Codec",
    "DriftWarning",
    "Filter",
    "FormatError",
    "Index",
    "LockedError",
    "MissingExtraError",
    "Names",
    "NormWarning",
    "PartitionedIndex",
    "RecoveryWarning",
    "SearchResult",
    "fit",
    "search_many",
    "tasks",
]


def __getattr__(name: str) -> Any:
    if name == "fit":  # torch is imported when a fit is asked for, not before
        from qama.training.fit import fit

        return fit
    if name == "tasks":  # found by `qama.tasks` without an import of its own
        return importlib.import_module("qama.tasks")
    raise AttributeError(f"module 'qama' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
