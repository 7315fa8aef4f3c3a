"""The search plan: places, wanters, standings, promises, and what a failure blocks."""

from __future__ import annotations

from hive.planner.search_plan import Place, SearchPlan, Standing, Wanter
from hive.planner.sequences import Constant, MultiStep, Piecewise, Sequence
from hive.planner.space import segments

A, B = Wanter("run", 0), Wanter("run", 1)


def place(plan: SearchPlan, sequence: Sequence, steps: int, lane: int | None = None) -> Place:
    return plan.place(segments({"lr": sequence}, steps), lane)[0]


def found(metrics: dict[str, float] | None = None, name: str = "file") -> Standing:
    return Standing(name, "digest of " + name, metrics)


def forked() -> tuple[SearchPlan, Place, Place]:
    """Two trials that part at step 10; both wanted at step 20."""
    plan = SearchPlan()
    straight, dropped = place(plan, Constant(0.1), 20), place(plan, MultiStep(0.1, [10], 0.1), 20)
    plan.want(straight, A, 0)
    plan.want(dropped, B, 1)
    return plan, straight, dropped


def test_equal_beginnings_are_one_node_and_the_child_hangs_where_it_leaves() -> None:
    plan, straight, dropped = forked()
    assert [(node.number, node.start) for node in plan.nodes] == [(0, 0), (1, 10)]
    assert (straight, dropped) == (Place(0, 20), Place(1, 20))
    assert plan.nodes[1].parent is plan.nodes[0]


def test_place_creates_only_what_lacks() -> None:
    plan = SearchPlan()
    first = plan.place(segments({"lr": MultiStep(0.1, [10], 0.1)}, 20))
    again = plan.place(segments({"lr": MultiStep(0.1, [10], 0.1)}, 15))
    assert [node.number for node in first[1]] == [0, 1]
    assert again == (Place(1, 15), [])


def test_nodes_with_the_same_forms_know_each_other_and_share_them() -> None:
    plan = SearchPlan()
    for value in (1, 2):
        place(plan, Piecewise([value, 3], [10]), 20)
    assert [plan.alike(node.number) for node in plan.nodes] == [[0], [1, 3], [2], [1, 3]]
    assert plan.nodes[3].forms is plan.nodes[1].forms


def test_values_that_differ_in_type_alone_share_nothing() -> None:
    plan = SearchPlan()
    assert len({place(plan, Constant(value), 5) for value in (1, 1.0, True)}) == 3


def test_lanes_keep_equal_trials_apart() -> None:
    plan = SearchPlan()
    assert place(plan, Constant(1), 5, lane=0) != place(plan, Constant(1), 5, lane=1)
    assert place(plan, Constant(1), 5, lane=0) == place(plan, Constant(1), 5, lane=0)


def test_request_lives_until_its_last_wanter_lets_go() -> None:
    plan = SearchPlan()
    at = place(plan, Constant(1), 5)
    assert plan.want(at, A, 0)
    assert plan.want(at, B, 1)
    plan.let_go(at, A)
    assert list(plan.pending) == [at]
    plan.let_go(at, B)
    assert not plan.pending
    assert not plan.nodes[0].requests
    plan.let_go(at, B)  # again: nothing


def test_request_is_as_old_as_the_oldest_who_still_waits() -> None:
    plan = SearchPlan()
    at = place(plan, Constant(1), 5)
    plan.want(at, A, 3)
    plan.want(at, B, 7)
    assert plan.nodes[0].requests[5].order == 3
    plan.let_go(at, A)
    assert plan.nodes[0].requests[5].order == 7


def test_answered_request_is_not_asked_again_and_an_unmeasured_one_is() -> None:
    plan = SearchPlan()
    at = place(plan, Constant(1), 5)
    plan.record(at, found(None))
    assert plan.answer(at) is None
    assert plan.want(at, A, 0)
    plan.record(at, found({"score": 1.0}))
    assert not plan.want(at, B, 1)
    assert plan.take(at) == {A}


