"""Hands what the actors of a trace handled to actors made anew, which must want the same.

    for difference in retraced(path).differences: print(difference)

An actor does no I/O, so its turns follow from what it was made of and from its events alone. A trace of real processes
that comes out otherwise here tells of an actor that looks at something else, or of another release of hive.

It must not know how a trace came about, or how a report is printed.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from hive.actors import session
from hive.actors.actor import (
    Actor,
    Called,
    Commit,
    Event,
    FilesDeleted,
    FilesListed,
    JobEnded,
    JobReported,
    Leave,
    Quiet,
    Received,
    TimerFired,
)
from hive.actors.aggregator import Aggregator
from hive.actors.coordinator import AggregatorAt, Coordinator
from hive.actors.messages import MESSAGES
from hive.actors.node import NodeActor
from hive.actors.traces import Line, plain
from hive.actors.trainer import TrainerActor
from hive.errors import UsageError
from hive.storage.memory_store import MemoryStore
from hive.storage.records import RECORDS
from hive.storage.store import Delete, Put, Write
from hive.training import reports

__all__ = ["Difference", "Retraced", "event_of", "lines_of", "retraced"]

ACTORS = {kind.__name__: kind for kind in (Coordinator, Aggregator, NodeActor, TrainerActor, session.Session)}

CALLS = (
    AggregatorAt,
    FilesDeleted,
    FilesListed,
    Leave,
    session.AnnounceCall,
    session.AskCall,
    session.AskTimeCall,
    session.CloseCall,
    session.ReleaseCall,
)

REPORTS = (
    reports.Stepped,
    reports.Evaluated,
    reports.Reached,
    reports.AmendmentTaken,
    reports.Failed,
    reports.Ended,
)

WITHIN = {kind.__name__: kind for kind in (*CALLS, *REPORTS)}
"""What calls and jobs' reports may be."""

TABLES = {kind.table: kind for kind in RECORDS}

MESSAGE = reduce(or_, MESSAGES)


@dataclass(frozen=True, slots=True)
class Difference:
    """A turn in which an actor made anew wants something else.

    Attributes:
        path: of the trace.
        line: of it, from 1.
        at: when; Unix time, in seconds.
        actor: its name in the trace.
        event: what it handled, by its kind.
        told, wanted: effects as the trace tells them, and as the new actor wants them, from the first that differs.
    """

    path: Path
    line: int
    at: float
    actor: str
    event: str
    told: list[dict[str, Any]]
    wanted: list[dict[str, Any]]

    def __str__(self) -> str:
        first = [json.dumps(effects[0]) if effects else "nothing" for effects in (self.told, self.wanted)]
        return f"{self.path}:{self.line}: {self.actor} after {self.event} wanted {first[0]}, and now {first[1]}"


@dataclass
class Retraced:
    """What became of a trace.

    Attributes:
        actors: how many came to life in it.
        turns: how many were gone through.
        differences: where an actor made anew wants something else: the first turn of each; what it handles afterwards
            is left out.
    """

    actors: int = 0
    turns: int = 0
    differences: list[Difference] = field(default_factory=list)


class Again:
    """An actor made anew, and its store.

    Raises:
        UsageError: hive has no such actor, or it is made from something else.
    """

    def __init__(self, made: dict[str, Any]) -> None:
        kind = ACTORS.get(made["type"])
        if kind is None:
            raise UsageError(f"no actor of hive is a {made['type']}")
        hints = get_type_hints(kind.__init__)
        self.store = MemoryStore()
        self.store.commit([write_of(said) for said in made.get("store", [])])
        self.writes: list[Write] = []
        given = {
            name: self.store if name == "store" else msgspec.convert(made[name], hints[name], str_keys=True)
            for name in inspect.signature(kind).parameters
        }
        make: Callable[..., Actor] = kind
        self.actor = make(**given)

    def turn(self, event: Event | None, at: float) -> list[dict[str, Any]]:
        """What it wants after an event, or on coming to life; commits are made when all is quiet, as drivers do."""
        effects = list(self.actor.start(at) if event is None else self.actor.handle(event, at))
        self.writes += [write for effect in effects if isinstance(effect, Commit) for write in effect.writes]
        if event is None or isinstance(event, Quiet):
            self.store.commit(self.writes)
            self.writes.clear()
        plain_effects: list[dict[str, Any]] = json.loads(json.dumps([plain(effect) for effect in effects]))
        return plain_effects


def retraced(path: Path) -> Retraced:
    """Go through a trace again.

    Raises:
        UsageError: it cannot be read; it says which line is wrong.
    """
    found, actors = Retraced(), dict[str, Again | None]()
    for number, line in enumerate(lines_of(path), start=1):
        try:
            if line.made is not None:
                actors[line.actor] = Again(line.made)
                found.actors += 1
            again = actors[line.actor]
            if again is None:
                continue
            wanted = again.turn(None if line.event is None else event_of(line.event), line.at)
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError, UsageError) as error:
            raise UsageError(f"{path}:{number} cannot be gone through again: {error}") from error
        found.turns += 1
        at = first_difference(line.effects, wanted)
        if at is not None:
            name = "coming to life" if line.event is None else line.event["type"]
            found.differences.append(
                Difference(path, number, line.at, line.actor, name, line.effects[at:], wanted[at:])
            )
            actors[line.actor] = None
    return found


def lines_of(path: Path) -> Iterator[Line]:
    """The lines of a trace, one after the other: a trace may be longer than memory. The last one of a process that was
    killed may be torn: it is left out.

    Raises:
        UsageError: the file cannot be read, or another line is none.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, text in enumerate(file, start=1):
                if text.endswith("\n"):
                    yield read(text, f"{path}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def read(text: str, place: str) -> Line:
    """A line of a trace.

    Raises:
        UsageError: it is none.
    """
    try:
        return Line.read(text)
    except ValueError as error:
        raise UsageError(f"{place} is no line of a trace: {error}") from error


def event_of(said: dict[str, Any]) -> Event:
    """The event that a line tells of.

    Raises:
        LookupError, TypeError, ValueError, msgspec.ValidationError: it is none.
    """
    match said:
        case {"type": "Received", "sender": sender, "message": message}:
            return Received(sender, msgspec.convert(message, MESSAGE, str_keys=True))
        case {"type": "Called", "call": call}:
            return Called(msgspec.convert(call, WITHIN[call["type"]], str_keys=True))
        case {"type": "JobReported", "job": job, "report": report}:
            return JobReported(job, msgspec.convert(report, WITHIN[report["type"]], str_keys=True))
        case {"type": "JobEnded", "job": job, "code": code, "tail": tail}:
            return JobEnded(job, code, tail)
        case {"type": "TimerFired", "name": name}:
            return TimerFired(name)
        case {"type": "Quiet"}:
            return Quiet()
    raise ValueError(f"{said} is no event")


def write_of(said: dict[str, Any]) -> Write:
    """The write that a line tells of.

    Raises:
        LookupError, msgspec.ValidationError: it is none.
    """
    if "deleted" in said:
        return Delete(said["table"], tuple(said["deleted"]))
    return Put(msgspec.convert(said["record"], TABLES[said["table"]], str_keys=True))


def first_difference(told: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> int | None:
    """Which effect is the first that differs; as text, in which what is not a number is like itself."""
    for number, (one, other) in enumerate(zip(told, wanted, strict=False)):
        if json.dumps(one) != json.dumps(other):
            return number
    return None if len(told) == len(wanted) else min(len(told), len(wanted))
