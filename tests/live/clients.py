"""Scripts over `hive.connect` for the live tests, and what they write down of what they were told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.live.studies import TOY, edited

__all__ = ["ASHA", "CALLS", "LADDER", "ClientFile"]

HEAD = (
    edited(
        TOY[: TOY.index("space = ")],
        ("import os\n", "import asyncio\nimport os\nimport sys\n"),
        ("from hive.tuners import Grid, SuccessiveHalving\n", ""),
    )
    + """\
fixed = {"steps": f"{HERE}/steps", "journal": f"{HERE}/journal", "step_s": 0.03}


def study_of(client):
    return client.study("toy", Toy, metric="score", mode="max", fixed=fixed, checkpoint_every_s=0.1)
"""
)

RUNGS = """\


RUNGS = [4, 8, 16, 24, 32]
configs = [{"lr": MultiStep(round(0.01 * i, 2), [4, 8], 1 + 0.1 * j)} for i in range(1, 5) for j in range(3)]
"""

ASHA = (
    HEAD
    + RUNGS
    + """\
rungs, promoted = {steps: [] for steps in RUNGS}, set()


def promotions(study, result):
    at = RUNGS.index(result.steps)
    rungs[result.steps].append(result)
    if at + 1 < len(RUNGS):
        ranked = sorted(rungs[result.steps], key=lambda each: (-each.metrics[study.metric], each.trial))
        for each in ranked[: len(ranked) // 2]:
            if (each.trial, at) not in promoted:
                promoted.add((each.trial, at))
                yield each.config, RUNGS[at + 1]


async def climb(study, requests, path):
    async with asyncio.TaskGroup() as group:
        async for result in study.as_answered(requests):
            told = await study.now() if result.steps == RUNGS[-1] else None
            append(path, f"{result.trial} {result.steps} {result.metrics['score']} {told}\\n")
            for request in promotions(study, result):
                group.create_task(climb(study, [request], path))


async def main(url, path):
    async with hive.connect(url) as client:
        study = study_of(client)
        await climb(study, [(config, RUNGS[0]) for config in configs], path)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
"""
)
"""Twelve trials on five rungs; who goes on is decided at each answer. Its second argument is where it writes down what
it was told."""

LADDER = (
    HEAD
    + RUNGS
    + """\


class Ladder:
    async def tune(self, study):
        for result in await study.train_all([(config, steps) for config in configs for steps in RUNGS]):
            append(f"{HERE}/told-0", f"{result.trial} {result.steps} {result.metrics['score']}\\n")


study = hive.Study("toy", Toy, metric="score", mode="max", fixed={**fixed, "step_s": 0.0})
tuner = Ladder()
"""
)
"""A study of the same trials, in which all go on to the last rung; for `hive run --inline`."""

CALLS = (
    HEAD
    + """\


class Both:
    async def tune(self, study):
        await study.train_all([({"lr": Constant(0.1)}, 6), ({"lr": Constant(0.2)}, 6)])


async def main(url, path):
    async with hive.connect(url) as client:
        study, other = study_of(client), client.study("other", Toy, metric="luck", mode="min", fixed=fixed)
        first, second = await asyncio.gather(
            study.train({"lr": Constant(0.1)}, 4), other.train({"lr": MultiStep(0.1, [4], 0.5)}, 8)
        )
        assert (first.trial, first.status, second.trial) == (0, "complete", 0)
        failed = await study.train({"depth": Constant(1)}, 4)
        assert (failed.status, failed.metrics) == ("failed", None) and "depth" in failed.error
        await study.announce([{"lr": Constant(0.7)}])
        study.release({"lr": Constant(0.7)})
        await study.run(Both())
        requests = [({"lr": Constant(0.1)}, steps) for steps in (6, 5)]
        assert sorted([each.steps async for each in study.as_answered(requests)]) == [5, 6]
        assert [each.steps for each in await study.history(0)] == [4, 5, 6]
        assert (await study.eval({"lr": Constant(0.1)}, 4)).metrics == first.metrics
        assert await study.now() <= await study.now()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    append(path, "done")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]), debug=False)
"""
)
"""Each thing that a client can do, once, with what must come of it."""


@dataclass(frozen=True)
class ClientFile:
    """A script in a folder of its own."""

    path: Path

    @classmethod
    def write(cls, folder: Path, text: str) -> ClientFile:
        """Put a script into a folder, which is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "script.py").write_text(text, encoding="utf-8")
        return cls(folder / "script.py")

    def steps(self) -> int:
        """Calls of `train()` by any process so far."""
        path = self.path.parent / "steps"
        return path.stat().st_size if path.exists() else 0

    def told(self, number: int) -> list[str]:
        """What the execution of that number was told, line by line."""
        path = self.told_path(number)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()

    def told_path(self, number: int) -> Path:
        """Where the execution of that number writes it down."""
        return self.path.parent / f"told-{number}"
