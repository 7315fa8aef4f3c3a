"""The coordinator, message by message: who is told what, once, whatever comes twice, late or never."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hive.actors.coordinator import CoordinatorSettings
from hive.actors.messages import (
    Applied,
    Ask,
    AskedTrial,
    Grant,
    LeaseEnded,
    Noted,
    Notice,
    Opened,
    OpenRun,
    Refused,
    RetireTrainer,
    RunState,
    SessionBeat,
    StartTrainer,
    Status,
    StatusQuery,
    StopLease,
    Told,
    TrainerBeat,
    TrainerBroken,
    TrainerExited,
)
from hive.planner.sequences import Constant, MultiStep
from hive.planner.space import Config
from hive.storage.records import LeaseRecord, LossRecord
from tests.actors.fake_cluster import asked, assert_adds_up, opening
from tests.actors.lockstep import HandTrainer, Lockstep

STRAIGHT: Config = {"lr": Constant(1)}
DROPPED: Config = {"lr": MultiStep(1, [10], 0.1)}
OTHER: Config = {"lr": Constant(2)}


def opened(**settings: object) -> tuple[Lockstep, HandTrainer]:
    """A coordinator with one open run and one idle trainer."""
    lockstep = Lockstep(CoordinatorSettings(**settings))  # type: ignore[arg-type]
    lockstep.open()
    return lockstep, lockstep.trainer()


def busy(*requests: tuple[int, Config, int], **settings: object) -> tuple[Lockstep, HandTrainer]:
    """The same, with these asked and the first batch granted."""
    lockstep, trainer = opened(**settings)
    lockstep.ask("run", *requests)
    assert trainer.take()
    return lockstep, trainer


def stages(trainer: HandTrainer) -> list[tuple[int, int, int, bool]]:
    assert trainer.grant is not None
    return [(stage.node, stage.start, stage.end, stage.metrics) for stage in trainer.grant.stages]


def told(lockstep: Lockstep, run: str = "run") -> list[tuple[int, int, str | None]]:
    return [(answer.trial, answer.step, answer.error) for answer in lockstep.answers(run)]


# -- sessions ---------------------------------------------------------------------------------------------------------


def test_run_that_opens_twice_is_one_run_and_told_the_same() -> None:
    lockstep, _ = opened()
    lockstep.say("run", opening("run"))
    assert lockstep.heard("run", Opened) == [Opened("run", "key-1")] * 2
    assert len(lockstep.books.runs) == len(lockstep.books.plans) == 1


def test_ask_that_comes_twice_or_late_is_applied_once() -> None:
    lockstep, trainer = opened()
    ask = Ask("run", 2, [asked(0, STRAIGHT, 5)])
    lockstep.heard("run", Applied)
    for _ in range(3):
        lockstep.say("run", ask)
    lockstep.say("run", Ask("run", 3, []))
    lockstep.say("run", ask)
    assert [applied.number for applied in lockstep.heard("run", Applied)] == [2, 2, 2, 3, 3]
    trainer.take()
    trainer.train()
    assert told(lockstep) == [(0, 5, None)]
    assert lockstep.books.runs["run"].record.counts.steps_asked == 5


def test_ask_that_overtakes_another_waits_for_its_turn() -> None:
    lockstep, _ = opened()
    lockstep.heard("run", Applied)
    lockstep.say("run", Ask("run", 3, [asked(0, STRAIGHT, 5)]))
    assert lockstep.heard("run", Applied) == [Applied("run", 1)]
    assert not lockstep.books.plans["key-1"].tree.pending


def test_messages_of_a_run_that_was_never_opened_are_refused() -> None:
    lockstep = Lockstep()
    lockstep.say("stranger", Ask("nobody", 2, []))
    lockstep.say("stranger", SessionBeat("nobody", 0))
    assert [refused.run for refused in lockstep.heard("stranger", Refused)] == ["nobody", "nobody"]


def test_requests_made_together_are_granted_as_one_tree() -> None:
    _, trainer = busy((0, STRAIGHT, 12), (1, DROPPED, 20))
    assert stages(trainer) == [(0, 0, 10, False), (1, 10, 20, True)]


def test_what_stands_already_is_told_at_once_and_again_when_it_is_asked_again() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5))
    trainer.train()
    lockstep.ask("run", (1, STRAIGHT, 5), (0, STRAIGHT, 5))
    assert [(a.number, a.trial, a.digest) for a in lockstep.answers("run")] == [
        (1, 0, "0-5 by lease 1"),
        (2, 1, "0-5 by lease 1"),
        (3, 0, "0-5 by lease 1"),
    ]


def test_session_that_lacks_answers_is_told_them_from_there_on() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5), (0, STRAIGHT, 6), (0, STRAIGHT, 7))
    trainer.train()
    lockstep.restart()
    lockstep.say("run", SessionBeat("run", 1))
    assert [answer.number for answer in lockstep.heard("run", Told)] == [2, 3]


@pytest.mark.parametrize(
    ("config", "step", "reason"),
    [
        ({"lr": {"fn": "Gone"}}, 5, "Gone"),
        ({"lr": {"fn": "MultiStep", "initial": 1, "milestones": [5, 3], "gamma": 0.1}}, 5, "milestones"),
        ({"depth": {"fn": "Constant", "value": 1}}, 5, "depth"),
        ({}, 5, "empty config"),
        ({"lr": {"fn": "Constant", "value": 1}}, 0, "step 0"),
        ({"lr": {"fn": datetime(2024, 1, 1, tzinfo=UTC)}}, 5, "lr"),
        ({"lr": {"fn": "Constant", "value": b"bytes"}}, 5, "lr"),
    ],
)
def test_request_that_means_nothing_fails_alone(config: dict[str, dict[str, object]], step: int, reason: str) -> None:
    lockstep, trainer = opened()
    lockstep.say("run", Ask("run", 2, [AskedTrial(0, step, config), asked(1, STRAIGHT, 5)]))
    trainer.take()
    trainer.train()
    first, second = told(lockstep)
    assert first[:2] == (0, step)
    assert reason in str(first[2])
    assert second == (1, 5, None)


def test_fresh_run_begins_a_new_plan_that_later_runs_join() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5))
    trainer.train()
    for run, fresh in (("second", True), ("second", True), ("third", False)):
        lockstep.say(run, opening(run, fresh=fresh))
    assert [lockstep.books.runs[run].record.plan for run in ("run", "second", "third")] == ["key-1", "key-2", "key-2"]
    assert lockstep.books.plans["key-1"].tree.trained_steps() == 5


def test_changed_code_is_named_when_a_new_plan_begins() -> None:
    lockstep = Lockstep()
    lockstep.say("a", opening("a", plan_key="one", parts={"Toy": "1", "helper": "1"}))
    lockstep.say("b", opening("b", plan_key="two", parts={"Toy": "1", "helper": "2"}))
    lockstep.say("c", opening("c", plan_key="two", parts={"Toy": "1", "helper": "2"}))
    notes = [lockstep.heard(run, Opened)[0].note for run in "abc"]
    assert (notes[0], notes[2]) == ("", "")
    assert "(helper)" in notes[1]


def test_lanes_train_equal_trials_apart() -> None:
    lockstep = Lockstep()
    lockstep.open(merge=False)
    first, second = lockstep.trainer("node/0/1"), lockstep.trainer("node/0/2")
    lockstep.ask("run", (0, STRAIGHT, 5), (1, STRAIGHT, 5))
    for trainer in (first, second):
        assert trainer.take()
        trainer.train()
    counts = lockstep.books.runs["run"].record.counts
    assert (counts.steps_distinct, counts.steps_run) == (10, 10)
    lockstep.restart()
    lockstep.ask("run", (1, STRAIGHT, 8))
    second.beat()
    assert [stage[1:3] for stage in stages(second)] == [(5, 8)]


# -- batches ----------------------------------------------------------------------------------------------------------


def test_lost_grant_is_said_again_when_the_trainer_shows_that_it_has_none() -> None:
    lockstep, trainer = opened()
    lockstep.ask("run", (0, STRAIGHT, 5))
    (lost,) = lockstep.heard(trainer.name, Grant)
    trainer.beat()
    assert trainer.grant == lost


def test_grant_of_a_crashed_coordinator_is_said_again_by_the_next() -> None:
    lockstep, trainer = opened()
    lockstep.ask("run", (0, STRAIGHT, 5))
    lockstep.restart()
    trainer.beat()
    assert stages(trainer) == [(0, 0, 5, True)]
    trainer.train()
    assert told(lockstep) == [(0, 5, None)]


def test_notices_are_applied_in_their_order_and_once() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5), (0, STRAIGHT, 9))
    quiet = Lockstep()  # hears what the trainer says now, in place of the coordinator
    trainer.lockstep = quiet
    trainer.train()
    first, second = trainer.notices
    assert trainer.grant is None
    ended = LeaseEnded(trainer.name, 3, 1, 9)
    noted = []
    for message in (second, ended, first, first, second, ended, ended, first):
        lockstep.say(trainer.name, message)
        noted += [note.number for note in lockstep.heard(trainer.name, Noted)]
    assert noted == [0, 0, 1, 1, 2, 3, 3, 1]
    assert told(lockstep) == [(0, 5, None), (0, 9, None)]
    assert lockstep.books.runs["run"].record.counts.steps_run == 9
    assert not lockstep.books.leases.leases


def test_stale_lease_s_notices_change_nothing_and_it_is_told_to_stop() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5), lease_s=10.0)
    lockstep.beat(10.1)
    before = list(lockstep.store.entries.items())
    trainer.train(5)
    assert list(lockstep.store.entries.items()) == before
    assert lockstep.heard(trainer.name, StopLease) == [StopLease(trainer.name, 1)]
    assert told(lockstep) == []


def test_trainer_that_shows_a_stale_lease_is_told_to_stop_it() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5), lease_s=10.0)
    lockstep.beat(10.1)
    trainer.beat()
    assert StopLease(trainer.name, 1) in lockstep.heard(trainer.name, StopLease)


def test_trainer_that_beats_keeps_its_lease() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5), lease_s=10.0)
    for _ in range(5):
        lockstep.beat(9.0)
        trainer.beat()
    assert list(lockstep.books.leases.leases) == [1]


def test_node_manager_s_beat_keeps_the_leases_of_trainers_that_it_runs() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5), lease_s=10.0)
    for number in range(5):
        lockstep.beat(9.0)
        lockstep.node_beat(number, trainer.name)
    assert list(lockstep.books.leases.leases) == [1]


def test_unknown_node_manager_s_beat_ends_the_leases_of_trainers_that_it_does_not_run() -> None:
    lockstep, _ = busy((0, STRAIGHT, 5))
    lockstep.node_beat(1, None)
    assert not lockstep.books.leases.leases


def test_node_manager_s_beat_from_before_a_trainer_s_start_loses_no_lease() -> None:
    lockstep, trainer = opened()
    lockstep.node_beat(1, trainer.name)
    lockstep.ask("run", (0, STRAIGHT, 5))
    lockstep.node_beat(2, None)
    assert list(lockstep.books.leases.leases) == [1]
    lockstep.node_beat(1, None, incarnation="second")
    assert not lockstep.books.leases.leases


def test_interval_checkpoint_is_where_the_next_trainer_goes_on() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    trainer.train(7)
    trainer.reach()
    trainer.train(3)
    trainer.exit()
    second = lockstep.trainer("node/0/2")
    assert second.grant is not None
    assert (second.grant.origin, second.grant.checkpoint) == ((0, 7), "key-1/0-7-1.safetensors")
    second.train()
    counts = lockstep.books.runs["run"].record.counts
    assert (counts.steps_run, counts.failure) == (23, 3)
    assert_adds_up(counts)


def test_request_at_a_boundary_that_is_reached_unmeasured_is_measured_afterwards() -> None:
    lockstep, trainer = busy((0, DROPPED, 20))
    lockstep.ask("run", (1, STRAIGHT, 10))
    trainer.train(10)
    assert told(lockstep) == []
    second = lockstep.trainer("node/0/2")
    assert stages(second) == [(0, 10, 10, True)]
    assert second.grant is not None
    assert second.grant.build_values == {"lr": 1}
    second.train()
    assert told(lockstep) == [(1, 10, None)]
    trainer.train()
    assert_adds_up(lockstep.books.runs["run"].record.counts)


def test_branch_asked_for_too_late_is_repeated_and_counted_as_such() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    trainer.train()
    lockstep.ask("run", (1, DROPPED, 15))
    trainer.take()
    assert stages(trainer) == [(0, 0, 10, False), (1, 10, 15, True)]
    trainer.train()
    counts = lockstep.books.runs["run"].record.counts
    assert (counts.steps_distinct, counts.steps_run, counts.late_branch) == (25, 35, 10)
    assert_adds_up(counts)


def test_metrics_that_are_not_a_number_are_told_as_they_are() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5))
    trainer.step, trainer.steps_run = 5, 5
    trainer.reach({"score": math.nan, "loss": math.inf})
    (answer,) = lockstep.answers("run")
    assert answer.metrics is not None
    assert math.isnan(answer.metrics["score"])
    assert (answer.metrics["loss"], answer.error) == (math.inf, None)


# -- failures ---------------------------------------------------------------------------------------------------------


def test_user_failure_fails_exactly_the_requests_behind_it() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 8), (1, STRAIGHT, 15), (2, DROPPED, 20), (3, OTHER, 5))
    trainer.train(8)
    trainer.train(4)  # through the branch at 10, two steps into the next stage
    trainer.end(error="Boom")
    assert sorted(told(lockstep)) == [(0, 8, None), (2, 20, "Boom")]
    while trainer.take():
        trainer.train()
    assert sorted(told(lockstep)) == [(0, 8, None), (1, 15, None), (2, 20, "Boom"), (3, 5, None)]


def test_failure_is_no_answer_a_new_run_tries_again() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5))
    trainer.end(error="Boom")
    lockstep.open("second")
    lockstep.ask("second", (0, STRAIGHT, 5))
    assert trainer.take()
    trainer.train()
    assert told(lockstep, "second") == [(0, 5, None)]
    assert told(lockstep) == [(0, 5, "Boom")]


def test_failed_measurement_alone_fails_one_request() -> None:
    lockstep, trainer = busy((0, DROPPED, 20))
    lockstep.ask("run", (1, STRAIGHT, 10))
    trainer.train()
    assert trainer.take()
    lease = trainer.last_lease
    lockstep.say(trainer.name, LeaseEnded(trainer.name, 1, lease, 0, None, None, 0, 10, "Boom"))
    assert told(lockstep) == [(0, 20, None), (1, 10, "Boom")]


def test_after_as_many_losses_as_are_allowed_the_requests_fail_with_the_exit_s_text() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5), (1, OTHER, 4), attempts_max=3)
    for born in range(2, 5):
        assert told(lockstep) == []
        trainer.exit(code=-9, tail="Killed")
        trainer = lockstep.trainer(f"node/0/{born}")
        lockstep.restart()  # losses are remembered
        trainer.beat()
    ((trial, step, error),) = told(lockstep)
    assert (trial, step) == (0, 5)
    assert error is not None
    assert "signal 9" in error
    assert "Killed" in error
    assert "3 times" in error
    trainer.train()
    assert told(lockstep)[1] == (1, 4, None)
    assert not list(lockstep.store.scan(LossRecord))


def test_progress_makes_earlier_losses_forgotten() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), attempts_max=2)
    trainer.exit()
    for step in (4, 8):
        trainer = lockstep.trainer(f"node/0/{step}")
        trainer.train(4)
        trainer.reach()
        assert not list(lockstep.store.scan(LossRecord))
        trainer.exit()
    assert told(lockstep) == []


def test_broken_trainer_fails_what_its_plan_waits_for_and_is_retired() -> None:
    lockstep = Lockstep()
    lockstep.open()
    lockstep.node_beat(1, None)
    lockstep.ask("run", (0, STRAIGHT, 5))
    (order,) = lockstep.heard("node", StartTrainer)
    lockstep.say(order.trainer, TrainerBroken(order.trainer, "key-1", "no module named toy"))
    assert told(lockstep) == [(0, 5, "no module named toy")]
    assert lockstep.heard("node", RetireTrainer) == [RetireTrainer(order.trainer)]
    lockstep.say("node", TrainerExited("node", 1, order.trainer, 0))
    lockstep.ask("run", (0, STRAIGHT, 5))
    lockstep.say(order.trainer, TrainerBroken(order.trainer, "key-1", "said long ago"))
    assert len(told(lockstep)) == 1


def test_trainers_that_never_get_to_speak_fail_the_plan_after_as_many_as_are_allowed() -> None:
    lockstep = Lockstep(CoordinatorSettings(attempts_max=2))
    lockstep.open()
    lockstep.node_beat(1, None)
    lockstep.ask("run", (0, STRAIGHT, 5))
    for number in (1, 2):
        assert told(lockstep) == []
        (order,) = lockstep.heard("node", StartTrainer)
        lockstep.say("node", TrainerExited("node", number, order.trainer, -4, "Illegal instruction"))
    ((_, _, error),) = told(lockstep)
    assert error is not None
    assert "Illegal instruction" in error


def test_end_of_a_trainer_that_nobody_knows_is_noted() -> None:
    lockstep = Lockstep()
    lockstep.node_beat(1, "node/0/7")
    lockstep.say("node", TrainerExited("node", 4, "node/0/7", 1))
    assert lockstep.heard("node", Noted) == [Noted(4)]


# -- who wants what ---------------------------------------------------------------------------------------------------


def test_released_trial_stops_the_batch_that_only_it_wanted() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), (1, OTHER, 5))
    trainer.train(7)
    lockstep.release("run", 0)
    assert trainer.stop_if_told()
    assert lockstep.books.plans["key-1"].standings.keys() == {(0, 7)}
    assert trainer.take()
    assert stages(trainer) == [(1, 0, 5, True)]


def test_batch_that_somebody_else_wants_goes_on() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    lockstep.open("second")
    lockstep.ask("second", (0, STRAIGHT, 20))
    lockstep.close("run")
    assert not trainer.stop_if_told()
    trainer.train()
    assert told(lockstep, "second") == [(0, 20, None)]
    for run in ("run", "second"):
        assert_adds_up(lockstep.books.runs[run].record.counts)


def test_closed_run_stops_its_batch_even_if_the_coordinator_that_said_so_crashed() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    trainer.train(3)
    lockstep.close("run")
    lockstep.restart()
    trainer.beat()
    assert trainer.stop_if_told()
    assert not lockstep.books.leases.leases
    assert lockstep.books.runs["run"].record.closed


def test_closed_run_is_told_that_its_counts_are_final_when_its_batch_has_ended() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    trainer.train(3)
    lockstep.close("run")
    assert lockstep.heard("run", RunState) == []
    assert trainer.stop_if_told()
    (state,) = lockstep.heard("run", RunState)
    assert state.settled
    assert state.counts.steps_run == 3


def test_silent_run_is_paused_and_resumed_when_it_speaks() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), session_lease_s=15.0)
    trainer.train(3)
    lockstep.beat(15.1)
    assert lockstep.books.runs["run"].paused
    assert trainer.stop_if_told()
    assert not trainer.take()
    lockstep.say("run", SessionBeat("run", 0))
    assert trainer.take()
    assert stages(trainer) == [(0, 3, 20, True)]
    trainer.train()
    assert told(lockstep) == [(0, 20, None)]


@pytest.mark.parametrize("crash", [False, True])
def test_run_is_told_what_others_found_while_it_was_silent(crash: bool) -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), session_lease_s=15.0)
    trainer.exit()
    lockstep.beat(15.1)
    lockstep.open("second")
    lockstep.ask("second", (0, STRAIGHT, 20))
    lockstep.trainer("node/0/2").train()
    if crash:
        lockstep.restart()
    lockstep.say("run", SessionBeat("run", 0))
    assert told(lockstep) == [(0, 20, None)]
    assert not lockstep.books.runs["run"].open


def test_two_runs_share_steps_and_each_one_s_counts_add_up() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 12))
    trainer.exit()
    lockstep.open("second")
    lockstep.ask("second", (0, STRAIGHT, 20), (1, OTHER, 4))
    trainer = lockstep.trainer("node/0/2")
    assert stages(trainer) == [(0, 0, 12, True), (0, 12, 20, True)]  # paid by the first run, wanted by both
    trainer.train()
    trainer.take()
    trainer.train()
    first, second = (lockstep.books.runs[run].record.counts for run in ("run", "second"))
    assert (first.steps_run, first.steps_reused) == (12, 0)
    assert (second.steps_distinct, second.steps_run, second.steps_reused) == (24, 12, 12)
    assert_adds_up(first)
    assert_adds_up(second)


def test_plan_that_starts_trainers_does_not_take_those_that_another_is_starting() -> None:
    lockstep = Lockstep()
    lockstep.node_beat(1, None, None)
    for run in ("one", "two"):
        lockstep.open(run, plan_key=run)
        lockstep.ask(run, (0, STRAIGHT, 5), (1, OTHER, 5))
    orders = lockstep.heard("node", StartTrainer)
    assert [order.plan for order in orders] == ["one-1", "one-1"]
    for number in range(2, 5):
        lockstep.node_beat(number, *[order.trainer for order in orders])
    assert lockstep.heard("node", StartTrainer) == []
    for trainer in [lockstep.trainer(order.trainer, "one-1") for order in orders]:
        trainer.train()
    assert [order.plan for order in lockstep.heard("node", StartTrainer)] == ["two-1", "two-1"]


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_root_that_is_opened_anew_closes_the_runs_and_batches_of_the_dead() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    trainer.train(4)
    trainer.reach()
    lockstep.settings = replace(lockstep.settings, close_runs=True)
    lockstep.restart()
    assert lockstep.books.runs["run"].record.closed
    assert not lockstep.books.leases.leases


def test_status_is_told_to_anyone() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    lockstep.node_beat(1, trainer.name)
    lockstep.say("anyone", StatusQuery())
    (status,) = lockstep.heard("anyone", Status)
    assert [run["waiting"] for run in status.state["runs"]] == [1]
    assert [lease["boundaries_ahead"] for lease in status.state["leases"]] == [[[0, 20]]]


def test_message_that_is_not_for_a_coordinator_is_refused() -> None:
    lockstep = Lockstep()
    lockstep.say("anyone", Noted(1))
    (refused,) = lockstep.heard("anyone", Refused)
    assert "Noted" in refused.reason


def test_beats_of_trainers_of_a_plan_that_is_not_here_are_let_be() -> None:
    lockstep = Lockstep()
    assert lockstep.say("t", TrainerBeat("t", "node", "gone-1")) == []


def test_lease_and_counts_are_in_the_store_before_anybody_hears_of_them() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    (record,) = lockstep.store.scan(LeaseRecord)
    assert (record.trainer, record.payer, record.ends) == (trainer.name, "run", ((0, 0, 20),))
    assert isinstance(opening("run"), OpenRun)
    trainer.train()
    assert not list(lockstep.store.scan(LeaseRecord))
    assert isinstance(trainer.notices[0], Notice)
