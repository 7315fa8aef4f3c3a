"""Where a batch should leave a checkpoint for what is only announced, one reason at a time."""

from __future__ import annotations

import pytest

from hive.planner.anticipation import CONSIDERED_MAX, FOLLOWED_MAX, FOREVER, Anticipation
from hive.planner.estimates import Estimates
from hive.planner.running import Ends
from hive.planner.search_plan import Place, SearchPlan, Standing, Wanter
from hive.planner.sequences import Constant, MultiStep
from hive.planner.space import Config, segments

END = 1_000
LEASE = 7


def leaves(*steps: int) -> Config:
    """A config that goes on as all others do until a step, and otherwise from there."""
    return {"lr": MultiStep(1, list(steps), 0.1)}


STRAIGHT: Config = {"lr": Constant(1)}


class Desk:
    """A plan with one batch on a straight way, whose steps take a second and checkpoints ten."""

    def __init__(self, save_s: float = 10.0, *, measured: bool = True) -> None:
        self.plan = SearchPlan()
        self.estimates = Estimates(self.plan)
        self.anticipation = Anticipation(self.plan, self.estimates)
        self.ends: Ends = ((self.add(STRAIGHT).node, 0, END),)
        if measured:
            self.measure(save_s)

    def measure(self, save_s: float = 10.0) -> None:
        self.estimates.measured(0, 10, 10.0)
        self.estimates.saved(save_s)

    def add(self, config: Config, steps: int = END) -> Place:
        return self.plan.place(segments(config, steps))[0]

    def announce(self, *configs: Config) -> None:
        count = len(self.anticipation.announced)
        for trial, config in enumerate(configs, count):
            self.anticipation.announce(Wanter("run", trial), config)

    def boundaries(self, ends: Ends | None = None, done: int = 0) -> list[int]:
        """Where a batch that begins now should stop; or one that is out, if it has done steps."""
        ends = ends or self.ends
        self.anticipation.follow(self.plan.nodes[ends[-1][0]])
        return [place.step for place in self.anticipation.boundaries(ends, (), LEASE, done)]

    def went(self, trials: range, first: int, then: int | None = None) -> None:
        """These trials were answered at a step, and then asked for to another."""
        for trial in trials:
            wanter = Wanter("run", trial)
            self.anticipation.asks(wanter, first)
            self.anticipation.answers(wanter)
            if then is not None:
                self.anticipation.asks(wanter, then)


def test_batch_stops_where_an_announced_config_leaves_its_way() -> None:
    desk = Desk()
    desk.announce(leaves(100), leaves(500, 700), leaves(1_000), leaves(2_000), STRAIGHT, {"lr": Constant(2)})
    assert desk.boundaries() == [100, 500]


def test_ways_end_where_configs_leave_the_last_node_that_there_is() -> None:
    desk = Desk()
    desk.announce(leaves(100), leaves(100), leaves(100, 300), STRAIGHT, {"lr": Constant(2)})
    for _ in range(2):
        assert {*desk.anticipation.reached()} == {Place(0, 100), Place(0, FOREVER)}
        desk.boundaries()
    desk.add(leaves(100, 400))
    assert {*desk.anticipation.reached()} == {Place(1, FOREVER), Place(1, 300), Place(0, FOREVER)}


def test_nothing_is_anticipated_that_is_not_announced_or_was_let_go_of() -> None:
    desk = Desk()
    assert desk.boundaries() == []
    desk.announce(leaves(100), leaves(100), leaves(500))
    assert desk.boundaries() == [100, 500]
    desk.anticipation.forget(Wanter("run", 2))
    desk.anticipation.forget(Wanter("run", 0))
    assert desk.boundaries() == [100]
    desk.anticipation.forget(Wanter("run", 1))
    desk.anticipation.forget(Wanter("run", 1))
    assert desk.boundaries() == []
    assert (desk.anticipation.waiting, desk.anticipation.leaving) == ({}, {})


@pytest.mark.parametrize(("step", "found"), [(40, []), (41, [41])])
def test_checkpoint_is_worth_it_if_one_chance_in_four_of_the_steps_saved_is_longer_than_a_save(
    step: int, found: list[int]
) -> None:
    desk = Desk()
    desk.announce(leaves(step))
    assert desk.boundaries() == found


@pytest.mark.parametrize(("count", "found"), [(1, []), (2, [30])])
def test_several_that_leave_at_one_place_are_likelier_than_one(count: int, found: list[int]) -> None:
    desk = Desk()
    desk.announce(*[leaves(30, 100 + more) for more in range(count)])
    assert desk.boundaries() == found


def test_steps_saved_are_counted_from_the_nearest_boundary_below_added_ones_among_them() -> None:
    desk = Desk()
    desk.announce(*[leaves(step) for step in (100, 120, 140, 141)])
    assert desk.boundaries() == [100, 141]
    assert desk.boundaries(((0, 0, 50), (0, 50, 99), (0, 99, END))) == [140]


def test_steps_saved_are_counted_from_what_stands_or_is_promised_by_others() -> None:
    desk = Desk()
    desk.announce(*[leaves(step) for step in (100, 200, 300)])
    desk.plan.record(Place(0, 90), Standing("file", "digest"))
    desk.plan.promise(LEASE + 1, [Place(0, 200)])
    desk.plan.promise(LEASE, [Place(0, 270)])
    assert desk.boundaries() == [300]


