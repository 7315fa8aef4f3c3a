"""Asynchronous successive halving: a trial goes on as soon as it is among the best of its rung, and nobody waits.

Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020), Algorithm 2, over a finite list of
trials: the kind that promotes. (Many libraries have the other kind, where a trial runs on unless it falls behind.) This
module must not know devices: a worker of the paper is here whoever waits for one request.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Sequence
from itertools import islice, pairwise

from hive.planner.space import Config, Space
from hive.tuners.rungs import at_least, steps_of_rungs
from hive.tuners.tuner import Request, Result, StudyView, best, place, score

__all__ = ["ASHA"]


class ASHA:
    """Trains all trials to `min_steps`, and on from each rung whoever is among the best one in `reduction` there.

    The rungs are those of `SuccessiveHalving`, but none waits for all its members. Of the n trials that were answered
    on a rung the best floor(n / reduction) may go on. Whenever something may be asked for, it is the best of those who
    may and have not, from the highest rung that has one; where none has, a new trial, in the order of the space. So
    nobody goes on from a rung with fewer than `reduction` answers, and whoever went on stays, whatever is known later.
    Ties go to the lower trial number. Failed trials count as the worst, and none of them goes on.

    The search ends when nobody may go on, no trial is new and no request is out. It does not promote the best of those
    who remain: with few trials, nobody may get to `max_steps`. No trial is released before the end.

    Who goes on depends on the order of the answers. A run that was killed is told them in the same order when it is
    started again; one that begins anew, or has other trainers, may choose others.

    Args:
        space: The trials.
        min_steps: The step of the first rung, from 1.
        max_steps: The step of the last rung, not below `min_steps`.
        reduction: One in how many goes on, from 2.
        concurrency: How many requests are out at most, from 1: the paper's number of workers. None for no bound: all
            trials are asked for at once, and hive chooses what to train first. As few requests as trainers leave
            trainers idle, since trials that share a beginning have it trained once, by one of them.
        extra_steps_for_best: How many steps more the best of the trials that came furthest trains; 0 for none.

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
        concurrency: int | None = None,
        extra_steps_for_best: int = 0,
    ) -> None:
        self.space = space
        self.steps_of_rungs = steps_of_rungs("ASHA", min_steps, max_steps, reduction)
        self.steps = max_steps
        self.reduction = reduction
        self.concurrency = None if concurrency is None else at_least(1, concurrency, "ASHA: concurrency")
        self.extra_steps_for_best = at_least(0, extra_steps_for_best, "ASHA: extra_steps_for_best")

    async def tune(self, study: StudyView) -> None:
        """Asks at each answer for what may be asked for then."""
        configs = self.space.configs()
        await study.announce(configs)
        ladder = Ladder(self, configs, study)
        await asyncio.gather(*(ladder.work() for _ in range(self.concurrency or len(configs))))
        winner = ladder.best()
        if winner is not None and self.extra_steps_for_best:
            await study.train(winner.config, winner.steps + self.extra_steps_for_best)


class Ladder:
    """One search as it stands.

    Attributes:
        new: The configs that were not asked for yet.
        ranked: The results of each rung, by its step, best first.
        promoted: The trials that went on from each rung, by its step.
        last: The last result of each trial.
    """

    def __init__(self, tuner: ASHA, configs: Sequence[Config], study: StudyView) -> None:
        self.study = study
        self.steps_of_rungs = tuner.steps_of_rungs
        self.reduction = tuner.reduction
        self.new = iter(configs)
        self.ranked: dict[int, list[Result]] = {steps: [] for steps in self.steps_of_rungs}
        self.promoted: dict[int, set[int]] = {steps: set() for steps in self.steps_of_rungs}
        self.last: dict[int, Result] = {}

    async def work(self) -> None:
        """Asks for one request after the other, until there is nothing to do."""
        # There will be nothing later either: an answer lets at most one trial go on, one of its rung, and whoever
        # waited for that answer asks for it. So nobody needs to be woken.
        while (request := self.get_job()) is not None:
            self.record(await self.study.train(*request))

    def record(self, result: Result) -> None:
        """Takes in an answer."""
        insort(self.ranked[result.steps], result, key=lambda each: place(each, self.study))
        self.last[result.trial] = result

    def get_job(self) -> Request | None:
        """What to ask for next, by the paper's function of this name; None if there is nothing."""
        for lower, upper in reversed(list(pairwise(self.steps_of_rungs))):
            result = self.promotable(lower)
            if result is not None:
                self.promoted[lower].add(result.trial)
                return result.config, upper
        config = next(self.new, None)
        return None if config is None else (config, self.steps_of_rungs[0])

    def promotable(self, steps: int) -> Result | None:
        """The best of those who may go on from the rung of this step and have not; None if there is nobody."""
        ranked, promoted = self.ranked[steps], self.promoted[steps]
        top = islice(ranked, len(ranked) // self.reduction)
        return next((each for each in top if each.trial not in promoted and score(each, self.study) is not None), None)

    def best(self) -> Result | None:
        """The best of those who came furthest and did not fail later; None if all failed."""
        sound = [result for result in self.last.values() if score(result, self.study) is not None]
        furthest = max((result.steps for result in sound), default=0)
        return best([result for result in sound if result.steps == furthest], self.study)
