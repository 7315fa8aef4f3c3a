"""Where batches that are out must stop as things stand now, beside a plain oracle that looks at each step."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hive.planner.estimates import Estimates
from hive.planner.frontier import Frontier
from hive.planner.pieces import ConstantForm
from hive.planner.running import Ends, Way, cut, on_the_way
from hive.planner.search_plan import Place, SearchPlan, Wanter

steps = st.integers(1, 30)
ways = st.lists(st.tuples(st.integers(0, 2), steps), min_size=1, max_size=5)


def path(drawn: list[tuple[int, int]]) -> Ends:
    """Consecutive stages: the nodes in order, each from where the one before ended."""
    start, node, ends = 0, 0, []
    for more, length in drawn:
        node += min(more, 1)
        ends.append((node, start, start + length))
        start += length
    return tuple(ends)


@given(ways, st.sets(st.tuples(st.integers(0, 4), steps)), st.data())
def test_way_is_cut_exactly_where_it_is_wanted_or_passes_to_another_node(
    drawn: list[tuple[int, int]], asked: set[tuple[int, int]], data: st.DataObject
) -> None:
    ends = path(drawn)
    added = {Place(*place) for place in asked}
    wanted = added | data.draw(st.sets(st.sampled_from([Place(n, e) for n, _, e in ends])))
    made = cut(ends, added, wanted.__contains__)

    under = {step: node for node, start, end in ends for step in range(start, end)}  # by step, the node that trains it
    inside = {p for p in wanted if under.get(p.step - 1) == p.node}
    last = max((p.step for p in inside), default=0)
    passes = {step for step in range(1, last) if under[step] != under[step - 1]}
    assert [end for _, _, end in made] == sorted({p.step for p in inside} | passes)
    assert {step: node for node, start, end in made for step in range(start, end)} == {
        step: node for step, node in under.items() if step < last
    }


def test_nothing_is_left_of_a_way_that_nobody_wants() -> None:
    assert cut(((0, 0, 10), (1, 10, 20)), [], set().__contains__) == ()


def test_evaluation_of_a_state_that_stands_is_no_step_and_stays_while_it_is_wanted() -> None:
    ends = ((0, 10, 10), (0, 10, 20))
    assert cut(ends, [], {Place(0, 10), Place(0, 20)}.__contains__) == ends
    assert cut(ends, [], {Place(0, 20)}.__contains__) == ((0, 10, 20),)


def plan_with(*asked: int) -> SearchPlan:
    """One node, asked for at these steps."""
    plan = SearchPlan()
    plan.add_node(None, 0, {"lr": ConstantForm(1)})
    for order, step in enumerate(asked):
        plan.want(Place(0, step), Wanter("run", order), order)
    return plan


@given(st.sets(st.integers(1, 20), min_size=1), st.lists(st.tuples(st.integers(2, 20), st.integers(0, 20)), max_size=3))
def test_step_asked_for_goes_to_the_batch_that_passes_it_soonest_and_has_not_passed_it(
    asked: set[int], out: list[tuple[int, int]]
) -> None:
    plan = plan_with(*asked)
    found = on_the_way(Frontier(plan, Estimates()), [Way(n, ((0, 0, end),), done) for n, (end, done) in enumerate(out)])
    given_to = {place.step: lease for lease, places in found.items() for place in places}
    for step in asked:
        passing = [(end, n) for n, (end, done) in enumerate(out) if done <= step < end]
        assert given_to.get(step) == (min(passing)[1] if passing else None)
    assert sum(len(places) for places in found.values()) == len(given_to)


@given(st.integers(2, 9), st.integers(0, 12), st.booleans(), st.booleans())
def test_branch_goes_to_a_batch_that_passes_there_and_has_not_passed_yet(
    at: int, done: int, passes: bool, other: bool
) -> None:
    plan = plan_with()
    for start in (at, 10):
        plan.add_node(len(plan.nodes) - 1, start, {"lr": ConstantForm(start)})
    plan.promise(1, [Place(2, 12)])
    plan.want(Place(2, 12), Wanter("run", 0), 0)
    branch = plan.add_node(0, at, {"lr": ConstantForm(0.5)})
    if other:
        plan.want(Place(branch.number, at + 3), Wanter("run", 1), 1)
    ends = ((0, 0, at), (1, at, 10), (2, 10, 12))
    found = on_the_way(Frontier(plan, Estimates()), [Way(1, ends, done, ((0, at), (1, 10)) if passes else ())])
    assert found == ({1: [Place(0, at)]} if passes and other and done <= at else {})
