"""Several studies on one coordinator: trainer time goes by weight, on one plan and across plans; nobody starves."""

from __future__ import annotations

from collections import Counter

import pytest

from hive.actors.coordinator import CoordinatorSettings
from hive.actors.messages import SessionBeat, StartTrainer, StopLease, TrainerExited
from hive.actors.sharing import TURN_S
from hive.planner import shared_paths
from hive.planner.sequences import Constant
from hive.planner.space import Config
from hive.storage.records import RunRecord
from tests.actors.lockstep import DROPPED, OTHER, STRAIGHT, HandTrainer, Lockstep, stages

LONG, SHORT = 100, 10


def rate(value: int) -> Config:
    return {"lr": Constant(value)}


def ask_many(lockstep: Lockstep, run: str, count: int, step: int, first: int = 100) -> None:
    """So many trials of a run that share nothing."""
    lockstep.ask(run, *[(trial, rate(first + trial), step) for trial in range(count)])


def two_studies(first_weight: float = 1.0, second_weight: float = 1.0, **settings: object) -> Lockstep:
    lockstep = Lockstep(CoordinatorSettings(**settings))  # type: ignore[arg-type]
    lockstep.open("first", study="one", weight=first_weight)
    lockstep.open("second", study="two", weight=second_weight)
    return lockstep


def work(lockstep: Lockstep, trainer: HandTrainer, step_s: float = 1.0) -> str:
    """A batch from its grant to its end, and the next one's grant: the run that paid for the first."""
    assert trainer.grant is not None
    payer = lockstep.books.leases.leases[trainer.grant.lease].record.payer
    lockstep.now += step_s * sum(stage.end - stage.start for stage in trainer.grant.stages)
    trainer.train()
    trainer.take()
    return payer


def test_study_of_short_paths_is_not_starved_by_one_of_long_paths() -> None:
    lockstep = two_studies()
    ask_many(lockstep, "first", 3, LONG)
    ask_many(lockstep, "second", 4, SHORT, first=200)
    trainer = lockstep.trainer()
    paid = [work(lockstep, trainer) for _ in range(7)]
    assert paid == ["first", *["second"] * 4, "first", "first"]


def test_large_study_is_known_in_full_some_decisions_after_another_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_paths, "READ_MAX", 1)
    lockstep = two_studies()
    ask_many(lockstep, "first", 20, LONG)
    trainer = lockstep.trainer()
    ask_many(lockstep, "second", 1, SHORT, first=200)
    assert [work(lockstep, trainer) for _ in range(3)] == ["first", "second", "first"]
    paths = lockstep.books.plans["key-1"].paths
    assert paths.unread
    lockstep.wait(20.0)
    assert not paths.unread


def test_trainer_time_is_shared_by_weight() -> None:
    lockstep = two_studies(1.0, 3.0)
    ask_many(lockstep, "first", 12, SHORT)
    ask_many(lockstep, "second", 12, SHORT, first=200)
    trainer = lockstep.trainer()
    assert Counter(work(lockstep, trainer) for _ in range(12)) == {"first": 3, "second": 9}


def test_time_is_what_counts_not_what_was_expected() -> None:
    lockstep = two_studies()
    ask_many(lockstep, "first", 12, SHORT)
    ask_many(lockstep, "second", 12, SHORT, first=200)
    trainer = lockstep.trainer()
    paid: list[str] = []
    for _ in range(12):
        slow = lockstep.books.leases.of_trainer(trainer.name)
        assert slow is not None
        paid.append(work(lockstep, trainer, step_s=3.0 if slow.record.payer == "first" else 1.0))
    assert Counter(paid) == {"first": 3, "second": 9}


def test_weight_outlives_the_coordinator_and_older_records_weigh_one() -> None:
    lockstep = two_studies(2.0, 0.5)
    lockstep.restart()
    assert lockstep.books.weights == {("key-1", "one"): 2.0, ("key-1", "two"): 0.5}
    assert RunRecord("run", "study", "plan", 0.0).weight == 1.0


