"""The coordinator as a whole: what it refuses, how it starts, and that what it says is in the store."""

from __future__ import annotations

from dataclasses import replace

from hive.actors.messages import (
    Noted,
    Refused,
    Status,
    StatusQuery,
    TrainerBeat,
)
from hive.storage.records import LeaseRecord
from tests.actors.lockstep import STRAIGHT, Lockstep, busy


def test_root_that_is_opened_anew_ends_the_batches_of_the_dead_and_closes_the_runs_that_were_done() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    trainer.train(4)
    trainer.reach()
    lockstep.open("done")
    lockstep.ask("done", (0, STRAIGHT, 4))
    lockstep.release("done", 0, done=True)
    lockstep.settings = replace(lockstep.settings, close_runs=True)
    lockstep.restart()
    assert not lockstep.books.leases.leases
    runs = lockstep.books.runs
    assert (runs["done"].record.closed, runs["run"].record.closed) == (True, False)
    assert runs["run"].paused
    assert not lockstep.books.plans["key-1"].tree.pending


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
