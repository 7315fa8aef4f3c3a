"""The driver of virtual time: the same actors on one heap of events, from one seed.

    simulator = Simulator(seed)
    simulator.add(Host("coordinator", actor, store=store))
    simulator.run(lambda: ...)

It is a driver as runtime.py is, and keeps the same rules: an actor's commit is durable before any other effect of its
turn is carried out, messages pass through the real codec, timers and jobs die with their process. Time passes only from
event to event, in the order of (time, sequence), so that an hour takes no longer than what happens in it, and the same
seed gives the same run. `Weather` says what becomes of a message; what else is to go wrong is let happen `later`.

Tuners are asyncio code: `SimulatedLoop` is an asyncio loop on the same heap.

It must not know what any message means, or decide anything.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterable
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
from hive.actors.traces import Trace
from hive.actors.wire import decode, encode
from hive.errors import StoreError
from hive.storage.store import Store

__all__ = ["BEGAN", "CLEAR", "Host", "Jobs", "SimulatedLoop", "Simulator", "StuckError", "Weather"]

BEGAN = 1_000.0
"""When a simulation begins; Unix time, in seconds."""

SENT_KEPT = 1_000
"""Messages remembered, for whoever wants to know what was said last."""


class StuckError(RuntimeError):
    """What a simulation waits for does not happen."""


class Weather(Protocol):
    """What becomes of messages."""

    def delays(self, sender: str, to: str, now: float, draw: random.Random) -> Iterable[float]:
        """After how many seconds a message arrives: once, not at all, or more than once."""
        ...


class Clear:
    """Each message arrives, once, after a millisecond: in the order in which they were sent."""

    def delays(self, sender: str, to: str, now: float, draw: random.Random) -> Iterable[float]:
        """One millisecond."""
        return (0.001,)


CLEAR = Clear()


class Jobs(Protocol):
    """What runs an actor's jobs; it reports by `Simulator.post`."""

    def start(self, job: str, order: Any) -> None:
        """Begin."""
        ...

    def amend(self, job: str, order: Any) -> None:
        """Change what it is about."""
        ...

    def stop(self, job: str) -> None:
        """Ask for the end."""
        ...


@dataclass
class Host:
    """A process with an actor in it.

    Attributes:
        life: counts the processes of a simulation; timers and jobs of an earlier one of the same name are dead.
        store: what its commits go to.
        jobs: what runs its jobs.
        deliver: called with each `Deliver`'s answer.
        files: called with what is to be done in the checkpoint folder.
        aliases: what it calls other hosts, where that is not their name.
        timers: by name, the mark of the last that was started.
        waiting: while it is held up, what is to happen in it, in order; None while it goes on.
        now: the time that its actor was shown last; Unix time, in seconds.
    """

    name: str
    actor: Actor
    store: Store | None = None
    jobs: Jobs | None = None
    deliver: Callable[[Any], None] | None = None
    files: Callable[[DeleteFiles | ListFiles], None] | None = None
    aliases: dict[str, str] = field(default_factory=dict)
    life: int = 0
    timers: dict[str, int] = field(default_factory=dict)
    waiting: list[Callable[[], None]] | None = None
    now: float = 0.0


