"""Codes and ids that engines are given."""

from __future__ import annotations

import pytest
from oracle import CODE, some_ids


@pytest.fixture(scope="module")
def codes(rows, codec):
    return codec.encode(rows, **CODE)


@pytest.fixture(scope="module")
def ids(rows):
    return some_ids(len(rows))
