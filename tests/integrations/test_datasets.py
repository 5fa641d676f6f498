"""Vectors from datasets of Hugging Face."""

from __future__ import annotations

import numpy as np
import pytest

import qama
from qama import arrays, checks, sources

datasets = pytest.importorskip("datasets", reason="datasets is not installed")

X = np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)


@pytest.fixture
def dataset():
    """Texts and their vectors, as a model's output is kept."""
    return datasets.Dataset.from_dict({"text": ["a"] * len(X), "vector": X.tolist()})


def test_a_dataset_gives_its_one_column_of_vectors(dataset, monkeypatch):
    monkeypatch.setattr(checks, "CHUNK_ROWS", 70)
    sizes = [len(batch) for batch in sources.opened(dataset, "X")]
    assert sizes == [70, 70, 70, 70, 20]
    expected = qama.fit(X, threads=1)
    for held in (dataset, dataset.to_iterable_dataset(), dataset.select(range(300))):
        assert qama.fit(held, threads=1).fingerprint == expected.fingerprint
    reversed_rows = dataset.select(range(299, -1, -1))
    assert (arrays.plain(reversed_rows, "X") == X[::-1]).all()
    assert (expected.encode(dataset, nbytes=8) == expected.encode(X, nbytes=8)).all()
    assert (expected.encode(dataset["vector"][:], nbytes=8) == expected.encode(X, nbytes=8)).all()
    index = qama.Index(expected, nbytes=8)
    assert index.add_from(dataset, np.arange(300) + 5) == 300
    assert index.search(X[:3], 1).ids[:, 0].tolist() == [5, 6, 7]


def test_datasets_without_vectors_are_refused(dataset):
    parts = datasets.DatasetDict(train=dataset, test=dataset)
    with pytest.raises(ValueError, match="X is a DatasetDict of 'train', 'test'; give one of them"):
        qama.fit(parts)
    with pytest.raises(ValueError, match="0 columns of lists of numbers"):
        qama.fit(dataset.select_columns(["text"]))