def test_study_weighs_what_its_run_that_opened_last_does() -> None:
    lockstep = two_studies(2.0)
    lockstep.open("again", study="one", weight=5.0)
    assert lockstep.books.weights["key-1", "one"] == 5.0
    lockstep.restart()
    assert lockstep.books.weights["key-1", "one"] == 5.0


def test_two_runs_of_a_study_are_served_as_one() -> None:
    lockstep = two_studies()
    lockstep.open("again", study="one")
    ask_many(lockstep, "first", 6, SHORT)
    ask_many(lockstep, "again", 6, SHORT, first=300)
    ask_many(lockstep, "second", 6, SHORT, first=200)
    trainer = lockstep.trainer()
    paid = Counter(work(lockstep, trainer) for _ in range(8))
    assert paid["second"] == 4


def test_stages_that_both_want_are_trained_once_and_charged_to_both() -> None:
    lockstep = two_studies(1.0, 3.0)
    lockstep.ask("first", (0, STRAIGHT, 20))
    lockstep.ask("second", (0, DROPPED, 15))
    trainer = lockstep.trainer()
    assert stages(trainer) == [(0, 0, 10, False), (0, 10, 20, True)]
    charged = lockstep.coordinator.sharing.shares.charged_s
    assert charged == {("key-1", "one"): 2.5 + 10.0, ("key-1", "two"): 7.5}


def test_batch_ends_where_its_study_wants_nothing_more() -> None:
    lockstep = two_studies()
    lockstep.ask("second", (0, OTHER, 50))
    trainer = lockstep.trainer()
    lockstep.ask("first", (0, STRAIGHT, 10))
    lockstep.ask("second", (1, STRAIGHT, 30))
    work(lockstep, trainer)
    assert stages(trainer) == [(1, 0, 10, True)], "the first study's turn"
    work(lockstep, trainer)
    assert stages(trainer) == [(1, 10, 30, True)]
    work(lockstep, trainer)
    assert [a.error for run in ("first", "second") for a in lockstep.answers(run)] == [None] * 3


def test_study_that_comes_later_gets_its_turns_and_no_more() -> None:
    lockstep = two_studies()
    ask_many(lockstep, "first", 30, SHORT)
    trainer = lockstep.trainer()
    for _ in range(10):
        work(lockstep, trainer)
    ask_many(lockstep, "second", 10, SHORT, first=200)
    work(lockstep, trainer)  # was granted before
    paid = [work(lockstep, trainer) for _ in range(8)]
    assert paid.count("second") in (4, 5)


def test_restart_of_the_coordinator_forgets_the_accounts_and_shares_on() -> None:
    lockstep = two_studies()
    ask_many(lockstep, "first", 12, SHORT)
    ask_many(lockstep, "second", 12, SHORT, first=200)
    trainer = lockstep.trainer()
    for _ in range(4):
        work(lockstep, trainer)
    lockstep.restart()
    trainer.beat()
    paid = Counter(work(lockstep, trainer) for _ in range(9))
    assert abs(paid["first"] - paid["second"]) <= 1


def three_long_paths(**settings: object) -> tuple[Lockstep, HandTrainer, HandTrainer]:
    """Two trainers that know how long a step takes, and have the first batches of three paths of equal length."""
    lockstep = Lockstep(CoordinatorSettings(**settings))  # type: ignore[arg-type]
    lockstep.open("first")
    ask_many(lockstep, "first", 2, SHORT)
    one, two = lockstep.trainer("node/0/1"), lockstep.trainer("node/1/2")
    one.step_s = two.step_s = 1.0
    ask_many(lockstep, "first", 3, 10 * LONG, first=200)
    for trainer in (one, two):
        trainer.train()
        assert trainer.take()
    return lockstep, one, two


def test_path_is_shared_out_in_parts_where_more_wait_than_there_are_trainers() -> None:
    lockstep, one, two = three_long_paths()
    assert (stages(one), stages(two)) == ([(2, 0, 750, False)], [(3, 0, 500, False)])
    two.train()
    assert two.take()
    assert stages(two) == [(4, 0, 500, False)], "the longest that waits"
    for trainer in (one, two) * 20:
        if trainer.take():
            trainer.train()
    assert Counter(answer.step for answer in lockstep.answers("first")) == {SHORT: 2, 10 * LONG: 3}
    assert lockstep.books.runs["first"].record.counts.steps_run == 2 * SHORT + 3 * 10 * LONG, "no step twice"


