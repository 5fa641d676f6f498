"""The tables of the database, and what it says of itself.

Every change draws numbers from one counter, ``about.last``, in its own transaction. A row of
``documents`` is one version of a document: an upsert removes the row and adds one with a new
number, so that a number means the same code for ever (until ``rebuild`` begins a new generation).
What is derived and holds everything up to a number catches up by the rows with later numbers and
by the ``deletions`` behind it; older ones are forgotten (``about.trimmed``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

FORMAT = 1
APPLICATION = 0x51414D41  # "QAMA", by which the database says whose it is
TABLES = """
CREATE TABLE about (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    codec TEXT NOT NULL,         -- fingerprint of the codec that made the codes
    code TEXT NOT NULL,          -- which of its codes, as JSON
    keeps_vectors INTEGER NOT NULL,
    fulltext INTEGER NOT NULL,
    generation INTEGER NOT NULL, -- how often all codes were made anew
    last INTEGER NOT NULL,       -- the number given last
    count INTEGER NOT NULL,      -- documents
    trimmed INTEGER NOT NULL     -- deletions up to this number are forgotten
);
CREATE TABLE documents (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    code BLOB NOT NULL,          -- compact
    metadata TEXT NOT NULL CHECK (json_valid(metadata)),
    text TEXT
);
CREATE TABLE vectors (           -- float16 of length 1, where they are kept
    number INTEGER PRIMARY KEY,
    vector BLOB NOT NULL
);
CREATE TABLE deletions (
    at INTEGER PRIMARY KEY,
    number INTEGER NOT NULL      -- of the row that was removed
);
"""
ABOUT = ("codec", "code", "keeps_vectors", "fulltext", "generation", "last", "count", "trimmed")


@dataclass(frozen=True)
class About:
    """What the database says of itself.

    Attributes:
        codec: Fingerprint of the codec that made the codes.
        request: Which of its codes they are, as `Codec.code` takes it.
        keeps_vectors: Whether vectors are kept beside codes.
        fulltext: Whether words can be searched.
        generation: How often all codes were made anew.
        last: The number given last.
        count: Documents.
        trimmed: Deletions up to this number are forgotten.
    """

    codec: str
    request: dict[str, Any]
    keeps_vectors: bool
    fulltext: bool
    generation: int = 0
    last: int = 0
    count: int = 0
    trimmed: int = 0

    def values(self) -> tuple[Any, ...]:
        """Return the row of table ``about``."""
        flags = (self.keeps_vectors, self.fulltext)
        counters = (self.generation, self.last, self.count, self.trimmed)
        return (self.codec, json.dumps(self.request), *flags, *counters)
