"""Which checkpoints go first, beside an oracle that weighs all that is left anew before each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hive.planner.estimates import Estimates
from hive.planner.pieces import ConstantForm
from hive.planner.retention import Holding, deepest_state, given_up, recompute_s
from hive.planner.search_plan import Place, SearchPlan, Standing
from tests.planner.strategies import often


def plan_of(*nodes: tuple[int | None, int, tuple[int, ...]]) -> SearchPlan:
    """Nodes by parent, start, and the steps where states stand."""
    plan = SearchPlan()
    for number, (parent, start, _) in enumerate(nodes):
        plan.add_node(parent, start, {"lr": ConstantForm(number)})
    for number, (_, _, steps) in enumerate(nodes):
        for step in steps:
            plan.record(Place(number, step), Standing("file", "digest"))
    return plan


def holding(plan: SearchPlan, useful: set[Place] | None = None, fixed: set[Place] | None = None) -> Holding:
    sizes = {Place(node.number, step): 10 for node in plan.nodes for step in node.states()}
    return Holding(plan, Estimates(), sizes, useful or set(), fixed or set())


def test_what_nobody_could_start_from_goes_first_and_then_the_cheapest_to_train_again() -> None:
    plan = plan_of((None, 0, (10, 12, 40)))
    order = [place.step for _, place in given_up({"p": holding(plan, useful={Place(0, 12)})}, 100)]
    assert order == [10, 40, 12]
    assert [place.step for _, place in given_up({"p": holding(plan)}, 100)] == [12, 10, 40]


def test_nothing_goes_that_must_stay_and_no_more_than_must_go() -> None:
    plan = plan_of((None, 0, (10, 20, 30)))
    assert list(given_up({"p": holding(plan)}, 0)) == []
    assert len(list(given_up({"p": holding(plan)}, 11))) == 2
    fixed = {Place(0, 10), Place(0, 30)}
    assert list(given_up({"p": holding(plan, fixed=fixed)}, 100)) == [("p", Place(0, 20))]


def test_small_file_stays_longer_than_a_large_one_of_the_same_steps() -> None:
    plan = plan_of((None, 0, (10,)), (None, 0, (10,)))
    sizes = {Place(0, 10): 1, Place(1, 10): 100}
    held = Holding(plan, Estimates(), sizes, set(), set())
    assert [place.node for _, place in given_up({"p": held}, 1_000)] == [1, 0]


def test_state_is_trained_again_from_the_next_one_below_over_nodes() -> None:
    plan = plan_of((None, 0, (4, 10)), (0, 10, (15,)), (1, 20, (25,)))
    estimates = Estimates()
    assert recompute_s(plan, estimates, Place(2, 25)) == 10
    assert recompute_s(plan, estimates, Place(2, 25), {Place(1, 15)}) == 15
    assert recompute_s(plan, estimates, Place(2, 25), {Place(1, 15), Place(0, 10)}) == 21
    assert recompute_s(plan, estimates, Place(2, 25), {Place(1, 15), Place(0, 10), Place(0, 4)}) == 25
    assert deepest_state(plan.nodes[0], 9) == 4
    assert deepest_state(plan.nodes[0], 3) is None


steps = st.sets(st.integers(1, 30), max_size=5)


@st.composite
def holdings(draw: st.DrawFn) -> Holding:
    plan = SearchPlan()
    for number in range(draw(st.integers(1, 6))):
        parent = draw(st.one_of(st.none(), st.integers(0, number - 1))) if number else None
        start = 0 if parent is None else plan.nodes[parent].start + draw(st.integers(1, 9))
        plan.add_node(parent, start, {"lr": ConstantForm(number)})
    for node in plan.nodes:
        for step in draw(steps):
            plan.record(Place(node.number, node.start + step), Standing("file", "digest"))
    places = [Place(node.number, step) for node in plan.nodes for step in node.states()]
    estimates = Estimates(plan)
    for node in plan.nodes:
        if draw(st.booleans()):
            estimates.measured(node.number, 1, draw(st.sampled_from([0.5, 1.0, 3.0])))
    some = st.sets(st.sampled_from(places)) if places else st.just(set[Place]())
    sizes = {place: draw(st.integers(1, 20)) for place in places}
    return Holding(plan, estimates, sizes, draw(some), draw(some))


def slow_recompute_s(holding: Holding, place: Place, gone: set[Place]) -> float:
    """Step by step downwards, to a state that is there."""
    node, step, seconds = holding.plan.nodes[place.node], place.step, 0.0
    while True:
        step -= 1
        seconds += holding.estimates.step_weight(node.number)
        if step == node.start:
            if node.parent is None:
                return seconds
            node = node.parent
        if Place(node.number, step) in holding.sizes.keys() - gone:
            return seconds


@often
@given(st.lists(holdings(), min_size=1, max_size=2), st.integers(0, 200))
def test_each_checkpoint_that_goes_is_the_cheapest_of_those_left_then(found: list[Holding], excess: int) -> None:
    named = {str(number): each for number, each in enumerate(found)}
    gone: dict[str, set[Place]] = {name: set() for name in named}
    freed = 0

    def costs() -> dict[tuple[str, Place], tuple[bool, float, str, Place]]:
        return {
            (name, place): (
                place in each.useful,
                slow_recompute_s(each, place, gone[name]) / each.sizes[place],
                name,
                place,
            )
            for name, each in named.items()
            for place in each.sizes.keys() - gone[name] - set(each.fixed)
        }

    for name, place in given_up(named, excess):
        assert freed < excess, "enough was gone"
        assert costs()[name, place] == min(costs().values())
        gone[name].add(place)
        freed += named[name].sizes[place]
    assert freed >= excess or not costs()