class Simulator:
    """The network, its clock, and the processes on it.

    Args:
        seed: of everything that is drawn.
        weather: what becomes of messages.

    Attributes:
        now: Unix time, in seconds.
        shifts: by host, the seconds that its clock is ahead of that.
        random: whoever draws for this simulation draws here.
        crash_next: by host, after how many effects of its next turn it dies; 0 for before its commit.
        on_crash: called with the name of a host that died so.
        after_turn: called with a host's name after each of its turns.
        trace: what all its actors do is written there; None for nowhere.
        lateness: by how many seconds the timer that is started comes late.
    """

    def __init__(self, seed: int = 0, weather: Weather = CLEAR) -> None:
        self.random = random.Random(seed)
        self.weather = weather
        self.now = BEGAN
        self.shifts: dict[str, float] = {}
        self.hosts: dict[str, Host] = {}
        self.queue: list[tuple[float, int, Callable[[], object]]] = []
        self.counted = 0
        self.lives = 0
        self.turns = 0
        self.sent: list[tuple[str, str, Message]] = []
        self.cut_off: set[str] = set()
        self.crash_next: dict[str, int] = {}
        self.on_crash: Callable[[str], None] = lambda _: None
        self.after_turn: Callable[[str], None] = lambda _: None
        self.trace: Trace | None = None
        self.lateness: Callable[[], float] = lambda: 0.0

    # -- hosts --------------------------------------------------------------------------------------------------

    def add(self, host: Host) -> Host:
        """A process begins."""
        self.lives += 1
        host.life = self.lives
        self.hosts[host.name] = host
        effects = list(host.actor.start(self.tick(host)))
        if self.trace is not None:
            self.trace.began(host.name, host.actor, host.store, host.now, effects)
        self.carry_out(host, effects)
        return host

    def remove(self, name: str) -> None:
        """A process is gone, with its timers and jobs; what it sent is still under way."""
        self.hosts.pop(name, None)

    def cut(self, name: str) -> None:
        """A process is gone, and its connections with it: what it sent and nobody has read never comes."""
        self.remove(name)
        self.cut_off.add(name)

    def alive(self, host: Host) -> bool:
        """Whether this very process is there."""
        now_there = self.hosts.get(host.name)
        return now_there is not None and now_there.life == host.life

    def post(self, host: Host, event: Event, after_s: float = 0.0) -> None:
        """An event of the host's own process, lost if that is gone by then."""
        self.later(after_s, lambda: self.within(host, lambda: self.turn(host, event)))

    def within(self, host: Host, happen: Callable[[], None]) -> None:
        """Let something happen in a process: now, or once it goes on again; never if it is gone by then."""
        if not self.alive(host):
            return
        if host.waiting is None:
            happen()
        else:
            host.waiting.append(happen)

    def hold_up(self, host: Host) -> None:
        """A process stands still, and with it all that is to happen there."""
        host.waiting = host.waiting or []

    def go_on(self, host: Host) -> None:
        """A process that was held up goes on: what was to happen meanwhile happens now, in order."""
        waiting, host.waiting = host.waiting or [], None
        for happen in waiting:
            self.within(host, happen)

    def clock(self, name: str) -> float:
        """What a host's clock says: Unix time, in seconds."""
        return self.now + self.shifts.get(name, 0.0)

    def tick(self, host: Host) -> float:
        """What a host's actor is shown of its clock: never less than before."""
        host.now = max(host.now, self.clock(host.name))
        return host.now

    def later(self, after_s: float, happen: Callable[[], object]) -> None:
        """Let something happen after so many seconds; never, after `math.inf`."""
        self.counted += 1
        if after_s < math.inf:
            heappush(self.queue, (self.now + after_s, self.counted, happen))

    # -- one turn -----------------------------------------------------------------------------------------------

    def turn(self, host: Host, event: Event) -> None:
        """An actor handles an event, and what follows from it is carried out: commits first."""
        if isinstance(event, TimerFired):
            host.timers.pop(event.name, None)
        self.turns += 1
        effects = self.decided(host, event)
        effects.sort(key=lambda effect: not isinstance(effect, Commit))
        dies_after = self.crash_next.pop(host.name, None)
        try:
            self.carry_out(host, effects[:dies_after])
        except StoreError:  # nobody knows whether it was committed: what follows is a start from the store
            dies_after = 0
        if dies_after is not None:
            self.on_crash(host.name)
        else:
            self.after_turn(host.name)

    def decided(self, host: Host, event: Event) -> list[Effect]:
        """What an actor wants after an event, and after the quiet moment that follows."""
        self.tick(host)
        return [*self.handled(host, event), *self.handled(host, Quiet())]

    def handled(self, host: Host, event: Event) -> list[Effect]:
        """What an actor wants after an event."""
        effects = list(host.actor.handle(event, host.now))
        if self.trace is not None:
            self.trace.turn(host.name, event, host.now, effects)
        return effects

    def carry_out(self, host: Host, effects: list[Effect]) -> None:
        """Do what an actor decided."""
        writes = [write for effect in effects if isinstance(effect, Commit) for write in effect.writes]
        if writes:
            assert host.store is not None, f"{host.name} has no store"
            host.store.commit(writes)
        for effect in effects:
            match effect:
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
                case _:
                    pass

    def start_timer(self, host: Host, name: str, after_s: float) -> None:
        """Fire once, unless a timer of that name is started anew or the process is gone."""
        mark = host.timers[name] = self.counted + 1

        def fire() -> None:
            if host.timers.get(name) == mark:
                self.turn(host, TimerFired(name))

        self.later(after_s + self.lateness(), lambda: self.within(host, fire))

    # -- messages -----------------------------------------------------------------------------------------------

    def send(self, sender: str, to: str, message: Message) -> None:
        """Send a message; the weather says what becomes of it."""
        data = encode(message)
        self.sent.append((sender, to, message))
        if len(self.sent) > 2 * SENT_KEPT:
            del self.sent[:SENT_KEPT]
        for after_s in self.weather.delays(sender, to, self.now, self.random):
            self.later(after_s, lambda: self.arrive(sender, to, decode(data)))

    def arrive(self, sender: str, to: str, message: Message) -> None:
        """A message is there, unless whom it is for is gone, or its sender's connections are."""
        host = self.hosts.get(to)
        if host is not None and sender not in self.cut_off:
            self.within(host, lambda: self.turn(host, Received(sender, message)))

    # -- time ---------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """The next event."""
        self.now, _, happen = heappop(self.queue)
        happen()

    def run(self, done: Callable[[], bool], limit_s: float = 600.0) -> None:
        """Run until `done`.

        Raises:
            StuckError: so many virtual seconds have passed, or nothing more will happen.
        """
        end = self.now + limit_s
        while not done():
            if not self.queue or self.queue[0][0] > end:
                why = f"not done after {limit_s:g} s" if self.queue else "nothing will happen any more"
                raise StuckError(f"{why}; the last messages: {self.sent[-12:]}")
            self.step()

    def run_for(self, seconds: float) -> None:
        """Run so many virtual seconds."""
        end = self.now + seconds
        while self.queue and self.queue[0][0] <= end:
            self.step()
        self.now = end


