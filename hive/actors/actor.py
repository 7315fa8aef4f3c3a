"""What an actor is: a state machine without I/O, `handle(event, now) -> effects`.

Events come in one at a time; effects go out as a closed set of frozen records. A driver (runtime.py) drains the
inbox, lets the actor handle event by event and then `Quiet`, commits all `Commit` effects of these turns as one
transaction, and only then carries out the others in order. So nothing is said before it is durable. If the commit
fails, the driver throws the actor away and makes a new one from the store; that is also what a restart is.

`now` is Unix time in seconds and never decreases within one driver. This module must not know any message, any
actor, or any driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hive.storage.records import Key, Record
from hive.storage.store import Delete, Put, Write

__all__ = [
    "SILENT_BEATS",
    "Actor",
    "AmendJob",
    "Called",
    "Commit",
    "DeleteFiles",
    "Deliver",
    "Effect",
    "Event",
    "FilesDeleted",
    "FilesListed",
    "JobEnded",
    "JobReported",
    "Leave",
    "ListFiles",
    "Quiet",
    "Received",
    "Send",
    "Silence",
    "StartJob",
    "StartTimer",
    "StopJob",
    "TimerFired",
    "Turn",
]


SILENT_BEATS = 5
"""Beats in a row without a word of the coordinator, after which people should know. A coordinator that lives answers
each within a second or two, and a run that first has to see whether an earlier one lives is opened after three. Beats
are counted, not seconds: a process that was itself held up sent none."""


@dataclass(frozen=True, slots=True)
class Received:
    """A peer's message arrived. `sender`: the peer's name on the network; it may be repeated, late, or never come."""

    sender: str
    message: Any


@dataclass(frozen=True, slots=True)
class Called:
    """Code of the actor's own process asks for something (the tuner its session, a signal its node manager)."""

    call: Any


@dataclass(frozen=True, slots=True)
class FilesDeleted:
    """A call: these checkpoint files are gone."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FilesListed:
    """A call: these files lie in the checkpoint folder, each with its bytes. `error`: why nobody can say; "" if these
    are all."""

    files: tuple[tuple[str, int], ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Leave:
    """A call: the process is to end soon. Begin nothing more, and leave what runs where nothing of it is lost."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Handed on with `Deliver`: the coordinator has not answered for `SILENT_BEATS` beats. What is handed on next says
    that it does again."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that the actor started has run out."""

    name: str


@dataclass(frozen=True, slots=True)
class JobReported:
    """A job that the actor started has something to say."""

    job: str
    report: Any


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A job that the actor started is gone. `code`: its exit code, negative for a signal; `tail`: its last words."""

    job: str
    code: int
    tail: str = ""


@dataclass(frozen=True, slots=True)
class Quiet:
    """All that had come was handed in: what follows from it together can be decided now, and not after each part."""


Event = Received | Called | TimerFired | JobReported | JobEnded | Quiet


@dataclass(frozen=True, slots=True)
class Commit:
    """Make these writes durable, all or none, before any other effect of the turn."""

    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Hand a message to the network; it may be lost."""

    to: str
    message: Any


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand something to the code of the actor's own process."""

    answer: Any


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Fire once, `after_s` seconds from now; a timer of the same name is replaced."""

    name: str
    after_s: float


@dataclass(frozen=True, slots=True)
class StartJob:
    """Begin a job: a batch for a trainer's training thread, a process for a node manager."""

    job: str
    order: Any


@dataclass(frozen=True, slots=True)
class AmendJob:
    """Change what a job is about while it runs; where it has come too far for that, it says so."""

    job: str
    order: Any


@dataclass(frozen=True, slots=True)
class StopJob:
    """Ask a job to end: a batch at its next step with a checkpoint there, a process at once."""

    job: str


@dataclass(frozen=True, slots=True)
class DeleteFiles:
    """Delete checkpoint files, when there is time for it, and call `FilesDeleted`. One that is gone already is no
    error."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListFiles:
    """Look which files there are in the checkpoint folder, and call `FilesListed`. One thing after the other is done
    there: what was to be deleted before is gone by then, and what is to be deleted later is told of later."""


Effect = Commit | Send | Deliver | StartTimer | StartJob | AmendJob | StopJob | DeleteFiles | ListFiles


@dataclass(slots=True)
class Turn:
    """The effects of one event, as they are gathered."""

    writes: list[Write] = field(default_factory=list)
    others: list[Effect] = field(default_factory=list)

    def put(self, record: Record) -> None:
        """Write a record with this turn's commit."""
        self.writes.append(Put(record))

    def delete(self, kind: type[Record], key: Key) -> None:
        """Remove a record with this turn's commit."""
        self.writes.append(Delete(kind.table, key))

    def send(self, to: str, message: Any) -> None:
        """Send a message after this turn's commit."""
        self.others.append(Send(to, message))

    def do(self, effect: Effect) -> None:
        """Carry out an effect after this turn's commit."""
        self.others.append(effect)

    def effects(self) -> list[Effect]:
        """What the driver gets: the commit, if there is anything to write, and then the rest in order."""
        return [Commit(tuple(self.writes)), *self.others] if self.writes else list(self.others)


class Actor(Protocol):
    """A state machine without I/O: no socket, clock, thread or file, and no randomness that was not handed in."""

    def start(self, now: float) -> Sequence[Effect]:
        """The effects of coming to life; called once, before the first event."""
        ...

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """The effects of one event."""
        ...
