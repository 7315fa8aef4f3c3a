"""Rungs: train some trials to a step, keep the best of them, train those further. What several tuners have in common.

This module must not know how a tuner came to its rungs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from hive.errors import StudyError
from hive.planner.space import Config
from hive.tuners.tuner import Result, StudyView, best, rank, score

__all__ = ["Rung", "at_least", "climb", "steps_of_rungs"]


class Rung(NamedTuple):
    """One rung of the ladder.

    Attributes:
        steps: The step that its trials train to.
        trials: How many trials train there.
    """

    steps: int
    trials: int


def at_least(least: int, value: object, what: str) -> int:
    """The value, if it is a whole number not below `least`.

    Raises:
        StudyError: it is not; the message says what it was for.
    """
    if type(value) is not int or value < least:
        raise StudyError(f"{what} must be a whole number of at least {least}, not {value!r}")
    return value


def steps_of_rungs(tuner: str, min_steps: int, max_steps: int, reduction: int) -> list[int]:
    """The steps of rungs of which each is `reduction` times as far as the one below, from the lowest.

    The last one ends at `max_steps`, however near the one below is: 15, 60, 120 for 15 to 120 by 4.

    Raises:
        StudyError: an argument breaks its rule; the message begins with the tuner's name.
    """
    at_least(1, min_steps, f"{tuner}: min_steps")
    at_least(1, max_steps, f"{tuner}: max_steps")
    at_least(2, reduction, f"{tuner}: reduction")
    if max_steps < min_steps:
        raise StudyError(f"{tuner}: max_steps ({max_steps}) must not be below min_steps ({min_steps})")
    # By multiplication: the logarithm that papers count rungs with is one too small in floating point (243 by 3).
    steps = [min_steps]
    while steps[-1] < max_steps:
        steps.append(min(steps[-1] * reduction, max_steps))
    return steps


async def climb(study: StudyView, configs: Sequence[Config], rungs: Sequence[Rung], extra_steps_for_best: int) -> None:
    """Trains the first rung's trials, in order of `configs`, then on each later rung the best of the rung below.

    A rung is asked for in one message and decides when all of it has answered. A failed trial never goes on, so a rung
    has fewer trials than planned where too few came through; if none did, the search ends. Who may climb is announced,
    so that others who train the same beginnings leave checkpoints where this search may branch.

    Args:
        study: What is searched.
        configs: The trials, at least as many as the first rung has.
        rungs: From the lowest to the highest, at least one.
        extra_steps_for_best: How much further the best trial of the last rung trains; 0 for no further.
    """
    trials = configs[: rungs[0].trials]
    if len(rungs) > 1:
        await study.announce(trials)
    results = await train(study, trials, rungs[0].steps)
    for _, rung in pairwise(rungs):
        survivors = keep(study, results, rung.trials)
        if not survivors:
            return
        results = await train(study, [result.config for result in survivors], rung.steps)
    winner = best(results, study)
    if winner is not None and extra_steps_for_best:
        await study.train(winner.config, rungs[-1].steps + extra_steps_for_best)


async def train(study: StudyView, configs: Sequence[Config], steps: int) -> list[Result]:
    return await study.train_all([(config, steps) for config in configs])


def keep(study: StudyView, results: Sequence[Result], count: int) -> list[Result]:
    """The best `count` results in order of trial; the trials of all others are released."""
    ranked = rank(results, study)
    survivors = [result for result in ranked[:count] if score(result, study) is not None]
    for loser in ranked[len(survivors) :]:
        study.release(loser.config)
    return sorted(survivors, key=lambda result: result.trial)