def test_first_record_stands_and_a_later_one_only_adds_metrics() -> None:
    plan = SearchPlan()
    at = place(plan, Constant(1), 5)
    plan.record(at, found(None, "first"))
    plan.record(at, found({"score": 1.0}, "second"))
    stands = plan.record(at, found({"score": 2.0}, "third"))
    assert (stands.checkpoint, stands.digest, stands.metrics) == ("first", "digest of first", {"score": 1.0})


def test_floor_is_the_greatest_standing_or_promise_below() -> None:
    plan = SearchPlan()
    node = plan.nodes[place(plan, Constant(1), 20).node]
    assert plan.floor(node, 20) is None
    plan.record(Place(0, 5), found())
    plan.promise(7, [Place(0, 12)])
    assert [plan.floor(node, step) for step in (5, 6, 12, 13)] == [None, 5, 5, 12]


def test_promises_of_one_lease_are_withdrawn_and_others_stay() -> None:
    plan = SearchPlan()
    place(plan, Constant(1), 20)
    plan.promise(1, [Place(0, 5), Place(0, 10)])
    plan.promise(2, [Place(0, 15)])
    plan.keep(2, Place(0, 5))  # not its own: nothing
    plan.keep(1, Place(0, 5))
    assert plan.promises == {Place(0, 10): 1, Place(0, 15): 2}
    plan.withdraw(1)
    assert plan.promises == {Place(0, 15): 2}


def test_failure_before_the_fork_blocks_both_sides_and_after_it_one() -> None:
    plan, straight, dropped = forked()
    assert plan.blocked(Place(0, 7)) == [straight, dropped]
    assert plan.blocked(Place(0, 10)) == [straight, dropped]
    assert plan.blocked(Place(0, 11)) == [straight]
    assert plan.blocked(Place(1, 11)) == [dropped]
    assert plan.blocked(Place(1, 21)) == []


def test_failure_blocks_nothing_that_starts_behind_it() -> None:
    plan, straight, dropped = forked()
    plan.record(Place(0, 10), found())
    assert plan.blocked(Place(0, 7)) == []
    plan.promise(1, [straight])
    assert plan.blocked(Place(0, 12)) == []
    assert plan.blocked(Place(1, 12)) == [dropped]


def test_failed_measurement_of_a_state_that_stands_blocks_itself_alone() -> None:
    plan, _, _ = forked()
    plan.record(Place(0, 10), found(None))
    plan.want(Place(0, 10), A, 2)
    assert plan.blocked(Place(0, 10)) == [Place(0, 10)]


def test_trained_steps_count_each_step_once() -> None:
    plan, straight, dropped = forked()
    plan.record(Place(0, 10), found())
    plan.record(dropped, found())
    plan.record(straight, found())
    plan.record(Place(0, 10), found())
    assert plan.trained_steps() == 30


def test_what_stands_at_the_end_of_a_way_shows_that_the_nodes_above_were_trained() -> None:
    plan, straight, _ = forked()
    below = place(plan, MultiStep(0.1, [10, 15], 0.1), 20)
    plan.record(below, found())
    assert [node.trained_to for node in plan.nodes] == [10, 15, 20]
    plan.record(straight, found())
    assert [node.trained_to for node in plan.nodes] == [20, 15, 20]
    assert plan.trained_steps() == 30


def test_steps_since_an_earlier_one_are_those_of_each_node_on_the_way() -> None:
    plan, _, _ = forked()
    below = place(plan, MultiStep(0.1, [10, 15], 0.1), 20)

    def since(begin: int) -> list[tuple[int, int, int]]:
        return [(node.number, start, end) for node, start, end in plan.since(below, begin)]

    assert since(0) == [(2, 15, 20), (1, 10, 15), (0, 0, 10)]
    assert since(12) == [(2, 15, 20), (1, 12, 15)]
    assert since(15) == [(2, 15, 20)]
    assert since(20) == []


def test_version_grows_when_a_promised_place_is_reached_without_the_metrics_that_are_wanted() -> None:
    plan = SearchPlan()
    at = place(plan, Constant(1), 5)
    plan.promise(1, [at])
    plan.want(at, A, 0)
    before = plan.version
    plan.record(at, found(None))
    assert plan.version > before
