"""A node manager: runs a trainer process on each device of one machine, says what runs, and passes curves on.

It starts what the coordinator orders, once for each trainer's name, and tells of every end until that is noted. It
must not know plans, batches, how a process is started, or what a trainer does."""

from __future__ import annotations

from dataclasses import dataclass

from hive.actors.actor import (
    SILENT_BEATS,
    Called,
    Deliver,
    Effect,
    Event,
    JobEnded,
    Leave,
    Received,
    Send,
    Silence,
    StartJob,
    StartTimer,
    StopJob,
    TimerFired,
    Turn,
)
from hive.actors.messages import (
    Curve,
    NodeBeat,
    NodeWelcome,
    Noted,
    RetireTrainer,
    Slot,
    StartTrainer,
    TrainerExited,
)

__all__ = ["NodeActor", "TrainerOrder"]

COORDINATOR = "coordinator"
AGGREGATOR = "aggregator"


@dataclass(frozen=True, slots=True)
class TrainerOrder:
    """A trainer process to run: what the coordinator ordered, on which device, for which node."""

    node: str
    device: str
    start: StartTrainer


class NodeActor:
    """The actor.

    Args:
        name: the node's name.
        incarnation: drawn anew for each start of the node manager.
        devices: one slot each, such as ["cpu", "cpu"] or ["cuda:0"].
        beat_s: how often it says what runs, in seconds.
    """

    def __init__(self, name: str, incarnation: str, devices: list[str], beat_s: float = 1.0) -> None:
        self.name = name
        self.incarnation = incarnation
        self.devices = devices
        self.beat_s = beat_s
        self.running: dict[int, str] = {}
        self.following: dict[int, StartTrainer] = {}
        self.retired: set[str] = set()
        self.ever: set[str] = set()
        self.number = 0
        self.beats = 0
        self.unnoted: list[TrainerExited] = []
        self.welcomed = ""
        self.unanswered = 0
        self.leaving = False

    def start(self, now: float) -> list[Effect]:
        """Say that it is here."""
        return self.handle(TimerFired("beat"), now)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Orders come from the coordinator, curves from trainers, ends from the processes."""
        turn = Turn()
        match event:
            case TimerFired():
                for message in self.unnoted:
                    turn.send(COORDINATOR, message)
                self.beat(turn)
                self.count_unanswered(turn)
                turn.do(StartTimer("beat", self.beat_s))
            case Received(_, StartTrainer() as order):
                self.on_start_trainer(order, turn)
            case Received(_, RetireTrainer() as order):
                self.retire(order.trainer, turn)
            case Received(_, Noted() as noted):
                self.unnoted = [m for m in self.unnoted if m.number != noted.number]
            case Received(_, NodeWelcome() as welcome):
                self.on_welcome(welcome, turn)
            case Received(_, Curve() as curve) if self.welcomed:
                turn.do(Send(AGGREGATOR, curve))
            case JobEnded():
                self.on_job_ended(event, turn)
            case Called(Leave()):
                self.leaving = True
                self.following.clear()
                self.beat(turn)
            case _:
                pass
        return turn.effects()

    def beat(self, turn: Turn) -> None:
        """Say what runs on which device."""
        self.beats += 1
        slots = [Slot(device, self.running.get(i)) for i, device in enumerate(self.devices)]
        turn.send(COORDINATOR, NodeBeat(self.name, self.incarnation, slots, self.beats, self.leaving))

    def count_unanswered(self, turn: Turn) -> None:
        """Each beat is answered with a welcome, unless the coordinator is away."""
        if self.unanswered == SILENT_BEATS:
            turn.do(Deliver(Silence()))
        self.unanswered += 1

    def on_welcome(self, welcome: NodeWelcome, turn: Turn) -> None:
        """The coordinator is there. It is handed on if its aggregator is another, or if it had been silent."""
        if welcome.aggregator != self.welcomed or self.unanswered > SILENT_BEATS:
            self.welcomed = welcome.aggregator
            turn.do(Deliver(welcome))
        self.unanswered = 0

    def on_start_trainer(self, order: StartTrainer, turn: Turn) -> None:
        """Start a trainer once; what runs on its slot ends first. An order to an earlier node manager is no order."""
        known = self.leaving or order.trainer in self.ever or order.incarnation != self.incarnation
        if known or not 0 <= order.slot < len(self.devices):
            return
        if order.slot in self.running:
            self.following[order.slot] = order
            self.retire(self.running[order.slot], turn)
        else:
            self.begin(order, turn)

    def begin(self, order: StartTrainer, turn: Turn) -> None:
        """Start its process."""
        self.ever.add(order.trainer)
        self.running[order.slot] = order.trainer
        turn.do(StartJob(order.trainer, TrainerOrder(self.name, self.devices[order.slot], order)))

    def retire(self, trainer: str, turn: Turn) -> None:
        """End a trainer of ours, or let it never begin."""
        self.following = {slot: order for slot, order in self.following.items() if order.trainer != trainer}
        if trainer in self.running.values():
            self.retired.add(trainer)
            turn.do(StopJob(trainer))

    def on_job_ended(self, event: JobEnded, turn: Turn) -> None:
        """A process is gone: say so until it is noted, and start what waits for its slot."""
        slot = next((i for i, trainer in self.running.items() if trainer == event.job), None)
        if slot is None:
            return
        del self.running[slot]
        self.number += 1
        code = 0 if event.job in self.retired else event.code
        exited = TrainerExited(self.name, self.number, event.job, code, event.tail)
        self.unnoted.append(exited)
        turn.send(COORDINATOR, exited)
        following = self.following.pop(slot, None)
        if following is not None:
            self.begin(following, turn)
        self.beat(turn)
