"""The driver of real life, in what no other has: many turns in one commit, a folder, threads, a hub within a process.

What all drivers owe their actors is in test_drivers.py.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

from hive.actors.actor import (
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
)
from hive.actors.messages import Message, Noted
from hive.actors.runtime import Hub, Runtime
from hive.errors import StoreError
from hive.storage.folders import LocalFolder
from hive.storage.memory_store import MemoryStore
from hive.storage.records import CounterRecord
from hive.storage.store import Put, Write

BOUND_S = 10.0


class Scripted:
    """An actor that answers each event with what its script says; it keeps what it was given."""

    def __init__(self, script: Callable[[Event], Sequence[Effect]]) -> None:
        self.script = script
        self.events: list[Event] = []
        self.times: list[float] = []

    def start(self, now: float) -> Sequence[Effect]:
        """Nothing."""
        return []

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """By the script, which knows nothing of quiet moments."""
        self.events.append(event)
        if isinstance(event, Quiet):
            return []
        self.times.append(now)
        return self.script(event)


class LoggedStore(MemoryStore):
    """A store that logs its commits, and may fail."""

    def __init__(self, log: list[str], fails: bool = False) -> None:
        super().__init__()
        self.log, self.fails = log, fails

    def commit(self, writes: Sequence[Write]) -> None:
        """Log and commit."""
        if self.fails:
            raise StoreError("the disk is full")
        self.log.append(f"commit {len(writes)}")
        super().commit(writes)


def run(work: Coroutine[Any, Any, Any]) -> None:
    """To its end, within a bound."""
    asyncio.run(asyncio.wait_for(work, BOUND_S))


def counted(event: Event) -> Sequence[Effect]:
    """A write, then a word about it."""
    assert isinstance(event, Called)
    return [Commit((Put(CounterRecord("n", event.call)),)), Deliver(event.call)]


def test_runtime_commits_all_turns_as_one_before_it_carries_out_any_other_effect() -> None:
    log: list[str] = []

    async def work() -> None:
        runtime = Runtime(
            Scripted(counted),
            Hub().network("a"),
            store=LoggedStore(log),
            deliver=lambda answer: log.append(f"deliver {answer}"),
        )
        runtime.start()
        for number in range(3):
            runtime.post(Called(number))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        runtime.close()

    run(work())
    assert log == ["commit 3", "deliver 0", "deliver 1", "deliver 2"]


def test_runtime_tells_its_actor_once_when_all_that_had_come_is_handled() -> None:
    actor = Scripted(lambda event: [])

    async def work() -> None:
        runtime = Runtime(actor, Hub().network("a"))
        runtime.start()
        for number in range(3):
            runtime.post(Called(number))
        await asyncio.sleep(0)
        runtime.post(Called(3))
        await asyncio.sleep(0)
        runtime.close()

    run(work())
    assert actor.events == [Called(0), Called(1), Called(2), Quiet(), Called(3), Quiet()]


def test_runtime_shows_its_actor_a_time_that_never_goes_back() -> None:
    clock = iter([5.0, 7.0, 6.0, 8.0])
    actor = Scripted(lambda event: [])

    async def work() -> None:
        runtime = Runtime(actor, Hub().network("a"), clock=lambda: next(clock))
        runtime.start()
        for number in range(3):
            runtime.post(Called(number))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(work())
    assert actor.times == [7.0, 7.0, 8.0]


class HeldFolder(LocalFolder):
    """A folder in which nothing is deleted before that is let go."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.may_go = threading.Event()

    def delete(self, names: Iterable[str]) -> None:
        """Delete, once that may be."""
        assert self.may_go.wait(BOUND_S)
        super().delete(names)


def test_runtime_does_one_thing_after_the_other_in_the_folder(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text(name)
    effects: list[Effect] = [DeleteFiles(("a",)), ListFiles(), DeleteFiles(("b",))]
    actor = Scripted(lambda event: effects if event == Called("begin") else [])
    folder = HeldFolder(tmp_path)

    async def work() -> None:
        runtime = Runtime(actor, Hub().network("a"), folder=folder)
        runtime.start()
        runtime.post(Called("begin"))
        for _ in range(10):  # time for what should wait, if it did not
            await asyncio.to_thread(lambda: None)
        folder.may_go.set()
        while runtime.working or runtime.inbox:
            await asyncio.sleep(0)
        runtime.close()

    run(work())
    _, first, listed, last = [event.call for event in actor.events if isinstance(event, Called)]
    assert (first, last) == (FilesDeleted(("a",)), FilesDeleted(("b",)))
    assert sorted(listed.files) == [("b", 1), ("c", 1)]


def test_runtime_says_why_a_folder_cannot_be_listed(tmp_path: Path) -> None:
    actor = Scripted(lambda event: [ListFiles()] if event == Called("begin") else [])

    async def work() -> None:
        runtime = Runtime(actor, Hub().network("a"), folder=LocalFolder(tmp_path / "gone"))
        runtime.start()
        runtime.post(Called("begin"))
        while len(actor.events) < 4:
            await asyncio.sleep(0)
        runtime.close()

    run(work())
    reason = f"cannot list the files in {tmp_path / 'gone'}: No such file or directory"
    assert actor.events[2] == Called(FilesListed(error=reason))


def test_event_from_another_thread_wakes_the_loop() -> None:
    async def work() -> None:
        heard = asyncio.get_running_loop().create_future()
        runtime = Runtime(Scripted(lambda event: [Deliver(event)]), Hub().network("a"), deliver=heard.set_result)
        runtime.start()
        await asyncio.to_thread(runtime.post_from_thread, Called("here"))
        assert await heard == Called("here")

    run(work())


def test_hub_carries_messages_between_members_and_drops_those_for_nobody() -> None:
    heard: list[tuple[str, Message]] = []
    hub = Hub()
    one, two = hub.network("one"), hub.network("two")
    two.attach(lambda sender, message: heard.append((sender, message)))
    one.send("two", Noted(3))
    one.send("nobody", Noted(4))
    two.close()
    one.send("two", Noted(5))
    assert heard == [("one", Noted(3))]
