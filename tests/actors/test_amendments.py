"""Batches that are out are cut anew when wishes change: in time, too late, with messages lost, over restarts."""

from __future__ import annotations

from hive.actors.messages import Amend, Amended, LeaseEnded, Noted, StopLease
from hive.planner.stage_tree import build
from tests.actors.clients import assert_adds_up
from tests.actors.lockstep import DROPPED, OTHER, STRAIGHT, HandTrainer, Lockstep, busy, stages, told


def heard(lockstep: Lockstep, trainer: HandTrainer) -> list[tuple[int, list[tuple[int, int, bool]]]]:
    """The amendments that reached a trainer: their number, and (start, end, measured) of what is ahead."""
    return [(m.amendment, [(s.start, s.end, s.metrics) for s in m.stages]) for m in lockstep.heard(trainer.name, Amend)]


def late_branch(lockstep: Lockstep, run: str = "run") -> int:
    counts = lockstep.books.runs[run].record.counts
    assert_adds_up(counts)
    return counts.late_branch


def test_boundary_asked_for_ahead_of_a_running_batch_is_met_there_and_nothing_is_trained_twice() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    trainer.train(7)
    lockstep.open("second")
    lockstep.ask("second", (0, STRAIGHT, 12))
    assert [m.stages[0].end for m in lockstep.said[trainer.name] if isinstance(m, Amend)] == [12]
    assert trainer.heed()
    trainer.train()
    assert told(lockstep, "second") == [(0, 12, None)]
    assert told(lockstep) == [(0, 20, None)]
    assert late_branch(lockstep) == late_branch(lockstep, "second") == 0
    counts = lockstep.books.runs["second"].record.counts
    assert (counts.steps_distinct, counts.steps_reused, counts.steps_run) == (12, 12, 0)


def test_boundary_asked_for_where_training_stands_is_met() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    trainer.train(7)
    lockstep.ask("run", (1, STRAIGHT, 7))
    assert trainer.heed()
    trainer.train()
    assert sorted(told(lockstep)) == [(0, 20, None), (1, 7, None)]
    assert late_branch(lockstep) == 0


def test_boundary_asked_for_just_too_late_is_trained_again_by_another_once_that_is_known() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    idle = lockstep.trainer("node/0/2")
    trainer.train(8)  # the coordinator has not heard of any step yet
    lockstep.ask("run", (1, STRAIGHT, 7))
    assert not idle.take(), "until it is known, the running batch covers the request"
    assert trainer.heed()
    assert idle.take()
    assert stages(idle) == [(0, 0, 7, True)]
    idle.train()
    trainer.train()
    assert sorted(told(lockstep)) == [(0, 20, None), (1, 7, None)]
    assert late_branch(lockstep) == 7  # back to the last boundary passed, which is the start


def test_boundary_behind_what_a_beat_has_shown_amends_nothing() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    idle = lockstep.trainer("node/0/2")
    trainer.train(8)
    trainer.beat()
    lockstep.ask("run", (1, STRAIGHT, 7))
    assert heard(lockstep, trainer) == []
    assert idle.take()
    assert stages(idle) == [(0, 0, 7, True)]


def test_branch_off_a_running_stage_starts_from_the_boundary_that_was_added_for_it() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    idle = lockstep.trainer("node/0/2")
    trainer.train(4)
    lockstep.ask("run", (1, DROPPED, 15))
    assert trainer.heed()
    trainer.train(6)
    assert idle.take()
    assert idle.grant is not None
    assert (idle.grant.origin, stages(idle)) == ((0, 10), [(1, 10, 15, True)])
    idle.train()
    trainer.train()
    assert late_branch(lockstep) == 0


def test_lost_amendment_is_said_again_when_a_beat_shows_that_it_was_not_heard() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    lockstep.ask("run", (1, STRAIGHT, 12))
    (lost,) = heard(lockstep, trainer)
    trainer.beat()
    assert heard(lockstep, trainer) == [lost]
    trainer.beat()
    assert trainer.heed()
    trainer.beat()
    assert heard(lockstep, trainer) == []


def test_amendment_of_a_crashed_coordinator_is_said_again_by_the_next() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    trainer.train(7)
    lockstep.ask("run", (1, STRAIGHT, 12))
    lockstep.restart()
    trainer.beat()
    assert heard(lockstep, trainer) == [(1, [(0, 12, True), (12, 20, True)])]


def test_grant_that_was_lost_before_its_amendment_is_said_again_with_it() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    trainer.grant, trainer.last_lease = None, 0  # it never came
    lockstep.ask("run", (1, STRAIGHT, 12))
    heard(lockstep, trainer)
    trainer.beat()
    assert stages(trainer) == [(0, 0, 12, True), (0, 12, 20, True)]
    trainer.beat()
    assert heard(lockstep, trainer) == []


def test_later_amendment_takes_in_the_earlier_one_that_was_lost() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    lockstep.ask("run", (1, STRAIGHT, 12))
    heard(lockstep, trainer)
    lockstep.ask("run", (2, STRAIGHT, 16))
    assert heard(lockstep, trainer) == [(2, [(0, 12, True), (12, 16, True), (16, 20, True)])]


def test_word_that_an_amendment_was_taken_up_is_applied_once_and_in_its_turn() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    lockstep.ask("run", (1, STRAIGHT, 7))
    quiet = Lockstep()
    trainer.lockstep = quiet
    trainer.train(9)
    trainer.reach()
    lockstep.heard(trainer.name, Noted)
    late = Amended(trainer.name, 2, 1, 1, 9)
    noted = []
    for message in (late, *trainer.notices, late, late):
        lockstep.say(trainer.name, message)
        noted += [note.number for note in lockstep.heard(trainer.name, Noted)]
    assert noted == [0, 1, 2, 2]
    (stage,) = build(lockstep.books.plans["key-1"].tree)
    assert (stage.place, stage.waiting) == ((0, 7), False)


