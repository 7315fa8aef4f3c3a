"""What trainers and nodes say to the coordinator: who gets which batch, and what is lost with a trainer."""

from __future__ import annotations

import math

from hive.actors.coordinator import CoordinatorSettings
from hive.actors.messages import (
    Grant,
    LeaseEnded,
    NodeBeat,
    Noted,
    RetireTrainer,
    Slot,
    StartTrainer,
    StopLease,
    TrainerBroken,
    TrainerExited,
)
from hive.planner.search_plan import Place
from hive.planner.sequences import MultiStep
from hive.storage.records import LossRecord
from tests.actors.clients import assert_adds_up
from tests.actors.lockstep import (
    DROPPED,
    OTHER,
    STRAIGHT,
    TWICE_DROPPED,
    HandTrainer,
    Lockstep,
    busy,
    opened,
    stages,
    told,
)


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
    lockstep.wait(11.1)
    before = list(lockstep.store.entries.items())
    trainer.train(5)
    assert list(lockstep.store.entries.items()) == before
    assert lockstep.heard(trainer.name, StopLease) == [StopLease(trainer.name, 1)]
    assert told(lockstep) == []


def test_trainer_that_shows_a_stale_lease_is_told_to_stop_it() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5), lease_s=10.0)
    lockstep.wait(11.1)
    trainer.beat()
    assert StopLease(trainer.name, 1) in lockstep.heard(trainer.name, StopLease)


def test_trainer_that_beats_keeps_its_lease() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5), lease_s=10.0)
    for _ in range(5):
        lockstep.wait(9.0)
        trainer.beat()
    assert list(lockstep.books.leases.leases) == [1]


def hanging(attempts_max: int = 3) -> tuple[Lockstep, HandTrainer]:
    """A trainer that has done three steps and does no more, while it and its node manager go on to speak."""
    lockstep = Lockstep(CoordinatorSettings(lease_s=10.0, hang_s=20.0, attempts_max=attempts_max))
    lockstep.open()
    trainer = lockstep.trainer("node/0/7")
    lockstep.ask("run", (0, STRAIGHT, 20))
    trainer.take()
    goes_on_beating(lockstep, trainer, 15, number=1)
    trainer.train(3)
    trainer.beat()
    return lockstep, trainer


def goes_on_beating(lockstep: Lockstep, trainer: HandTrainer, seconds: int, number: int = 100) -> None:
    for second in range(0, seconds, 5):
        lockstep.wait(5.0)
        trainer.beat()
        lockstep.node_beat(number + second, trainer.name)


def test_trainer_that_lives_and_comes_no_further_is_ended_and_its_batch_given_to_another() -> None:
    lockstep, trainer = hanging()
    goes_on_beating(lockstep, trainer, 15)
    assert list(lockstep.books.leases.leases) == [1]
    assert not lockstep.heard("node", RetireTrainer)
    lockstep.heard("node", StartTrainer)
    goes_on_beating(lockstep, trainer, 10, number=200)
    assert lockstep.heard("node", RetireTrainer) == [RetireTrainer(trainer.name)]
    assert lockstep.warnings == [
        "trainer node/0/7 did no step for 20 s (hang_s): it is ended, and its batch is given to another"
    ]
    (order,) = {order.trainer: order for order in lockstep.heard("node", StartTrainer)}.values()
    assert (order.slot, order.trainer != trainer.name) == (0, True)
    other = lockstep.trainer(order.trainer)
    other.train()
    assert told(lockstep) == [(0, 20, None)]
    counts = lockstep.books.runs["run"].record.counts
    assert (counts.steps_run, counts.failure) == (23, 3)


def test_what_a_trainer_says_that_was_ended_as_hanging_changes_nothing_and_gets_it_no_batch() -> None:
    lockstep, trainer = hanging()
    goes_on_beating(lockstep, trainer, 25)
    before = list(lockstep.store.entries.items())
    lockstep.heard(trainer.name, Grant)
    trainer.train()
    trainer.beat()
    assert list(lockstep.store.entries.items()) == before
    assert not lockstep.heard(trainer.name, Grant)
    assert told(lockstep) == []


