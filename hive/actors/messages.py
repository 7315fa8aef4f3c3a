"""What the actors say to each other: frozen, typed records, one class a kind. docs/protocol.md tells it to other
languages.

Who says what, and what makes a loss harmless:

    session -> coordinator   OpenRun, Ask, Release, CloseRun   numbered; repeated until Applied
                             SessionBeat                        every beat; says which answers came
    coordinator -> session   Opened, Applied, Told, RunState    Told is repeated from what SessionBeat says
                             Refused
    trainer -> coordinator   TrainerBeat                        every beat; says what it runs
                             Notice, Amended, LeaseEnded        numbered; repeated until Noted
                             TrainerBroken                      repeated until it is told to stop
    coordinator -> trainer   Grant, Amend, StopLease            repeated when a beat shows that it was lost
                             Noted
    node -> coordinator      NodeBeat                           every beat; says what runs on which device
                             TrainerExited                      numbered; repeated until Noted
    coordinator -> node      NodeWelcome, StartTrainer,         repeated when a beat shows that it was lost
                             RetireTrainer
    trainer -> node -> aggregator   Curve                       may be lost
    anyone -> coordinator    StatusQuery -> Status
    anyone -> aggregator     CurveQuery -> Curves

This module must not know sockets, bytes, or what any actor does with a message.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from hive.storage.records import CheckpointFile, RunCounts, TrainerSource

__all__ = [
    "MESSAGES",
    "WEIGHT_MAX",
    "WEIGHT_MIN",
    "Amend",
    "Amended",
    "Applied",
    "Ask",
    "AskedTrial",
    "CloseRun",
    "Count",
    "Curve",
    "CurveQuery",
    "Curves",
    "Grant",
    "GrantedStage",
    "LeaseEnded",
    "Message",
    "Name",
    "NodeBeat",
    "NodeWelcome",
    "Noted",
    "Notice",
    "OpenRun",
    "Opened",
    "Point",
    "Refused",
    "Release",
    "RetireTrainer",
    "RunState",
    "SessionBeat",
    "Slot",
    "StartTrainer",
    "Status",
    "StatusQuery",
    "StopLease",
    "Told",
    "TrainerBeat",
    "TrainerBroken",
    "TrainerExited",
]


class Message(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The base of all messages: a map whose "type" is the class's name."""


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """The base of what messages are made of."""


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
"""What becomes part of a key in the store. A key has 511 bytes at most, and a character up to four."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A step, a number, or an identity: from 0, and no larger than a key in the store can hold."""

WEIGHT_MIN, WEIGHT_MAX = 0.001, 1000.0
"""Between these, sums and quotients of weights are exact enough, and a study of the least still gets a turn."""

Weight = Annotated[float, msgspec.Meta(ge=WEIGHT_MIN, le=WEIGHT_MAX)]
"""How much of the trainer time a study gets, in proportion to the others that wait."""


# -- a session and the coordinator ----------------------------------------------------------------------------


class OpenRun(Message, frozen=True):
    """A run begins (number 1 of its session).

    Attributes:
        run: drawn by the script, unique for ever.
        study: the study's name.
        plan_key: see design section 2.
        merge: whether equal beginnings are shared; if not, the plan is this run's own.
        fresh: begin a new plan, and leave what stands under the key.
        parts: by name, the hash of each piece of code that the trainer can reach.
        weight: the study's share of trainer time, in proportion to those of other studies that wait.
    """

    run: Name
    number: Count
    study: Name
    plan_key: Name
    merge: bool
    fresh: bool
    source: TrainerSource
    fingerprint: str
    parts: dict[str, str]
    weight: Weight = 1.0


class AskedTrial(Part, frozen=True):
    """A trial and the step up to which it should be trained (>= 1). `config`: its sequences' descriptors by name."""

    trial: Count
    step: Count
    config: dict[str, dict[str, Any]]


class Ask(Message, frozen=True):
    """Requests made together: all are applied before anything is granted."""

    run: Name
    number: Count
    requests: list[AskedTrial]


class Release(Message, frozen=True):
    """These trials want nothing more."""

    run: Name
    number: Count
    trials: list[Count]


class CloseRun(Message, frozen=True):
    """The run is over: it wants nothing more."""

    run: Name
    number: Count


