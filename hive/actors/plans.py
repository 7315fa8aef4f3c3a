"""One search plan as the coordinator keeps it: the tree, what its records say, and what its batches look like.

Every change of the tree goes through here and leaves its record in the turn, so that the plan loaded from its records
is the plan. It must not know runs, sessions, trainers, or how messages travel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import starmap
from typing import Literal

import msgspec

from hive.actors.actor import Turn
from hive.actors.messages import Amend, Grant, GrantedStage, Notice
from hive.planner import running
from hive.planner.anticipation import FOLLOWED_MAX, Anticipation
from hive.planner.estimates import Estimates, Mean
from hive.planner.pieces import Form, form_from_data
from hive.planner.search_plan import Node, Place, SearchPlan, Standing
from hive.planner.shared_paths import SharedPaths
from hive.planner.space import Config, forms_key, segments
from hive.planner.stage_tree import Stage
from hive.storage.records import LeaseRecord, MeasuredRecord, NodeRecord, PlanRecord, StandingRecord

__all__ = ["LivePlan", "evicted_to", "path_to"]


Measured = Literal["load", "save", "evaluate"]
"""What takes as long under one node as under another."""

Passes = tuple[tuple[int, int], ...]
"""The (node, end) of stages at whose end training goes on under the next node."""

NOBODY: tuple[int, str, int | None] = (0, "", None)
"""Whom a stage is for that nobody is known to wait behind."""

FORMS_MAX = 100_000
"""Forms remembered by their data while plans are loaded: most nodes differ from others in one hyper-parameter alone,
and many have all in common with another."""

encode = msgspec.msgpack.Encoder().encode


@lru_cache(FORMS_MAX)
def form_packed(data: bytes) -> Form:
    """The form that packed data says; the same one as the last time, as far as they are remembered."""
    return form_from_data(msgspec.msgpack.decode(data))


@lru_cache(FORMS_MAX)
def forms_packed(data: bytes) -> tuple[dict[str, Form], str]:
    """The forms of a node that packed data says, and their key."""
    forms = {name: form_packed(encode(form)) for name, form in msgspec.msgpack.decode(data).items()}
    return forms, forms_key(forms)


def path_to(node: Node, step: int) -> Iterator[tuple[Node, int]]:
    """The nodes on the way to a place, with the step where each is left, from the place upwards."""
    above: Node | None = node
    while above is not None:
        yield above, step
        step, above = above.start, above.parent


def evicted_to(way: Iterable[tuple[Node, int, int]]) -> int:
    """The furthest step of a way that leads to a state that was evicted; 0 if none does."""
    gone = (
        min(end, step) for node, start, end in way for step in node.standings if step > start and not node.stands(step)
    )
    return max(gone, default=0)


@dataclass(slots=True)
class LivePlan:
    """A search plan in use.

    Attributes:
        record: its identity and where its trainer's code is.
        study_of: the study of a run.
        tree: what was asked and found.
        standings: by place, the record of what stands there.
        estimates: what its stages are expected to cost.
        start_failures: trainers in a row that went before they said a word.
        wants_made: how many wants were ever written for it.
        bytes: what its checkpoints take.
        paths: what of it could be begun now.
        anticipation: what may be asked of it later.
        amended_version: the version for which the batches that are out were looked at last.
    """

    record: PlanRecord
    study_of: Callable[[str], str] = str
    tree: SearchPlan = field(default_factory=SearchPlan)
    standings: dict[Place, StandingRecord] = field(default_factory=dict)
    estimates: Estimates = field(default_factory=Estimates)
    start_failures: int = 0
    wants_made: int = 0
    amended_version: int = -1
    bytes: int = 0
    paths: SharedPaths = field(init=False)
    anticipation: Anticipation = field(init=False)

    def __post_init__(self) -> None:
        self.estimates.plan = self.tree
        self.paths = SharedPaths(self.tree, self.estimates, self.study_of)
        self.anticipation = Anticipation(self.tree, self.estimates)

    @property
    def name(self) -> str:
        """The plan's identity."""
        return self.record.plan

    # -- from the store -----------------------------------------------------------------------------------------

    def load(
        self, nodes: Iterable[NodeRecord], standings: Iterable[StandingRecord], measured: Iterable[MeasuredRecord] = ()
    ) -> None:
        """Take the tree and what is known of its costs back from their records, in key order."""
        for n in nodes:
            parent = None if n.parent is None else self.tree.nodes[n.parent]
            self.tree.grow(parent, n.start, *forms_packed(encode(n.forms)), n.lane)
        for s in standings:
            self.stand(Place(s.node, s.step), s)
        for m in measured:
            if m.what == "step":
                self.estimates.recall(m.node, m.count, m.seconds)
            else:
                self.means[m.what].add(m.seconds, m.count)

    def stand(self, place: Place, record: StandingRecord) -> None:
        """A standing is in force: in the tree, and as a record."""
        self.note(place, record)
        name = None if record.checkpoint is None else record.checkpoint.name
        self.tree.record(place, Standing(name, record.digest, record.metrics))

    def note(self, place: Place, record: StandingRecord) -> None:
        """Keep a record, and count its file's bytes."""
        before = self.standings.get(place)
        for known, sign in ((before, -1), (record, 1)):
            if known is not None and known.checkpoint is not None:
                self.bytes += sign * known.checkpoint.bytes
        self.standings[place] = record

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
        """Write down what a notice says; whether a checkpoint was new. The first record at a place stands; if its
        checkpoint was evicted, there is one again."""
        place = Place(notice.node, notice.step)
        first = self.standings.get(place)
        if first is None:
            if notice.checkpoint is None:
                return False
            record = StandingRecord(self.name, place.node, place.step, notice.checkpoint, notice.digest, notice.metrics)
        else:
            file = notice.checkpoint if first.checkpoint is None else first.checkpoint
            metrics = notice.metrics if first.metrics is None else first.metrics
            record = msgspec.structs.replace(first, checkpoint=file, metrics=metrics)
        if record == first:
            return False
        self.stand(place, record)
        turn.put(record)
        return record.checkpoint is not None and (first is None or first.checkpoint is None)

    def evict(self, place: Place, turn: Turn) -> str:
        """Give a checkpoint up. Returns its file's name, which may be deleted after this turn's commit."""
        before = self.standings[place]
        assert before.checkpoint is not None, "a state stands there"
        record = msgspec.structs.replace(before, checkpoint=None)
        self.note(place, record)
        self.tree.evict(place)
        turn.put(record)
        return before.checkpoint.name

    @property
    def means(self) -> dict[Measured, Mean]:
        """What is measured of all nodes alike."""
        return {
            "load": self.estimates.load_s,
            "save": self.estimates.save_s,
            "evaluate": self.estimates.evaluate_s,
        }

    def learn(self, notice: Notice, way: Sequence[tuple[Node, int, int]], turn: Turn) -> None:
        """Take in how long things took. `way`: what was trained since the last notice, from the end upwards."""
        moved: list[int | None] = []
        for (node, start, end), seconds in zip(way, (notice.train_s, *notice.passed_s), strict=False):
            if seconds > 0:
                moved += self.estimates.measured(node.number, end - start, seconds)
                mean = self.estimates.by_node[node.number]
                turn.put(MeasuredRecord(self.name, "step", node.number, mean.total, mean.count))
        if notice.checkpoint is not None:
            moved += self.estimates.saved(notice.save_s)
            self.note_mean("save", turn)
        if notice.metrics is not None:
            self.estimates.evaluate_s.add(notice.evaluate_s)
            self.note_mean("evaluate", turn)
        for number in moved:
            self.paths.reweigh(number)

    def loaded(self, seconds: float, turn: Turn) -> None:
        """A checkpoint's file was loaded in so many seconds."""
        self.estimates.load_s.add(seconds)
        self.note_mean("load", turn)

    def note_mean(self, what: Measured, turn: Turn) -> None:
        """Write down what a mean has come to."""
        mean = self.means[what]
        turn.put(MeasuredRecord(self.name, what, 0, mean.total, mean.count))

    # -- batches ------------------------------------------------------------------------------------------------

    @property
    def settled(self) -> bool:
        """Whether nothing has changed since `amendments` looked."""
        return self.amended_version == self.tree.version

    def amendments(self, leases: Sequence[LeaseRecord], ways: Sequence[running.Way]) -> list[LeaseRecord]:
        """What the batches that are out should reach, as things stand now: the leases for which that has changed.

        One that nobody needs has no ends, and keeps its promises until it is over. Boundaries that were added are
        promised, until they prove to come too late.
        """
        added = running.on_the_way(self.paths.all, ways)
        for lease, places in added.items():
            self.tree.promise(lease, places)
        self.follow([self.tree.nodes[lease.ends[-1][0]] for lease in leases])
        amended = [
            self.amended(lease, added.get(lease.lease, []), way.step) for lease, way in zip(leases, ways, strict=True)
        ]
        self.amended_version = self.tree.version
        return [after for before, after in zip(leases, amended, strict=True) if after is not before]

    def amended(self, lease: LeaseRecord, added: Sequence[Place], done: int) -> LeaseRecord:
        """A lease with what it should reach now; itself if that is what it says. `done`: the greatest step that it is
        known to have done."""
        passed = set(lease.passes).difference(added)  # what is needed there, another batch meets, or it is behind
        ends = running.cut(lease.ends, added, lambda place: place not in passed and self.needed(place))
        passes = tuple((n, e) for n, _, e in ends if (n, e) in passed or not self.needed(Place(n, e)))
        ends, passes = self.anticipated(ends, passes, lease.lease, done)
        kept = {(node, end) for node, _, end in ends}.difference(passes)
        measured = self.measured(ends)
        if ends:
            self.tree.promise(lease.lease, [p for p in starmap(Place, kept) if p not in self.tree.promises])
            promised = [*added, *(Place(n, e) for n, _, e in lease.ends)]
            self.tree.take_back(lease.lease, [place for place in promised if place not in kept])
        if (ends, passes, measured) == (lease.ends, lease.passes, lease.measured):
            return lease
        return msgspec.structs.replace(
            lease, ends=ends, passes=passes, measured=measured, amendment=lease.amendment + 1
        )

    def anticipated(self, ends: running.Ends, passes: Passes, lease: int, done: int = 0) -> tuple[running.Ends, Passes]:
        """A way with the boundaries at which announced configs may branch off."""
        places = self.anticipation.boundaries(ends, passes, lease, done)
        return running.cut(ends, places), tuple(place for place in passes if place not in places)

    def follow(self, nodes: Iterable[Node]) -> None:
        """Batches go into these nodes: what is announced is known there."""
        left = FOLLOWED_MAX
        for node in nodes:
            left -= self.anticipation.follow(node, left)

    def next_place(self, lease: LeaseRecord, from_step: int) -> Place:
        """The first place that cannot be reached if a batch is lost where it stands. `from_step`: the step after which
        nothing of it is durable."""
        node, _, end = lease.ends[0]
        step = min(from_step + 1, end)
        return next(Place(above.number, step) for above, _ in path_to(self.tree.nodes[node], end) if above.start < step)

    def needed(self, place: Place) -> bool:
        """Whether a batch must stop at a place: it is asked for, or something waits to start from there."""
        return place in self.tree.pending or self.paths.all.waits_at(place)

    def measured(self, ends: running.Ends) -> tuple[tuple[int, int], ...]:
        """Where on a way somebody wants metrics."""
        return tuple((node, end) for node, _, end in ends if end in self.tree.nodes[node].requests)

    def payer(self, stages: Sequence[Stage]) -> str:
        """The run whose counts a batch goes to: of those who want its oldest request, the first by name; where it ends
        before anybody's, the run of whom it is for."""
        wanted = [stage.node.requests[stage.end] for stage in stages if stage.wanted]
        if not wanted:
            assert stages[-1].first is not None, "somebody waits behind a stage"
            return stages[-1].first.run
        oldest = min(wanted, key=lambda request: request.order)
        return min(oldest.wanters).run

    def lease(self, number: int, stages: Sequence[Stage], trainer: str, node: str, now: float) -> LeaseRecord:
        """The lease of a batch, its boundaries promised."""
        origin = stages[0].origin
        self.follow([stages[-1].node])
        asked = tuple((s.node.number, s.start, s.end) for s in stages)
        passes = tuple((s.node.number, s.end) for s in stages if not s.boundary)
        ends, passes = self.anticipated(asked, passes, number)
        record = LeaseRecord(
            lease=number,
            plan=self.name,
            trainer=trainer,
            node=node,
            payer=self.payer(stages),
            origin=origin,
            ends=ends,
            reached=origin,
            granted_at=now,
            measured=self.measured(ends),
            trials=tuple((*s.place, *s.first) for s in stages if s.first is not None),
            passes=passes,
        )
        self.tree.promise(number, (Place(node, end) for node, _, end in ends if (node, end) not in passes))
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
            checkpoint=None if origin is None else self.tree.nodes[origin.node].standings[origin.step].checkpoint,
            build_values=build_values,
            stages=self.granted(lease),
            amendment=lease.amendment,
        )

    def amend(self, lease: LeaseRecord) -> Amend:
        """The message that cuts anew what is ahead of a lease."""
        return Amend(lease.trainer, lease.lease, lease.amendment, self.granted(lease))

    def granted(self, lease: LeaseRecord) -> list[GrantedStage]:
        """What is ahead of a lease as messages say it. A piece of a stage that was cut is for whom the stage was."""
        measured, passes = set(lease.measured), set(lease.passes)
        trials: dict[int, list[tuple[int, str, int | None]]] = defaultdict(list)
        for node, end, run, first in lease.trials:
            trials[node].append((end, run, first))
        stages = []
        for node, start, end in lease.ends:
            _, run, trial = next((each for each in trials[node] if each[0] >= end), NOBODY)
            forms = {name: form.to_data() for name, form in self.tree.nodes[node].forms.items()}
            stages.append(
                GrantedStage(
                    node, start, end, forms, (node, end) in measured, run, trial, boundary=(node, end) not in passes
                )
            )
        return stages