def test_owner_has_each_path_handed_out_whole_as_in_the_paper() -> None:
    _, one, two = three_long_paths(whole_paths=True)
    assert (stages(one), stages(two)) == ([(2, 0, 1000, True)], [(3, 0, 1000, True)])


# -- silence ----------------------------------------------------------------------------------------------------------


def test_silent_session_pauses_what_only_it_wants_and_nothing_of_others() -> None:
    lockstep = two_studies(session_lease_s=15.0)
    lockstep.ask("first", (0, STRAIGHT, 20), (1, OTHER, 30))
    lockstep.ask("second", (0, DROPPED, 15))
    own, shared = lockstep.trainer("node/0/1"), lockstep.trainer("node/1/2")
    assert (stages(own), stages(shared)) == ([(1, 0, 30, True)], [(0, 0, 10, False), (2, 10, 15, True)])
    lockstep.wait(10.0)
    lockstep.say("second", SessionBeat("second", 0))
    lockstep.wait(10.0)
    assert own.stop_if_told(), "only the silent one wanted it"
    assert not shared.stop_if_told(), "the other still wants what is behind it"
    assert not own.take()
    shared.train()
    assert [answer.step for answer in lockstep.answers("second")] == [15]
    assert not shared.take(), "what is left is the silent one's"
    lockstep.say("first", SessionBeat("first", 0))
    own.take()
    shared.take()
    assert {stages(own)[0][:3], stages(shared)[0][:3]} == {(1, 0, 30), (0, 10, 20)}


def test_stage_that_both_want_goes_on_for_the_other_and_is_charged_to_it_alone_from_then_on() -> None:
    lockstep = two_studies(session_lease_s=15.0)
    lockstep.ask("first", (0, STRAIGHT, 20))
    lockstep.ask("second", (0, STRAIGHT, 20))
    lockstep.wait(14.0)
    lockstep.say("second", SessionBeat("second", 0))
    lockstep.wait(5.0)
    trainer = lockstep.trainer()
    assert set(lockstep.coordinator.sharing.shares.charged_s) == {("key-1", "two")}
    trainer.train()
    assert [answer.step for answer in lockstep.answers("second")] == [20]
    lockstep.say("first", SessionBeat("first", 0))
    assert [answer.step for answer in lockstep.answers("first")] == [20]


# -- plans ------------------------------------------------------------------------------------------------------------


class Floor:
    """A node with some devices, and two studies on two plans. Trainers take `start_s` from their order to a word."""

    def __init__(self, devices: int, *, weights: tuple[float, float] = (1.0, 1.0), start_s: float = 0.0) -> None:
        self.lockstep = Lockstep()
        self.start_s = start_s
        self.coming: list[tuple[float, StartTrainer]] = []
        self.slots: list[HandTrainer | None] = [None] * devices
        self.beats = self.ends = self.moves = 0
        self.lockstep.open("first", study="study", plan_key="one", weight=weights[0])
        self.lockstep.open("second", study="study", plan_key="two", weight=weights[1])
        self.beat()

    def beat(self) -> None:
        self.beats += 1
        self.lockstep.node_beat(self.beats, *[None if trainer is None else trainer.name for trainer in self.slots])

    def obey(self) -> None:
        """End the trainers in whose place others were ordered, and start those whose time has come."""
        while self.take_orders() or (self.coming and self.coming[0][0] <= self.lockstep.now):
            while self.coming and self.coming[0][0] <= self.lockstep.now:
                _, order = self.coming.pop(0)
                self.slots[order.slot] = self.lockstep.trainer(order.trainer, order.plan)
            self.beat()
            for trainer in self.slots:
                if trainer is not None:
                    trainer.take()

    def take_orders(self) -> bool:
        """Hear what the coordinator ordered; whether it did."""
        known = {order.trainer for _, order in self.coming} | {trainer.name for trainer in self.slots if trainer}
        orders = [order for order in self.lockstep.heard("node", StartTrainer) if order.trainer not in known]
        for order in orders:
            before, self.slots[order.slot] = self.slots[order.slot], None
            self.coming.append((self.lockstep.now + self.start_s, order))
            if before is not None:
                self.ends += 1
                self.moves += before.plan != order.plan
                self.lockstep.say("node", TrainerExited("node", self.ends, before.name, 0))
        return bool(orders)

    def tick(self) -> list[str]:
        """A second in which every busy trainer does a step: the plans of those."""
        self.obey()
        self.lockstep.now += 1.0
        busy = [trainer for trainer in self.slots if trainer is not None and trainer.grant is not None]
        for trainer in busy:
            trainer.train(1)
            trainer.beat()
        self.obey()
        return [trainer.plan for trainer in busy]

    def plans(self) -> list[str | None]:
        return [None if trainer is None else trainer.plan for trainer in self.slots]


