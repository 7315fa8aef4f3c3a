"""The driver of real life: loops, sockets, timers and jobs that carry out what actors decide.

A `Runtime` drives one actor in an asyncio loop: it drains the inbox, lets the actor handle event by event, commits
the writes of all those turns as one transaction, and then carries out their other effects in turn order. Two networks
serve it: ZeroMQ between processes (`sockets.py`), and a queue within one (`hive run --inline`), which writes and reads
the same bytes. It must not know what any message means, or decide anything."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from hive.actors import wire
from hive.actors.actor import (
    Actor,
    AmendJob,
    Called,
    Commit,
    DeleteFiles,
    Deliver,
    Effect,
    Event,
    FilesDeleted,
    FilesListed,
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
from hive.actors.traces import trace_of_process
from hive.storage.folders import Folder
from hive.storage.store import Store, Write

__all__ = ["Hub", "HubNetwork", "Jobs", "Network", "Runtime"]

EVENTS_MAX = 512
"""Events of one transaction: group commit without making the first of them wait for ever."""

log = logging.getLogger("hive")


class Network(Protocol):
    """How messages reach other actors. Anything sent may be lost."""

    def attach(self, receive: Callable[[str, Message], None]) -> None:
        """Call `receive(sender, message)` in the loop's thread for each message that comes."""
        ...

    def send(self, to: str, message: Message) -> None:
        """Hand a message over; never blocks, never raises for a peer that is not there."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Jobs(Protocol):
    """What runs an actor's jobs; it reports to `runtime.post` or, from another thread, `runtime.post_from_thread`."""

    def start(self, job: str, order: Any, runtime: Runtime) -> None:
        """Begin."""
        ...

    def amend(self, job: str, order: Any) -> None:
        """Change what it is about; what became of that is reported."""
        ...

    def stop(self, job: str) -> None:
        """Ask for the end; it is reported like any other."""
        ...


