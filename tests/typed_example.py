"""A user's program, whose types mypy and pyright hold strictly (`make lint`).

What a call returns is said by `assert_type`: a change of it is a change of what users see.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

import qama
from qama.documents import Document, Hit, Hits
from qama.evaluation.quantisability import Quantisability, quantisability
from qama.recipe import Report

Floats = npt.NDArray[np.float32]


def told(report: Report) -> None:
    """Take in how far a fit is."""
    assert_type(report.losses, dict[str, float])


def compressed(X: Floats, folder: Path) -> qama.Codec:
    """Fit, save, load."""
    codec = qama.fit(X, seed=1, max_bytes=64, callbacks=[told])
    assert_type(codec, qama.Codec)
    codec.save(folder / "my.codec")
    codes = codec.encode(X, nbytes=48)
    assert_type(codes, npt.NDArray[np.uint8])
    assert_type(codec.decode(codes, nbytes=48), Floats)
    assert_type(codec.byte_budgets, tuple[int, ...])
    return qama.Codec.load(folder / "my.codec")


def searched(codec: qama.Codec, X: Floats, Q: Floats, folder: Path) -> list[int]:
    """Index and search."""
    index = qama.Index(codec, nbytes=48, keep="float16")
    assert_type(index.add(X), npt.NDArray[np.int64])
    allowed = index.filter(np.arange(10))
    assert_type(allowed, qama.Filter)
    found = index.search(Q, k=10, filter=allowed)
    assert_type(found, qama.SearchResult)
    ids, scores = found
    assert_type(ids, npt.NDArray[np.int64])
    assert_type(scores, Floats)
    index.save(folder / "my.index")
    with qama.Index.open(folder / "my.index", mode="a") as opened:
        assert_type(opened, qama.Index)
        assert_type(opened.delete([1, 2]), int)
    return [int(number) for number in ids[0]]


def documents(codec: qama.Codec, X: Floats, folder: Path) -> list[str]:
    """Keep texts and fields beside codes."""
    with qama.Documents.create(folder / "docs", codec, nbytes=48) as docs:
        docs.add(["a", "b"], X[:2], ["some text", None], [{"year": 2025}, {}])
        hits = docs.search(X[0], 5, where={"year": {"$gt": 2000}})
        assert_type(hits, Hits)
        for hit in hits:
            assert_type(hit, Hit)
            assert_type(hit.metadata, dict[str, Any])
        assert_type(docs.get(["a"]), list[Document])
        return hits.ids


def reported(X: Floats) -> int | None:
    """Ask how few bytes do."""
    report = quantisability(X, qama.fit, sample=1000)
    assert_type(report, Quantisability)
    assert_type(report.budgets[0].ndcg, float)
    return report.smallest(0.98)


def version() -> str:
    """Return qama's version."""
    return qama.__version__
