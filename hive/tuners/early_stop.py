"""Early stopping at given milestones: at each, a given number of trials goes on.

The explicit form of successive halving in Hippo (its API's `from_milestones`). This module must not compute rungs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Self

from hive.errors import StudyError
from hive.planner.space import Space
from hive.tuners.rungs import Rung, at_least, climb
from hive.tuners.tuner import StudyView

__all__ = ["EarlyStop"]


class EarlyStop:
    """Trains as many trials as each rung says to the rung's step: the best of those that trained to the one below.

    Made by `from_milestones`. Ties go to the lower trial number. Failed trials count as the worst, and none of
    them goes on.
    """

    def __init__(self, rungs: Sequence[Rung], space: Space, *, extra_steps_for_best: int = 0) -> None:
        check(rungs, len(space.configs()))
        self.rungs = list(rungs)
        self.space = space
        self.steps = self.rungs[-1].steps
        self.extra_steps_for_best = at_least(0, extra_steps_for_best, "EarlyStop: extra_steps_for_best")

    @classmethod
    def from_milestones(
        cls, milestones: Iterable[tuple[int, int]], space: Space, *, extra_steps_for_best: int = 0
    ) -> Self:
        """The rule that trains so many trials to each of these steps.

        Args:
            milestones: Pairs of (steps, trials), steps increasing and trials not: `[(5, 8), (10, 4)]` trains 8 trials
                to step 5 and the best 4 of them to step 10. Where the first pair has fewer trials than the space, the
                first trials of the space are meant.
            space: The trials.
            extra_steps_for_best: How many steps more the best trial of the last milestone trains; 0 for none.

        Raises:
            StudyError: a milestone is not a pair of whole numbers, or breaks the order, or the space is too small.
        """
        return cls([pair(each) for each in milestones], space, extra_steps_for_best=extra_steps_for_best)

    async def tune(self, study: StudyView) -> None:
        """Climbs the rungs, one message for each."""
        await climb(study, self.space.configs(), self.rungs, self.extra_steps_for_best)


def pair(milestone: object) -> Rung:
    if not isinstance(milestone, tuple | list) or len(milestone) != 2:
        raise StudyError(f"EarlyStop: a milestone is a pair of (steps, trials), not {milestone!r}")
    where = f"EarlyStop: in milestone {milestone!r}"
    return Rung(at_least(1, milestone[0], f"{where} steps"), at_least(1, milestone[1], f"{where} trials"))


def check(rungs: Sequence[Rung], trials: int) -> None:
    """Refuses rungs that no search can climb."""
    if not rungs:
        raise StudyError("EarlyStop: there must be at least one milestone")
    if rungs[0].trials > trials:
        raise StudyError(
            f"EarlyStop: the first milestone asks for {rungs[0].trials} trials, but the space has {trials}"
        )
    for lower, upper in pairwise(rungs):
        if upper.steps <= lower.steps:
            raise StudyError(
                f"EarlyStop: the steps of milestones must increase, but {upper.steps} follows {lower.steps}"
            )
        if upper.trials > lower.trials:
            raise StudyError(
                f"EarlyStop: milestones cannot gain trials, but {upper.trials} (to step {upper.steps}) follows "
                f"{lower.trials} (to step {lower.steps})"
            )