class Runtime:
    """Drives one actor.

    Args:
        actor: the actor.
        network: where its messages go and come from.
        store: what its commits go to; None for an actor without.
        jobs: what runs its jobs; None for an actor without.
        deliver: called with each `Deliver`'s answer.
        folder: where its checkpoint files lie, used in a thread of its own; None for an actor that has none.
        clock: Unix time in seconds; the actor sees it non-decreasing.
    """

    def __init__(
        self,
        actor: Actor,
        network: Network,
        *,
        store: Store | None = None,
        jobs: Jobs | None = None,
        deliver: Callable[[Any], None] | None = None,
        folder: Folder | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.actor = actor
        self.network = network
        self.store = store
        self.jobs = jobs
        self.deliver = deliver
        self.folder = folder
        self.folder_free = asyncio.Lock()
        self.working: set[asyncio.Task[None]] = set()
        self.clock = clock
        self.loop = asyncio.get_running_loop()
        self.inbox: deque[Event] = deque()
        self.awake = False
        self.timers: dict[str, asyncio.TimerHandle] = {}
        self.now = 0.0
        self.trace = trace_of_process()
        self.name = ""  # in the trace
        self.failed: asyncio.Future[None] = self.loop.create_future()

    def start(self) -> None:
        """Let the actor come to life, and events reach it."""
        self.network.attach(lambda sender, message: self.post(Received(sender, message)))
        effects = list(self.actor.start(self.tick()))
        if self.trace is not None:
            self.name = self.trace.name_of(self.actor)
            self.trace.began(self.name, self.actor, self.store, self.now, effects)
        self.carry_out([effects])

    def tick(self) -> float:
        """The time, never less than before."""
        self.now = max(self.now, self.clock())
        return self.now

    def post(self, event: Event) -> None:
        """Hand in an event, from the loop's thread."""
        self.inbox.append(event)
        if not self.awake:
            self.awake = True
            self.loop.call_soon(self.drain)

    def post_from_thread(self, event: Event, urgent: bool = True) -> None:
        """Hand in an event, from any thread. One that is not urgent waits for the next that is, or for a timer."""
        self.inbox.append(event)
        if urgent and not self.awake:
            self.awake = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
                self.loop.call_soon_threadsafe(self.drain)

    def drain(self) -> None:
        """Handle what has come, commit it as one, then carry out what follows."""
        self.awake = False
        try:
            turns: list[list[Effect]] = []
            while self.inbox and len(turns) < EVENTS_MAX:
                self.tick()
                turns.append(self.turn(self.inbox.popleft()))
            turns.append(self.turn(Quiet()))
            if self.inbox and not self.awake:
                self.awake = True
                self.loop.call_soon(self.drain)
            self.carry_out(turns)
        except Exception as error:
            self.fail(error)

    def turn(self, event: Event) -> list[Effect]:
        """What the actor wants after an event."""
        effects = list(self.actor.handle(event, self.now))
        if self.trace is not None:
            self.trace.turn(self.name, event, self.now, effects)
        return effects

    def carry_out(self, turns: list[list[Effect]]) -> None:
        """Commit before anything else."""
        writes: list[Write] = [
            w for turn in turns for effect in turn if isinstance(effect, Commit) for w in effect.writes
        ]
        if writes and self.store is not None:
            self.store.commit(writes)
        for turn in turns:
            for effect in turn:
                self.do(effect)

    def fail(self, error: Exception) -> None:
        """End, whatever it was: what follows is a start from the store. The error is whoever's who waits for
        `failed`."""
        self.close()
        if not self.failed.done():
            self.failed.set_exception(error)

    def do(self, effect: Effect) -> None:
        """Carry out one effect that is no commit."""
        match effect:
            case Send(to, message):
                self.network.send(to, message)
            case Deliver(answer) if self.deliver is not None:
                self.deliver(answer)
            case StartTimer(name, after_s):
                if name in self.timers:
                    self.timers[name].cancel()
                self.timers[name] = self.loop.call_later(after_s, self.post, TimerFired(name))
            case StartJob(job, order) if self.jobs is not None:
                self.jobs.start(job, order, self)
            case AmendJob(job, order) if self.jobs is not None:
                self.jobs.amend(job, order)
            case StopJob(job) if self.jobs is not None:
                self.jobs.stop(job)
            case DeleteFiles(names) if self.folder is not None:
                self.begin(self.delete_files(names, self.folder))
            case ListFiles() if self.folder is not None:
                self.begin(self.list_files(self.folder))
            case _:
                pass

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something go on beside the loop; what began first has the folder first."""
        task = self.loop.create_task(work)
        self.working.add(task)
        task.add_done_callback(self.working.discard)

    async def delete_files(self, names: tuple[str, ...], folder: Folder) -> None:
        """Delete, and say so; what fails is tried again when the actor asks for it again."""
        async with self.folder_free:
            try:
                await asyncio.to_thread(folder.delete, names)
            except Exception as error:  # any: each file system has its own
                log.warning("checkpoints are not deleted yet: %s", error)
                return
            self.post(Called(FilesDeleted(names)))

    async def list_files(self, folder: Folder) -> None:
        """Say which files there are, or why nobody can."""
        async with self.folder_free:
            try:
                files = await asyncio.to_thread(lambda: tuple(folder.files()))
            except Exception as error:  # any: each file system has its own
                self.post(Called(FilesListed(error=str(error))))
                return
            self.post(Called(FilesListed(files)))

    def close(self) -> None:
        """Stop the timers and let go of the network and the store; jobs are their owner's to end."""
        for timer in self.timers.values():
            timer.cancel()
        self.timers.clear()
        self.network.close()
        if self.store is not None:
            self.store.close()


# -- within one process ---------------------------------------------------------------------------------------


class Hub:
    """A queue in place of sockets: the members of one process, by name."""

    def __init__(self) -> None:
        self.members: dict[str, Callable[[str, Message], None]] = {}

    def network(self, name: str) -> HubNetwork:
        """A network whose owner the others know as `name`."""
        return HubNetwork(self, name)


class HubNetwork:
    """One member's view of a hub. Messages are written and read, so that they are what they are between processes."""

    def __init__(self, hub: Hub, name: str) -> None:
        self.hub = hub
        self.name = name

    def attach(self, receive: Callable[[str, Message], None]) -> None:
        """Join."""
        self.hub.members[self.name] = receive

    def send(self, to: str, message: Message) -> None:
        """Deliver after the current turn."""
        receive = self.hub.members.get(to)
        if receive is not None:
            receive(self.name, wire.decode(wire.encode(message)))

    def close(self) -> None:
        """Leave."""
        self.hub.members.pop(self.name, None)
