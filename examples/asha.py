"""A search of one's own, in asyncio: every answer decides at once who trains on.

    hive-coordinator & hive-worker --devices cpu,cpu &
    python examples/asha.py

Twelve drawn trials train for one step. Whenever one of them is among the better half of those that were answered so far
at its step, it goes on to twice that step (Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020).
`hive.tuners.ASHA` is that rule ready made; this is how to write one of your own.
Kill the script and start it again: it is told what it was told before, in the same order, and goes on from there.
"""

import asyncio
import sys

from digits import Digits  # examples/digits.py: the trainer

import hive
from hive import Constant, Exponential, RandomSpace, choice, uniform

RUNGS = [1, 2, 4]

space = RandomSpace(
    {
        "lr": Exponential(uniform(0.01, 0.3, log=True), uniform(0.8, 1.0)),
        "batch_size": Constant(choice([32, 64])),
        "momentum": Constant(choice([0.5, 0.9])),
    },
    n=12,
    steps=RUNGS[-1],
)


class Halving:
    """Who was answered on which rung, and who has gone on from there."""

    def __init__(self, study):
        self.study = study
        self.answered = {steps: [] for steps in RUNGS}
        self.promoted = {steps: set() for steps in RUNGS}

    async def climb(self, requests):
        async with asyncio.TaskGroup() as group:
            async for result in self.study.as_answered(requests):
                print(f"trial {result.trial} at step {result.steps}: {result.metrics or result.error}")
                if result.status == "complete":
                    self.answered[result.steps].append(result)
                    for config, steps in self.promotions(result.steps):
                        group.create_task(self.climb([(config, steps)]))

    def promotions(self, steps):
        """Those of the better half that have not gone on yet; ties go to the lower trial."""
        ranked = sorted(self.answered[steps], key=lambda result: (-result.metrics["accuracy"], result.trial))
        for result in ranked[: len(ranked) // 2]:
            if steps < RUNGS[-1] and result.trial not in self.promoted[steps]:
                self.promoted[steps].add(result.trial)
                yield result.config, RUNGS[RUNGS.index(steps) + 1]


async def main(url):
    async with hive.connect(url) as client:
        study = client.study("digits-asha", Digits, metric="accuracy", mode="max", dataset="sklearn-digits")
        search = Halving(study)
        await study.announce(space.configs())  # a checkpoint is left where one of them may branch off later
        await search.climb([(config, RUNGS[0]) for config in space.configs()])
    best = max(search.answered[RUNGS[-1]], key=lambda result: result.metrics["accuracy"], default=None)
    print("best:", best)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["tcp://127.0.0.1:7077"]))