class SessionBeat(Message, frozen=True):
    """The session lives. `told`: the number of the last answer it has, 0 for none."""

    run: Name
    told: Count


class Opened(Message, frozen=True):
    """The run is open on `plan`. `note`: what the user should know, such as which code changed since the last plan."""

    run: Name
    plan: Name
    note: str = ""


class Applied(Message, frozen=True):
    """Everything that the session said up to `number` is durable."""

    run: Name
    number: Count


class Told(Message, frozen=True):
    """An answer. Its `number` counts the run's answers from 1; a run is told all of them in this order.

    Attributes:
        metrics: what `evaluate()` returned there; None for a failure.
        digest: SHA-256 of the state there; None for a failure.
        error: why there is no answer: the user's traceback, or what hive saw; None for an answer.
    """

    run: Name
    number: Count
    trial: Count
    step: Count
    metrics: dict[str, float] | None = None
    digest: str | None = None
    error: str | None = None


class RunState(Message, frozen=True):
    """How a run stands.

    Attributes:
        busy: trainers at work on its plan.
        trainers: all trainers there are.
        settled: nothing that it asked for is open, and no batch is out whose steps go to its counts: they are final.
    """

    run: Name
    counts: RunCounts
    busy: Count
    trainers: Count
    settled: bool = False


class Refused(Message, frozen=True):
    """What was sent cannot be taken; `reason` is for the person who reads it."""

    reason: str
    run: str = ""


# -- a trainer and the coordinator ----------------------------------------------------------------------------


class GrantedStage(Part, frozen=True):
    """The steps [start, end) under a node; `forms`: the node's, as data; `metrics`: whether to measure at the end."""

    node: Count
    start: Count
    end: Count
    forms: dict[str, list[Any]]
    metrics: bool


Stages = Annotated[list[GrantedStage], msgspec.Meta(min_length=1)]
"""Consecutive: each begins where the one before ended."""


class Grant(Message, frozen=True):
    """A batch: consecutive stages of one critical path.

    Attributes:
        lease: its number, never used again in this root; checkpoints carry it in their names.
        origin: the (node, step) whose state it starts from; None for a fresh start.
        checkpoint: that state's file; None for a fresh start.
        build_values: every hyper-parameter's value in the step before (of step 0 for a fresh start).
        amendment: the number of the last amendment that `stages` takes in; 0 for none.
    """

    trainer: Name
    lease: Count
    stages: Stages
    build_values: dict[str, Any]
    origin: tuple[int, int] | None = None
    checkpoint: str | None = None
    amendment: Count = 0


class Amend(Message, frozen=True):
    """The stages of a batch that runs, cut anew: what was asked for since is among its boundaries, and what nobody
    wants any more is not.

    Attributes:
        amendment: counts the lease's amendments from 1; the highest one holds.
        stages: in place of all that is ahead; none if nobody wants it any more. They lie on the way that was granted;
            the first may begin before the step that training has reached.
    """

    trainer: Name
    lease: Count
    amendment: Count
    stages: list[GrantedStage]


class StopLease(Message, frozen=True):
    """Nobody wants what the lease would reach, or it is no longer this trainer's: leave it at the next step."""

    trainer: Name
    lease: Count


class Noted(Message, frozen=True):
    """What the peer said is durable: of a trainer, everything under `lease` up to `number`, and all of earlier leases;
    of a node manager, just what had this number."""

    number: Count
    lease: Count = 0


class TrainerBeat(Message, frozen=True):
    """A trainer lives.

    Attributes:
        lease: what it runs, None if idle.
        step: the absolute step it has done.
        steps_run: calls of `train()` in this lease.
        held: the place of the live model, if it can go on.
        amendment: the highest that it has heard of for this lease.
    """

    trainer: Name
    node: Name
    plan: Name
    lease: Count | None = None
    step: Count = 0
    steps_run: Count = 0
    held: tuple[int, int] | None = None
    amendment: Count = 0


class Notice(Message, frozen=True):
    """A boundary was reached: its checkpoint, metrics and digest together, the file durable already.

    Attributes:
        number: counts what the trainer said under this lease, from 1.
        steps_run: calls of `train()` in this lease so far.
        train_s: seconds that this lease's `train()` calls since its last notice took.
    """

    trainer: Name
    number: Count
    lease: Count
    node: Count
    step: Count
    steps_run: Count
    digest: str
    train_s: float = 0.0
    save_s: float = 0.0
    metrics: dict[str, float] | None = None
    checkpoint: CheckpointFile | None = None


