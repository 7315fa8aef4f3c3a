"""What every driver owes its actors, of real life and of virtual time alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import pytest

from hive.actors.actor import (
    Actor,
    AmendJob,
    Called,
    Commit,
    Deliver,
    Effect,
    Event,
    JobReported,
    Quiet,
    Received,
    Send,
    StartJob,
    StartTimer,
    StopJob,
    TimerFired,
)
from hive.actors.messages import Noted, StatusQuery
from hive.actors.runtime import Hub, Runtime
from hive.actors.simulator import Host, Simulator
from hive.errors import StoreError
from hive.storage.memory_store import MemoryStore
from hive.storage.records import CounterRecord
from hive.storage.store import Put, Write

BOUND_S = 10.0

COUNTED = Commit((Put(CounterRecord("n", 1)),))


class Scripted:
    """An actor that answers each event with what its script says, and keeps what it was given."""

    def __init__(self, script: Callable[[Event], Sequence[Effect]], first: Sequence[Effect] = ()) -> None:
        self.script, self.first = script, first
        self.events: list[Event] = []
        self.times: list[float] = []

    def start(self, now: float) -> Sequence[Effect]:
        self.times.append(now)
        return self.first

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        self.times.append(now)
        self.events.append(event)
        return self.script(event)

    @property
    def heard(self) -> list[Event]:
        """All but the quiet moments."""
        return [event for event in self.events if not isinstance(event, Quiet)]


class LoggedStore(MemoryStore):
    """A store that logs its commits; it can fail."""

    def __init__(self, log: list[Any]) -> None:
        super().__init__()
        self.log, self.fails = log, False

    def commit(self, writes: Sequence[Write]) -> None:
        if self.fails:
            raise StoreError("the disk is full")
        self.log.append("commit")
        super().commit(writes)


class LoggedJobs:
    """Jobs that log what they are told, and report at once."""

    def __init__(self, log: list[Any], report: Callable[[Event], None]) -> None:
        self.log, self.report = log, report

    def start(self, job: str, order: Any, runtime: Runtime | None = None) -> None:
        self.log.append(("start", job, order))
        self.report(JobReported(job, "begun"))

    def amend(self, job: str, order: Any) -> None:
        self.log.append(("amend", job, order))

    def stop(self, job: str) -> None:
        self.log.append(("stop", job))


class Stage(Protocol):
    """A driver with actors on it, and a log of what becomes of their effects."""

    log: list[Any]
    lost: list[str]

    def add(self, name: str, actor: Actor) -> LoggedStore:
        """An actor begins. Returns its store."""
        ...

    def post(self, name: str, event: Event) -> None:
        """An event of an actor's own process."""
        ...

    def until(self, done: Callable[[], bool]) -> None:
        """Let things happen until then."""
        ...


