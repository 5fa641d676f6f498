"""Read a retrieval collection in BEIR's folder format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Collection", "load_collection"]

MAX_GRADE = 1000  # trec_eval keeps a count for each grade up to the highest


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents, judged queries and relevance judgements of one collection.

    Attributes:
        name: Name of the folder.
        doc_ids: Document ids, in the line order of ``corpus.jsonl``.
        doc_texts: Title, a space and the text of each document, in the same order.
        query_ids: Ids of the judged queries, in the line order of ``queries.jsonl``.
        query_texts: Their texts.
        query_rows: Their row numbers among all queries of ``queries.jsonl``, from 0.
        query_total: Number of queries in ``queries.jsonl``, judged or not.
        qrels: Relevance grade by query id, then document id.
    """

    name: str
    doc_ids: tuple[str, ...]
    doc_texts: tuple[str, ...]
    query_ids: tuple[str, ...]
    query_texts: tuple[str, ...]
    query_rows: tuple[int, ...]
    query_total: int
    qrels: dict[str, dict[str, int]]


def load_collection(folder: str | Path, split: str = "test") -> Collection:
    """Read ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``.

    Args:
        folder: Folder of the collection.
        split: Name of the judgement file, without its ending.

    Returns:
        The collection; queries without any judgement in this split are left out.

    Raises:
        ValueError: A file is missing, empty or malformed, an id occurs twice, or a judgement
            names an unknown query or document. The message names the file and the line.
    """
    folder = Path(folder)
    corpus_file, query_file = folder / "corpus.jsonl", folder / "queries.jsonl"
    qrels_file = folder / "qrels" / f"{split}.tsv"
    docs = _read_texts(corpus_file)
    queries = _read_texts(query_file)
    qrels = _read_qrels(qrels_file, queries, docs)
    judged = [(row, qid) for row, qid in enumerate(queries) if qid in qrels]
    return Collection(
        name=folder.resolve().name,
        doc_ids=tuple(docs),
        doc_texts=tuple(docs.values()),
        query_ids=tuple(qid for _, qid in judged),
        query_texts=tuple(queries[qid] for _, qid in judged),
        query_rows=tuple(row for row, _ in judged),
        query_total=len(queries),
        qrels=qrels,
    )


def _read_texts(path: Path) -> dict[str, str]:
    """Text by id, in line order (a dict keeps it)."""
    texts: dict[str, str] = {}
    for number, line in _lines(path):
        record = _parse(path, number, line)
        key = record["_id"]
        if key in texts:
            raise ValueError(f"{path}, line {number}: the id {key!r} occurs twice")
        texts[key] = f"{record.get('title') or ''} {record['text']}".strip()
    if not texts:
        raise ValueError(f"{path} holds no record: at least one line is needed")
    return texts


def _parse(path: Path, number: int, line: str) -> dict[str, Any]:
    """One line as an object with the strings ``_id`` and ``text``."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}, line {number}: not valid JSON ({error})") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path}, line {number}: an object with _id and text is needed")
    for key in ("_id", "text"):
        if not isinstance(record.get(key), str):
            raise ValueError(f"{path}, line {number}: the field {key!r} must be a string")
    return record


def _read_qrels(
    path: Path, queries: dict[str, str], docs: dict[str, str]
) -> dict[str, dict[str, int]]:
    """Grades by query and document; a header line is skipped."""
    qrels: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        fields = line.rstrip("\r\n").split("\t")
        if number == 1 and fields[-1].strip().lower() == "score":
            continue
        query, doc, grade = _judgement(path, number, fields)
        if query not in queries:
            raise ValueError(f"{path}, line {number}: no query has the id {query!r}")
        if doc not in docs:
            raise ValueError(f"{path}, line {number}: no document has the id {doc!r}")
        grades = qrels.setdefault(query, {})
        if doc in grades:
            raise ValueError(f"{path}, line {number}: {query!r} and {doc!r} are judged twice")
        grades[doc] = grade
    if not qrels:
        raise ValueError(f"{path} holds no judgement: at least one line is needed")
    return qrels


def _judgement(path: Path, number: int, fields: list[str]) -> tuple[str, str, int]:
    """Query id, document id and grade of one line."""
    if len(fields) != 3:
        raise ValueError(
            f"{path}, line {number}: {len(fields)} columns; "
            "query-id, corpus-id and score, separated by tabs, are needed"
        )
    try:
        grade = int(fields[2])
    except ValueError as error:
        raise ValueError(
            f"{path}, line {number}: the score {fields[2]!r} is not a whole number"
        ) from error
    if abs(grade) > MAX_GRADE:
        raise ValueError(f"{path}, line {number}: the score {grade} is beyond {MAX_GRADE}")
    return fields[0], fields[1], grade


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, numbered from 1."""
    if not path.is_file():
        raise ValueError(f"{path} is missing: a BEIR folder holds it")
    with path.open(encoding="utf-8") as stream:
        try:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, line
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8 text ({error.reason})") from error
