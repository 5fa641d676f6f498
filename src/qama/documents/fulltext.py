"""Full text: SQLite's FTS5 over the texts, in the same transactions, ranked by BM25."""

from __future__ import annotations

import re

# The texts themselves lie in `documents` alone; triggers keep the words of them as they change.
SCHEMA = """
CREATE VIRTUAL TABLE words USING fts5(
    text, content = 'documents', content_rowid = 'number',
    tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER words_added AFTER INSERT ON documents WHEN new.text IS NOT NULL BEGIN
    INSERT INTO words (rowid, text) VALUES (new.number, new.text);
END;
CREATE TRIGGER words_removed AFTER DELETE ON documents WHEN old.text IS NOT NULL BEGIN
    INSERT INTO words (words, rowid, text) VALUES ('delete', old.number, old.text);
END;
"""
REBUILD = "INSERT INTO words (words) VALUES ('rebuild')"


def query(text: str) -> str:
    """Return the FTS5 query of the documents that have any word of a text; "": it has none.

    Every word is quoted: nothing in a text is an operator.
    """
    return " OR ".join(f'"{word}"' for word in dict.fromkeys(re.findall(r"\w+", text)))
