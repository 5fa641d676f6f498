"""Exceptions, failing calls and power failures during changes: short runs of tests/long."""

from __future__ import annotations

import pytest

OPTIONS = pytest.mark.parametrize(
    "options", [{}, {"nlist": 3}, {"nlist": 3, "keep": "int8"}], ids=["flat", "lists", "kept"]
)


@OPTIONS
def test_an_exception_at_any_line_of_a_change_leaves_memory_and_files_as_one(options):
    """`tests/long/interrupts.py` raises at every line."""
    from interrupts import run

    counts = run(stride=1200, twice=1, seed=1, **options)
    assert counts["points"] > 300
    assert counts["points hit twice"] > 0
    assert counts["wrong"] == 0


@OPTIONS
def test_a_call_of_the_system_that_fails_in_a_change_loses_nothing(options):
    """`tests/long/failures.py` lets every call fail in every way."""
    from failures import run

    counts = run(stride=20, ways=2, seed=1, **options)
    assert counts["failures"] > 200
    assert counts["wrong"] == counts["errors that name no file"] == 0


@OPTIONS
def test_power_may_fail_at_any_moment(options):
    """`tests/long/power.py` judges 20,000 states."""
    from power import run

    counts = run(states=400, seed=1, **options)
    assert counts["states judged"] == 400
    assert counts["wrong"] == 0
