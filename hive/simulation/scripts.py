"""Scripts in virtual time: the tuners and sessions of real life on a simulated root.

    outcomes = play(root, [Script(study, tuner), ...])

What a script does between the coordinator's answers takes no time. It must not know what is trained, how long that
takes, or why anybody simulates.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from hive.actors.actor import Event
from hive.actors.messages import OpenRun
from hive.actors.session import ReleaseCall, Session
from hive.actors.simulator import Host, SimulatedLoop
from hive.client import LiveStudy
from hive.errors import HiveError, TrainingError
from hive.link import Link, first_of
from hive.simulation.root import SimulatedRoot
from hive.storage.records import RunCounts, TrainerSource
from hive.study import serve
from hive.training.tracebacks import user_traceback
from hive.tuners.tuner import Tuner

__all__ = ["Outcome", "Script", "SimulatedStudy", "play"]

SOURCE = TrainerSource("", "", "", (), "", (), 0, {}, 1, None, 1e9)
"""What a simulated trainer is made from: nothing. Between boundaries it leaves no checkpoint."""


@dataclass(frozen=True, slots=True)
class SimulatedStudy:
    """What a run needs to know of a study that trains nothing.

    Attributes:
        name: what it is called; its run is called so, too.
        plan_key: studies with the same one share a plan.
        merge: whether equal beginnings are trained once.
        metric, mode: what ranks trials, and whether "max" or "min" of it is better.
        weight: its share of trainer time.
    """

    name: str
    plan_key: str
    merge: bool = True
    metric: str = "score"
    mode: Literal["min", "max"] = "max"
    weight: float = 1.0

    def opening(self, names: tuple[str, ...]) -> OpenRun:
        """The run's first message."""
        return OpenRun(
            run=self.name,
            number=1,
            study=self.name,
            plan_key=self.plan_key if self.merge else f"{self.name}, unmerged",
            merge=self.merge,
            fresh=False,
            source=msgspec.structs.replace(SOURCE, names=names),
            fingerprint="simulated",
            parts={},
            weight=self.weight,
            metric=self.metric,
            maximize=self.mode == "max",
        )


@dataclass(frozen=True, slots=True)
class Script:
    """A script: a study, and the tuner that it runs."""

    study: SimulatedStudy
    tuner: Tuner


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a script came to.

    Attributes:
        live: its trials.
        counts: what its run cost.
        seconds: from its beginning to its tuner's end.
    """

    live: LiveStudy
    counts: RunCounts
    seconds: float


class Connection:
    """A session's process, as the script sees it."""

    def __init__(self, root: SimulatedRoot, host: Host) -> None:
        self.root = root
        self.host = host
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def post(self, event: Event) -> None:
        """Hand an event in."""
        self.root.simulator.post(self.host, event)


def play(root: SimulatedRoot, scripts: Sequence[Script], limit_s: float = math.inf) -> list[Outcome]:
    """Run scripts beside each other, each to its end.

    Raises:
        StuckError: so many virtual seconds have passed, or nothing more happens, and one of them still waits.
        TrainingError: a tuner failed; the message is its own traceback.
    """
    loop = SimulatedLoop(root.simulator, limit_s)
    try:
        return loop.run_until_complete(together(root, scripts))
    finally:
        loop.run_until_complete(ended(asyncio.all_tasks(loop)))
        loop.close()


async def ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Let tasks that still wait end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def together(root: SimulatedRoot, scripts: Sequence[Script]) -> list[Outcome]:
    """All scripts at once."""
    return list(await asyncio.gather(*(run(root, script) for script in scripts)))


async def run(root: SimulatedRoot, script: Script) -> Outcome:
    """One script, as hive/study.py runs it.

    Raises:
        TrainingError: its tuner failed; the message is its own traceback.
    """

    @contextlib.asynccontextmanager
    async def way(_: OpenRun, session: Session, deliver: Callable[[Any], None]) -> AsyncIterator[Any]:
        session.beat_s = root.beats.session_s
        host = root.start_session(session, deliver)
        try:
            yield Connection(root, host)
        finally:
            root.simulator.remove(host.name)

    began = root.simulator.now
    link = Link(script.study, lambda _: None)
    serve(link, script.tuner)
    work = asyncio.ensure_future(script.tuner.tune(link.live))
    async with link.speaking(way, "the simulated coordinator", work) as runtime:
        try:
            await first_of(work, runtime.failed)
        except HiveError:
            raise
        except Exception as error:
            raise TrainingError(f"the tuner failed:\n{user_traceback(error)}") from error
        seconds = root.simulator.now - began
        await link.end(ReleaseCall([trial.number for trial in link.live.trials], done=True), runtime)
    return Outcome(link.live, link.counts, seconds)
