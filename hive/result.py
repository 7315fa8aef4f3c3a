"""`StudyResult`: what a run came to, for its script, for `hive run --json`, and for whoever shows it.

It must not know how the run was done.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hive.client import Trial
from hive.storage.records import RunCounts

__all__ = ["StudyResult", "trial_json"]


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What a run came to, as it stands when its tuner is done.

    Attributes:
        best_trial: the best last value among the complete trials, else among those with most steps; None if all failed.
        trials: all trials of the run, by number.
        counts: steps asked, distinct, reused, run and repeated.
        plan_key: the hash under which other runs share what this one trained.
        merge: whether equal beginnings were trained once.
        study: the study's name.
        wall_s: seconds from the start of the run.
        user_errors: answers that were failures of training code.
    """

    study: str
    plan_key: str
    merge: bool
    best_trial: Trial | None
    trials: list[Trial]
    counts: RunCounts
    wall_s: float
    user_errors: int = 0

    @property
    def merge_rate(self) -> float:
        """Steps asked for / distinct steps (Hippo, section 6: p within a study)."""
        return self.counts.steps_asked / max(1, self.counts.steps_distinct)

    @property
    def succeeded(self) -> bool:
        """Whether some trial is complete and no training code failed."""
        return not self.user_errors and any(trial.status == "complete" for trial in self.trials)

    def to_json(self) -> dict[str, Any]:
        """The summary of `hive run --json`."""
        counts = self.counts
        return {
            "study": self.study,
            "plan_key": self.plan_key,
            "merge": self.merge,
            "trials_asked": len(self.trials),
            "steps_asked": counts.steps_asked,
            "steps_distinct": counts.steps_distinct,
            "steps_reused": counts.steps_reused,
            "steps_run": counts.steps_run,
            "steps_repeated": {
                "late_branch": counts.late_branch,
                "failure": counts.failure,
                "evicted": counts.evicted,
            },
            "merge_rate": self.merge_rate,
            "wall_s": self.wall_s,
            "trainer_busy_s": counts.trainer_busy_s,
            "checkpoint_count": counts.checkpoint_count,
            "best": trial_json(self.best_trial) if self.best_trial is not None else None,
            "trials": [trial_json(trial) for trial in self.trials],
        }


def trial_json(trial: Trial) -> dict[str, Any]:
    """A trial as plain data; what is not finite becomes null, as JSON has no word for it."""
    metrics = None
    if trial.metrics is not None:
        metrics = {name: value if math.isfinite(value) else None for name, value in trial.metrics.items()}
    return {
        "number": trial.number,
        "config": {name: sequence.descriptor() for name, sequence in trial.config.items()},
        "steps": trial.steps,
        "status": trial.status,
        "metrics": metrics,
        "state_digest": trial.state_digest,
        "error": trial.error,
    }
