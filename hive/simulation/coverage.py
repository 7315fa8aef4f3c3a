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

TAKEN: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("OpenRun", "Ask", "AskTime", "Announce", "Release", "CloseRun", "SessionBeat"), RUN),
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

IMPOSSIBLE: dict[Cell, str] = {}
"""What cannot be delivered, and why."""

RARE: dict[Cell, str] = {}
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
