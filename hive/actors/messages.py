"""What the actors say to each other: frozen, typed records, one class a kind. docs/protocol.md tells it to other
languages.

Who says what, and what makes a loss harmless:

    session -> coordinator   OpenRun, Ask, AskTime, Announce,  numbered; repeated until Applied
                             Release, CloseRun
                             SessionBeat                        every beat; says which answers came
    coordinator -> session   Opened, Applied, RunState, Refused
                             Told, ToldTime                     repeated from what SessionBeat says
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
                             StudyCommand -> StudyDone          said again by whoever commands
                             Collect -> Collected, Pin -> Pinned
    anyone -> aggregator     CurveQuery -> Curves

This module must not know sockets, bytes, or what any actor does with a message.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hive.actors.parts import (
    WEIGHT_MAX,
    WEIGHT_MIN,
    AnnouncedTrial,
    AskedTrial,
    Count,
    GrantedStage,
    Message,
    Name,
    Point,
    Slot,
    Stages,
    Weight,
)
from hive.actors.questions import (
    Collect,
    Collected,
    CurveQuery,
    Curves,
    Pin,
    Pinned,
    Status,
    StatusQuery,
    StudyCommand,
    StudyDone,
)
from hive.storage.records import CheckpointFile, CheckpointFolder, RunCounts, TrainerSource

__all__ = [
    "MESSAGES", "WEIGHT_MAX", "WEIGHT_MIN", "Amend", "Amended", "Announce", "AnnouncedTrial", "Applied", "Ask",
    "AskTime", "AskedTrial", "CloseRun", "Collect", "Collected", "Count", "Curve", "CurveQuery", "Curves", "Grant",
    "GrantedStage", "LeaseEnded", "Message", "Name", "NodeBeat", "NodeWelcome", "Noted", "Notice", "OpenRun", "Opened",
    "Pin", "Pinned", "Point", "Refused", "Release", "RetireTrainer", "RunState", "SessionBeat", "Slot", "StartTrainer",
    "Status", "StatusQuery", "StopLease", "StudyCommand", "StudyDone", "Told", "ToldTime", "TrainerBeat",
    "TrainerBroken", "TrainerExited",
]  # fmt: skip


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
        metric: what the study is about: the state of its best trial is never evicted. "" if there is none.
        maximize: whether more of it is better.
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
    metric: str = ""
    maximize: bool = True


class Ask(Message, frozen=True):
    """Requests made together: all are applied before anything is granted."""

    run: Name
    number: Count
    requests: list[AskedTrial]


class AskTime(Message, frozen=True):
    """What time is it? The answer has a place in the journal, so that a run that is started again is told the same."""

    run: Name
    number: Count


class Announce(Message, frozen=True):
    """The run may ask for these later, until it releases them. Nothing is trained for that."""

    run: Name
    number: Count
    trials: list[AnnouncedTrial]


class Release(Message, frozen=True):
    """These trials want nothing more. `done`: the run's script came to its end; whoever runs it again begins anew."""

    run: Name
    number: Count
    trials: list[Count]
    done: bool = False


class CloseRun(Message, frozen=True):
    """The run is over: it wants nothing more."""

    run: Name
    number: Count


class SessionBeat(Message, frozen=True):
    """The session lives.

    Attributes:
        told: the number of the last answer it has, 0 for none.
        said: the number of the last message it has said; None for a session that does not tell.
    """

    run: Name
    told: Count
    said: Count | None = None


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
    """An answer. Its `number` counts the entries of the run's journal from 1; a run is told all in this order.

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


class ToldTime(Message, frozen=True):
    """The time in Unix seconds, as an entry of the run's journal: `number` counts as in `Told`."""

    run: Name
    number: Count
    time: float


