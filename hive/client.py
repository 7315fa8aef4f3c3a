"""A study as its tuner sees it, over a session: requests become messages, answers become awaited results.

One `LiveStudy` lives in one asyncio loop. It numbers the trials, wakes whoever awaits an answer, and keeps the table
that the run ends with. An answer is handed on when the one before it has had its effect, and what is asked in the
meantime leaves as one message: so a run that is told the same again asks the same again. It must not know how the
session reaches a coordinator, or how anything is shown."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hive.actors.messages import AnnouncedTrial, AskedTrial, Told, ToldTime
from hive.actors.session import AnnounceCall, AskCall, AskTimeCall, ReleaseCall
from hive.errors import SpaceError
from hive.planner.sequences import Sequence as HyperSequence
from hive.planner.space import Config, Space, config_key
from hive.tuners.tuner import Request, Result

__all__ = ["LiveStudy", "Trial", "TrialStatus"]

TrialStatus = Literal["complete", "stopped", "failed"]

IDLE_TURNS = 8
"""Turns of the loop after which whoever waited for an answer has reacted to it. A future, a gather, a task group and a
task of the user's own between an answer and what is asked next take a turn or two each."""


@dataclass(slots=True)
class Trial:
    """A trial of a study, as it stands.

    Attributes:
        number: its place in the study, from 0.
        config: its sequences by name.
        steps: what it reached by its last answered request; 0 before the first.
        metrics: what `evaluate()` returned there; None before the first answer, and where the study's metric was not
            finite.
        status: "complete" if it reached its tuner's last step, "stopped" if the tuner ended it before, "failed".
        error: why it failed; None if it did not.
        state_digest: SHA-256 of what `save()` returned there.
        asked: the step of its last answered request: beyond `steps` where it failed on its way.
        wanted: whether it was ever asked for, and not only announced.
        results: what was answered, by step.
    """

    number: int
    config: Config
    steps: int = 0
    metrics: dict[str, float] | None = None
    status: TrialStatus = "stopped"
    error: str | None = None
    state_digest: str | None = None
    asked: int = 0
    wanted: bool = False
    results: dict[int, Result] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line for a person."""
        config = ", ".join(f"{name}={sequence!r}" for name, sequence in self.config.items())
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in (self.metrics or {}).items())
        return f"trial {self.number}: {metrics or self.error or 'no answer'} at step {self.steps} ({config})"


class LiveStudy:
    """The `StudyView` that tuners get.

    Args:
        metric: the study's metric.
        mode: whether less or more of it is better.
        ask: hands a call to the session.
        changed: called after each answer, for whoever shows the run.
    """

    def __init__(
        self,
        metric: str,
        mode: Literal["min", "max"],
        ask: Callable[[Any], None],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.metric = metric
        self.mode: Literal["min", "max"] = mode
        self.ask = ask
        self.changed = changed
        self.space: Space | None = None
        self.complete_at = 0
        self.open_ended = False
        self.trials: list[Trial] = []
        self.by_key: dict[str, Trial] = {}
        self.waiting: dict[tuple[int, int], list[Callable[[Result], None]]] = {}
        self.measured_only: set[tuple[int, int]] = set()
        self.user_errors = 0
        self.asked: list[AskedTrial] = []
        self.arrived: deque[Told | ToldTime] = deque()
        self.clocks: deque[asyncio.Future[float]] = deque()
        self.turn: asyncio.Handle | None = None
        self.turns_left = 0

    @property
    def table(self) -> list[Trial]:
        """The trials that were asked for, by number."""
        return [trial for trial in self.trials if trial.wanted]

    def serve(self, space: Space | None, steps: int | None) -> None:
        """A tuner begins.

        What was measured before there was any tuner is complete no more, unless it got that far.

        Args:
            space: where its trials come from; None if it does not say.
            steps: where they are complete; None for the furthest step that it asks for.
        """
        self.space, self.open_ended = space, steps is None
        if not self.complete_at:
            self.complete_from(steps or 0)
        self.complete_at = steps or 0

    def complete_from(self, steps: int) -> None:
        """A trial is complete at `steps`: one that has not got there is not."""
        self.complete_at = steps
        for trial in self.trials:
            if trial.status == "complete" and trial.steps < steps:
                trial.status = "stopped"

    # -- what a tuner does --------------------------------------------------------------------------------------

    async def train(self, config: Config, steps: int) -> Result:
        """See `StudyView`."""
        return (await self.train_all([(config, steps)]))[0]

    async def train_all(self, requests: Sequence[Request]) -> list[Result]:
        """See `StudyView`."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Result]] = [loop.create_future() for _ in requests]
        self.request(requests, [future_setter(future) for future in futures])
        return [await future for future in futures]

    async def as_answered(self, requests: Sequence[Request]) -> AsyncIterator[Result]:
        """See `StudyView`."""
        queue: asyncio.Queue[Result] = asyncio.Queue()
        self.request(requests, [queue.put_nowait] * len(requests))
        for _ in requests:
            yield await queue.get()

    def release(self, config: Config) -> None:
        """See `StudyView`."""
        trial = self.by_key.get(config_key(config))
        if trial is not None:
            self.say(ReleaseCall([trial.number]))

    async def announce(self, configs: Sequence[Config]) -> None:
        """See `StudyView`."""
        trials = [self.trial(config) for config in configs]
        self.say(AnnounceCall([AnnouncedTrial(trial.number, descriptors(trial.config)) for trial in trials]))

    async def now(self) -> float:
        """See `StudyView`."""
        clock: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.say(AskTimeCall())
        self.clocks.append(clock)
        return await clock

    async def eval(self, config: Config, step: int) -> Result:
        """See `StudyView`. The trial's own steps and metrics stay what they are."""
        trial = self.trial(config)
        if trial.steps:
            self.measured_only.add((trial.number, step))
        return await self.train(config, step)

    # -- requests -----------------------------------------------------------------------------------------------

    def request(self, requests: Sequence[Request], tell: Sequence[Callable[[Result], None]]) -> None:
        """Ask for all of these in one message; each is told to its callable."""
        for (config, steps), callback in zip(requests, tell, strict=True):
            if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
                raise SpaceError(
                    f"{steps!r} steps were asked for: a trial trains for a whole number of steps, 1 or more"
                )
            trial = self.trial(config)
            if self.open_ended and steps > self.complete_at:
                self.complete_from(steps)
            trial.wanted = True
            self.asked.append(AskedTrial(trial.number, steps, descriptors(config)))
            self.waiting.setdefault((trial.number, steps), []).append(callback)
        self.wait_until_idle()

    def say(self, call: Any) -> None:
        """Hand a call to the session, after what was asked before it."""
        self.say_asked()
        self.ask(call)
        self.wait_until_idle()

    def say_asked(self) -> None:
        """What was asked leaves as one message."""
        if self.asked:
            asked, self.asked = self.asked, []
            self.ask(AskCall(asked))

    def trial(self, config: Config) -> Trial:
        """The trial of a config; a new one if it is the first of its kind.

        Raises:
            SpaceError: it is not a config of this study.
        """
        self.check(config)
        key = config_key(config)
        trial = self.by_key.get(key)
        if trial is None:
            trial = self.by_key[key] = Trial(len(self.trials), dict(config))
            self.trials.append(trial)
        return trial

    def check(self, config: Config) -> None:
        """Refuse what is no config of this study.

        Raises:
            SpaceError: a value is no sequence, or the tuner's space does not know the config.
        """
        for name, sequence in config.items():
            if not isinstance(sequence, HyperSequence):
                raise SpaceError(f"config[{name!r}] is {sequence!r}, not a sequence: write Constant({sequence!r})")
        if self.space is not None:
            self.space.check(config)

    # -- answers ------------------------------------------------------------------------------------------------

    def told(self, answer: Told | ToldTime) -> None:
        """Take in an answer: it is handed on when all before it were, and had their effect."""
        self.arrived.append(answer)
        if self.turn is None:
            self.hand_on()

    def wait_until_idle(self) -> None:
        """Something happened that the tuner may still be busy with: what comes next waits."""
        self.turns_left = IDLE_TURNS
        if self.turn is None:
            self.turn = asyncio.get_running_loop().call_soon(self.pass_turn)

    def pass_turn(self) -> None:
        """A turn of the loop has passed."""
        self.turns_left -= 1
        self.turn = asyncio.get_running_loop().call_soon(self.pass_turn) if self.turns_left else None
        if self.turn is None:
            self.say_asked()
            self.hand_on()

    def hand_on(self) -> None:
        """Hand on the oldest answer that came, if there is one."""
        if self.arrived:
            self.take_in(self.arrived.popleft())
            self.wait_until_idle()

    def drain(self) -> None:
        """The loop ends: say what was asked, and take in what came."""
        if self.turn is not None:
            self.turn.cancel()
            self.turn = None
        self.say_asked()
        while self.arrived:
            self.take_in(self.arrived.popleft())

    def take_in(self, answer: Told | ToldTime) -> None:
        """An answer has its effect: the table changes, and whoever awaits it goes on."""
        if isinstance(answer, ToldTime):
            clock = self.clocks.popleft()
            if not clock.done():
                clock.set_result(answer.time)
            return
        trial = self.trials[answer.trial]
        error = answer.error if answer.error is not None else self.unfit(answer)
        if answer.error is not None or self.metric not in (answer.metrics or {}):
            self.user_errors += 1
        result = Result(
            trial=trial.number,
            config=trial.config,
            steps=answer.step,
            metrics=answer.metrics if error is None else None,
            status="complete" if error is None else "failed",
            error=error,
        )
        trial.results[answer.step] = result
        if (trial.number, answer.step) not in self.measured_only:
            self.update(trial, answer, error)
        for tell in self.waiting.pop((trial.number, answer.step), []):
            tell(result)
        self.changed()

    def unfit(self, answer: Told) -> str | None:
        """Why an answer cannot rank its trial; None if it can."""
        metrics = answer.metrics or {}
        if self.metric not in metrics:
            had = ", ".join(metrics) or "nothing"
            return f"evaluate() returned {had} at step {answer.step}, and no {self.metric!r}, which the study ranks by"
        if not math.isfinite(metrics[self.metric]):
            return f"{self.metric} is {metrics[self.metric]} at step {answer.step}"
        return None

    def update(self, trial: Trial, answer: Told, error: str | None) -> None:
        """Bring a trial's row up to date."""
        trial.asked = answer.step
        if answer.error is None:
            trial.steps = answer.step
            trial.metrics = answer.metrics if error is None else None
            trial.state_digest = answer.digest
        trial.error = error
        if error is not None:
            trial.status = "failed"
        else:
            trial.status = "complete" if trial.steps >= self.complete_at else "stopped"

    def best(self) -> Trial | None:
        """The trial with the best last value among the complete ones, else among those with most steps; ties to the
        lower."""
        measured = [t for t in self.trials if t.status != "failed" and t.metrics is not None]
        complete = [t for t in measured if t.status == "complete"]
        most = max((t.steps for t in measured), default=0)
        sign = -1.0 if self.mode == "max" else 1.0
        candidates = complete or [t for t in measured if t.steps == most]
        return min(candidates, key=lambda t: (sign * (t.metrics or {})[self.metric], t.number), default=None)


def descriptors(config: Config) -> dict[str, dict[str, Any]]:
    """A config as messages say it."""
    return {name: sequence.descriptor() for name, sequence in config.items()}


def future_setter(future: asyncio.Future[Result]) -> Callable[[Result], None]:
    """What sets a future, unless whoever awaited it is gone."""

    def tell(result: Result) -> None:
        if not future.done():
            future.set_result(result)

    return tell
