"""Full text: SQLite's FTS5 over the texts, in the same transactions, ranked by BM25."""

from __future__ import annotations

import re

# The texts lie in `documents` alone. What changes them says so by the statements below, each for
# many rows at once: within triggers, FTS5 would write its words to the disk row by row.
SCHEMA = """
CREATE VIRTUAL TABLE words USING fts5(
    text, content = 'documents', content_rowid = 'number',
    tokenize = 'unicode61 remove_diacritics 2'
);
"""
# After rows were added from a number on; before rows of a JSON list of numbers are removed.
ADDED = """
INSERT INTO words (rowid, text)
SELECT number, text FROM documents WHERE number >= ? AND text IS NOT NULL
"""
REMOVED = """
INSERT INTO words (words, rowid, text)
SELECT 'delete', number, text FROM documents
WHERE number IN (SELECT value FROM json_each(?)) AND text IS NOT NULL
"""
REBUILD = "INSERT INTO words (words) VALUES ('rebuild')"


def query(text: str) -> str:
    """Return the FTS5 query of the documents that have any word of a text; "": it has none.

    Every word is quoted: nothing in a text is an operator.
    """
    return " OR ".join(f'"{word}"' for word in dict.fromkeys(re.findall(r"\w+", text)))
