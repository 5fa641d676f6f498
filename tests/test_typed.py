"""The typed example of a user's program runs."""

from __future__ import annotations

import typed_example
from conftest import mixture


def test_the_example_runs(tmp_path):
    X = mixture(300, 64)
    codec = typed_example.compressed(X, tmp_path)
    assert len(typed_example.searched(codec, X, X[:2], tmp_path)) == 10
    assert typed_example.documents(codec, X, tmp_path) == ["a"]
    assert typed_example.reported(X) in (None, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    assert typed_example.version().count(".") == 2