class Amended(Message, frozen=True):
    """Training took an amendment up: every boundary of it from `step` on will be met, and none before that any more.

    Attributes:
        number: follows that of the lease's last notice.
        step: the absolute step that was done when training looked.
    """

    trainer: Name
    number: Count
    lease: Count
    amendment: Count
    step: Count


class LeaseEnded(Message, frozen=True):
    """The trainer is done with a lease: through, stopped, or failed.

    Attributes:
        number: follows that of the lease's last notice.
        failed_step: the first step of `failed_node` that could not be reached; None unless user code failed.
        error: the user's traceback.
        load_s: seconds from the grant to the first step; None unless the state came from a checkpoint's file.
    """

    trainer: Name
    number: Count
    lease: Count
    steps_run: Count
    load_s: float | None = None
    held: tuple[int, int] | None = None
    failed_node: Count | None = None
    failed_step: Count | None = None
    error: str | None = None


class TrainerBroken(Message, frozen=True):
    """The trainer's class cannot be had: its module does not import, or its code is not the plan's."""

    trainer: Name
    plan: Name
    error: str


# -- a node manager and the coordinator -----------------------------------------------------------------------


class Slot(Part, frozen=True):
    """A device and the trainer process that runs on it, None for none."""

    device: Name
    trainer: Name | None = None


class NodeBeat(Message, frozen=True):
    """A node manager lives.

    Attributes:
        incarnation: drawn anew each time it starts; trainers of an earlier one are dead.
        number: counts the beats of this incarnation: one that comes late says nothing any more.
    """

    node: Name
    incarnation: Name
    slots: list[Slot]
    number: Count = 0


class NodeWelcome(Message, frozen=True):
    """Where this node's curves go; "" for nowhere."""

    aggregator: str


class StartTrainer(Message, frozen=True):
    """Run a trainer for a plan on a slot, in place of whatever runs there.

    Attributes:
        fingerprint: of the plan's code; a trainer whose code has another one refuses to train.
        checkpoints: the folder of the checkpoint files.
        incarnation: of the node manager that it is for. An order that comes late must not start a dead trainer again,
            under whose name files were written.
    """

    slot: Count
    trainer: Name
    plan: Name
    source: TrainerSource
    fingerprint: str
    checkpoints: str
    incarnation: Name


class RetireTrainer(Message, frozen=True):
    """End a trainer that is not needed any more, or that nobody knows."""

    trainer: Name


class TrainerExited(Message, frozen=True):
    """A trainer's process is gone. `code`: negative for a signal; `tail`: the end of what it wrote."""

    node: Name
    number: Count
    trainer: Name
    code: int
    tail: str = ""


# -- curves ---------------------------------------------------------------------------------------------------


class Point(Part, frozen=True):
    """Metrics at a step of a node. `kind`: "train" for what `train()` returned, "eval" for `evaluate()`."""

    node: Count
    step: Count
    kind: Name
    metrics: dict[str, float]


class Curve(Message, frozen=True):
    """Points of a plan's curves; what is lost on the way is lost."""

    plan: Name
    points: list[Point]


class CurveQuery(Message, frozen=True):
    """All points of one node of a plan."""

    plan: Name
    node: Count


class Curves(Message, frozen=True):
    """The answer to a CurveQuery, by step."""

    plan: Name
    points: list[Point]


# -- anyone ---------------------------------------------------------------------------------------------------


class StatusQuery(Message, frozen=True):
    """How do things stand?"""


class Status(Message, frozen=True):
    """How things stand, as plain data; its form is that of `hive status --json`."""

    state: dict[str, Any]


MESSAGES: tuple[type[Message], ...] = (
    OpenRun, Ask, Release, CloseRun, SessionBeat, Opened, Applied, Told, RunState, Refused,
    Grant, Amend, StopLease, Noted, TrainerBeat, Notice, Amended, LeaseEnded, TrainerBroken,
    NodeBeat, NodeWelcome, StartTrainer, RetireTrainer, TrainerExited,
    Curve, CurveQuery, Curves, StatusQuery, Status,
)  # fmt: skip
"""Every kind there is. A kind that is not here does not exist on the wire."""
