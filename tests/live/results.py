"""What of a run's summary must not depend on how it went: its trials' results."""

from __future__ import annotations

from typing import Any

__all__ = ["found", "repeated_steps"]

RESULT = ("number", "config", "steps", "status", "metrics", "state_digest", "error")


def found(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """What each trial came to; every complete or stopped one has metrics and a digest."""
    trials = [{name: trial[name] for name in RESULT} for trial in summary["trials"]]
    for trial in trials:
        if trial["status"] != "failed":
            assert trial["metrics"]
            assert len(trial["state_digest"]) == 64
    return trials


def repeated_steps(summary: dict[str, Any]) -> int:
    """Steps run more than once; that the summary's counts add up is checked on the way."""
    repeated: int = sum(summary["steps_repeated"].values())
    assert summary["steps_run"] == summary["steps_distinct"] - summary["steps_reused"] + repeated
    return repeated
