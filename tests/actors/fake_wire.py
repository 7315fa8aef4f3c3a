"""A network in memory on virtual time: real actors, drawn faults, one seed.

It is a driver that obeys actor.py: an actor's commit is durable before any other effect of that turn is carried out.
Messages pass through the real codec. With faults they are dropped, repeated, delayed and reordered until `until_s`;
then the network heals, because only then something can be demanded of it. Crashes come between any two events: before
the commit, or after the commit and before the first message.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Protocol

from hive.actors.actor import (
    Actor,
    AmendJob,
    Commit,
    DeleteFiles,
    Deliver,
    Effect,
    Event,
    ListFiles,
    Quiet,
    Received,
    Send,
    StartJob,
    StartTimer,
    StopJob,
    TimerFired,
)
from hive.actors.messages import Message
from hive.actors.wire import decode, encode
from hive.storage.store import Store


@dataclass(frozen=True)
class Faults:
    """What goes wrong, as probabilities, until `until_s` of virtual time.

    Attributes:
        drop: a message never comes.
        repeat: a message comes again, perhaps much later.
        late: a message takes up to `late_s` seconds, so that others overtake it.
    """

    drop: float = 0.0
    repeat: float = 0.0
    late: float = 0.0
    late_s: float = 5.0
    until_s: float = 0.0


class Jobs(Protocol):
    """What runs an actor's jobs."""

    def start(self, job: str, order: Any) -> None: ...

    def amend(self, job: str, order: Any) -> None: ...

    def stop(self, job: str) -> None: ...


@dataclass
class Host:
    """An actor on the network. A life ends with a crash: timers and jobs of an earlier one are dead."""

    name: str
    actor: Actor
    life: int
    store: Store | None = None
    jobs: Jobs | None = None
    deliver: Callable[[Any], None] | None = None
    files: Callable[[DeleteFiles | ListFiles], None] | None = None
    aliases: dict[str, str] = field(default_factory=dict)
    timers: dict[str, int] = field(default_factory=dict)


class Wire:
    """The network, its clock, and the hosts on it."""

    def __init__(self, seed: int = 0, faults: Faults | None = None) -> None:
        self.random = random.Random(seed)
        self.faults = faults or Faults()
        self.now = 1_000.0
        self.began = self.now
        self.hosts: dict[str, Host] = {}
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.counted = 0
        self.lives = 0
        self.sent: list[tuple[str, str, Message]] = []
        self.cut_off: set[str] = set()
        self.crash_next: dict[str, bool] = {}
        self.on_crash: Callable[[str], None] = lambda name: None
        self.after_turn: Callable[[str], None] = lambda name: None

    # -- hosts --------------------------------------------------------------------------------------------------

    def add(self, host: Host) -> Host:
        """A host comes to life."""
        self.lives += 1
        host.life = self.lives
        self.hosts[host.name] = host
        self.carry_out(host, list(host.actor.start(self.now)))
        return host

    def remove(self, name: str) -> None:
        """A host is gone, with its timers and jobs; what it sent is still under way."""
        self.hosts.pop(name, None)

    def cut(self, name: str) -> None:
        """A host is gone, and its connections with it: what it sent and nobody has read never comes."""
        self.remove(name)
        self.cut_off.add(name)

    def post(self, host: Host, event: Event, after_s: float = 0.0) -> None:
        """An event of the host's own process, lost if the host is gone by then."""
        life = host.life

        def happen() -> None:
            now_there = self.hosts.get(host.name)
            if now_there is not None and now_there.life == life:
                self.turn(now_there, event)

        self.later(after_s, happen)

    def later(self, after_s: float, happen: Callable[[], None]) -> None:
        self.counted += 1
        heappush(self.queue, (self.now + after_s, self.counted, happen))

    # -- one turn -----------------------------------------------------------------------------------------------

    def turn(self, host: Host, event: Event) -> None:
        if isinstance(event, TimerFired):
            host.timers.pop(event.name, None)
        crash = self.crash_next.pop(host.name, None)
        turns = [list(host.actor.handle(each, self.now)) for each in (event, Quiet())]
        for effects in turns:
            commits = [effect for effect in effects if isinstance(effect, Commit)]
            assert commits in ([], effects[:1]), "there is one commit, and it comes first"
        effects = sorted((e for turn in turns for e in turn), key=lambda effect: not isinstance(effect, Commit))
        if crash is True:  # before the commit: the turn never was
            self.on_crash(host.name)
            return
        if crash is False:  # after the commit: nobody heard of it
            self.carry_out(host, [effect for effect in effects if isinstance(effect, Commit)])
            self.on_crash(host.name)
            return
        self.carry_out(host, effects)
        self.after_turn(host.name)

    def carry_out(self, host: Host, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Commit(writes):
                    assert host.store is not None, f"{host.name} has no store"
                    host.store.commit(writes)
                case Send(to, message):
                    self.send(host.name, host.aliases.get(to, to), message)
                case Deliver(answer) if host.deliver is not None:
                    host.deliver(answer)
                case StartTimer(name, after_s):
                    self.start_timer(host, name, after_s)
                case StartJob(job, order) if host.jobs is not None:
                    host.jobs.start(job, order)
                case AmendJob(job, order) if host.jobs is not None:
                    host.jobs.amend(job, order)
                case StopJob(job) if host.jobs is not None:
                    host.jobs.stop(job)
                case DeleteFiles() | ListFiles() if host.files is not None:
                    host.files(effect)

    def start_timer(self, host: Host, name: str, after_s: float) -> None:
        self.counted += 1
        mark, life = self.counted, host.life
        host.timers[name] = mark

        def fire() -> None:
            now_there = self.hosts.get(host.name)
            if now_there is not None and now_there.life == life and now_there.timers.get(name) == mark:
                self.turn(now_there, TimerFired(name))

        heappush(self.queue, (self.now + after_s, mark, fire))

    # -- messages -----------------------------------------------------------------------------------------------

    def send(self, sender: str, to: str, message: Message) -> None:
        """Send a message; what becomes of it is drawn."""
        data = encode(message)
        self.sent.append((sender, to, message))
        for after_s in self.delays():
            self.later(after_s, lambda: self.arrive(sender, to, decode(data)))

    def delays(self) -> list[float]:
        faults, draw = self.faults, self.random.random
        if self.now - self.began >= faults.until_s:
            return [0.001]
        copies = 1 + (draw() < faults.repeat) - (draw() < faults.drop)
        return [0.001 + (draw() * faults.late_s if draw() < faults.late else draw() * 0.01) for _ in range(copies)]

    def arrive(self, sender: str, to: str, message: Message) -> None:
        host = self.hosts.get(to)
        if host is not None and sender not in self.cut_off:
            self.turn(host, Received(sender, message))

    # -- time ---------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """The next event."""
        self.now, _, happen = heappop(self.queue)
        happen()

    def run(self, done: Callable[[], bool], limit_s: float = 600.0) -> None:
        """Run until `done`, or fail once so many virtual seconds have passed."""
        end = self.now + limit_s
        while not done():
            assert self.queue, "nothing will happen any more"
            assert self.queue[0][0] <= end, f"not done after {limit_s} s; the last messages: {self.sent[-12:]}"
            self.step()

    def run_for(self, seconds: float) -> None:
        """Run so many virtual seconds."""
        end = self.now + seconds
        while self.queue and self.queue[0][0] <= end:
            self.step()
        self.now = end
