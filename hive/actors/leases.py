"""Leases: which batch is out, with whom, what of it is still ahead, and until when.

A lease has one number, drawn once and never again: a trainer that comes back after its lease was given up carries an
old number, and nothing it says under it changes anything. It must not know the plan's tree, runs, or messages."""

from __future__ import annotations

from dataclasses import dataclass, field

from hive.planner.running import Way
from hive.planner.search_plan import Place
from hive.storage.records import LeaseRecord

__all__ = ["Lease", "LeaseTable"]


@dataclass(slots=True)
class Lease:
    """A batch that is out.

    Attributes:
        record: what the store knows of it.
        until: Unix time when it is given up unless somebody says that its trainer lives.
        steps_run: by the trainer's last word.
        step: the greatest absolute step that it is known to have done.
        moved: Unix time when it was last known to have come further.
        stopping: whether its trainer was told to leave it.
    """

    record: LeaseRecord
    until: float
    moved: float
    steps_run: int = 0
    step: int = 0
    stopping: bool = False

    @property
    def number(self) -> int:
        """Its number."""
        return self.record.lease

    @property
    def ahead(self) -> list[Place]:
        """The boundaries it has not reached."""
        passes = set(self.record.passes)
        return [Place(node, end) for node, _, end in self.record.ends if (node, end) not in passes]

    @property
    def way(self) -> Way:
        """What it has ahead, as the planner sees it."""
        return Way(self.number, self.record.ends, self.step, self.record.passes)

    def came_to(self, steps_run: int, step: int, now: float) -> None:
        """Its trainer says how far it is."""
        if steps_run > self.steps_run:
            self.moved = now
        self.steps_run, self.step = max(self.steps_run, steps_run), max(self.step, step)

    @property
    def from_step(self) -> int:
        """The step after which nothing of it is durable."""
        return self.record.reached[1] if self.record.reached is not None else 0


@dataclass(slots=True)
class LeaseTable:
    """The leases that are out, by number. `lease_s`: how long one lasts without a sign of life; seconds."""

    lease_s: float
    leases: dict[int, Lease] = field(default_factory=dict)

    def add(self, record: LeaseRecord, now: float) -> Lease:
        """Take up a lease for a full term."""
        step = 0 if record.reached is None else record.reached[1]
        lease = self.leases[record.lease] = Lease(record, now + self.lease_s, now, record.steps_noted, step)
        return lease

    def of_trainer(self, trainer: str) -> Lease | None:
        """The lease a trainer holds."""
        return next((lease for lease in self.leases.values() if lease.record.trainer == trainer), None)

    def of_plan(self, plan: str) -> list[Lease]:
        """The leases of a plan's batches."""
        return [lease for lease in self.leases.values() if lease.record.plan == plan]

    def of_node(self, node: str) -> list[Lease]:
        """The leases that trainers of a node hold."""
        return [lease for lease in self.leases.values() if lease.record.node == node]

    def renew(self, trainer: str, now: float) -> None:
        """A trainer lives: its lease gets a full term."""
        lease = self.of_trainer(trainer)
        if lease is not None:
            lease.until = now + self.lease_s

    def extend(self, longer_s: float) -> None:
        """Each lease lasts so many seconds longer, and may stand still so much longer."""
        for lease in self.leases.values():
            lease.until += longer_s
            lease.moved += longer_s

    def expired(self, now: float) -> list[Lease]:
        """Those whose term has ended."""
        return [lease for lease in self.leases.values() if lease.until < now]

    def standing_still(self, since: float) -> list[Lease]:
        """Those that came no further since then, though their trainers live."""
        return [lease for lease in self.leases.values() if lease.moved < since]
