"""A run of a study on its script's side: what outlives a session, and the session that speaks for it while there is
one. What `Study.run` and a client of `hive.connect` have in common.

It must not know processes, sockets, or how anything is shown."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

from hive.actors.actor import Called, Silence
from hive.actors.messages import Opened, OpenRun, Refused, RunState, Told, ToldTime
from hive.actors.session import AnnounceCall, AskCall, AskTimeCall, CloseCall, ReleaseCall, Session
from hive.client import LiveStudy
from hive.errors import HiveError, StudyError
from hive.storage.records import RunCounts

if TYPE_CHECKING:
    from hive.actors.runtime import Runtime

__all__ = ["Link", "Way", "first_of"]


class Subject(Protocol):
    """What a run is about: a `Study`, or what stands for one."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def metric(self) -> str:
        """What ranks trials."""
        ...

    @property
    def mode(self) -> Literal["min", "max"]:
        """Whether less or more of it is better."""
        ...

    def opening(self, names: tuple[str, ...]) -> OpenRun:
        """The run's first message. `names`: of the hyper-parameters."""
        ...


Way = Callable[[OpenRun, Session, Callable[[Any], None]], contextlib.AbstractAsyncContextManager["Runtime"]]
"""How a session reaches its coordinator: (opening, session, deliver) -> its runtime, started."""


class Link:
    """A run of a study in this process. Several sessions in turn may speak for it: those of several tuners make one
    run.

    Attributes:
        live: the study as tuners see it: the trials so far.
        opening: the run's first message; None until the names of the hyper-parameters are known.
        session: what speaks for the run, or did last; None before the first.
        counts: the run's, as last heard.
        began: `time.monotonic` at its start.
        say: where to say what stays to be read.
        shown: told how the run stands.
    """

    def __init__(self, study: Subject, say: Callable[[str], None]) -> None:
        self.study = study
        self.say = say
        self.shown: Callable[[RunState], None] = lambda _: None
        self.live = LiveStudy(study.metric, study.mode, unheard)
        self.opening: OpenRun | None = None
        self.session: Session | None = None
        self.counts = RunCounts()
        self.began = time.monotonic()
        self.noted = ""
        self.where = ""
        self.opened = False
        self.silent = False
        self.settled: asyncio.Event | None = None

    def open(self, names: tuple[str, ...]) -> OpenRun:
        """The run's first message, once the hyper-parameters are known. The first tuner's are the study's.

        Raises:
            StudyError: these are others.
        """
        if self.opening is None or not self.opening.source.names:  # or a tuner that asked for nothing
            self.opening, self.session = self.study.opening(names), None
        had = self.opening.source.names
        if set(names) - set(had):
            raise StudyError(
                f"study {self.study.name!r} tunes {', '.join(had)}; this tuner's space has {', '.join(names)}: one "
                "study has one set of hyper-parameters"
            )
        return self.opening

    def hold(self) -> Held:
        """What is asked from now on is held until there is a session."""
        held = self.live.ask = Held(named=self.opening is not None)
        return held

    @contextlib.asynccontextmanager
    async def speaking(self, way: Way, where: str, work: asyncio.Future[Any]) -> AsyncIterator[Runtime]:
        """While in it, a session speaks for the run; before the hyper-parameters are known, what is asked is held.

        Args:
            way: how it reaches its coordinator.
            where: what to call that coordinator.
            work: what asks; if it ends before it asked for anything, the run has no hyper-parameters.
        """
        held = self.live.ask if isinstance(self.live.ask, Held) else self.hold()
        opening = self.opening or self.open(await held.names(work))
        session = self.session = self.session or Session(opening)
        self.where, self.opened, self.silent = where, False, False
        async with way(opening, session, self.deliver) as runtime:
            self.live.ask = lambda call: runtime.post(Called(call))
            for call in held.calls:
                self.live.ask(call)
            try:
                yield runtime
            finally:
                self.live.drain()
                self.live.ask = unheard

    async def end(self, call: ReleaseCall | CloseCall, runtime: Runtime) -> None:
        """Say that the run wants nothing more, and wait until its counts are final."""
        settled = self.settled = asyncio.Event()
        runtime.post(Called(call))
        await first_of(asyncio.ensure_future(settled.wait()), runtime.failed)

    def hear(self, silent: bool) -> None:
        """Say it when the coordinator is away, and when it is back. One that never answered may be late, or the address
        wrong."""
        if silent and self.opened:
            self.say(f"{self.where} does not answer: trainers go on with the batches they have, and this run waits")
        elif silent:
            self.say(f"{self.where} has not answered yet: waiting for it")
        elif self.silent:
            self.say(f"{self.where} answers")
        self.silent = silent

    def deliver(self, answer: Any) -> None:
        """What the session hands on."""
        self.hear(isinstance(answer, Silence))
        match answer:
            case Told() | ToldTime():
                self.live.told(answer)
            case Opened(note=note):
                self.opened = True
                self.note(note)
            case RunState():
                self.counts = answer.counts
                self.note(answer.note)
                self.shown(answer)
                if answer.settled and self.settled and self.session and not self.session.unapplied:
                    self.settled.set()
            case Refused(reason=reason):
                raise HiveError(reason)

    def note(self, note: str) -> None:
        """What the user should know is repeated by the coordinator, and said once."""
        if note not in ("", self.noted):
            self.noted = note
            self.say(note)


class Held:
    """What is asked before there is somebody to ask. `named`: whether the hyper-parameters are known."""

    def __init__(self, named: bool) -> None:
        self.named = named
        self.calls: list[Any] = []
        self.asked = asyncio.Event()

    def __call__(self, call: Any) -> None:
        if isinstance(call, AskTimeCall) and not self.named:
            raise StudyError(
                "study.now() was called before anything was asked for: no run can be opened while its "
                "hyper-parameters are not known. Give the tuner a `space`, or ask for or announce a config first"
            )
        self.calls.append(call)
        if isinstance(call, AskCall | AnnounceCall):
            self.named = True
            self.asked.set()

    async def names(self, work: asyncio.Future[Any]) -> tuple[str, ...]:
        """The hyper-parameters: those of the configs that are asked for, or announced, first."""
        waiting = asyncio.ensure_future(self.asked.wait())
        await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        first = [trial for call in self.calls for trial in trials_of(call)]
        return tuple({name: None for trial in first for name in trial.config})


def trials_of(call: Any) -> list[Any]:
    """The trials that a call names with their configs."""
    if isinstance(call, AskCall):
        return list(call.requests)
    return list(call.trials) if isinstance(call, AnnounceCall) else []


async def first_of(work: asyncio.Future[Any], ended: asyncio.Future[Any]) -> Any:
    """What the work comes to; None if it was cancelled.

    Raises:
        Exception: what ended before, or raised, whatever the work waits for.
    """
    try:
        await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        work.cancel()
        raise
    if ended.done():
        work.cancel()
        ended.result()
    return None if work.cancelled() else work.result()


def unheard(call: object) -> None:
    """What is asked while no session is there."""
    raise StudyError(
        f"{call!r} was asked while nobody was there to hear it: ask within study.run(...), or within the block of "
        "hive.connect(...)"
    )
