"""Runs: the counts as trials ask and steps are trained, and the journal."""

from __future__ import annotations

from hive.actors.plans import path_to
from hive.actors.runs import Run
from hive.planner.search_plan import Place, SearchPlan, Standing
from hive.planner.sequences import Constant, MultiStep, Sequence
from hive.planner.space import segments
from hive.storage.records import HeldRecord, RunCounts, RunRecord, WantRecord

STRAIGHT = Constant(1)
DROPPED = MultiStep(1, [10], 0.1)


class Asking:
    """A run, and the plan it asks."""

    def __init__(self) -> None:
        self.tree = SearchPlan()
        self.run = Run(RunRecord("run", "study", "key-1", 0.0))

    @property
    def counts(self) -> RunCounts:
        return self.run.record.counts

    def ask(self, trial: int, sequence: Sequence, steps: int) -> None:
        place, _ = self.tree.place(segments({"lr": sequence}, steps))
        want = WantRecord("run", trial, steps, "key-1", place.node, 0)
        self.run.asks(want, path_to(self.tree.nodes[place.node], steps))


def test_steps_asked_are_each_trial_s_furthest_and_distinct_steps_count_once() -> None:
    asking = Asking()
    for trial, sequence, steps in [(0, STRAIGHT, 5), (0, STRAIGHT, 15), (0, STRAIGHT, 12), (1, DROPPED, 20)]:
        asking.ask(trial, sequence, steps)
    counts = asking.counts
    assert (counts.trials_asked, counts.steps_asked, counts.steps_distinct) == (2, 35, 25)


def test_way_counts_what_is_new_in_each_of_its_nodes_up_to_the_first_that_others_went() -> None:
    asking = Asking()
    asking.ask(0, STRAIGHT, 5)
    asking.ask(1, MultiStep(1, [10, 15], 0.1), 20)
    assert asking.counts.steps_distinct == 20
    asking.ask(2, MultiStep(1, [10, 12], 0.1), 20)
    assert asking.counts.steps_distinct == 28
    assert asking.run.reach == {0: 10, 1: 15, 2: 20, 3: 20}


def test_steps_that_were_trained_before_are_reused_once() -> None:
    asking = Asking()
    asking.tree.place(segments({"lr": STRAIGHT}, 20))
    asking.tree.record(Place(0, 8), Standing("file", "digest"))
    asking.ask(0, STRAIGHT, 5)
    assert asking.counts.steps_reused == 5
    asking.ask(1, DROPPED, 20)
    asking.ask(0, STRAIGHT, 12)
    assert (asking.counts.steps_distinct, asking.counts.steps_reused) == (22, 8)


def test_new_steps_are_run_for_it_up_to_what_it_asked_and_reused_where_others_count_them() -> None:
    asking = Asking()
    asking.ask(0, STRAIGHT, 12)
    node = asking.tree.nodes[0]
    assert asking.run.trained(node, 0, 5, paid=0) == 5
    assert asking.run.trained(node, 5, 8, paid=6) == 8
    assert asking.run.trained(node, 8, 20, paid=8) == 12
    assert asking.run.trained(node, 12, 20, paid=12) == 12
    assert (asking.counts.steps_run, asking.counts.steps_reused) == (11, 1)


def test_steps_paid_beyond_what_it_asked_are_all_reused() -> None:
    asking = Asking()
    asking.ask(0, STRAIGHT, 12)
    assert asking.run.trained(asking.tree.nodes[0], 0, 20, paid=20) == 20
    assert (asking.counts.steps_run, asking.counts.steps_reused) == (0, 12)


def test_want_that_comes_back_from_the_store_counts_nothing_again() -> None:
    asking, back = Asking(), Asking()
    asking.ask(0, DROPPED, 15)
    back.tree = asking.tree
    (want,) = asking.run.wants.values()
    back.run.recall(want, path_to(asking.tree.nodes[want.node], want.step))
    assert back.counts == RunCounts()
    assert (back.run.asked, back.run.reach, back.run.wants) == (asking.run.asked, asking.run.reach, asking.run.wants)


def test_open_wants_are_those_that_still_wait() -> None:
    run = Asking().run
    waits = WantRecord("run", 0, 5, "key-1", 0, 0)
    run.remember(waits)
    run.remember(WantRecord("run", 1, 5, "key-1", 0, 1, open=False))
    assert run.open == [waits]


def test_closed_run_keeps_its_record_only() -> None:
    asking = Asking()
    asking.ask(0, STRAIGHT, 5)
    asking.run.journal.tell(HeldRecord("run", 1, 0, 0, 5))
    asking.run.forget()
    assert asking.counts.steps_asked == 5
    assert [asking.run.wants, asking.run.asked, asking.run.reach, asking.run.journal.told] == [{}, {}, {}, []]
