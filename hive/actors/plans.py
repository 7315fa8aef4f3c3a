"""One search plan as the coordinator keeps it: the tree, what its records say, and what its batches look like.

Every change of the tree goes through here and leaves its record in the turn, so that the plan loaded from its records
is the plan. It must not know runs, sessions, trainers, or how messages travel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from hive.actors.actor import Turn
from hive.actors.messages import Grant, GrantedStage, Notice
from hive.planner.critical_path import CriticalPaths
from hive.planner.estimates import Estimates
from hive.planner.pieces import form_from_data
from hive.planner.search_plan import Node, Place, SearchPlan, Standing
from hive.planner.space import Config, segments
from hive.planner.stage_tree import Stage, build
from hive.storage.records import LeaseRecord, NodeRecord, PlanRecord, StandingRecord

__all__ = ["LivePlan", "path_to"]


def path_to(node: Node, step: int) -> Iterator[tuple[Node, int]]:
    """The nodes on the way to a place, with the step where each is left, from the place upwards."""
    above: Node | None = node
    while above is not None:
        yield above, step
        step, above = above.start, above.parent


@dataclass(slots=True)
class LivePlan:
    """A search plan in use.

    Attributes:
        record: its identity and where its trainer's code is.
        tree: what was asked and found.
        standings: by place, the record of what stands there.
        estimates: what its stages are expected to cost.
        start_failures: trainers in a row that went before they said a word.
        wants_made: how many wants were ever written for it.
        known_paths: what could be begun when the tree had the version `known_version`.
    """

    record: PlanRecord
    tree: SearchPlan = field(default_factory=SearchPlan)
    standings: dict[Place, StandingRecord] = field(default_factory=dict)
    estimates: Estimates = field(default_factory=Estimates)
    start_failures: int = 0
    wants_made: int = 0
    known_paths: CriticalPaths | None = None
    known_version: int = -1

    @property
    def name(self) -> str:
        """The plan's identity."""
        return self.record.plan

    # -- from the store -----------------------------------------------------------------------------------------

    def load(self, nodes: Iterable[NodeRecord], standings: Iterable[StandingRecord]) -> None:
        """Take the tree back from its records, in key order."""
        for n in nodes:
            forms = {name: form_from_data(data) for name, data in n.forms.items()}
            self.tree.add_node(n.parent, n.start, forms, n.lane)
        for s in standings:
            self.stand(Place(s.node, s.step), s)

    def stand(self, place: Place, record: StandingRecord) -> None:
        """A standing is in force: in the tree, and as a record."""
        self.standings[place] = record
        self.tree.record(place, Standing(record.checkpoint.name, record.digest, record.metrics))

    # -- changes ------------------------------------------------------------------------------------------------

    def place(self, config: Config, step: int, lane: int | None, turn: Turn) -> Place:
        """The place of a config at a step; what the tree lacked on the way is added."""
        place, created = self.tree.place(segments(config, step), lane)
        for node in created:
            forms = {name: form.to_data() for name, form in node.forms.items()}
            parent = None if node.parent is None else node.parent.number
            turn.put(NodeRecord(self.name, node.number, parent, node.start, forms, node.lane))
        return place

    def found(self, notice: Notice, turn: Turn) -> bool:
        """Write down what a notice says; whether a checkpoint was new. The first record at a place stands."""
        place = Place(notice.node, notice.step)
        first = self.standings.get(place)
        if first is None:
            if notice.checkpoint is None:
                return False
            record = StandingRecord(self.name, place.node, place.step, notice.checkpoint, notice.digest, notice.metrics)
        elif first.metrics is None and notice.metrics is not None:
            record = msgspec.structs.replace(first, metrics=notice.metrics)
        else:
            return False
        self.stand(place, record)
        turn.put(record)
        return first is None

    def learn(self, notice: Notice, steps: int) -> None:
        """Take in how long things took."""
        if steps > 0 and notice.train_s > 0:
            self.estimates.measured(notice.node, steps, notice.train_s)
        if notice.checkpoint is not None:
            self.estimates.save_s.add(notice.save_s)

    # -- batches ------------------------------------------------------------------------------------------------

    def paths(self) -> CriticalPaths:
        """What trainers could begin now. The tree is built anew only if something happened that a batch does not
        foresee."""
        if self.known_paths is None or self.known_version != self.tree.version:
            self.known_paths, self.known_version = CriticalPaths(build(self.tree), self.estimates), self.tree.version
        return self.known_paths

    def reached(self, place: Place) -> None:
        """A promise is kept: what waited for it is ready."""
        if self.known_paths is not None and place in self.known_paths.waited:
            self.known_paths = None

    def payer(self, stages: Sequence[Stage]) -> str:
        """The run whose counts a batch goes to: of those who want its oldest request, the first by name."""
        wanted = [stage.node.requests[stage.end] for stage in stages if stage.wanted]
        oldest = min(wanted, key=lambda request: request.order)
        return min(oldest.wanters).run

    def lease(self, number: int, stages: Sequence[Stage], trainer: str, node: str, now: float) -> LeaseRecord:
        """The lease of a batch, its boundaries promised."""
        origin = stages[0].origin
        record = LeaseRecord(
            lease=number,
            plan=self.name,
            trainer=trainer,
            node=node,
            payer=self.payer(stages),
            origin=origin,
            ends=tuple((s.node.number, s.start, s.end) for s in stages),
            reached=origin,
            granted_at=now,
        )
        self.tree.promise(number, (s.place for s in stages))
        return record

    def grant(self, lease: LeaseRecord) -> Grant:
        """The message that hands out what is still ahead of a lease."""
        tree = self.tree
        origin = None if lease.reached is None else Place(*lease.reached)
        if origin is None:
            first = tree.nodes[lease.ends[0][0]]
            build_values = first.values(0)
        else:
            build_values = tree.nodes[origin.node].values(origin.step - 1)
        return Grant(
            trainer=lease.trainer,
            lease=lease.lease,
            origin=origin,
            checkpoint=None if origin is None else self.standings[origin].checkpoint.name,
            build_values=build_values,
            stages=[self.granted(Place(node, end), start) for node, start, end in lease.ends],
        )

    def granted(self, place: Place, start: int) -> GrantedStage:
        """A stage as a message says it."""
        node = self.tree.nodes[place.node]
        forms = {name: form.to_data() for name, form in node.forms.items()}
        return GrantedStage(place.node, start, place.step, forms, metrics=place.step in node.requests)

    def wanted_behind(self, lease: LeaseRecord) -> bool:
        """Whether anybody still waits for something that a lease will reach, or that follows from there."""
        ahead = {Place(node, end) for node, _, end in lease.ends}
        for place in self.tree.pending:
            for node, step in path_to(self.tree.nodes[place.node], place.step):
                if any(p.node == node.number and p.step <= step for p in ahead):
                    return True
        return False
