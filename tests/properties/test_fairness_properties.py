"""Fair sharing over random histories: nobody is far from the ideal, nobody starves, and one study sees no difference.

The oracle of fairness is a list of everything that was ever given out, added up anew at each question.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive.planner.critical_path import next_batch
from hive.planner.estimates import Estimates
from hive.planner.fairness import FairShares
from hive.planner.search_plan import Place, SearchPlan, Standing, Wanter
from hive.planner.shared_paths import SharedPaths
from hive.planner.space import segments
from hive.planner.stage_tree import build
from tests.planner.strategies import trials

STUDIES = "abcd"

seconds = st.floats(0.01, 100.0)
weights = st.lists(st.sampled_from([0.1, 0.5, 1.0, 1.0, 2.0, 7.0]), min_size=2, max_size=4)


@dataclass
class History:
    """Batches given out in turn, with who waited at each."""

    weights: dict[str, float]
    shares: FairShares[str] = field(default_factory=FairShares)
    given: list[tuple[str, float, frozenset[str]]] = field(default_factory=list)

    def give(self, ready: frozenset[str], took_s: float, expected_s: float | None = None) -> str:
        """The next batch goes to the least served of those who are ready; it ends before the next is given."""
        self.shares.arrive({study: self.weights[study] for study in sorted(ready)})
        study = min(sorted(ready), key=lambda each: self.shares.usage[each])
        number = len(self.given)
        self.shares.charge(number, study, [(took_s if expected_s is None else expected_s, [study])], self.weights)
        self.shares.leave(ready)
        self.shares.settle(number, took_s)
        self.given.append((study, took_s, ready))
        return study

    def service(self, study: str, begin: int = 0) -> float:
        """All that a study got since a batch."""
        return sum(took for whose, took, _ in self.given[begin:] if whose == study)

    def largest(self, study: str) -> float:
        """The longest batch it ever had."""
        return max((took for whose, took, _ in self.given if whose == study), default=0.0)


@given(weights, st.lists(st.tuples(seconds, seconds), min_size=1, max_size=40))
def test_studies_that_wait_all_the_while_are_within_a_batch_of_their_ideal_share(
    drawn: list[float], batches: list[tuple[float, float]]
) -> None:
    history = History(dict(zip(STUDIES, drawn, strict=False)))
    everybody = frozenset(history.weights)
    for took_s, expected_s in batches:
        history.give(everybody, took_s, expected_s)
        total_s = sum(history.service(study) for study in everybody)
        batch_of_each_s = sum(history.largest(study) for study in everybody)
        for study, weight in history.weights.items():
            share = weight / sum(history.weights.values())
            ahead_s = history.service(study) - total_s * share
            assert -batch_of_each_s * share - 1e-6 <= ahead_s <= history.largest(study) + 1e-6


ready_sets = st.sets(st.sampled_from(STUDIES), min_size=1).map(frozenset)


@given(weights, st.lists(st.tuples(ready_sets, seconds), min_size=2, max_size=30))
def test_while_two_studies_wait_neither_gets_a_batch_more_than_its_share_however_others_come_and_go(
    drawn: list[float], batches: list[tuple[frozenset[str], float]]
) -> None:
    history = History(dict(zip(STUDIES, [*drawn, 1.0, 1.0], strict=False)))
    for ready, took_s in batches:
        history.give(ready, took_s)
    slack = {study: history.largest(study) / weight for study, weight in history.weights.items()}
    for one in STUDIES:
        for other in STUDIES:
            begin = 0
            for end, (_, _, ready) in enumerate(history.given):
                if not {one, other} <= ready:
                    begin = end + 1
                    continue
                for since in range(begin, end + 1):
                    got = [history_between(history, study, since, end + 1) for study in (one, other)]
                    assert abs(got[0] - got[1]) <= slack[one] + slack[other] + 1e-6


def history_between(history: History, study: str, begin: int, end: int) -> float:
    """What a study got between two batches, for each unit of its weight."""
    return sum(took for whose, took, _ in history.given[begin:end] if whose == study) / history.weights[study]


@given(weights, st.lists(ready_sets, max_size=20), seconds)
def test_study_that_stays_gets_a_turn_before_the_others_have_had_two_batches_more_than_their_share(
    drawn: list[float], before: list[frozenset[str]], batch_s: float
) -> None:
    history = History(dict(zip(STUDIES, [*drawn, 1.0, 1.0], strict=False)))
    for ready in before:
        history.give(ready, batch_s)
    everybody = frozenset(STUDIES)
    bound = sum(3 + weight / history.weights["a"] for weight in history.weights.values())
    assert "a" in [history.give(everybody, batch_s) for _ in range(round(bound) + 1)]


@given(weights, st.lists(st.tuples(seconds, ready_sets), min_size=1, max_size=5))
def test_charges_add_up_to_what_the_batch_takes(drawn: list[float], costs: list[tuple[float, frozenset[str]]]) -> None:
    weights = dict(zip(STUDIES, [*drawn, 1.0, 1.0], strict=False))
    shares: FairShares[str] = FairShares()
    shares.arrive(weights)
    shares.charge(1, "a", costs, weights)
    assert sum(shares.charged_s.values()) == pytest.approx(sum(took for took, _ in costs))
    shares.settle(1, 3.0)
    assert sum(shares.charged_s.values()) == pytest.approx(3.0)


# -- paths ----------------------------------------------------------------------------------------------------------


@st.composite
def plans(draw: st.DrawFn, runs: str) -> SearchPlan:
    """A plan of trials of these runs, with states standing here and there."""
    plan = SearchPlan()
    for trial, (config, steps) in enumerate(draw(trials())):
        place, _ = plan.place(segments(config, steps))
        plan.want(place, Wanter(draw(st.sampled_from(runs)), trial), trial)
        if draw(st.booleans()) and steps > 1:
            earlier, _ = plan.place(segments(config, draw(st.integers(1, steps - 1))))
            plan.record(earlier, Standing("file", "digest"))
    return plan


@given(plans("a"), st.data())
def test_one_study_alone_gets_the_batches_of_the_critical_paths(plan: SearchPlan, data: st.DataObject) -> None:
    places = [None, *(Place(node.number, step) for node in plan.nodes for step in node.standings)]
    paths = SharedPaths(plan, Estimates(), str)
    for lease in range(len(plan.pending) + 1):
        held = data.draw(st.sampled_from(places))
        stages = paths.take("a", held)
        assert [stage.place for stage in stages] == [s.place for s in next_batch(build(plan), Estimates(), held)]
        plan.promise(lease, [stage.place for stage in stages])
    assert paths.studies() == []


@given(plans("abc"), st.data())
def test_batch_of_a_study_is_its_own_critical_path_cut_where_others_need_it_and_charged_to_all_who_want_it(
    plan: SearchPlan, data: st.DataObject
) -> None:
    paths = SharedPaths(plan, Estimates(), str)
    lease = 0
    while studies := paths.studies():
        study, tree = data.draw(st.sampled_from(studies)), build(plan)
        alone = next_batch(build(plan, lambda run, study=study: run == study), Estimates())  # type: ignore[misc]
        stages = paths.take(study)
        assert (stages[0].origin, stages[-1].place) == (alone[0].origin, alone[-1].place)
        assert {stage.place for stage in alone} <= {stage.place for stage in stages}
        known = {(each.place, each.start, each.origin): each for each in tree}
        for stage, (seconds, charged) in zip(stages, paths.costs(stages), strict=True):
            whole = known[stage.place, stage.start, stage.origin]
            behind = [each for each in tree if whole in ancestry(each)]
            wanting = {w.run for each in behind for r in [each.node.requests.get(each.end)] if r for w in r.wanters}
            assert charged == wanting
            assert seconds == stage.end - stage.start
        lease += 1
        plan.promise(lease, [stage.place for stage in stages])
    assert paths.ready == 0
    assert not any(stage.ready for stage in build(plan))


def ancestry(stage: object) -> list[object]:
    """A stage and all it hangs on."""
    above = []
    while stage is not None:
        above.append(stage)
        stage = getattr(stage, "parent", None)
    return above
