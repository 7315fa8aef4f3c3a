"""The stage tree: each of its four repairs of the paper's algorithm, and what starts where."""

from __future__ import annotations

from typing import NamedTuple

from hive.planner.search_plan import Place, SearchPlan, Standing, Wanter
from hive.planner.sequences import Constant, MultiStep, Sequence
from hive.planner.space import segments
from hive.planner.stage_tree import build


class Cut(NamedTuple):
    """A stage, as a test says it."""

    node: int
    start: int
    end: int
    origin: Place | None
    ready: bool = True


def plan_of(*requests: tuple[Sequence, int]) -> SearchPlan:
    plan = SearchPlan()
    for trial, (sequence, steps) in enumerate(requests):
        place, _ = plan.place(segments({"lr": sequence}, steps))
        plan.want(place, Wanter("run", trial), trial)
    return plan


def cuts(plan: SearchPlan) -> list[Cut]:
    return [Cut(s.node.number, s.start, s.end, s.origin, s.ready) for s in build(plan)]


def stands(plan: SearchPlan, node: int, step: int, *, measured: bool = False) -> None:
    plan.record(Place(node, step), Standing("file", "digest", {"score": 1.0} if measured else None))


STRAIGHT = Constant(0.1)
DROPPED = MultiStep(0.1, [10], 0.1)  # leaves STRAIGHT at step 10


def test_empty_plan_has_no_stages() -> None:
    assert build(SearchPlan()) == []


def test_request_under_a_root_gets_a_stage() -> None:
    assert cuts(plan_of((STRAIGHT, 15))) == [Cut(0, 0, 15, None)]


def test_running_node_is_no_wall_what_lies_behind_waits_for_its_promise() -> None:
    plan = plan_of((STRAIGHT, 10), (STRAIGHT, 15), (DROPPED, 20))
    plan.promise(1, [Place(0, 10)])
    assert cuts(plan) == [Cut(0, 10, 15, Place(0, 10), ready=False), Cut(1, 10, 20, Place(0, 10), ready=False)]


def test_needed_steps_of_a_node_are_chained() -> None:
    plan = plan_of((STRAIGHT, 20), (STRAIGHT, 10), (STRAIGHT, 15))
    assert cuts(plan) == [
        Cut(0, 0, 10, None),
        Cut(0, 10, 15, Place(0, 10), ready=False),
        Cut(0, 15, 20, Place(0, 15), ready=False),
    ]
    first, second, third = build(plan)
    assert (second.parent, third.parent) == (first, second)
    assert first.children == [second]


def test_branch_point_is_needed_only_if_something_behind_it_is() -> None:
    plan = plan_of((STRAIGHT, 20), (DROPPED, 20))
    assert [cut.end for cut in cuts(plan)] == [10, 20, 20]
    plan.let_go(Place(1, 20), Wanter("run", 1))
    assert cuts(plan) == [Cut(0, 0, 20, None)]


def test_stage_starts_at_the_greatest_checkpoint_below() -> None:
    plan = plan_of((STRAIGHT, 20))
    stands(plan, 0, 5)
    stands(plan, 0, 12)
    assert cuts(plan) == [Cut(0, 12, 20, Place(0, 12))]


def test_checkpoint_at_the_branch_point_starts_the_child() -> None:
    plan = plan_of((DROPPED, 20))
    stands(plan, 0, 10)
    assert cuts(plan) == [Cut(1, 10, 20, Place(0, 10))]


def test_checkpoint_above_a_promise_starts_what_lies_behind_it() -> None:
    plan = plan_of((STRAIGHT, 20))
    plan.promise(1, [Place(0, 8)])
    stands(plan, 0, 12)
    assert cuts(plan) == [Cut(0, 12, 20, Place(0, 12))]


def test_promised_request_is_not_in_the_tree() -> None:
    plan = plan_of((STRAIGHT, 20))
    plan.promise(1, [Place(0, 20)])
    assert cuts(plan) == []


def test_state_that_stands_unmeasured_gets_a_stage_without_steps() -> None:
    plan = plan_of((STRAIGHT, 10), (STRAIGHT, 12))
    stands(plan, 0, 10)
    assert cuts(plan) == [Cut(0, 10, 10, Place(0, 10)), Cut(0, 10, 12, Place(0, 10))]
    assert build(plan)[0].children == []


def test_step_between_two_promises_is_trained_again_from_below() -> None:
    plan = plan_of((STRAIGHT, 7))
    plan.promise(1, [Place(0, 5), Place(0, 20)])
    assert cuts(plan) == [Cut(0, 5, 7, Place(0, 5), ready=False)]
    plan.withdraw(1)
    plan.promise(1, [Place(0, 20)])
    assert cuts(plan) == [Cut(0, 0, 7, None)]


def test_stage_knows_how_many_wait_and_the_oldest_of_them() -> None:
    plan = plan_of((DROPPED, 20), (STRAIGHT, 15), (STRAIGHT, 15), (STRAIGHT, 18))
    stages = {stage.place: (stage.wanted, stage.order) for stage in build(plan)}
    assert stages == {Place(0, 10): (0, None), Place(1, 20): (1, 0), Place(0, 15): (2, 1), Place(0, 18): (1, 3)}


def test_tree_of_some_runs_has_their_wishes_only() -> None:
    plan = plan_of((DROPPED, 20), (STRAIGHT, 15))
    plan.want(Place(0, 18), Wanter("other", 0), 9)
    assert [stage.place for stage in build(plan, lambda run: run == "other")] == [Place(0, 18)]
