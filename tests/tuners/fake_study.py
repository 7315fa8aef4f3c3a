"""A study that answers from a table, in a drawn order: what a tuner's tests hold instead of a coordinator."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal

from hive.planner.sequences import Constant
from hive.planner.space import Config, GridSpace
from hive.tuners.tuner import Request, Result, Tuner

Score = float | None
Table = Callable[[int, int], Score]
"""(trial, step) -> the metric there; None for a trial that fails there."""


def space_of(trials: int, steps: int = 16) -> GridSpace:
    """A space of so many trials, each told from the others by its one hyper-parameter: its own number."""
    return GridSpace({"number": [Constant(number) for number in range(trials)]}, steps=steps)


class FakeStudy:
    """Answers requests from a table.

    Attributes:
        asked: Each message in turn: the (trial, step) pairs of its requests.
        announced: The trials announced, each with how many messages had asked before.
        released: The trials released after each message, by its place in `asked`.
        early: Requests that were still unanswered when something else was asked or released: none, if it waits.
        answered: The (trial, step) pairs that were answered, in turn.
        out_max: How many requests were unanswered at most.
    """

    def __init__(self, table: Table, mode: Literal["min", "max"] = "max", arrival: int = 0) -> None:
        self.metric = "accuracy"
        self.mode = mode
        self.asked: list[list[tuple[int, int]]] = []
        self.announced: list[tuple[int, int]] = []
        self.released: dict[int, list[int]] = {}
        self.early: list[tuple[int, int]] = []
        self.answered: list[tuple[int, int]] = []
        self.out_max = 0
        self.table = table
        self.order = random.Random(arrival)
        self.waiting: list[tuple[Request, asyncio.Future[Result]]] = []

    async def train(self, config: Config, steps: int) -> Result:
        return (await self.train_all([(config, steps)]))[0]

    async def train_all(self, requests: Sequence[Request]) -> list[Result]:
        return await asyncio.gather(*self.ask(requests))

    async def as_answered(self, requests: Sequence[Request]) -> AsyncIterator[Result]:
        for answer in asyncio.as_completed(self.ask(requests)):
            yield await answer

    def release(self, config: Config) -> None:
        self.note_early()
        self.released.setdefault(len(self.asked) - 1, []).append(number(config))

    async def announce(self, configs: Sequence[Config]) -> None:
        self.announced += [(number(config), len(self.asked)) for config in configs]

    async def now(self) -> float:
        return 0.0

    async def eval(self, config: Config, step: int) -> Result:
        return self.answer(config, step)

    def ask(self, requests: Sequence[Request]) -> list[asyncio.Future[Result]]:
        self.note_early()
        self.asked.append([(number(config), steps) for config, steps in requests])
        futures = [asyncio.get_running_loop().create_future() for _ in requests]
        self.waiting += zip(requests, futures, strict=True)
        self.out_max = max(self.out_max, len(self.waiting))
        return futures

    def note_early(self) -> None:
        self.early += [(number(config), steps) for (config, steps), _ in self.waiting]

    def answer_one(self) -> None:
        """Answers one of the waiting requests, whichever the drawn order says."""
        (config, steps), future = self.waiting.pop(self.order.randrange(len(self.waiting)))
        future.set_result(self.answer(config, steps))
        self.answered.append((number(config), steps))

    def answer(self, config: Config, steps: int) -> Result:
        value = self.table(number(config), steps)
        if value is None:
            return Result(number(config), config, steps, None, "failed", "it broke")
        return Result(number(config), config, steps, {"accuracy": value, "loss": 1.0}, "complete")


def number(config: Config) -> int:
    value = config["number"](0)
    assert isinstance(value, int)
    return value


def search(tuner: Tuner, study: FakeStudy) -> FakeStudy:
    """Runs the tuner to its end, one answer whenever nothing else can go on; returns the study."""

    async def run() -> None:
        tuning = asyncio.ensure_future(tuner.tune(study))
        while not tuning.done():
            for _ in range(3):  # a turn each for the future, the gather and the tuner
                await asyncio.sleep(0)
            if study.waiting:
                study.answer_one()
        await tuning

    asyncio.run(run())
    return study