class RealStage:
    """Runtimes in an asyncio loop, joined by a hub."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.hub, self.log, self.lost = Hub(), list[Any](), list[str]()
        self.runtimes: dict[str, Runtime] = {}

    def add(self, name: str, actor: Actor) -> LoggedStore:
        store = LoggedStore(self.log)

        async def begin() -> None:
            jobs = LoggedJobs(self.log, lambda event: self.runtimes[name].post(event))
            runtime = self.runtimes[name] = Runtime(
                actor, self.hub.network(name), store=store, jobs=jobs, deliver=self.log.append
            )
            runtime.failed.add_done_callback(lambda failed: self.lost.append(name) if failed.exception() else None)
            runtime.start()

        self.loop.run_until_complete(begin())
        return store

    def post(self, name: str, event: Event) -> None:
        self.loop.call_soon(self.runtimes[name].post, event)

    def until(self, done: Callable[[], bool]) -> None:
        async def wait() -> None:
            while not done():
                await asyncio.sleep(0)

        self.loop.run_until_complete(asyncio.wait_for(wait(), BOUND_S))

    def close(self) -> None:
        for runtime in self.runtimes.values():
            runtime.close()
        self.loop.close()


class VirtualStage:
    """Hosts of a simulator."""

    def __init__(self) -> None:
        self.simulator, self.log, self.lost = Simulator(), list[Any](), list[str]()
        self.simulator.on_crash = self.lost.append
        self.hosts: dict[str, Host] = {}

    def add(self, name: str, actor: Actor) -> LoggedStore:
        store = LoggedStore(self.log)
        host = self.hosts[name] = Host(name, actor, store=store, deliver=self.log.append)
        host.jobs = LoggedJobs(self.log, lambda event: self.simulator.post(host, event))
        self.simulator.add(host)
        return store

    def post(self, name: str, event: Event) -> None:
        self.simulator.post(self.hosts[name], event)

    def until(self, done: Callable[[], bool]) -> None:
        self.simulator.run(done, BOUND_S)

    def close(self) -> None:
        """Nothing runs."""


@pytest.fixture(params=[RealStage, VirtualStage])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    made = request.param()
    yield made
    made.close()


def on(event: Event, *effects: Effect) -> Callable[[Event], Sequence[Effect]]:
    """A script that answers one event."""
    return lambda heard: effects if heard == event else ()


GO = Called("go")


def test_driver_commits_before_it_carries_out_anything_else_of_the_turn(stage: Stage) -> None:
    stage.add("a", Scripted(on(GO, Deliver("told"), COUNTED)))
    stage.post("a", GO)
    stage.until(lambda: len(stage.log) == 2)
    assert stage.log == ["commit", "told"]


def test_driver_commits_what_follows_from_a_quiet_moment_before_anything_of_the_turns_before_it(stage: Stage) -> None:
    def script(event: Event) -> Sequence[Effect]:
        return [COUNTED, Deliver("decided")] if isinstance(event, Quiet) else [Deliver("heard")]

    stage.add("a", Scripted(script))
    stage.post("a", GO)
    stage.until(lambda: "decided" in stage.log)
    assert stage.log[:3] == ["commit", "heard", "decided"]


def test_driver_says_nothing_of_a_turn_whose_commit_fails_and_gives_the_actor_up(stage: Stage) -> None:
    store = stage.add("a", Scripted(on(GO, COUNTED, Deliver("told"))))
    store.fails = True
    stage.post("a", GO)
    stage.until(lambda: bool(stage.lost))
    assert (stage.log, stage.lost) == ([], ["a"])


def test_driver_tells_of_a_quiet_moment_after_what_came(stage: Stage) -> None:
    actor = Scripted(lambda event: ())
    stage.add("a", actor)
    stage.post("a", GO)
    stage.until(lambda: len(actor.events) >= 2)
    assert actor.events[:2] == [GO, Quiet()]


def test_driver_carries_out_what_an_actor_begins_with(stage: Stage) -> None:
    stage.add("a", Scripted(lambda event: (), [COUNTED, Deliver("here")]))
    stage.until(lambda: len(stage.log) == 2)
    assert stage.log == ["commit", "here"]


def test_driver_fires_a_timer_once_and_one_of_the_same_name_in_its_place(stage: Stage) -> None:
    actor = Scripted(on(GO, StartTimer("beat", 3600.0), StartTimer("beat", 0.01), StartTimer("end", 0.03)))
    stage.add("a", actor)
    stage.post("a", GO)
    stage.until(lambda: TimerFired("end") in actor.events)
    assert actor.heard == [GO, TimerFired("beat"), TimerFired("end")]


def test_driver_shows_its_actor_a_time_that_never_goes_back(stage: Stage) -> None:
    actor = Scripted(on(GO, StartTimer("a", 0.02), StartTimer("b", 0.01)))
    stage.add("a", actor)
    stage.post("a", GO)
    stage.until(lambda: TimerFired("a") in actor.events)
    assert actor.times == sorted(actor.times)


def test_driver_carries_messages_with_the_sender_s_name_in_order_and_drops_those_for_nobody(stage: Stage) -> None:
    actor = Scripted(lambda event: ())
    stage.add("a", Scripted(on(GO, Send("nobody", StatusQuery()), Send("b", Noted(1)), Send("b", Noted(2)))))
    stage.add("b", actor)
    stage.post("a", GO)
    stage.until(lambda: len(actor.heard) == 2)
    assert actor.heard == [Received("a", Noted(1)), Received("a", Noted(2))]


def test_driver_hands_messages_over_as_they_come_out_of_the_codec(stage: Stage) -> None:
    said, actor = StatusQuery(), Scripted(lambda event: ())
    stage.add("a", Scripted(on(GO, Send("b", said))))
    stage.add("b", actor)
    stage.post("a", GO)
    stage.until(lambda: bool(actor.heard))
    (heard,) = actor.heard
    assert isinstance(heard, Received)
    assert heard.message == said
    assert heard.message is not said


def test_driver_begins_amends_and_ends_jobs_and_hands_in_what_they_report(stage: Stage) -> None:
    actor = Scripted(on(GO, StartJob("1", "order"), AmendJob("1", "otherwise"), StopJob("1")))
    stage.add("a", actor)
    stage.post("a", GO)
    stage.until(lambda: len(actor.heard) == 2)
    assert stage.log == [("start", "1", "order"), ("amend", "1", "otherwise"), ("stop", "1")]
    assert actor.heard == [GO, JobReported("1", "begun")]
