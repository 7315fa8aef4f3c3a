"""What people and programs ask a coordinator or an aggregator from outside, and what they are answered.

It must not know sockets, bytes, or what is done about a question.
"""

from __future__ import annotations

from typing import Any, Literal

from hive.actors.parts import Count, Message, Name, Point

__all__ = [
    "Collect",
    "Collected",
    "CurveQuery",
    "Curves",
    "Pin",
    "Pinned",
    "Status",
    "StatusQuery",
    "StudyCommand",
    "StudyDone",
]


class StatusQuery(Message, frozen=True):
    """How do things stand? `trees`: and what are the plans' records? Refused where these are too many for a message."""

    trees: bool = False


class Status(Message, frozen=True):
    """How things stand, as plain data; its form is that of `hive status --json`, with "trees" if it was asked for."""

    state: dict[str, Any]


class StudyCommand(Message, frozen=True):
    """Pause, resume or cancel the open runs of a study, or one run. Said twice, it changes nothing the second time.

    Attributes:
        name: the study's, or the run's.
        by: who says so, for those who wait for the run.
    """

    name: Name
    action: Literal["pause", "resume", "cancel"]
    by: str = ""


class StudyDone(Message, frozen=True):
    """A command is in force. `runs`: those that it is about."""

    name: Name
    action: Literal["pause", "resume", "cancel"]
    runs: list[str]


class Collect(Message, frozen=True):
    """Give checkpoints up: those that no trial could start from which might go on; with `bytes`, as many as it takes to
    come down to so many, the cheapest to train again first. And delete the orphans: files that no record names, of
    leases that are over. `dry_run`: only say how many."""

    bytes: Count | None = None
    dry_run: bool = False


class Collected(Message, frozen=True):
    """What was given up, or would be.

    Attributes:
        files: how many.
        freed: their bytes.
        left: bytes of the checkpoints that stay.
        by_plan: freed bytes by plan.
        orphans: how many files that no record names.
        orphan_bytes: their bytes.
    """

    files: Count
    freed: Count
    left: Count
    by_plan: dict[str, int]
    orphans: Count = 0
    orphan_bytes: Count = 0


class Pin(Message, frozen=True):
    """Keep the state whose digest begins so, whatever its checkpoint takes; or (not `keep`) no longer. `by`: who says
    so."""

    digest: Name
    keep: bool
    by: str = ""


class Pinned(Message, frozen=True):
    """A state is kept, or (not `keep`) no longer. `file`: of its checkpoint, "" if there is none."""

    digest: str
    keep: bool
    file: str


class CurveQuery(Message, frozen=True):
    """All points of one node of a plan."""

    plan: Name
    node: Count


class Curves(Message, frozen=True):
    """The answer to a CurveQuery, by step."""

    plan: Name
    points: list[Point]
