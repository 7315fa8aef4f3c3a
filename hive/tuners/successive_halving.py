"""Successive halving: train many trials a little, keep one in `reduction`, train those `reduction` times as long.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization" (AISTATS 2016), in the
form of Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020), Algorithm 1, over a finite list
of trials. This module must not know asynchronous halving: here a rung waits for all its members.
"""

from __future__ import annotations

from hive.planner.space import Space
from hive.tuners.rungs import Rung, at_least, climb, steps_of_rungs
from hive.tuners.tuner import StudyView

__all__ = ["SuccessiveHalving"]


class SuccessiveHalving:
    """Trains all trials to `min_steps`, and on each rung above the best of the rung below.

    Of the n trials of a rung exactly max(1, floor(n / reduction)) go on, to `reduction` times the step, until that
    would pass `max_steps`: the last rung ends there. With 448 trials, 15, 120 and 4 that is 448 trials to step 15, 112
    to 60 and 28 to 120. Ties go to the lower trial number. Failed trials count as the worst, and none of them goes on.

    Args:
        space: The trials.
        min_steps: The step of the first rung, from 1.
        max_steps: The step of the last rung, not below `min_steps`.
        reduction: One in how many goes on, from 2.
        extra_steps_for_best: How many steps more the best trial of the last rung trains; 0 for none.

    Raises:
        StudyError: an argument breaks its rule.
    """

    def __init__(
        self,
        space: Space,
        min_steps: int,
        max_steps: int,
        reduction: int = 4,
        *,
        extra_steps_for_best: int = 0,
    ) -> None:
        self.space = space
        self.steps_of_rungs = steps_of_rungs("SuccessiveHalving", min_steps, max_steps, reduction)
        self.steps = max_steps
        self.reduction = reduction
        self.extra_steps_for_best = at_least(0, extra_steps_for_best, "SuccessiveHalving: extra_steps_for_best")

    def rungs(self, trials: int) -> list[Rung]:
        """The rungs for so many trials, from the lowest."""
        return [Rung(steps, max(1, trials // self.reduction**level)) for level, steps in enumerate(self.steps_of_rungs)]

    async def tune(self, study: StudyView) -> None:
        """Climbs the rungs, one message for each."""
        configs = self.space.configs()
        await climb(study, configs, self.rungs(len(configs)), self.extra_steps_for_best)
