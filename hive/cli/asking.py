"""One question to a coordinator, asked until it is answered. It must not know what is asked."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from pathlib import Path
from typing import Any, TypeVar

import zmq

from hive.actors.actor import Called, Commit, DeleteFiles, Event, FilesDeleted, FilesListed, ListFiles, Received, Send
from hive.actors.coordinator import Coordinator
from hive.actors.keys import named_folder
from hive.actors.messages import Message, Refused
from hive.actors.sockets import ZmqNetwork
from hive.errors import StudyError
from hive.storage.folders import Folder, claim, own_folder
from hive.storage.lmdb_store import LmdbStore
from hive.storage.root import Root, RootPaths, read_owner

__all__ = ["answer_at", "answer_of", "live_address"]

ANSWER_S = 5.0
"""How long a coordinator may take to answer what it knows."""

AGAIN_S = 1.0
"""After so long without an answer the question is asked again: a message may be lost."""

M = TypeVar("M", bound=Message)


def live_address(root: Path) -> str | None:
    """The address of the coordinator that owns a root; None if nobody does."""
    return RootPaths(root).read_address() if read_owner(root) is not None else None


def answer_at(
    root: Path, url: str | None, keys: Path | None, question: Message, kind: type[M], within_s: float = ANSWER_S
) -> M:
    """What is answered by the coordinator at an address, else by that of a root; if nobody owns the root, by one that
    is made for this question.

    Raises:
        StudyError: nobody answers within so many seconds, or the question is refused.
    """
    address = url if url is not None else live_address(root)
    if address is None:
        return answer_of_stopped(root, question, kind)
    return answer_of(address, keys, question, kind, within_s)


def answer_of_stopped(root: Path, question: Message, kind: type[M]) -> M:
    """What a coordinator of a root that nobody owns answers; what it decides is carried out."""
    paths = RootPaths(root)
    if not paths.store_path.exists():
        raise StudyError(f"{root} is no root: nothing was run there (name one with --root)")
    with Root.acquire(root) as owned:
        store = LmdbStore(owned.store_path)
        try:
            folder = claim(store, str(owned.checkpoints_path))
            said = carry_out(Coordinator(store, time.time()), question, store, own_folder(folder))
        finally:
            store.close()
    return judged(said[0], kind)


def carry_out(coordinator: Coordinator, question: Message, store: LmdbStore, folder: Folder) -> list[Message]:
    """Have a coordinator answer a question, with all that follows from it; what it said."""
    events: deque[Event] = deque([Received("question", question)])
    said: list[Message] = []
    while events:
        effects = coordinator.handle(events.popleft(), time.time())
        store.commit([write for effect in effects if isinstance(effect, Commit) for write in effect.writes])
        for effect in effects:
            match effect:
                case Send(_, message):
                    said.append(message)
                case DeleteFiles(names):
                    folder.delete(names)
                    events.append(Called(FilesDeleted(names)))
                case ListFiles():
                    events.append(Called(FilesListed(tuple(folder.files()))))
    return said


def answer_of(url: str, keys: Path | None, question: Message, kind: type[M], within_s: float = ANSWER_S) -> M:
    """What the coordinator at an address answers to somebody with these keys.

    Raises:
        StudyError: it does not within so many seconds, or it refuses the keys or the question.
    """
    return asyncio.run(ask(url, named_folder(keys), question, kind, within_s))


async def ask(url: str, keys: Path | None, question: Message, kind: type[M], within_s: float) -> M:
    """See `answer_of`."""
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def receive(_sender: str, message: Any) -> None:
        if isinstance(message, kind | Refused) and not answer.done():
            answer.set_result(message)

    def tell(reason: str, _refused: bool) -> None:
        if not answer.done():
            answer.set_exception(StudyError(reason))

    network = ZmqNetwork(zmq.Context(), f"question:{time.time_ns()}", keys=keys)
    network.tell = tell
    network.connect("coordinator", url)
    network.attach(receive)
    try:
        end = time.monotonic() + within_s
        while not answer.done() and time.monotonic() < end:
            network.send("coordinator", question)
            await asyncio.wait({answer}, timeout=AGAIN_S)
    finally:
        network.close()
    if not answer.done():
        raise StudyError(f"nobody answered at {url} within {within_s:g} s")
    return judged(answer.result(), kind)


def judged(found: Any, kind: type[M]) -> M:
    """An answer, if it is none that refuses."""
    if not isinstance(found, kind):
        raise StudyError(found.reason)
    return found
