"""Studies that come and go on one plan: what their frontiers know, and what that costs. That they are right is in
tests/properties."""

from __future__ import annotations

import pytest

from hive.planner import shared_paths
from hive.planner.estimates import Estimates
from hive.planner.search_plan import Place, SearchPlan, Wanter
from hive.planner.sequences import Constant
from hive.planner.shared_paths import SharedPaths
from hive.planner.space import segments


class Plan:
    """A plan on which trial n of any study is one step on a way of its own."""

    def __init__(self) -> None:
        self.plan = SearchPlan()
        self.paths = SharedPaths(self.plan, Estimates(self.plan), str)

    def ask(self, study: str, *trials: int) -> None:
        for trial in trials:
            place, _ = self.plan.place(segments({"lr": Constant(trial)}, 1))
            self.plan.want(place, Wanter(study, trial), trial)

    def let_go(self, study: str, *trials: int) -> None:
        for trial in trials:
            self.plan.let_go(self.plan.place(segments({"lr": Constant(trial)}, 1))[0], Wanter(study, trial))

    def known(self, study: str) -> int:
        """How many stages its frontier knows."""
        return len(list(self.paths.frontiers()[study].stages()))


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan whose studies are read three wishes at a time."""
    monkeypatch.setattr(shared_paths, "READ_MAX", 3)
    return Plan()


def test_study_that_was_alone_is_read_bit_by_bit_from_its_oldest_wishes_when_another_comes(plan: Plan) -> None:
    plan.ask("old", *range(10))
    assert plan.known("old") == 10
    plan.ask("new", 10)
    assert (plan.known("old"), plan.known("new")) == (3, 1)
    assert plan.paths.take("old")[0].place == Place(0, 1)
    plan.ask("old", 11)
    assert plan.known("old") == 4
    assert [(plan.paths.read_on(), plan.known("old")) for _ in range(4)] == [
        (True, 7),
        (True, 10),
        (False, 11),
        (False, 11),
    ]


def test_wish_that_is_let_go_before_it_is_read_is_not_known(plan: Plan) -> None:
    plan.ask("old", *range(6))
    plan.ask("new", 10)
    assert plan.known("old") == 3
    plan.let_go("old", 5)
    assert not plan.paths.read_on()
    assert plan.known("old") == 5


def test_as_much_is_read_as_it_takes_for_somebody_to_begin(plan: Plan) -> None:
    plan.ask("old", *range(12))
    plan.plan.promise(1, [Place(node, 1) for node in range(8)])
    plan.ask("new", 0)
    assert plan.paths.studies() == []
    assert plan.paths.read_on()
    assert (plan.paths.studies(), plan.known("old")) == (["old"], 1)


def test_nothing_more_is_read_where_nothing_can_be_begun(plan: Plan) -> None:
    plan.ask("old", *range(12))
    plan.plan.promise(1, [Place(node, 1) for node in range(12)])
    plan.ask("new", 0)
    assert [plan.paths.read_on() for _ in range(3)] == [True, True, False]


def test_study_keeps_its_frontier_while_others_come_and_go(plan: Plan) -> None:
    plan.ask("old", 0, 1)
    plan.ask("new", 2)
    frontier = plan.paths.frontiers()["old"]
    plan.let_go("new", 2)
    assert plan.paths.frontiers() == {"old": frontier}
    plan.ask("new", 3)
    assert plan.paths.frontiers()["old"] is frontier
    plan.let_go("old", 0, 1)
    assert plan.paths.frontiers().keys() == {"new"}
    plan.let_go("new", 3)
    plan.ask("old", 0)
    assert plan.paths.frontiers() == {"old": plan.paths.all}