@pytest.mark.parametrize("start_s", [0.0, 40.0])
def test_plans_of_two_studies_get_a_device_each(start_s: float) -> None:
    floor = Floor(2, start_s=start_s)
    ask_many(floor.lockstep, "first", 50, SHORT)
    ask_many(floor.lockstep, "second", 50, SHORT)
    for _ in range(300):
        floor.tick()
    assert sorted(map(str, floor.plans())) == ["one-1", "two-1"]
    assert floor.moves <= 2


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_one_device_is_shared_by_two_plans_in_turns_that_are_worth_it(weight: float) -> None:
    floor = Floor(1, weights=(1.0, weight))
    ask_many(floor.lockstep, "first", 200, SHORT)
    ask_many(floor.lockstep, "second", 200, SHORT)
    seconds = Counter(plan for _ in range(900) for plan in floor.tick())
    assert seconds["two-1"] / seconds["one-1"] == pytest.approx(weight, rel=0.25)
    assert floor.moves <= 900 / TURN_S


def test_plan_that_waits_gets_a_device_of_one_that_is_always_busy() -> None:
    floor = Floor(2)
    ask_many(floor.lockstep, "first", 500, SHORT)
    for _ in range(5):
        floor.tick()
    assert floor.plans() == ["one-1", "one-1"]
    ask_many(floor.lockstep, "second", 1, SHORT)
    trained = [plan for _ in range(round(2 * TURN_S)) for plan in floor.tick()]
    assert trained.count("two-1") == SHORT
    assert trained.count("one-1") > 2 * TURN_S


def test_device_stays_where_its_plan_has_work_and_no_more_than_its_share() -> None:
    floor = Floor(3, weights=(2.0, 1.0))
    ask_many(floor.lockstep, "first", 300, SHORT)
    ask_many(floor.lockstep, "second", 300, SHORT)
    for _ in range(60):
        floor.tick()
    before = floor.moves
    seconds = Counter(plan for _ in range(600) for plan in floor.tick())
    assert seconds["one-1"] / seconds["two-1"] == pytest.approx(2.0, rel=0.05)
    assert floor.moves == before


def test_two_versions_of_a_study_on_two_plans_are_two_studies() -> None:
    floor = Floor(1)
    assert set(floor.lockstep.books.weights) == {("one-1", "study"), ("two-1", "study")}
    ask_many(floor.lockstep, "first", 100, SHORT)
    ask_many(floor.lockstep, "second", 1, SHORT)
    assert "two-1" in [plan for _ in range(200) for plan in floor.tick()]


def test_idle_trainer_without_a_known_node_keeps_its_plan() -> None:
    lockstep = Lockstep()
    for run, key in (("first", "one"), ("second", "two")):
        lockstep.open(run, plan_key=key)
        ask_many(lockstep, run, 20, LONG)
    trainer = lockstep.trainer(plan="one-1")
    assert [work(lockstep, trainer) for _ in range(5)] == ["first"] * 5
    assert not lockstep.heard(trainer.name, StopLease)