def test_notice_of_a_later_step_shows_that_a_boundary_came_too_late_even_if_nobody_says_so() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    idle = lockstep.trainer("node/0/2")
    lockstep.ask("run", (1, STRAIGHT, 7))
    heard(lockstep, trainer)  # lost
    trainer.train(9)
    trainer.reach()
    assert idle.take()
    assert stages(idle) == [(0, 0, 7, True)]


def test_batch_that_ends_without_having_heard_of_an_amendment_leaves_what_was_added_to_others() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    lockstep.ask("run", (1, STRAIGHT, 7))
    heard(lockstep, trainer)  # lost
    trainer.train()
    assert trainer.take()
    assert stages(trainer) == [(0, 0, 7, True)]
    trainer.train()
    assert sorted(told(lockstep)) == [(0, 20, None), (1, 7, None)]
    assert late_branch(lockstep) == 7


def test_release_shortens_a_batch_to_what_is_still_wanted() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), (1, STRAIGHT, 12))
    trainer.train(5)
    lockstep.release("run", 0)
    assert trainer.heed()
    assert [(s.start, s.end) for s in trainer.ahead] == [(0, 12)]
    trainer.train()
    assert trainer.step == 12
    assert told(lockstep) == [(1, 12, None)]
    assert not lockstep.books.leases.leases
    assert not lockstep.books.plans["key-1"].tree.promises


def test_release_that_comes_behind_what_is_wanted_ends_the_batch_with_a_checkpoint_where_it_stands() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), (1, STRAIGHT, 12))
    trainer.lockstep = Lockstep()
    trainer.train(15)
    trainer.lockstep = lockstep
    lockstep.release("run", 0)
    lockstep.say(trainer.name, trainer.notices[0])  # of step 12; it was under way
    assert not trainer.heed()
    assert told(lockstep) == [(1, 12, None)]
    assert (0, 15) in lockstep.books.plans["key-1"].standings
    counts = lockstep.books.runs["run"].record.counts
    assert (counts.steps_run, counts.failure) == (15, 0)


def test_release_of_all_stops_the_batch() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), (1, STRAIGHT, 12))
    lockstep.release("run", 0, 1)
    assert lockstep.heard(trainer.name, StopLease) == [StopLease(trainer.name, 1)]
    assert heard(lockstep, trainer) == []


def test_wish_that_others_share_keeps_the_batch_as_it_is() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    lockstep.open("second")
    lockstep.ask("second", (5, STRAIGHT, 20))
    lockstep.release("run", 0)
    assert heard(lockstep, trainer) == []
    assert lockstep.heard(trainer.name, StopLease) == []


def test_branch_point_that_nobody_needs_any_more_is_passed_without_a_stop() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), (1, DROPPED, 15))
    assert [(s.start, s.end) for s in trainer.ahead] == [(0, 10), (10, 20)]
    lockstep.release("run", 1)
    assert heard(lockstep, trainer) == [(1, [(0, 20, True)])]


def test_request_at_an_unmeasured_boundary_ahead_is_measured_there() -> None:
    lockstep, trainer = busy((0, DROPPED, 20))
    lockstep.ask("run", (1, STRAIGHT, 10))
    assert trainer.heed()
    trainer.train()
    assert told(lockstep) == [(1, 10, None), (0, 20, None)]


def test_trainer_that_was_not_heard_of_is_told_at_its_beat() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    lockstep.restart()
    lockstep.ask("run", (1, STRAIGHT, 12))
    assert heard(lockstep, trainer) == []
    trainer.beat()
    assert heard(lockstep, trainer) == [(1, [(0, 12, True), (12, 20, True)])]


def test_of_two_batches_that_come_by_the_one_that_ends_sooner_is_amended() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    trainer.train(8)
    trainer.beat()
    lockstep.ask("run", (1, STRAIGHT, 7))  # too late: a second trainer is on its way there
    second = lockstep.trainer("node/0/2")
    lockstep.ask("run", (2, STRAIGHT, 3))
    assert [end for _, cut in heard(lockstep, second) for _, end, _ in cut] == [3, 7]
    assert heard(lockstep, trainer) == []


def test_lease_whose_boundaries_were_all_noticed_is_not_granted_again() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5))
    quiet = Lockstep()
    trainer.lockstep = quiet
    trainer.train()
    trainer.lockstep = lockstep
    lockstep.say(trainer.name, trainer.notices[0])
    trainer.beat()
    assert trainer.grant is None
    lockstep.say(trainer.name, LeaseEnded(trainer.name, 2, 1, 5))
    lockstep.ask("run", (1, OTHER, 3))
    assert trainer.take()


def test_batch_that_has_passed_all_that_is_wanted_without_having_heard_is_told_to_leave() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), (1, STRAIGHT, 12))
    lockstep.release("run", 0)
    heard(lockstep, trainer)  # lost
    trainer.train(15)
    trainer.reach()
    trainer.beat()
    assert heard(lockstep, trainer) == [(1, [])]


def test_batch_granted_long_after_it_was_asked_for_stops_where_a_branch_waits() -> None:
    lockstep = Lockstep()
    lockstep.open()
    lockstep.ask("run", (0, STRAIGHT, 20), (1, DROPPED, 20))  # nobody is there yet
    trainer = lockstep.trainer()
    idle = lockstep.trainer("node/0/2")
    assert heard(lockstep, trainer) == []
    trainer.train(10)
    assert idle.take()
    idle.train()
    trainer.train()
    assert late_branch(lockstep) == 0
