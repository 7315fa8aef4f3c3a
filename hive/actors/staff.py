"""Who can train: the nodes, their devices, and the trainer that each device runs or should run.

The coordinator decides which plan a device serves; a beat that shows something else makes it say so again. A trainer
serves one plan for its whole life. It must not know runs, sequences, or the stage tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hive.actors.actor import Turn
from hive.actors.leases import LeaseTable
from hive.actors.messages import (
    LeaseEnded,
    NodeBeat,
    NodeWelcome,
    RetireTrainer,
    StartTrainer,
    TrainerBeat,
)
from hive.planner.search_plan import Place
from hive.storage.records import CheckpointFolder, PlanRecord

__all__ = ["Assigned", "Staff", "Trainer"]


@dataclass(slots=True)
class Trainer:
    """A trainer that has spoken.

    Attributes:
        address: where it is on the network.
        heard: Unix time of its last beat.
        held: the place of its live model.
        in_memory: the places that it can go back to without a file.
    """

    name: str
    node: str
    plan: str
    address: str
    heard: float
    held: Place | None = None
    in_memory: tuple[Place, ...] = ()

    def at_hand(self, message: TrainerBeat | LeaseEnded) -> None:
        """What it says that it can start from without a file."""
        self.held = None if message.held is None else Place(*message.held)
        self.in_memory = tuple(Place(*place) for place in message.in_memory)


@dataclass(slots=True)
class Assigned:
    """The trainer that a slot runs or was told to run. `heard`: whether it has spoken."""

    trainer: str
    plan: str
    order: StartTrainer | None = None
    heard: bool = False


@dataclass(slots=True)
class Node:
    """A node manager and its slots. `beats`: the number of its last beat; `heard`: when that came, in Unix time;
    `leaving`: it is about to end, and gets nothing more to do; `unfit`: plans that its machine cannot train for."""

    address: str
    incarnation: str
    slots: list[Assigned | None]
    beats: int = 0
    heard: float = 0.0
    leaving: bool = False
    unfit: set[str] = field(default_factory=set)


class Staff:
    """All nodes and trainers that were heard of since the coordinator began.

    Args:
        checkpoints: where the checkpoint files are, for trainers.

    Attributes:
        gone: trainers that ended or were replaced: what they said may still be under way.
    """

    def __init__(self, checkpoints: CheckpointFolder) -> None:
        self.checkpoints = checkpoints
        self.nodes: dict[str, Node] = {}
        self.trainers: dict[str, Trainer] = {}
        self.gone: set[str] = set()

    def beat(self, message: TrainerBeat, sender: str, now: float) -> Trainer | None:
        """A trainer lives; None if it is known to be gone, and only its beat came late."""
        if message.trainer in self.gone:
            return None
        trainer = self.trainers.get(message.trainer)
        if trainer is None:
            trainer = Trainer(message.trainer, message.node, message.plan, sender, now)
            self.trainers[message.trainer] = trainer
        trainer.address, trainer.heard = sender, now
        assigned = self.assigned(message.trainer)
        if assigned is not None:
            assigned.heard, assigned.plan = True, message.plan
        return trainer

    def assigned(self, trainer: str) -> Assigned | None:
        """What is known of a trainer's slot."""
        slots = (slot for node in self.nodes.values() for slot in node.slots)
        return next((slot for slot in slots if slot is not None and slot.trainer == trainer), None)

    def node_beat(self, message: NodeBeat, aggregator: str, sender: str, now: float, turn: Turn) -> bool:
        """A node manager lives. What it runs against what it should: orders it did not get are said again.

        Returns:
            Whether its trainers may have ended without a word: it was not known, or it began anew.
        """
        node = self.nodes.get(message.node)
        if node is not None and node.incarnation != message.incarnation:
            self.forget_node(message.node)
            node = None
        began = node is None
        if node is None:
            node = self.nodes[message.node] = Node(sender, message.incarnation, [None] * len(message.slots))
        elif message.number <= node.beats:
            return False  # it comes late
        node.address, node.beats, node.heard, node.leaving = sender, message.number, now, message.leaving
        turn.send(sender, NodeWelcome(aggregator))
        for number, slot in enumerate(message.slots[: len(node.slots)]):
            assigned = node.slots[number]
            if assigned is None or assigned.order is None:
                node.slots[number] = self.found_there(slot.trainer, assigned)
            elif slot.trainer != assigned.trainer and not node.leaving:
                turn.send(sender, assigned.order)
        return began

    def found_there(self, trainer: str | None, assigned: Assigned | None) -> Assigned | None:
        """What is known of a slot that a node manager says to run `trainer`, which nobody here ordered."""
        if trainer is None or trainer in self.gone:
            return None
        if assigned is not None and assigned.trainer == trainer:
            return assigned
        spoken = self.trainers.get(trainer)
        return Assigned(trainer, spoken.plan if spoken else "", heard=spoken is not None)

    def forget_node(self, name: str) -> None:
        """A node's trainers ended with it."""
        self.nodes.pop(name, None)
        self.trainers = {t.name: t for t in self.trainers.values() if t.node != name}

    def forget_silent(self, since: float) -> None:
        """Those who said nothing since then get nothing to do; when they speak again, they are known again."""
        self.nodes = {name: node for name, node in self.nodes.items() if node.heard >= since}
        self.trainers = {name: trainer for name, trainer in self.trainers.items() if trainer.heard >= since}

    def overlook(self, away_s: float) -> None:
        """For so many seconds nobody could be heard: they count as nobody's silence."""
        for node in self.nodes.values():
            node.heard += away_s
        for trainer in self.trainers.values():
            trainer.heard += away_s

    def exited(self, trainer: str) -> Assigned | None:
        """A trainer's process is gone: its slot is free. What was known of it."""
        self.trainers.pop(trainer, None)
        self.gone.add(trainer)
        for node in self.nodes.values():
            for number, slot in enumerate(node.slots):
                if slot is not None and slot.trainer == trainer:
                    node.slots[number] = None
                    return slot
        return None

    def retire(self, trainer: str, turn: Turn) -> None:
        """End a trainer."""
        for node in self.nodes.values():
            for slot in node.slots:
                if slot is not None and slot.trainer == trainer:
                    slot.order = None
                    turn.send(node.address, RetireTrainer(trainer))

    def replace(self, trainer: str, turn: Turn) -> None:
        """End a trainer that will not end by itself: its slot counts as free, and whoever is started there takes its
        place also if this word is lost."""
        self.retire(trainer, turn)
        self.exited(trainer)

    def idle(self, plan: str, leases: LeaseTable) -> list[Trainer]:
        """The trainers of a plan that have no lease, and whose node manager stays."""
        busy = {lease.record.trainer for lease in leases.leases.values()}
        there = [t for t in self.trainers.values() if t.plan == plan and t.name not in busy]
        return [t for t in there if not self.leaving(t.node)]

    def places_for(self, plan: str, leases: LeaseTable) -> list[tuple[str, int]]:
        """The (node, slot) where a trainer for a plan could be started: free ones, then idle ones of other plans. Where
        no node is fit all are tried again, and the reason is told again."""
        fit = [(name, node) for name, node in self.staying() if plan not in node.unfit] or self.staying()
        slots = [(name, i, slot) for name, node in fit for i, slot in enumerate(node.slots)]
        idle = self.idle_slots(leases)
        free = [(node, i) for node, i, slot in slots if slot is None]
        return free + [(node, i) for node, i, slot in slots if slot in idle and slot.heard and slot.plan != plan]

    def misfit(self, trainer: str, plan: str) -> bool:
        """A trainer cannot train for its plan, so no other of its node can. Whether no node is left that could."""
        place = self.place_of(trainer)
        if place is not None:
            self.nodes[place[0]].unfit.add(plan)
        return all(plan in node.unfit for _, node in self.staying())

    def fits(self, node: str, plan: str) -> bool:
        """Whether a node could train for a plan, as far as is known."""
        return plan not in self.nodes[node].unfit

    def try_again(self, plan: str) -> None:
        """What kept nodes from training for a plan may have been put right."""
        for node in self.nodes.values():
            node.unfit.discard(plan)

    def leaving(self, node: str) -> bool:
        """Whether a node manager is about to end."""
        return node in self.nodes and self.nodes[node].leaving

    def staying(self) -> list[tuple[str, Node]]:
        """The node managers that are not about to end."""
        return [(name, node) for name, node in self.nodes.items() if not node.leaving]

    def unused(self, leases: LeaseTable) -> bool:
        """Whether there is a device that trains nothing now."""
        free = sum(slot is None for _, node in self.staying() for slot in node.slots)
        return free + len(self.idle_slots(leases)) > 0

    def place_of(self, trainer: str) -> tuple[str, int] | None:
        """The (node, slot) of a trainer; None if its node manager is not known."""
        slots = ((node, i, slot) for node, known in self.nodes.items() for i, slot in enumerate(known.slots))
        return next(((node, i) for node, i, slot in slots if slot is not None and slot.trainer == trainer), None)

    def serving(self, plan: str) -> int:
        """How many devices have a trainer of a plan, those on their way included."""
        return sum(slot is not None and slot.plan == plan for _, node in self.staying() for slot in node.slots)

    def coming(self, plan: str, leases: LeaseTable) -> int:
        """How many trainers of a plan are there, or on their way, and have no lease."""
        return sum(slot.plan == plan for slot in self.idle_slots(leases))

    def idle_slots(self, leases: LeaseTable) -> list[Assigned]:
        """The trainers on slots that have no lease, those on their way included."""
        busy = {lease.record.trainer for lease in leases.leases.values()}
        slots = [slot for _, node in self.staying() for slot in node.slots if slot is not None]
        return [slot for slot in slots if slot.trainer not in busy]

    def hire(self, plan: PlanRecord, places: Sequence[tuple[str, int]], number: Callable[[], int], turn: Turn) -> None:
        """Start a trainer for a plan at each of these places, instead of what runs there."""
        for name, i in places:
            node = self.nodes[name]
            before = node.slots[i]
            if before is not None:
                self.trainers.pop(before.trainer, None)
                self.gone.add(before.trainer)
            trainer = f"{name}/{i}/{number()}"
            order = StartTrainer(
                i, trainer, plan.plan, plan.source, plan.fingerprint, self.checkpoints, node.incarnation
            )
            node.slots[i] = Assigned(trainer, plan.plan, order)
            turn.send(node.address, order)
