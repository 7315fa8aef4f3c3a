"""Which messages reach which actors in which states, and why others do not.

A cell is a kind of message and a state of whom it is for. `cells` are all that could be thought of: every kind that an
actor takes, in each of its states with regard to it. Of a cell that no seed reaches it stands here why it cannot be
reached, or that it is rare. It must not know seeds, faults, or what is promised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from hive.actors.aggregator import Aggregator
from hive.actors.coordinator import Coordinator
from hive.actors.messages import TrainerBeat
from hive.actors.node import NodeActor
from hive.actors.session import Session
from hive.actors.trainer import TrainerActor

__all__ = ["IMPOSSIBLE", "RARE", "Cell", "Delivered", "cells", "state", "unreached"]

Cell = tuple[str, str]
"""A kind of message, and the state of whom it is for."""

Delivered = Counter[Cell]
"""How often a kind of message was delivered to an actor in a state."""

LEASE = tuple(f"coordinator, lease {of}" for of in ("out", "over"))
RUN = tuple(f"coordinator, run {of}" for of in ("unknown", "open", "closed"))
TRAINER = tuple(f"trainer, {doing}" for doing in ("idle", "busy", "leaving"))
NODE = tuple(f"node, {doing}" for doing in ("not yet welcomed", "welcomed", "leaving"))
SESSION = tuple(f"session, {doing}" for doing in ("opening", "open"))

NUMBERED = ("Ask", "AskTime", "Announce", "Release", "CloseRun")
"""What a session says, beside its opening and its beats."""

TAKEN: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("OpenRun", *NUMBERED, "SessionBeat"), RUN),
    (("Notice", "Amended", "LeaseEnded"), LEASE),
    (("TrainerBeat",), (*LEASE, "coordinator, no lease")),
    (("TrainerBroken", "NodeBeat", "TrainerExited"), ("coordinator",)),
    (("StudyCommand", "Collect", "Pin", "StatusQuery"), ("coordinator",)),
    (("Grant", "Amend", "StopLease", "Noted"), TRAINER),
    (("NodeWelcome", "StartTrainer", "RetireTrainer", "Noted", "Curve"), NODE),
    (("Opened", "Applied", "RunState", "Told", "ToldTime", "Refused"), SESSION),
    (("Curve", "CurveQuery"), ("aggregator",)),
]
"""What each actor takes, and its states with regard to that."""

NOT_OPEN = "a session says this once it is told that its run is open, and what is in the store stays there"
NOT_ASKED = "a session asks once its run is open, and before it has asked there is nothing to tell it"
ONE_SCRIPT = "no seed starts a script while an earlier copy of it lives, and nothing is asked of a run that is over"
KILLED = "scripts that ask for the time close no run, and of one that was killed nothing comes when another took over"
CLOSED = "few runs are closed, and it must come again, or late, after that"

IMPOSSIBLE: dict[Cell, str] = {
    **{(kind, "coordinator, run unknown"): NOT_OPEN for kind in NUMBERED},
    ("SessionBeat", "coordinator, run unknown"): NOT_OPEN,
    **{(kind, "session, opening"): NOT_ASKED for kind in ("RunState", "Told", "ToldTime")},
    ("AskTime", "coordinator, run closed"): KILLED,
    ("Release", "coordinator, run closed"): "in no seed a run releases trials and is closed before its end",
    **{("Refused", state): ONE_SCRIPT for state in SESSION},
}
"""What cannot be delivered, and why."""

RARE: dict[Cell, str] = {
    **{(kind, "coordinator, run closed"): CLOSED for kind in ("OpenRun", "Ask", "Announce", "CloseRun")},
    **{
        ("RetireTrainer", f"node, {doing}"): "few trainers are retired: those that hang, or find no class"
        for doing in ("not yet welcomed", "leaving")
    },
    ("Amend", "trainer, leaving"): "a batch must be cut anew within the moment that its trainer takes to leave",
}
"""What few seeds reach, and why."""


def cells() -> Iterator[Cell]:
    """All of them."""
    for kinds, states in TAKEN:
        yield from ((kind, state) for kind in kinds for state in states)


def unreached(delivered: Collection[Cell]) -> dict[Cell, str]:
    """The cells that nothing was delivered to, each with the reason; "" if nobody knows one."""
    explained = RARE | IMPOSSIBLE
    return {cell: explained.get(cell, "") for cell in cells() if cell not in delivered}


def state(actor: object, message: object) -> str:
    """Which actor, and in which of its states with regard to a message."""
    match actor:
        case Coordinator():
            return coordinator_state(actor, message)
        case TrainerActor():
            doing = "leaving" if actor.leaving else "idle" if actor.lease is None else "busy"
            return f"trainer, {doing}"
        case Session():
            return f"session, {'open' if actor.opened else 'opening'}"
        case NodeActor():
            doing = "leaving" if actor.leaving else "welcomed" if actor.welcomed else "not yet welcomed"
            return f"node, {doing}"
        case Aggregator():
            return "aggregator"
    return type(actor).__name__


def coordinator_state(actor: Coordinator, message: Any) -> str:
    """Of what a message to the coordinator is about: whether it is there."""
    lease, run = getattr(message, "lease", None), getattr(message, "run", None)
    if lease is not None:
        return f"coordinator, lease {'out' if lease in actor.books.leases.leases else 'over'}"
    if run is not None:
        known_run = actor.books.runs.get(run)
        return f"coordinator, run {'unknown' if known_run is None else 'closed' if known_run.record.closed else 'open'}"
    return "coordinator, no lease" if isinstance(message, TrainerBeat) else "coordinator"