def test_trainer_may_take_as_long_as_it_is_let_over_each_step_and_over_what_follows_a_boundary() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5), (0, STRAIGHT, 20), lease_s=10.0, hang_s=20.0)
    for turn in range(8):
        goes_on_beating(lockstep, trainer, 15, number=100 * turn)
        trainer.train(1)
        trainer.beat()
    assert list(lockstep.books.leases.leases) == [1]
    lockstep.beat(1_000.0)  # the coordinator was suspended
    assert list(lockstep.books.leases.leases) == [1]
    trainer.train()
    assert {step for _, step, _ in told(lockstep)} == {5, 20}
    assert lockstep.books.runs["run"].record.counts.steps_run == 20


def test_requests_fail_where_one_trainer_after_the_other_hangs() -> None:
    lockstep, trainer = hanging(attempts_max=2)
    goes_on_beating(lockstep, trainer, 25)
    second = lockstep.trainer("node/0/8")
    goes_on_beating(lockstep, second, 25, number=200)
    ((trial, step, error),) = told(lockstep)
    assert (trial, step) == (0, 20)
    assert error == ("the trainer did no step for 20 s (hang_s), 2 times in a row, while it trained on from step 0")


def test_node_manager_s_beat_keeps_the_leases_of_trainers_that_it_runs() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5), lease_s=10.0)
    for number in range(5):
        lockstep.wait(9.0)
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
    lockstep, trainer = busy((0, DROPPED, 20), (2, STRAIGHT, 15))
    lockstep.ask("run", (1, STRAIGHT, 10))
    trainer.train(10)
    assert told(lockstep) == []
    longer = lockstep.trainer("node/0/3")
    second = lockstep.trainer("node/0/2")
    assert stages(second) == [(0, 10, 10, True)]
    assert second.grant is not None
    assert second.grant.build_values == {"lr": 1}
    second.train()
    assert told(lockstep) == [(1, 10, None)]
    trainer.train()
    longer.train()
    assert_adds_up(lockstep.books.runs["run"].record.counts)


def test_notice_accounts_for_the_steps_of_all_nodes_that_were_passed() -> None:
    lockstep, trainer = busy((0, TWICE_DROPPED, 20))
    assert [(s.node, s.end, s.boundary) for s in trainer.ahead] == [(0, 10, False), (1, 15, False), (2, 20, True)]
    trainer.train(12)
    trainer.beat()
    assert not lockstep.books.runs["run"].record.counts.steps_run
    trainer.train()
    tree = lockstep.books.plans["key-1"].tree
    assert [node.trained_to for node in tree.nodes] == [10, 15, 20]
    counts = lockstep.books.runs["run"].record.counts
    assert (counts.steps_run, counts.checkpoint_count) == (20, 1)
    lockstep.restart()
    assert [node.trained_to for node in lockstep.books.plans["key-1"].tree.nodes] == [10, 15, 20]
    lockstep.ask("run", (1, STRAIGHT, 25))
    trainer.beat()
    assert stages(trainer) == [(0, 0, 25, True)]
    trainer.train()
    counts = lockstep.books.runs["run"].record.counts
    assert (counts.steps_run, counts.late_branch) == (45, 10)
    assert_adds_up(counts)


def test_trainer_lost_behind_a_pass_is_lost_from_the_last_boundary_on() -> None:
    lockstep, trainer = busy((0, TWICE_DROPPED, 20), (1, STRAIGHT, 5), attempts_max=2)
    trainer.train(12)
    assert told(lockstep) == [(1, 5, None)]
    trainer.exit()
    assert lockstep.books.losses == {("key-1", Place(0, 5)): 1}
    counts = lockstep.books.runs["run"].record.counts
    assert (counts.steps_run, counts.failure) == (12, 7)
    second = lockstep.trainer("node/0/2")
    assert stages(second) == [(0, 5, 10, False), (1, 10, 15, False), (2, 15, 20, True)]
    second.train()
    assert lockstep.books.losses == {}
    assert not list(lockstep.store.scan(LossRecord))
    assert_adds_up(lockstep.books.runs["run"].record.counts)


