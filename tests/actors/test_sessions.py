"""What sessions say to the coordinator: applied once and in order, told once and in order, paused while silent."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hive.actors.messages import (
    Applied,
    Ask,
    AskedTrial,
    CloseRun,
    Opened,
    Refused,
    RunState,
    SessionBeat,
    StartTrainer,
    Told,
)
from hive.simulation.clients import asked, opening
from tests.actors.clients import assert_adds_up
from tests.actors.lockstep import DROPPED, OTHER, STRAIGHT, Lockstep, busy, opened, stages, told


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


def test_second_session_under_a_runs_name_is_refused_while_the_first_lives_and_nothing_of_it_is_mixed_in() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5))
    said = [opening("run"), Ask("run", 2, [asked(0, OTHER, 9)]), Ask("run", 3, [asked(1, OTHER, 9)])]
    for message in said:
        lockstep.say("other", message)
    assert lockstep.said["other"] == [], "the first may have come back over another connection"
    lockstep.say("run", SessionBeat("run", 0))
    for message in (*said, SessionBeat("run", 0), CloseRun("run", 4)):
        lockstep.say("other", message)
        (refused,) = lockstep.heard("other", Refused)
        assert (refused.run, lockstep.said["other"]) == ("run", [])
    assert "another session speaks for run run" in refused.reason
    lockstep.ask("run", (1, DROPPED, 12))
    while trainer.take():
        trainer.train()
    trainer.beat()
    while trainer.take():
        trainer.train()
    assert [(answer.trial, answer.step) for answer in lockstep.answers("run")] == [(0, 5), (1, 12)]
    assert lockstep.said["other"] == []
    assert lockstep.books.runs["run"].record.counts.steps_asked == 17


@pytest.mark.parametrize("suspended_s", [0.0, 500.0])
def test_session_that_comes_back_under_another_address_is_heard_once_the_one_before_is_silent(
    suspended_s: float,
) -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5))
    lockstep.say("again", SessionBeat("run", 0, 2))
    lockstep.beat(suspended_s)  # the coordinator hears nobody meanwhile
    lockstep.wait(1.0)
    lockstep.say("again", SessionBeat("run", 0, 2))
    assert lockstep.said["again"] == []
    lockstep.wait(2.5)
    lockstep.say("again", SessionBeat("run", 0, 2))
    assert lockstep.heard("again", Applied) == [Applied("run", 2)]
    trainer.train()
    assert [answer.step for answer in lockstep.heard("again", Told)] == [5]
    lockstep.say("run", SessionBeat("run", 0, 2))
    assert not lockstep.heard("run", Told)


def test_session_is_heard_under_any_address_by_a_coordinator_that_was_restarted() -> None:
    lockstep, _ = busy((0, STRAIGHT, 5))
    lockstep.restart()
    lockstep.say("again", SessionBeat("run", 0, 2))
    assert lockstep.heard("again", Applied) == [Applied("run", 2)]


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


def test_plan_keys_that_begin_alike_have_plans_of_their_own() -> None:
    lockstep = Lockstep()
    for letter in "abab":
        lockstep.say(letter, opening(f"run {len(lockstep.books.runs)}", plan_key=f"a key that is long: {letter}"))
    plans = {p.record.plan_key[-1]: name for name, p in lockstep.books.plans.items()}
    assert plans == {"a": "a key that is lo-1", "b": "a key that is lo-2"}
    assert [run.record.plan for run in lockstep.books.runs.values()] == [plans[letter] for letter in "abab"]


def test_fresh_run_begins_a_new_plan_that_later_runs_join() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5))
    trainer.train()
    for run, fresh in (("second", True), ("second", True), ("third", False)):
        lockstep.say(run, opening(run, fresh=fresh))
    assert [lockstep.books.runs[run].record.plan for run in ("run", "second", "third")] == ["key-1", "key-2", "key-2"]
    assert lockstep.books.plans["key-1"].tree.trained_steps() == 5


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


def test_steps_that_a_closed_run_alone_had_asked_for_are_those_of_whoever_pays_the_batch() -> None:
    lockstep = Lockstep()
    for run, step in (("run", 10), ("other", 20)):
        lockstep.open(run)
        lockstep.ask(run, (0, STRAIGHT, step))
    trainer = lockstep.trainer()
    assert trainer.take(), "a batch of the other's, which the older request pays"
    assert [end for _, _, end, _ in stages(trainer)] == [10, 20]
    trainer.train(14)
    lockstep.close("other")
    assert trainer.stop_if_told()
    counts = lockstep.books.runs["run"].record.counts
    assert (counts.steps_run, counts.steps_distinct, counts.steps_reused) == (14, 14, 0)
    assert_adds_up(counts)


def test_silent_run_is_paused_and_resumed_when_it_speaks() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), session_lease_s=15.0)
    trainer.train(3)
    lockstep.wait(16.1)
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
    lockstep.wait(16.1)
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
    lockstep.open("second", study="run")
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
