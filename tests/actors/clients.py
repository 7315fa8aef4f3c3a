"""What the counts of a run must come to."""

from __future__ import annotations

from hive.storage.records import RunCounts


def repeated(counts: RunCounts) -> int:
    """Steps that were trained more than once."""
    return counts.late_branch + counts.failure + counts.evicted


def assert_adds_up(counts: RunCounts) -> None:
    """The promise of honest counting."""
    assert counts.steps_run == counts.steps_distinct - counts.steps_reused + repeated(counts), counts
