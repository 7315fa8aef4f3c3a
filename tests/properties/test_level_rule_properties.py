"""The optimum in closed form against the level rule played step by step, and against all schedules there are.

Forests are drawn as plans: what the trials of one hyper-parameter ask for.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from hive.planner.level_rule import makespan
from hive.planner.search_plan import SearchPlan, Wanter
from hive.planner.sequences import Values
from hive.planner.space import segments
from hive.planner.stage_tree import Stage, build
from tests.planner.strategies import often

Forest = dict[int, list[int]]
"""By step that must be trained, the steps that may be trained after it; those of -1 may be trained at once."""

trials = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=12)
few_trials = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=5), min_size=1, max_size=5)


def asked(configs: list[list[int]]) -> list[Stage]:
    """The stage tree of trials, each with a value of its own for every step."""
    plan = SearchPlan()
    for trial, values in enumerate(configs):
        place, _ = plan.place(segments({"lr": Values([*values])}, len(values)))
        plan.want(place, Wanter("run", trial), trial)
    return build(plan)


def single_steps(tree: list[Stage]) -> Forest:
    """The same as single steps."""
    forest: Forest = {-1: []}
    last: dict[Stage | None, int] = {None: -1}
    for stage in tree:
        at = last[stage.parent]
        for _ in range(stage.start, stage.end):
            step = len(forest) - 1
            forest[at].append(step)
            forest[step] = []
            at = step
        last[stage] = at
    return forest


def by_levels(forest: Forest, devices: int) -> int:
    """The level rule, step by step."""
    levels: dict[int, int] = {}
    for step in sorted(forest, reverse=True):
        levels[step] = 1 + max((levels[child] for child in forest[step]), default=0)
    ready, count = list(forest[-1]), 0
    while ready:
        ready.sort(key=lambda step: -levels[step])
        ready = [*ready[devices:], *(child for step in ready[:devices] for child in forest[step])]
        count += 1
    return count


def by_trying(forest: Forest, devices: int) -> int:
    """The shortest of all schedules that leave no device idle for nothing (one of those is as short as any)."""

    def after(ready: frozenset[int]) -> Iterator[frozenset[int]]:
        for chosen in combinations(sorted(ready), min(devices, len(ready))):
            yield (ready - set(chosen)).union(*(forest[step] for step in chosen))

    states, count = {frozenset(forest[-1])}, 0
    while frozenset() not in states:
        states = {following for ready in states for following in after(ready)}
        count += 1
    return count


@often
@given(trials, st.integers(1, 5))
def test_makespan_is_what_the_level_rule_takes_step_by_step(configs: list[list[int]], devices: int) -> None:
    tree = asked(configs)
    assert makespan(tree, devices) == by_levels(single_steps(tree), devices)


@often
@given(few_trials, st.integers(1, 3))
def test_makespan_is_that_of_the_shortest_schedule_there_is(configs: list[list[int]], devices: int) -> None:
    tree = asked(configs)
    assert makespan(tree, devices) == by_trying(single_steps(tree), devices)


def test_makespan_of_nothing_is_none() -> None:
    assert makespan([], 3) == 0