class SimulatedLoop(asyncio.BaseEventLoop):
    """An asyncio loop whose clock is a simulation's: it waits by letting the simulation's events happen.

    What is ready in the loop comes first, then whichever is due sooner: the loop's own timer or the simulation's event.

    Args:
        simulator: whose time it is.
        limit_s: virtual seconds after which nobody waits any longer.
    """

    def __init__(self, simulator: Simulator, limit_s: float = math.inf) -> None:
        super().__init__()
        self.simulator = simulator
        self.end = simulator.now + limit_s
        self._selector = self  # asyncio asks it to wait for file descriptors; here there are none
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """The simulation's time."""
        return self.simulator.now

    def select(self, timeout: float | None) -> list[Any]:
        """Wait: at most `timeout` seconds, for ever with None.

        Raises:
            StuckError: for ever, and nothing more will happen; or the limit has passed.
        """
        queue, now = self.simulator.queue, self.simulator.now
        if timeout == 0:
            return []
        if now > self.end or (timeout is None and not queue):
            why = "it takes too long" if queue else "nothing will happen any more"
            self.end = math.inf  # who waits may still be ended
            raise StuckError(f"{why}; the last messages: {self.simulator.sent[-12:]}")
        if queue and (timeout is None or queue[0][0] <= now + timeout):
            self.simulator.step()
        elif timeout is not None:
            self.simulator.now = now + timeout
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""
