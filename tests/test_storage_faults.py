"""Exceptions, failing calls and power failures during changes: short runs of tests/long."""

from __future__ import annotations


def test_an_exception_at_any_line_of_a_change_leaves_memory_and_files_as_one():
    """`tests/long/interrupts.py` raises at every line."""
    from interrupts import run

    counts = run(stride=400, twice=1, seed=1)
    assert counts["points"] > 300
    assert counts["points hit twice"] > 0
    assert counts["wrong"] == 0


def test_a_call_of_the_system_that_fails_in_a_change_loses_nothing():
    """`tests/long/failures.py` lets every call fail in every way."""
    from failures import run

    counts = run(stride=12, ways=2, seed=1)
    assert counts["failures"] > 200
    assert counts["wrong"] == 0


def test_power_may_fail_at_any_moment():
    """`tests/long/power.py` judges 20,000 states."""
    from power import run

    counts = run(states=400, seed=1)
    assert counts["states judged"] == 400
    assert counts["wrong"] == 0
