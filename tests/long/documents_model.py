"""What documents must hold after changes, and whether they do."""

from __future__ import annotations

import numpy as np
from storage_model import CELL, CODEC, POOL


def made_of(places):
    """Vectors, texts and fields of documents by their places in the pool."""
    at = np.array(places, dtype=np.int64) % len(POOL)
    return POOL[at], [f"w{p % 3} p{p}" for p in places], [{"n": p % 7} for p in places]


def agree(docs):
    """Whether the index holds exactly what the database does, codes included."""
    with docs._store.reading() as view:
        index = docs._derived.at(view, whatever=True)
        numbers, codes = view.codes_after(0, 2**40)
        assert len(numbers) == view.about.count == len(index)
        order = np.argsort(index.ids)
        assert index.ids[order].tolist() == numbers.tolist()
        if len(numbers):
            np.testing.assert_array_equal(index._now.live_codes()[order], codes)


def holds(docs, model):
    """Whether documents are exactly a model, a dict from id to place in insertion order."""
    _, texts, fields = made_of(list(model.values()))
    held = docs.get()
    if [(d.id, d.text, d.metadata) for d in held] != list(zip(model, texts, fields, strict=True)):
        return False
    agree(docs)
    for n in range(3):
        wanted = {key for key, place in model.items() if place % 3 == n}
        assert {*docs.search(text=f"w{n}", k=10**6).ids} == wanted
        assert docs.count({"n": n}) == sum(place % 7 == n for place in model.values())
    if model:
        scores = CODEC.score(POOL[:1], CODEC.encode(POOL, **CELL), **CELL)[0]
        hits = docs.search(POOL[0], len(model))
        assert hits.scores == [scores[model[key] % len(POOL)] for key in hits.ids]
    return True


__all__ = ["CELL", "CODEC", "POOL", "agree", "holds", "made_of"]
