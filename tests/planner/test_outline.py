"""The outline of a plan: nothing is lost in it, and what it calls alike is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from hypothesis import given

from hive.planner.outline import Branch, changes, folded, outline
from hive.planner.search_plan import Place, SearchPlan
from hive.planner.sequences import Constant, MultiStep, Piecewise, Sequence, Warmup
from hive.planner.space import Config, segments
from tests.planner.strategies import trials

Asked = list[tuple[Config, int]]


def planned(asked: Iterable[tuple[Config, int]]) -> tuple[SearchPlan, Counter[Place]]:
    plan, ends = SearchPlan(), Counter[Place]()
    for config, steps in asked:
        ends[plan.place(segments(config, steps))[0]] += 1
    return plan, ends


def outlined(sequences: list[Sequence], steps: int = 20) -> list[Branch]:
    return outline(*planned([({"lr": sequence}, steps) for sequence in sequences]))


def everything(branches: Iterable[Branch]) -> Iterator[Branch]:
    for branch in branches:
        yield branch
        yield from everything(branch.children)


def told(branch: Branch) -> object:
    """All of a branch but its values."""
    nodes = [(node.start, sorted(changes(node))) for node in branch.nodes]
    return nodes, branch.end, branch.trials, Counter(map(str, map(told, branch.children)))


@given(trials())
def test_outline_has_every_node_once_every_step_once_and_every_trial(asked: Asked) -> None:
    plan, ends = planned(asked)
    roots = outline(plan, ends)
    branches = list(everything(roots))
    assert sorted(node.number for branch in branches for node in branch.nodes) == list(range(len(plan.nodes)))
    distinct = {(n, step) for place in ends for n, step in passed(plan, place)}
    assert sum(branch.end - branch.start for branch in branches) == len(distinct)
    assert sum(root.trials for root in roots) == len(asked)
    for branch in branches:
        stops = {place.step for place in ends if place.node in {node.number for node in branch.nodes[:-1]}}
        assert not stops
        assert [child.start for child in branch.children] == sorted(child.start for child in branch.children)
        assert all(child.nodes[0].parent is branch.nodes[-1] for child in branch.children)
        assert all(branch.nodes[-1].start < child.start <= branch.end for child in branch.children)


def passed(plan: SearchPlan, place: Place) -> Iterator[tuple[int, int]]:
    """The (node, step) on the way to a place."""
    node, end = plan.nodes[place.node], place.step
    yield from ((node.number, step) for step in range(node.start, end))
    if node.parent is not None:
        yield from passed(plan, Place(node.parent.number, node.start))


@given(trials())
def test_branches_have_one_shape_exactly_if_they_differ_in_values_alone(asked: Asked) -> None:
    branches = list(everything(outline(*planned(asked))))
    for one in branches:
        assert {id(b) for b in branches if b.shape == one.shape} == {id(b) for b in branches if told(b) == told(one)}


def test_nodes_that_nobody_leaves_or_stops_at_are_one_branch() -> None:
    [branch] = outlined([Warmup(2, 0.1, MultiStep(0.1, [3, 8], 0.1))])
    assert [(node.start, end) for node, end in zip(branch.nodes, branch.ends(), strict=True)] == [
        (0, 2),
        (2, 5),
        (5, 10),
        (10, 20),
    ]
    assert branch.children == []


def test_branch_ends_where_a_trial_ends_and_others_go_on() -> None:
    decayed: Config = {"lr": MultiStep(0.1, [5], 0.1)}
    [branch] = outline(*planned([(decayed, 5), (decayed, 20)]))
    assert (branch.end, branch.trials) == (5, 2)
    assert [(child.start, child.end, child.trials) for child in branch.children] == [(5, 20, 1)]


def test_branches_that_differ_in_values_alone_are_folded_and_what_hangs_there_counts() -> None:
    [root] = outlined([Constant(1), *(Piecewise([1, value], [5]) for value in (2, 3, 4))])
    assert [len(group) for group in folded(root.children)] == [3]
    [root] = outlined([Constant(1), Piecewise([1, 2], [5]), Piecewise([1, 3], [5]), Piecewise([1, 3, 4], [5, 9])])
    assert [len(group) for group in folded(root.children)] == [1, 1]


def test_branches_that_are_left_at_different_steps_are_not_alike() -> None:
    roots = outlined([Constant(1), Piecewise([1, 3], [5]), Constant(2), Piecewise([2, 3], [7])])
    assert [len(group) for group in folded(roots)] == [1, 1]


def test_mark_keeps_branches_of_one_shape_apart() -> None:
    plan, ends = planned([({"lr": Constant(value)}, 9) for value in range(3)])
    assert [len(group) for group in folded(outline(plan, ends))] == [3]
    assert [len(group) for group in folded(outline(plan, ends, lambda branch: branch.nodes[0].number == 1))] == [2, 1]


def test_what_was_trained_is_there_although_nobody_asks_for_it_any_more() -> None:
    plan, ends = planned([({"lr": Constant(1)}, 9), ({"lr": Constant(2)}, 9), ({"lr": Constant(3)}, 9)])
    plan.nodes[1].trained_to = 4
    only = {Place(0, 9): ends[Place(0, 9)]}
    assert [(branch.end, branch.trials) for branch in outline(plan, only)] == [(9, 1), (4, 0)]


def test_plan_that_is_deeper_than_calls_may_be_has_an_outline() -> None:
    plan = SearchPlan()
    for number in range(5000):
        plan.add_node(number - 1 if number else None, number, segments({"lr": Constant(number)}, 1)[0].forms)
    [root] = outline(plan, {Place(number, 6000): 1 for number in range(5000)})
    assert root.trials == 5000
