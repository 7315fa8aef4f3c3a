"""The coordinator as a whole: what it refuses, how it starts, and that what it says is in the store."""

from __future__ import annotations

from dataclasses import replace

from hive.actors.messages import (
    Noted,
    Opened,
    Refused,
    SessionBeat,
    Status,
    StatusQuery,
    TrainerBeat,
)
from hive.simulation.clients import opening
from hive.storage.records import LeaseRecord
from tests.actors.lockstep import OTHER, STRAIGHT, Lockstep, busy, told


def test_root_that_is_opened_anew_ends_the_batches_of_the_dead_and_closes_the_runs_that_were_done() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    trainer.train(4)
    trainer.reach()
    lockstep.open("done")
    lockstep.ask("done", (0, STRAIGHT, 4))
    lockstep.release("done", 0, done=True)
    lockstep.settings = replace(lockstep.settings, close_runs=True)
    lockstep.now += 86_400.0
    lockstep.restart()
    assert not lockstep.books.leases.leases
    assert lockstep.books.runs["run"].record.counts.trainer_busy_s == 0.0, "nobody trained while nothing ran"
    runs = lockstep.books.runs
    assert (runs["done"].record.closed, runs["run"].record.closed) == (True, False)
    assert runs["run"].paused
    assert not lockstep.books.plans["key-1"].tree.pending


def test_coordinator_that_is_restarted_knows_what_steps_and_checkpoints_took() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), (1, OTHER, 30))
    trainer.step_s = 0.5
    trainer.train()
    assert trainer.take()
    trainer.step_s, trainer.save_s, trainer.evaluate_s, trainer.load_s = 2.0, 0.25, 4.0, 3.0
    trainer.train()
    before = lockstep.books.plans["key-1"].estimates
    lockstep.restart()
    after = lockstep.books.plans["key-1"].estimates
    assert after is not before
    assert {node: mean.value for node, mean in after.by_node.items()} == {0: 2.0, 1: 0.5}
    assert (after.by_node, after.by_likeness) == (before.by_node, before.by_likeness)
    for of in ("step_s", "load_s", "save_s", "evaluate_s"):
        measured, again = getattr(before, of), getattr(after, of)
        assert (measured.total, measured.count) == (again.total, again.count), of
        assert measured.count, of
    assert (after.load_s.value, after.evaluate_s.value) == (3.0, 2.0)


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
    trainer.train()
    assert not list(lockstep.store.scan(LeaseRecord))


def test_coordinator_that_was_suspended_for_longer_than_all_leases_gives_up_nobody() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), lease_s=10.0, session_lease_s=10.0)
    lockstep.node_beat(1, trainer.name)
    trainer.train(3)
    lockstep.beat(1_000.0)
    assert list(lockstep.books.leases.leases) == [1]
    assert list(lockstep.books.staff.trainers) == [trainer.name]
    assert list(lockstep.books.staff.nodes) == ["node"]
    assert not lockstep.books.runs["run"].paused
    trainer.train()
    assert told(lockstep) == [(0, 20, None)]
    assert lockstep.books.runs["run"].record.counts.failure == 0


def test_those_who_stay_silent_after_a_suspended_coordinator_woke_are_given_up() -> None:
    lockstep, _ = busy((0, STRAIGHT, 20), lease_s=10.0, session_lease_s=10.0)
    lockstep.beat(1_000.0)
    lockstep.wait(12.0)
    assert not lockstep.books.leases.leases
    assert lockstep.books.runs["run"].paused


def test_run_that_lives_is_not_taken_for_dead_when_its_script_is_started_twice_and_the_coordinator_was_suspended() -> (
    None
):
    lockstep, _ = busy((0, STRAIGHT, 20))
    lockstep.now += 1_000.0
    lockstep.say("copy", opening("copy", study="run"))
    assert not lockstep.heard("copy", Opened), "the first may speak yet"
    lockstep.say("run", SessionBeat("run", 0))
    lockstep.say("copy", opening("copy", study="run"))
    assert lockstep.heard("copy", Opened)
    assert not lockstep.books.runs["run"].record.closed
