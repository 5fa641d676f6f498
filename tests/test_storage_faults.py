"""Exceptions, failing calls and power failures during changes: short runs of tests/long."""

from __future__ import annotations

import pytest

LISTS = pytest.mark.parametrize("nlist", [None, 3], ids=["flat", "lists"])


@LISTS
def test_an_exception_at_any_line_of_a_change_leaves_memory_and_files_as_one(nlist):
    """`tests/long/interrupts.py` raises at every line."""
    from interrupts import run

    counts = run(stride=1200, twice=1, seed=1, nlist=nlist)
    assert counts["points"] > 300
    assert counts["points hit twice"] > 0
    assert counts["wrong"] == 0


@LISTS
def test_a_call_of_the_system_that_fails_in_a_change_loses_nothing(nlist):
    """`tests/long/failures.py` lets every call fail in every way."""
    from failures import run

    counts = run(stride=20, ways=2, seed=1, nlist=nlist)
    assert counts["failures"] > 200
    assert counts["wrong"] == counts["errors that name no file"] == 0


@LISTS
def test_power_may_fail_at_any_moment(nlist):
    """`tests/long/power.py` judges 20,000 states."""
    from power import run

    counts = run(states=400, seed=1, nlist=nlist)
    assert counts["states judged"] == 400
    assert counts["wrong"] == 0
