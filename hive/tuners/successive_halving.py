"""Successive halving: train many trials a little, keep one in `reduction`, train those `reduction` times as long.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization" (AISTATS 2016), in the
form of Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020), Algorithm 1, over a finite list
of trials. This module must not know asynchronous halving: here a rung waits for all its members.
"""

from __future__ import annotations

from hive.errors import StudyError
from hive.planner.space import Space
from hive.tuners.rungs import Rung, at_least, climb
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
        self.min_steps = at_least(1, min_steps, "SuccessiveHalving: min_steps")
        self.steps = at_least(1, max_steps, "SuccessiveHalving: max_steps")
        self.reduction = at_least(2, reduction, "SuccessiveHalving: reduction")
        self.extra_steps_for_best = at_least(0, extra_steps_for_best, "SuccessiveHalving: extra_steps_for_best")
        if max_steps < min_steps:
            raise StudyError(f"SuccessiveHalving: max_steps ({max_steps}) must not be below min_steps ({min_steps})")

    def rungs(self, trials: int) -> list[Rung]:
        """The rungs for so many trials, from the lowest."""
        # By multiplication: the logarithm that papers count rungs with is one too small in floating point (243 by 3).
        rungs = [Rung(self.min_steps, trials)]
        while rungs[-1].steps < self.steps:
            steps, trials = rungs[-1]
            rungs.append(Rung(min(steps * self.reduction, self.steps), max(1, trials // self.reduction)))
        return rungs

    async def tune(self, study: StudyView) -> None:
        """Climbs the rungs, one message for each."""
        configs = self.space.configs()
        await climb(study, configs, self.rungs(len(configs)), self.extra_steps_for_best)
