"""The frontier against the stage tree built anew, after every change of random histories.

A history asks, lets go, hands batches out, amends them, meets boundaries and loses batches: it does to a plan all that
the coordinator does, and things that it does not, such as promises where no stage ends. After
each change the two must agree on what is left, on what could be begun, and on the next batch, for all wishes and for
those of each study.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive.planner import shared_paths
from hive.planner.critical_path import Crew, next_batch
from hive.planner.estimates import Estimates
from hive.planner.frontier import Frontier
from hive.planner.search_plan import Place, SearchPlan, Standing, Wanter
from hive.planner.sequences import MultiStep, Piecewise, Sequence
from hive.planner.shared_paths import SharedPaths
from hive.planner.space import segments
from hive.planner.stage_tree import Stage, all_count, build
from tests.planner.strategies import often

RUNS = ("a1", "a2", "b1")
"""Two studies, a and b, one with two runs."""

STEPS_MAX = 12

STEP_S = 2.5
"""An eighth of what a step takes at most: some are worth a batch of their own."""

milestones = st.sets(st.integers(1, 9), max_size=3).map(sorted)

sequences: st.SearchStrategy[Sequence] = st.one_of(
    st.builds(lambda value, at: MultiStep(value, at, 0.5), st.sampled_from([1.0, 2.0]), milestones),
    st.builds(lambda at: Piecewise([1.0, *range(5, 5 + len(at))], at), milestones),
)  # fmt: skip


crews = st.none() | st.builds(Crew, st.integers(1, 4), st.integers(1, 2))

parts = st.sampled_from([1.0, 0.6, 0.3, 0.0])


def study_of(run: str) -> str:
    return run[0]


@dataclass
class History:
    """A plan that is done to what the draws say, and a frontier that hears of it."""

    draw: st.DataObject
    plan: SearchPlan = field(default_factory=SearchPlan)
    asked: int = 0
    leases: int = 0

    def __post_init__(self) -> None:
        self.estimates = Estimates(self.plan)
        self.shared = SharedPaths(self.plan, self.estimates, study_of)

    def number(self, low: int, high: int) -> int:
        return self.draw.draw(st.integers(low, high))

    def place(self) -> Place | None:
        """Any place of the plan, asked for or not."""
        if not self.plan.nodes:
            return None
        node = self.plan.nodes[self.number(0, len(self.plan.nodes) - 1)]
        return Place(node.number, node.start + self.number(1, 4))

    def ask(self) -> None:
        sequence, steps = self.draw.draw(sequences), self.number(1, STEPS_MAX)
        place, _ = self.plan.place(segments({"lr": sequence}, steps))
        run = self.draw.draw(st.sampled_from(RUNS))
        self.plan.want(place, Wanter(run, self.number(0, 9)), self.asked)
        self.asked += 1

    def let_go(self) -> None:
        wishes = [(p, w) for p in self.plan.pending for w in self.plan.nodes[p.node].requests[p.step].wanters]
        if wishes:
            self.plan.let_go(*self.draw.draw(st.sampled_from(wishes)))

    def grant(self) -> None:
        studies = self.shared.studies()
        if studies:
            crew = self.draw.draw(crews)
            batch = self.shared.take(self.draw.draw(st.sampled_from(studies)), self.place(), (), crew)
            assert batch[-1].boundary
            self.leases += 1
            self.plan.promise(self.leases, [stage.place for stage in batch if stage.boundary])

    def read_on(self) -> None:
        self.shared.read_on()
        anything = any(stage.ready for stage in build(self.plan))
        assert bool(self.shared.studies()) == anything, "somebody can begin if anything can be begun"

    def promise(self) -> None:
        place = self.place()
        if place is not None:
            self.leases += 1
            self.plan.promise(self.leases, [place])

    def meet(self) -> None:
        """A boundary is met: any, with or without metrics."""
        places = [*self.plan.promises, *([place] if (place := self.place()) else [])]
        if not places:
            return
        place = self.draw.draw(st.sampled_from(places))
        metrics = {"score": 1.0} if self.draw.draw(st.booleans()) else None
        self.plan.record(place, Standing("file", "digest", metrics))
        if (lease := self.plan.promises.get(place)) is not None:
            self.plan.keep(lease, place)
        if self.plan.answer(place) is not None:
            self.plan.take(place)

    def evict(self) -> None:
        states = [Place(node.number, step) for node in self.plan.nodes for step in node.states()]
        if states:
            self.plan.evict(self.draw.draw(st.sampled_from(states)))

    def take_back(self) -> None:
        if self.plan.promises:
            place = self.draw.draw(st.sampled_from(sorted(self.plan.promises)))
            self.plan.take_back(self.plan.promises[place], [place])

    def lose(self) -> None:
        if self.plan.promises:
            self.plan.withdraw(self.draw.draw(st.sampled_from(sorted(set(self.plan.promises.values())))))

    def measure(self) -> None:
        if self.plan.nodes:
            node = self.number(0, len(self.plan.nodes) - 1)
            moved = self.estimates.measured(node, self.number(1, 3), self.number(1, 8) * STEP_S)
            moved += self.estimates.saved(self.number(0, 4) / 8)
            for each in moved:
                self.shared.reweigh(each)


ACTS = (
    History.ask, History.ask, History.let_go, History.grant, History.grant, History.promise, History.meet, History.meet,
    History.take_back, History.lose, History.measure, History.evict,
)  # fmt: skip


def cuts(stages: list[Stage]) -> list[tuple[int, int, int, Place | None]]:
    return [(stage.node.number, stage.start, stage.end, stage.origin) for stage in stages]


def assert_agrees(
    frontier: Frontier, tree: list[Stage], held: Place | None, near: list[Place], part: float = 1.0
) -> None:
    """What the frontier knows is what the tree says."""
    assert sorted(frontier.stages()) == sorted((stage.place, stage.start) for stage in tree)
    assert frontier.ready == sum(stage.ready for stage in tree)
    expected = next_batch(tree, frontier.estimates, held, near, part)
    batch = frontier.next(held, near, part)
    assert cuts(batch) == cuts(expected)
    assert [stage.wanted for stage in batch] == [stage.wanted for stage in expected]
    assert [stage.boundary for stage in batch] == [stage.boundary for stage in expected]
    origins = {stage.origin for stage in tree if stage.waiting}
    assert {place for place in frontier.plan.promises if frontier.waits_at(place)} == origins
    for node in frontier.plan.nodes:
        ends = sorted(s.end for s in tree if s.node is node and s.start < s.end)
        assert frontier.ends_within(node.number, 0, STEPS_MAX + 9) == ends


@often
@given(st.data())
def test_frontier_is_the_stage_tree_after_every_change(draw: st.DataObject) -> None:
    history = History(draw)
    for _ in range(history.number(1, 25)):
        draw.draw(st.sampled_from(ACTS))(history)
        held, near = history.place(), [place for place in (history.place(),) if place]
        part = draw.draw(parts)
        assert_agrees(history.shared.all, build(history.plan), held, near, part)
        for study, frontier in history.shared.frontiers().items():
            counts = all_count if frontier is history.shared.all else (lambda run, study=study: study_of(run) == study)
            assert_agrees(frontier, build(history.plan, counts), held, near, part)


@often
@given(st.data())
def test_frontier_that_was_read_bit_by_bit_is_the_stage_tree_in_the_end(draw: st.DataObject) -> None:
    history = History(draw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_paths, "READ_MAX", 1)
        for _ in range(history.number(1, 25)):
            draw.draw(st.sampled_from((*ACTS, History.grant, History.read_on)))(history)
        while history.shared.read_on():
            pass
        tree = build(history.plan)
        assert history.shared.ready == sum(stage.ready for stage in tree)
        for study, frontier in history.shared.frontiers().items():
            counts = all_count if frontier is history.shared.all else (lambda run, study=study: study_of(run) == study)
            assert_agrees(frontier, build(history.plan, counts), None, [])


@often
@given(st.data())
def test_frontier_made_late_knows_what_one_knows_that_heard_of_every_change(draw: st.DataObject) -> None:
    history = History(draw)
    for _ in range(history.number(1, 25)):
        draw.draw(st.sampled_from(ACTS))(history)
    history.shared.all.settle()
    late = Frontier(history.plan, history.estimates)
    assert_agrees(late, build(history.plan), None, [])
    assert late.best == history.shared.all.best