class RunState(Message, frozen=True):
    """How a run stands.

    Attributes:
        busy: trainers at work on its plan.
        trainers: all trainers there are.
        settled: nothing that it asked for is open, and no batch is out whose steps go to its counts: they are final.
        note: what the user should know now, such as that the run goes on from one that did not end.
        paused_by: who paused it; "" if nobody did.
    """

    run: Name
    counts: RunCounts
    busy: Count
    trainers: Count
    settled: bool = False
    note: str = ""
    paused_by: str = ""


class Refused(Message, frozen=True):
    """What was sent cannot be taken; `reason` is for the person who reads it."""

    reason: str
    run: str = ""


# -- a trainer and the coordinator ----------------------------------------------------------------------------


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
        in_memory: the places whose states it can go back to without a file, the last used first; told when idle.
    """

    trainer: Name
    node: Name
    plan: Name
    lease: Count | None = None
    step: Count = 0
    steps_run: Count = 0
    held: tuple[int, int] | None = None
    amendment: Count = 0
    in_memory: list[tuple[int, int]] = msgspec.field(default_factory=list)


class Notice(Message, frozen=True):
    """A boundary was reached: its checkpoint, metrics and digest together, the file durable already.

    Attributes:
        number: counts what the trainer said under this lease, from 1.
        steps_run: calls of `train()` in this lease so far.
        train_s: seconds that this lease's `train()` calls under `node` since its last notice took.
        passed_s: the same of each node that training passed since then, the nearest first.
        save_s: seconds that training waited for the checkpoint.
        evaluate_s: seconds that `evaluate()` took; 0 without metrics.
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
    passed_s: list[float] = msgspec.field(default_factory=list)
    evaluate_s: float = 0.0


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
        load_s: seconds that build and load took; None unless the state came from a checkpoint's file.
        in_memory: as in `TrainerBeat`.
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
    in_memory: list[tuple[int, int]] = msgspec.field(default_factory=list)


class TrainerBroken(Message, frozen=True):
    """The trainer's class cannot be had: its module does not import, or its code is not the plan's."""

    trainer: Name
    plan: Name
    error: str


# -- a node manager and the coordinator -----------------------------------------------------------------------


class NodeBeat(Message, frozen=True):
    """A node manager lives.

    Attributes:
        incarnation: drawn anew each time it starts; trainers of an earlier one are dead.
        number: counts the beats of this incarnation: one that comes late says nothing any more.
        leaving: it is about to end, by intention: its trainers get nothing more, and none is to blame for going.
    """

    node: Name
    incarnation: Name
    slots: list[Slot]
    number: Count = 0
    leaving: bool = False


class NodeWelcome(Message, frozen=True):
    """Where this node's curves go; "" for nowhere."""

    aggregator: str


class StartTrainer(Message, frozen=True):
    """Run a trainer for a plan on a slot, in place of whatever runs there.

    Attributes:
        fingerprint: of the plan's code; a trainer whose code has another one refuses to train.
        checkpoints: where the checkpoint files are.
        incarnation: of the node manager that it is for. An order that comes late must not start a dead trainer again,
            under whose name files were written.
    """

    slot: Count
    trainer: Name
    plan: Name
    source: TrainerSource
    fingerprint: str
    checkpoints: CheckpointFolder
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


class Curve(Message, frozen=True):
    """Points of a plan's curves; what is lost on the way is lost."""

    plan: Name
    points: list[Point]


# -- anyone ---------------------------------------------------------------------------------------------------


MESSAGES: tuple[type[Message], ...] = (
    OpenRun, Ask, AskTime, Announce, Release, CloseRun, SessionBeat,
    Opened, Applied, Told, ToldTime, RunState, Refused,
    Grant, Amend, StopLease, Noted, TrainerBeat, Notice, Amended, LeaseEnded, TrainerBroken,
    NodeBeat, NodeWelcome, StartTrainer, RetireTrainer, TrainerExited,
    Curve, CurveQuery, Curves, StatusQuery, Status, StudyCommand, StudyDone, Collect, Collected, Pin, Pinned,
)  # fmt: skip
"""Every kind there is. A kind that is not here does not exist on the wire."""