def test_trainers_lost_again_and_again_behind_a_pass_fail_what_they_were_sent_for() -> None:
    lockstep, trainer = busy((0, TWICE_DROPPED, 20), (1, STRAIGHT, 5), attempts_max=2)
    trainer.train(12)
    trainer.exit()
    second = lockstep.trainer("node/0/2")
    second.take()
    lockstep.ask("run", (2, STRAIGHT, 7))  # too late for it, which is known when it takes the boundary up
    second.train(7)
    second.heed()
    second.exit()
    failed = [(trial, step) for trial, step, error in told(lockstep) if error is not None]
    assert (0, 20) in failed
    assert (1, 5) not in failed


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


class TwoMachines(Lockstep):
    """A run that asks for two trials, and a trainer for each, of which the first has not the code."""

    def __init__(self) -> None:
        super().__init__()
        self.open()
        self.node_beat(1, None)
        self.say("other", NodeBeat("other", "first", [Slot("cpu", None)], 1))
        self.ask("run", (0, STRAIGHT, 5), (1, OTHER, 5))
        (order,), (self.order,) = self.heard("node", StartTrainer), self.heard("other", StartTrainer)
        self.break_down(order.trainer, "no module named toy")
        self.say("node", TrainerExited("node", 1, order.trainer, 0))
        self.node_beat(2, None)

    def break_down(self, trainer: str, why: str) -> None:
        self.say(trainer, TrainerBroken(trainer, "key-1", why))


def test_plan_is_trained_by_the_machine_that_can_when_another_has_not_its_code() -> None:
    machines = TwoMachines()
    assert machines.heard("node", StartTrainer) == []
    trainer = machines.trainer(machines.order.trainer)
    for _ in range(2):
        trainer.take()
        trainer.train(5)
    assert [error for _, _, error in told(machines)] == [None, None]


def test_plan_fails_when_the_last_machine_that_could_train_it_cannot_any_more() -> None:
    machines = TwoMachines()
    machines.break_down(machines.order.trainer, "the code was removed")
    assert [error for _, _, error in told(machines)] == ["the code was removed"] * 2


def test_machine_is_tried_again_when_the_study_is_run_again() -> None:
    machines = TwoMachines()
    machines.open("again")
    machines.ask("again", (0, STRAIGHT, 5))
    assert len(machines.heard("node", StartTrainer)) == 1


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


def test_node_manager_that_leaves_gets_nothing_more_and_its_leases_are_nobody_s_fault() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), attempts_max=1)
    lockstep.node_beat(1, trainer.name)
    lockstep.say("node", NodeBeat("node", "first", [Slot("cpu", trainer.name)], 2, leaving=True))
    lockstep.say("node", TrainerExited("node", 1, trainer.name, -15))
    assert told(lockstep) == []
    assert not list(lockstep.store.scan(LossRecord))
    assert lockstep.heard("node", StartTrainer) == []
    lockstep.node_beat(1, None, incarnation="second")
    assert [order.slot for order in lockstep.heard("node", StartTrainer)] == [0]


def test_trainer_gets_the_branch_whose_state_it_has_in_memory() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 30), (1, OTHER, 30))
    trainer.train()
    assert trainer.take()
    trainer.train()
    second = lockstep.trainer("second")
    second.in_memory = [(1, 30)]
    second.beat()
    trainer.held, trainer.in_memory = None, [(0, 30)]
    trainer.beat()
    lockstep.ask("run", (2, {"lr": MultiStep(1, [30], 0.1)}, 40), (3, {"lr": MultiStep(2, [30], 0.1)}, 40))
    assert second.take()
    assert trainer.take()
    assert (trainer.grant and trainer.grant.origin, second.grant and second.grant.origin) == ((0, 30), (1, 30))


def test_trainer_s_memory_is_known_from_the_end_of_its_lease() -> None:
    _, trainer = busy((0, STRAIGHT, 5))
    trainer.in_memory = [(0, 5), (0, 3)]
    trainer.train()
    known = trainer.lockstep.books.staff.trainers[trainer.name]
    assert (known.held, known.in_memory) == (Place(0, 5), (Place(0, 5), Place(0, 3)))
