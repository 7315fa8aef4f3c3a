"""What actors handled and what they wanted, as text: a line for each turn, which can be read back.

    {"at": 1000.2, "actor": "coordinator", "event": {"type": "Received", ...}, "effects": [{"type": "Commit", ...}]}

A trace begins an actor with a line of how it was made, its store's records among that: so its events can be handed to
an actor made anew, which must want the same. Where `HIVE_TRACE` names a folder every process writes one there; the
simulator writes one of all its actors.

It must not know any actor, or what is done with a trace.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, TextIO, get_args

import msgspec

from hive.actors.actor import Actor, Commit, Effect, Event
from hive.errors import UsageError
from hive.storage.records import RECORDS, Record
from hive.storage.store import Put, Store, Write

__all__ = ["Line", "Trace", "plain", "trace_file", "trace_of_process"]

log = logging.getLogger("hive")

VARIABLE = "HIVE_TRACE"
"""The environment variable that names a folder for traces; none are written without it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A turn, as a trace tells it.

    Attributes:
        at: what the actor was shown of its clock; Unix time, in seconds.
        actor: the actor's name in this trace. A later one of that name takes its place.
        made: what it was made from where it begins here, its class as "type"; None for the actor that is there.
        event: what it handled; None where it came to life.
        effects: what it wanted.

    The last three are plain values.
    """

    at: float
    actor: str
    made: dict[str, Any] | None
    event: dict[str, Any] | None
    effects: list[dict[str, Any]]

    @classmethod
    def read(cls, text: str) -> Line:
        """The line that a trace holds.

        Raises:
            ValueError: it is none; the last one of a process that was killed may be torn.
        """
        found = json.loads(text)
        try:
            return cls(found["at"], found["actor"], found.get("made"), found.get("event"), found["effects"])
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{text[:80]!r} is no line of a trace") from error

    def __str__(self) -> str:
        said = {"at": self.at, "actor": self.actor, "made": self.made, "event": self.event, "effects": self.effects}
        return json.dumps({name: value for name, value in said.items() if value is not None})


class Trace:
    """A trace that is being written.

    Args:
        write: takes its text, each line with its end.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self.write = write
        self.known: dict[str, Actor] = {}

    def name_of(self, actor: Actor) -> str:
        """What to call an actor that has no name: as nobody else here is called."""
        kind = type(actor).__name__
        names = (kind if number == 1 else f"{kind} {number}" for number in count(1))
        return next(name for name in names if self.known.get(name, actor) is actor)

    def began(self, name: str, actor: Actor, store: Store | None, at: float, effects: Sequence[Effect]) -> None:
        """An actor came to life: with its process, or, where it is known, once more in another."""
        made = None if self.known.get(name) is actor else origin(actor, store)
        self.known[name] = actor
        self.line(Line(at, name, made, None, [plain(effect) for effect in effects]))

    def turn(self, name: str, event: Event, at: float, effects: Sequence[Effect]) -> None:
        """An actor handled an event."""
        self.line(Line(at, name, None, plain(event), [plain(effect) for effect in effects]))

    def line(self, line: Line) -> None:
        """One more line. A trace that cannot be written any more ends: training is worth more."""
        try:
            self.write(f"{line}\n")
        except OSError as error:
            log.warning("the trace ends here: %s", error)
            self.write = lambda _: None


def trace_of_process() -> Trace | None:
    """The trace of this process, in a file named after its program; None where nobody wants one.

    Raises:
        UsageError: the file cannot be made.
    """
    return opened(Path(sys.argv[0]).stem, os.getpid()) if os.environ.get(VARIABLE) else None


@cache
def opened(program: str, process: int) -> Trace:
    """A process's one trace, to which all its actors write."""
    file = trace_file(f"{program}-{process}")
    assert file is not None
    return Trace(file.write)


def trace_file(name: str) -> TextIO | None:
    """A new file for a trace, so named or with a number behind that; None where nobody wants any.

    What is written is there line by line: of a process that is killed can be read what it did until then.

    Raises:
        UsageError: the file cannot be made.
    """
    folder = os.environ.get(VARIABLE)
    if not folder:
        return None
    names = (f"{name}-{number}" if number > 1 else name for number in count(1))
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        return next(file for each in names if (file := new_file(Path(folder) / f"{each}.jsonl")) is not None)
    except OSError as error:
        raise UsageError(f"{VARIABLE} is {folder!r}, where no trace can be written: {error}") from error


def new_file(path: Path) -> TextIO | None:
    """A file that was not there, whose every line is written at once; None if it was there."""
    try:
        return path.open("x", buffering=1, encoding="utf-8")
    except FileExistsError:
        return None


# -- plain values -----------------------------------------------------------------------------------------------


FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in (*get_args(Event), *get_args(Effect))}
"""What events and effects have in them, which may be anything."""


def plain(value: Any) -> Any:
    """An event, an effect, or what is in one, as plain values: each thing says its "type", each write its table."""
    kind = type(value)
    if kind is Commit:
        return {"type": "Commit", "writes": [written(write) for write in value.writes]}
    names = FIELDS.get(kind)
    if names is not None:
        return {"type": kind.__name__, **{name: plain(getattr(value, name)) for name in names}}
    if kind is str or kind is float:
        return value
    told = msgspec.to_builtins(value, str_keys=True, enc_hook=str)
    return {"type": kind.__name__, **told} if is_dataclass(kind) else told


def written(write: Write) -> dict[str, Any]:
    """A write as plain values."""
    if isinstance(write, Put):
        return record(write.record)
    return {"table": write.table, "deleted": list(write.key)}


def record(found: Record) -> dict[str, Any]:
    """A record as plain values."""
    return {"table": found.table, "record": msgspec.to_builtins(found, str_keys=True)}


def origin(actor: Actor, store: Store | None) -> dict[str, Any]:
    """What an actor was made from: it keeps that under the names of its arguments, and its store tells the rest."""
    made: dict[str, Any] = {"type": type(actor).__name__}
    for name in inspect.signature(type(actor)).parameters:
        if name == "store":
            assert store is not None
            made[name] = [record(found) for kind in RECORDS for found in store.scan(kind)]
        else:
            made[name] = plain(getattr(actor, name))
    return made
