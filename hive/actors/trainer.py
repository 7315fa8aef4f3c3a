"""A trainer: takes batches from the coordinator, has its job run them, and says what came of each until it is noted.

It holds one lease at most, and never takes one whose number is not above all it has seen, so a grant that comes twice
is run once. What it says under a lease is numbered, and applied in that order. It must not know torch, the user's
class, threads, or files; its job is an executor, somewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hive.actors.actor import (
    AmendJob,
    Called,
    Deliver,
    Effect,
    Event,
    JobReported,
    Leave,
    Received,
    StartJob,
    StartTimer,
    StopJob,
    TimerFired,
    Turn,
)
from hive.actors.messages import (
    Amend,
    Amended,
    Curve,
    Grant,
    GrantedStage,
    LeaseEnded,
    Noted,
    Notice,
    Point,
    StopLease,
    TrainerBeat,
    TrainerBroken,
)
from hive.planner.pieces import form_from_data
from hive.storage.records import CheckpointFile
from hive.training.reports import (
    Amendment,
    AmendmentTaken,
    BatchOrder,
    Ended,
    Evaluated,
    Failed,
    Reached,
    StageOrder,
    Stepped,
)
from hive.training.reports import CheckpointFile as Written

__all__ = ["Left", "TrainerActor"]


@dataclass(frozen=True, slots=True)
class Left:
    """It was told to leave, and all that it had to say is noted."""


COORDINATOR = "coordinator"
NODE = "node"

POINTS_MAX = 500
"""Points of curves gathered before they are sent ahead of the beat: about 50 KB."""


class TrainerActor:
    """The actor of one device.

    Args:
        name: the trainer's name, unique for ever.
        node: the name of its node manager.
        plan: the one plan it serves.
        beat_s: how often it says that it lives, in seconds.
        broken: why its class cannot be had; None if it can.
    """

    def __init__(self, name: str, node: str, plan: str, beat_s: float = 1.0, broken: str | None = None) -> None:
        self.name = name
        self.node = node
        self.plan = plan
        self.beat_s = beat_s
        self.broken = broken
        self.lease: int | None = None
        self.last_lease = 0
        self.amendment = 0
        self.step = 0
        self.steps_run = 0
        self.train_s: dict[int, float] = {}
        self.failed: Failed | None = None
        self.held: tuple[int, int] | None = None
        self.in_memory: list[tuple[int, int]] = []
        self.number = 0
        self.unnoted: list[Notice | Amended | LeaseEnded] = []
        self.said_before_beat = (0, 0)
        self.points: list[Point] = []
        self.leaving = False

    def start(self, now: float) -> list[Effect]:
        """Say that it is here."""
        return self.handle(TimerFired("beat"), now)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Orders come from the coordinator, reports from the job."""
        turn = Turn()
        match event:
            case TimerFired():
                self.beat(turn)
            case Received(_, Grant() as grant):
                self.on_grant(grant, turn)
            case Received(_, Amend() as amend) if amend.lease == self.lease:
                self.on_amend(amend, turn)
            case Received(_, StopLease() as stop) if stop.lease == self.lease:
                turn.do(StopJob(str(stop.lease)))
            case Received(_, Noted() as noted):
                self.unnoted = [m for m in self.unnoted if (m.lease, m.number) > (noted.lease, noted.number)]
            case JobReported(_, report):
                self.on_report(report, turn)
            case Called(Leave()):
                self.leaving = True
                if self.lease is not None:
                    turn.do(StopJob(str(self.lease)))
            case _:
                pass
        if self.leaving and self.lease is None and not self.unnoted:
            turn.do(Deliver(Left()))
        return turn.effects()

    def beat(self, turn: Turn) -> None:
        """Say what it runs, and again what was said before the last beat and is not noted."""
        if self.broken is not None:
            turn.send(COORDINATOR, TrainerBroken(self.name, self.plan, self.broken))
        else:
            for message in self.unnoted:
                if (message.lease, message.number) <= self.said_before_beat:
                    turn.send(COORDINATOR, message)
            self.said_before_beat = (self.last_lease, self.number)
            turn.send(COORDINATOR, self.state())
            self.send_points(turn)
        turn.do(StartTimer("beat", self.beat_s))

    def state(self) -> TrainerBeat:
        """What a beat says."""
        return TrainerBeat(
            trainer=self.name,
            node=self.node,
            plan=self.plan,
            lease=self.lease,
            step=self.step,
            steps_run=self.steps_run,
            held=self.held,
            in_memory=self.in_memory,
            amendment=self.amendment,
        )

    def on_grant(self, grant: Grant, turn: Turn) -> None:
        """Begin a batch, unless it is one that was seen before."""
        if self.leaving or self.lease is not None or grant.lease <= self.last_lease or grant.trainer != self.name:
            return
        self.lease = self.last_lease = grant.lease
        self.amendment, self.step = grant.amendment, grant.stages[0].start
        self.number, self.steps_run, self.train_s, self.failed = 0, 0, {}, None
        turn.do(StartJob(str(grant.lease), batch_order(grant, self.plan)))

    def on_amend(self, amend: Amend, turn: Turn) -> None:
        """What is ahead is cut anew, unless a later amendment did so already."""
        if amend.amendment > self.amendment:
            self.amendment = amend.amendment
            stages = tuple(map(stage_order, amend.stages))
            turn.do(AmendJob(str(amend.lease), Amendment(amend.lease, amend.amendment, stages)))

    # -- the job's reports --------------------------------------------------------------------------------------

    def on_report(self, report: object, turn: Turn) -> None:
        """The job says something."""
        match report:
            case Stepped():
                self.step, self.steps_run = report.step, report.steps_run
                self.train_s[report.node] = self.train_s.get(report.node, 0.0) + report.seconds
                self.point(report.node, report.step, "train", report.metrics, turn)
            case Evaluated():
                self.point(report.node, report.step, "eval", report.metrics, turn)
            case Reached():
                self.point(report.node, report.step, "eval", report.metrics, turn)
                self.on_reached(report, turn)
            case AmendmentTaken():
                self.number += 1
                self.say(Amended(self.name, self.number, report.lease, report.number, report.step), turn)
            case Failed():
                self.failed = report
            case Ended():
                self.on_ended(report, turn)

    def on_reached(self, report: Reached, turn: Turn) -> None:
        """A boundary: say it until it is noted."""
        file = report.checkpoint
        self.number += 1
        notice = Notice(
            trainer=self.name,
            number=self.number,
            lease=report.lease,
            node=report.node,
            step=report.step,
            steps_run=report.steps_run,
            digest=report.digest,
            train_s=self.train_s.pop(report.node, 0.0),
            passed_s=list(reversed(self.train_s.values())),
            save_s=report.save_s,
            evaluate_s=report.evaluate_s,
            metrics=report.metrics,
            checkpoint=None if file is None else recorded(file),
        )
        self.train_s = {}
        self.say(notice, turn)

    def on_ended(self, report: Ended, turn: Turn) -> None:
        """The batch is over: say it until it is noted."""
        self.number += 1
        failed = self.failed
        ended = LeaseEnded(
            trainer=self.name,
            number=self.number,
            lease=report.lease,
            steps_run=report.steps_run,
            load_s=report.load_s,
            held=report.held,
            failed_node=failed.node if failed else None,
            failed_step=failed.step_failed if failed else None,
            error=failed.error if failed else None,
            in_memory=list(report.in_memory),
        )
        self.lease, self.held, self.in_memory = None, ended.held, ended.in_memory
        self.say(ended, turn)

    def say(self, message: Notice | Amended | LeaseEnded, turn: Turn) -> None:
        """Say a numbered message until it is noted."""
        self.unnoted.append(message)
        turn.send(COORDINATOR, message)

    # -- curves -------------------------------------------------------------------------------------------------

    def point(self, node: int, step: int, kind: str, metrics: Mapping[str, float] | None, turn: Turn) -> None:
        """Keep a point of a curve until there are enough of them."""
        if metrics:
            self.points.append(Point(node, step, kind, dict(metrics)))
            if len(self.points) >= POINTS_MAX:
                self.send_points(turn)

    def send_points(self, turn: Turn) -> None:
        """Send the points on."""
        if self.points:
            turn.send(NODE, Curve(self.plan, self.points))
            self.points = []


def recorded(file: Written) -> CheckpointFile:
    """A checkpoint's file as the coordinator keeps it; the digest travels beside it."""
    return CheckpointFile(file.name, file.bytes, file.device, file.threads, file.capability)


def batch_order(grant: Grant, plan: str) -> BatchOrder:
    """What the executor is told for a grant. Checkpoints lie in a folder of the plan's, and carry the lease's
    number."""
    return BatchOrder(
        lease=grant.lease,
        attempt=grant.lease,
        origin=grant.origin,
        checkpoint=grant.checkpoint,
        build_values=grant.build_values,
        stages=tuple(map(stage_order, grant.stages)),
        file_prefix=f"{plan}/",
    )


def stage_order(stage: GrantedStage) -> StageOrder:
    """A stage as the executor is told of it."""
    forms = {name: form_from_data(data) for name, data in stage.forms.items()}
    return StageOrder(stage.node, stage.start, stage.end, forms, stage.metrics, stage.trial, stage.boundary)
