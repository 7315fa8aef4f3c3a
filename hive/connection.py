"""`hive.connect(url)`: studies within a running asyncio loop, over a coordinator that runs already.

A client's script asks, awaits and decides as it likes; hive gives it the answers, again in the same order if it was
killed and is started again. It must not know how training is done, or start any process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from hive.actors.keys import named_folder
from hive.actors.runtime import Runtime
from hive.actors.session import CloseCall, ReleaseCall
from hive.actors.sockets import keys_for
from hive.display import say
from hive.errors import StudyError
from hive.launch import remote
from hive.link import Link, first_of
from hive.planner.space import Config
from hive.study import Study, check_not_importing, serve
from hive.training.trainer import Trainer
from hive.tuners.tuner import Request, Result, Tuner

__all__ = ["Client", "ClientStudy", "connect"]

T = TypeVar("T")

LEAVE_S = 1.0
"""After an error, how long the coordinator may take to hear that nothing is wanted any more."""


@contextlib.asynccontextmanager
async def connect(url: str, *, keys: str | Path | None = None) -> AsyncIterator[Client]:
    """A client of the coordinator at `url`: `async with hive.connect("tcp://127.0.0.1:7077") as client:`.

    The coordinator need not be there yet, and may be started again at any time. At the end of the block the client's
    runs are over, and what only they wanted is not trained any more. If an exception ends the block, or the process is
    killed, the runs did not end: the same script goes on where they were.

    Args:
        url: the coordinator's address.
        keys: this side's folder of keys, which `hive keys` made, if the coordinator asks for keys; None for the folder
            in HIVE_KEYS, or for none.

    Raises:
        StudyError: the address is none, or needs keys; the folder has none; a trainer imports the file.
        HiveError: the coordinator refused the keys, or a run.
    """
    check_not_importing("hive.connect(...)")
    folder = named_folder(keys)
    keys_for(url, folder)  # whatever is wrong with them is said here, not at the first question
    client = Client(url, folder)
    try:
        yield client
    except BaseException:
        await client.leave(finished=False)
        raise
    await client.leave(finished=True)


class Client:
    """Studies over one coordinator; made by `connect`."""

    def __init__(self, url: str, keys: Path | None) -> None:
        self.url = url
        self.keys = keys
        self.studies: list[ClientStudy] = []

    def study(
        self, name: str, trainer: type[Trainer], *, metric: str, mode: Literal["min", "max"], **options: Any
    ) -> ClientStudy:
        """A study; all arguments are those of `hive.Study`. Several at a time do not disturb each other.

        Raises:
            StudyError: an argument breaks its rule.
        """
        study = ClientStudy(Study(name, trainer, metric=metric, mode=mode, **options), self.url, self.keys)
        self.studies.append(study)
        return study

    async def leave(self, *, finished: bool) -> None:
        """The client goes: all runs are over, or did not end.

        Raises:
            HiveError: what ended a run before.
        """
        ends = await asyncio.gather(*(study.leave(finished=finished) for study in self.studies), return_exceptions=True)
        failures = [end for end in ends if isinstance(end, BaseException)]
        if failures and finished:
            raise failures[0]


class ClientStudy:
    """A study of a client: what tuners see of a study, and more.

    Its run is opened when it is first asked for something; the names of its hyper-parameters are those of the first
    config (or of the space of the first tuner). Every method that waits raises `HiveError` if the coordinator refused
    the run. A trial that fails raises nothing: its result says so (`status` "failed", `error`).
    """

    def __init__(self, study: Study, url: str, keys: Path | None) -> None:
        self.url = url
        self.keys = keys
        self.link = Link(study, say)
        self.over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.keeper: asyncio.Task[None] | None = None

    @property
    def metric(self) -> str:
        """The name of the metric that ranks trials."""
        return self.link.live.metric

    @property
    def mode(self) -> Literal["min", "max"]:
        """Whether less or more of the metric is better."""
        return self.link.live.mode

    # -- asking -------------------------------------------------------------------------------------------------

    async def train(self, config: Config, steps: int) -> Result:
        """Train the trial of this config until `steps` steps are done (counted from step 0), and measure it there."""
        return await self.until(self.link.live.train(config, steps))

    async def train_all(self, requests: Sequence[Request]) -> list[Result]:
        """Ask for all of these (config, steps) together; the results in the order of the requests."""
        return await self.until(self.link.live.train_all(requests))

    async def as_answered(self, requests: Sequence[Request]) -> AsyncIterator[Result]:
        """Ask for all of these (config, steps) together; results in the order in which they are answered."""
        results = self.link.live.as_answered(requests)
        for _ in requests:
            yield await self.until(anext(results))

    async def eval(self, config: Config, step: int) -> Result:
        """Measure a config after `step` steps; nothing is trained where that step was trained already and left a
        checkpoint."""
        return await self.until(self.link.live.eval(config, step))

    async def run(self, tuner: Tuner) -> None:
        """Run a tuner to its end, on the study's own trials.

        Raises:
            StudyError: it is no tuner, or its space has other hyper-parameters than the study.
        """
        serve(self.link, tuner)
        await self.until(tuner.tune(self.link.live))

    def release(self, config: Config) -> None:
        """Say that the trial of this config will not be asked for again: what only it wanted is dropped."""
        self.link.live.release(config)

    async def announce(self, configs: Sequence[Config]) -> None:
        """Say which configs may be asked for later, until they are released. Nothing is trained for that."""
        await self.until(self.link.live.announce(configs))

    async def now(self) -> float:
        """The coordinator's time, in Unix seconds. A script that is started again is told the same.

        Raises:
            StudyError: nothing was asked for or announced yet, so that no run can be open.
        """
        return await self.until(self.link.live.now())

    async def history(self, trial: int) -> list[Result]:
        """What was answered of a trial (`Result.trial`) so far in this execution, by step; [] if nothing was.

        Answers only: what was measured between them for the curves is the aggregator's.
        """
        trials = self.link.live.trials
        results = trials[trial].results if 0 <= trial < len(trials) else {}
        return [results[step] for step in sorted(results)]

    # -- the session --------------------------------------------------------------------------------------------

    async def until(self, work: Awaitable[T]) -> T:
        """What some work on the study comes to.

        Raises:
            HiveError: the run was ended, so that it would never come.
            StudyError: the client's block has ended.
        """
        asking = asyncio.ensure_future(work)
        if self.over.done():
            asking.cancel()
            raise StudyError(f"study {self.link.study.name!r} was used after the block of its client had ended")
        if self.keeper is None:
            self.link.hold()
            self.keeper = asyncio.create_task(self.keep())
        result: T = await first_of(asking, self.keeper)
        return result

    async def keep(self) -> None:
        """Speak for the run until it is over."""
        async with self.link.speaking(self.way, f"the coordinator at {self.url}", self.over) as runtime:
            finished = await first_of(self.over, runtime.failed)
            trials = [trial.number for trial in self.link.live.trials]
            if finished:
                await self.link.end(CloseCall(), runtime)
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.link.end(ReleaseCall(trials), runtime), LEAVE_S)

    def way(self, _opening: Any, session: Any, deliver: Any) -> contextlib.AbstractAsyncContextManager[Runtime]:
        """To the coordinator that runs already."""
        return remote(self.url, session, deliver, self.keys)

    async def leave(self, *, finished: bool) -> None:
        """The client goes."""
        self.over.set_result(finished)
        if self.keeper is not None and self.link.session is None:  # nothing was ever asked for
            self.keeper.cancel()
            await asyncio.wait({self.keeper})
        elif self.keeper is not None:
            await self.keeper
