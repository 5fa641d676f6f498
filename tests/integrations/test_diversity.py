"""Maximal marginal relevance against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from qama import Documents
from qama.integrations.diversity import diverse


@pytest.fixture
def documents(tmp_path, bytes_codec, rows):
    with Documents.create(tmp_path / "docs", bytes_codec, nbytes=16) as docs:
        docs.add([str(i) for i in range(60)], rows[:60])
        yield docs


def by_definition(documents, hits, k, relevance):
    vectors = {hit.id: documents.vectors([hit.id])[0] for hit in hits}

    def cosine(one, other):
        a, b = vectors[one.id], vectors[other.id]
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    chosen, left = [], list(hits)
    while left and len(chosen) < k:
        worth = [
            relevance * hit.score
            - (1 - relevance) * max((cosine(hit, other) for other in chosen), default=0)
            for hit in left
        ]
        chosen.append(left.pop(int(np.argmax(worth))))
    return [hit.id for hit in chosen]


@pytest.mark.parametrize("relevance", [0, 0.3, 0.7, 1])
def test_hits_are_chosen_as_defined(documents, queries, relevance):
    for query in queries[:5]:
        hits = documents.search(query, 20)
        for k in (0, 1, 8, 30):
            found = [hit.id for hit in diverse(documents, hits, k, relevance)]
            assert found == by_definition(documents, hits, k, relevance)
    assert diverse(documents, [], 3, relevance) == []


def test_weights_that_are_none_are_refused(documents, queries):
    hits = documents.search(queries[0], 3)
    for relevance in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="give 0 to 1"):
            diverse(documents, hits, 2, relevance)
