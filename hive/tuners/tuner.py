"""What a tuner is, and all that it sees of a study: requests, their results, and how results are ranked.

This module must not know any algorithm, nor how a study gets its answers.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from hive.planner.space import Config, Space

__all__ = ["Request", "Result", "StudyView", "Tuner", "best", "place", "rank", "score"]

Request = tuple[Config, int]
"""A config and the step it shall reach, counted from step 0 (not from where the trial stands)."""


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to one request.

    Attributes:
        trial: The trial's number in the study, from 0.
        config: The trial's config.
        steps: The step that was asked for.
        metrics: What `evaluate()` returned there; None if the trial failed.
        status: Whether the trial got there.
        error: Why it failed, for people; None if it did not.
    """

    trial: int
    config: Config
    steps: int
    metrics: dict[str, float] | None
    status: Literal["complete", "failed"]
    error: str | None = None


class StudyView(Protocol):
    """A study as its tuner sees it.

    Every answer is told once, in an order that a repeated run meets again; training already done is answered at once.
    """

    @property
    def metric(self) -> str:
        """The name of the metric that ranks trials."""

    @property
    def mode(self) -> Literal["min", "max"]:
        """Whether less or more of the metric is better."""

    async def train(self, config: Config, steps: int) -> Result:
        """Trains the trial of this config until `steps` steps are done, and evaluates it there."""

    async def train_all(self, requests: Sequence[Request]) -> list[Result]:
        """Asks for all of these in one message; returns when all are answered, in the order of the requests."""

    def as_answered(self, requests: Sequence[Request]) -> AsyncIterator[Result]:
        """Asks for all of these in one message; yields results in the order in which they are answered."""

    def release(self, config: Config) -> None:
        """Says that the trial of this config will not be asked for again: what only it wanted is dropped."""

    async def announce(self, configs: Sequence[Config]) -> None:
        """Says which configs may be asked for later, until they are released. Nothing is trained for that."""

    async def now(self) -> float:
        """The study's time in Unix seconds; a repeated run is told the same."""

    async def eval(self, config: Config, step: int) -> Result:
        """Evaluates the trial after `step` steps; trains nothing where that step was trained already."""


class Tuner(Protocol):
    """A search over a space.

    A tuner of your own may do without both attributes: its hyper-parameters are then those of the configs that it asks
    for first, and a trial is complete at the furthest step that it asks for.

    Attributes:
        space: Where its trials come from.
        steps: The last step of its rule, not counting extra steps for the best trial: who gets there is complete.
    """

    space: Space
    steps: int

    async def tune(self, study: StudyView) -> None:
        """Runs the search to its end. It may be started again from the beginning and must then ask for the same."""


def score(result: Result, study: StudyView) -> float | None:
    """The study's metric in the result; None if the trial failed, which a metric that is not finite means too."""
    if result.status == "failed" or result.metrics is None:
        return None
    value = result.metrics.get(study.metric, math.nan)
    return value if math.isfinite(value) else None


def place(result: Result, study: StudyView) -> tuple[bool, float, int]:
    """What sorts results: the best first and failed ones last.

    Equal trials stand in order of their number and nothing else. Trials that share a beginning have equal scores by
    construction, so an order of arrival would choose other survivors in a merged, an unmerged and a resumed run.
    """
    value = score(result, study)
    sign = -1.0 if study.mode == "max" else 1.0
    return (value is None, 0.0 if value is None else sign * value, result.trial)


def rank(results: Iterable[Result], study: StudyView) -> list[Result]:
    """The results in order of their places."""
    return sorted(results, key=lambda result: place(result, study))


def best(results: Iterable[Result], study: StudyView) -> Result | None:
    """The first of the ranked results; None if all failed."""
    first = next(iter(rank(results, study)), None)
    return None if first is None or score(first, study) is None else first