def test_chance_is_of_those_answered_below_a_step_how_many_were_asked_past_it() -> None:
    desk = Desk()
    desk.announce(*[leaves(2_000 + more) for more in range(100)])
    desk.went(range(40), 15)
    assert desk.anticipation.chance(30) == pytest.approx((1 + 0) / (4 + 40))
    desk.went(range(10), 15, 60)
    desk.went(range(2), 60, 120)
    chance = desk.anticipation.chance
    assert chance(14) == chance(30) == chance(45) == pytest.approx((1 + 10) / (4 + 40))
    assert chance(70) == chance(119) == pytest.approx((1 + 2) / (4 + 40))
    assert chance(128) == pytest.approx((1 + 0) / (4 + 40))
    assert chance(7) == pytest.approx(1 / 4)


def test_chance_counts_no_going_on_before_an_answer_and_what_was_asked_before_it_was_announced() -> None:
    anticipation = Desk().anticipation
    anticipation.announce(Wanter("run", 0), leaves(9), asked=15)
    anticipation.announce(Wanter("run", 1), leaves(9))
    for trial in range(3):
        for step in (15, 60):
            anticipation.asks(Wanter("run", trial), step)
    for trial in range(3):
        anticipation.answers(Wanter("run", trial))
    assert anticipation.chance(20) == pytest.approx((1 + 1) / (4 + 1))
    assert anticipation.chance(60) == pytest.approx((1 + 1) / (4 + 2))


def test_unlikely_branches_are_left_alone() -> None:
    desk = Desk()
    desk.announce(leaves(200), *[leaves(2_000 + more) for more in range(99)])
    assert desk.boundaries() == [200]
    desk.went(range(1, 100), 15)
    assert desk.boundaries() == []


def test_config_is_followed_into_nodes_that_come_later() -> None:
    desk = Desk()
    desk.announce(leaves(100, 600), leaves(100, 300, 600), leaves(200, 600))
    assert desk.boundaries() == [100, 200]
    child = desk.add(leaves(100)).node
    assert desk.boundaries(((0, 0, 100), (child, 100, END))) == [300, 600]
    desk.anticipation.forget(Wanter("run", 0))
    desk.anticipation.forget(Wanter("run", 1))
    assert desk.boundaries() == [200]


def test_nothing_is_worth_it_before_steps_and_saves_were_measured_but_promises_are_kept() -> None:
    desk = Desk(measured=False)
    desk.announce(leaves(100), leaves(200))
    assert desk.boundaries() == []
    desk.plan.promise(LEASE, [Place(0, 200)])
    assert desk.boundaries(done=10) == [200]
    desk.measure()
    assert desk.boundaries(done=10) == [100, 200]


def test_batch_that_is_out_promises_nothing_behind_it_and_keeps_what_it_promised_while_that_is_worth_it() -> None:
    desk = Desk()
    desk.announce(leaves(100), leaves(200), leaves(300))
    desk.plan.promise(LEASE, [Place(0, 100)])
    assert desk.boundaries(done=250) == [100, 300]
    desk.anticipation.forget(Wanter("run", 0))
    assert desk.boundaries(done=250) == [300]
    desk.plan.promise(LEASE, [Place(0, 270), Place(0, 300)])
    assert desk.boundaries(done=250) == [300]


def test_each_batch_follows_so_many_and_keeps_its_promises_until_all_are() -> None:
    desk = Desk()
    desk.announce(*[leaves(100) for _ in range(FOLLOWED_MAX)], leaves(500), *[leaves(300) for _ in range(FOLLOWED_MAX)])
    desk.plan.promise(LEASE, [Place(0, 100)])
    assert sorted(desk.boundaries()) == [100, 300]
    assert sorted(desk.boundaries()) == [100, 300, 500]
    assert desk.boundaries() == [100, 300, 500]


def test_each_batch_is_given_so_many_from_its_beginning() -> None:
    desk = Desk(save_s=0.1)
    desk.announce(*[leaves(2 * step) for step in range(1, CONSIDERED_MAX + 100)])
    for _ in range(3):
        desk.boundaries()
    assert desk.boundaries() == [2 * step for step in range(1, CONSIDERED_MAX + 1)]


def test_those_who_let_go_use_up_nothing_of_what_a_batch_is_given() -> None:
    desk = Desk(save_s=0.1)
    desk.announce(*[leaves(2 * step) for step in range(1, CONSIDERED_MAX + 100)], leaves(900))
    for _ in range(3):
        desk.boundaries()
    for trial in range(CONSIDERED_MAX + 99):
        desk.anticipation.forget(Wanter("run", trial))
    assert desk.boundaries() == [900]


def test_where_many_leave_each_distance_longer_than_a_save_is_worth_it() -> None:
    desk = Desk()
    desk.announce(*[leaves(step, 100 + more) for step in (15, 25, 26) for more in range(30)])
    assert desk.boundaries() == [15, 26]


def test_steps_that_take_no_time_are_worth_no_checkpoint() -> None:
    desk = Desk(measured=False)
    desk.announce(leaves(100), leaves(500))
    desk.estimates.measured(0, 10, 0.0)
    desk.estimates.saved(0.0)
    assert desk.boundaries() == []


def test_config_announced_anew_leaves_where_it_says_now() -> None:
    desk = Desk()
    desk.announce(leaves(100))
    assert desk.boundaries() == [100]
    desk.anticipation.announce(Wanter("run", 0), leaves(500))
    assert desk.boundaries() == [500]
