"""Runs that go on from runs that did not end: who takes over from whom, and what is told again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hive.actors.messages import Opened, OpenRun, Refused, RunState, SessionBeat, Told, ToldTime
from hive.actors.replay import QUIET_BEATS
from hive.actors.succession import ABANDONED_S
from hive.planner.space import Config
from hive.simulation.clients import opening
from hive.storage.records import AnnouncementRecord, AnswerRecord, HeldRecord
from tests.actors.clients import assert_adds_up
from tests.actors.lockstep import DROPPED, OTHER, STRAIGHT, HandTrainer, Lockstep

CONFIGS: list[Config] = [STRAIGHT, DROPPED, OTHER]


def first(run: str, **more: object) -> OpenRun:
    """A run of the study that all of these tests are about."""
    return opening(run, study="study", **more)  # type: ignore[arg-type]


def searched(*steps: int) -> tuple[Lockstep, HandTrainer]:
    """A run that was told of trial 1 at each of these steps, then of trial 0 at 4, and that waits for trial 2."""
    lockstep = Lockstep()
    lockstep.say("run", first("run"))
    trainer = lockstep.trainer()
    for step in steps:
        ask(lockstep, "run", trainer, (1, step))
    ask(lockstep, "run", trainer, (0, 4))
    ask(lockstep, "run", None, (2, 8))
    trainer.take()
    return lockstep, trainer


def ask(lockstep: Lockstep, run: str, trainer: HandTrainer | None, *requests: tuple[int, int]) -> None:
    """Ask for trials at steps, and train what that takes."""
    lockstep.ask(run, *[(trial, CONFIGS[trial], step) for trial, step in requests])
    while trainer is not None and trainer.take():
        trainer.train()


def restarted(lockstep: Lockstep, run: str = "again", after_s: float = ABANDONED_S) -> None:
    """The script of the run was killed, and is started again a while later."""
    lockstep.say(run, first(run), after_s=after_s)


def told(lockstep: Lockstep, run: str = "again") -> list[tuple[int, int]]:
    """What a run was told so far: trial and step."""
    lockstep.heard(run, Told)
    lockstep.say(run, SessionBeat(run, 10**6))
    lockstep.say(run, SessionBeat(run, 0))
    return [(t.trial, t.step) for t in lockstep.heard(run, Told)]


def note(lockstep: Lockstep, run: str = "again") -> str:
    lockstep.heard(run, RunState)
    lockstep.say(run, SessionBeat(run, 0))
    return lockstep.heard(run, RunState)[-1].note


def quiet(lockstep: Lockstep, beats: int, run: str = "again") -> None:
    """The session lives, has all that it was told, and says nothing new."""
    for _ in range(beats):
        record = lockstep.books.runs[run].record
        lockstep.say(run, SessionBeat(run, record.told, record.applied))


# -- who goes on from whom ------------------------------------------------------------------------------------


def test_run_goes_on_from_the_one_that_nobody_speaks_for_and_is_told_how_much_comes_again() -> None:
    lockstep, trainer = searched(5, 6)
    restarted(lockstep)
    (opened,) = lockstep.heard("again", Opened)
    assert "3 answers are told again" in opened.note
    assert note(lockstep) == opened.note, "it is said until it is heard"
    assert lockstep.books.runs["run"].record.closed
    assert trainer.stop_if_told(), "what only the dead run wanted is left"
    assert not list(lockstep.store.scan(AnswerRecord, ("run",)))
    assert len(list(lockstep.store.scan(AnswerRecord, ("again",)))) == 3


def test_run_is_not_opened_before_it_is_known_whether_an_earlier_one_lives() -> None:
    lockstep, _ = searched(5)
    restarted(lockstep, after_s=0.5)
    assert lockstep.said["again"] == []
    restarted(lockstep, after_s=1.0)
    assert lockstep.said["again"] == []
    restarted(lockstep, after_s=ABANDONED_S - 1.5)
    assert lockstep.heard("again", Opened)
    assert lockstep.books.runs["again"].record.replays == "run"


def test_run_that_waits_while_the_coordinator_is_suspended_still_goes_on_from_the_dead_one() -> None:
    lockstep, _ = searched(5)
    restarted(lockstep, after_s=0.5)
    lockstep.now += 20.0
    for _ in range(3):
        restarted(lockstep, after_s=1.0)
    assert "2 answers are told again" in lockstep.heard("again", Opened)[0].note
    assert lockstep.books.runs["again"].record.replays == "run"


def test_second_copy_of_a_script_begins_anew_while_the_first_lives() -> None:
    lockstep, trainer = searched(5)
    restarted(lockstep, after_s=0.5)
    lockstep.say("run", SessionBeat("run", 0))
    restarted(lockstep, after_s=0.5)
    assert "told again" not in lockstep.heard("again", Opened)[0].note
    assert not lockstep.books.runs["run"].record.closed
    ask(lockstep, "again", trainer, (0, 4))
    assert told(lockstep) == [(0, 4)]


def test_fresh_run_and_one_of_another_study_take_nothing_over() -> None:
    lockstep, _ = searched(5)
    lockstep.say("fresh", first("fresh", fresh=True))
    lockstep.open("other")
    for run in ("fresh", "other"):
        assert "told again" not in lockstep.heard(run, Opened)[0].note
    assert not lockstep.books.runs["run"].record.closed


@pytest.mark.parametrize("closed", [False, True], ids=["done", "closed"])
def test_run_that_came_to_its_end_is_not_told_again(closed: bool) -> None:
    lockstep, _ = searched(5)
    lockstep.release("run", 0, 1, 2, done=True)
    if closed:
        lockstep.close("run")
    lockstep.restart()
    restarted(lockstep, after_s=0.1)
    assert "told again" not in lockstep.heard("again", Opened)[0].note
    assert lockstep.books.runs["again"].record.replays == ""


def test_run_that_asks_after_it_was_done_is_not_done() -> None:
    lockstep, trainer = searched(5)
    lockstep.release("run", 0, 1, 2, done=True)
    ask(lockstep, "run", trainer, (1, 7))
    restarted(lockstep)
    assert "3 answers" in lockstep.heard("again", Opened)[0].note


def test_done_run_is_closed_when_its_session_was_silent_for_a_day() -> None:
    lockstep, _ = searched(5)
    lockstep.release("run", 0, 1, 2, done=True)
    lockstep.settings = replace(lockstep.settings, beat_s=600.0)
    lockstep.restart()
    lockstep.wait(3_600)
    assert not lockstep.books.runs["run"].record.closed
    lockstep.wait(86_400)
    assert lockstep.books.runs["run"].record.closed
    lockstep.ask("run", (0, STRAIGHT, 9))
    assert "is over" in lockstep.heard("run", Refused)[0].reason


def test_older_runs_that_nobody_speaks_for_are_closed_with_the_latest() -> None:
    lockstep, trainer = searched(5, 6)
    lockstep.say("run", SessionBeat("run", 0), after_s=5.0)
    restarted(lockstep, "copy", after_s=0.1)
    lockstep.say("run", SessionBeat("run", 0))
    restarted(lockstep, "copy", after_s=0.1)
    ask(lockstep, "copy", trainer, (0, 4))
    restarted(lockstep)
    records = {name: run.record for name, run in lockstep.books.runs.items()}
    assert records["again"].replays == "copy"
    assert records["run"].closed
    assert records["copy"].closed


def test_session_that_was_taken_for_dead_is_told_so_and_what_it_found_stands() -> None:
    lockstep, trainer = searched(5)
    restarted(lockstep)
    trainer.stop_if_told()
    lockstep.restart()
    for say in (lambda: lockstep.say("run", SessionBeat("run", 2)), lambda: lockstep.ask("run", (0, STRAIGHT, 9))):
        say()
        (refused,) = lockstep.heard("run", Refused)
        assert "taken for dead" in refused.reason
    ask(lockstep, "again", None, (1, 5), (0, 4))
    assert told(lockstep) == [(1, 5), (0, 4)]


def test_root_whose_processes_are_all_dead_is_gone_on_from_at_once() -> None:
    lockstep, _ = searched(5)
    lockstep.settings = type(lockstep.settings)(close_runs=True)
    lockstep.restart()
    restarted(lockstep, after_s=0.01)
    assert lockstep.heard("again", Opened)
    assert lockstep.books.runs["again"].record.replays == "run"


# -- what is told again ---------------------------------------------------------------------------------------


def test_answers_are_told_in_their_old_order_however_they_are_asked_for() -> None:
    lockstep, trainer = searched(5, 6)
    restarted(lockstep)
    trainer.stop_if_told()
    ask(lockstep, "again", None, (0, 4), (2, 8))
    assert told(lockstep) == []
    ask(lockstep, "again", None, (1, 6))
    assert told(lockstep) == []
    ask(lockstep, "again", None, (1, 5))
    assert told(lockstep) == [(1, 5), (1, 6), (0, 4)]
    assert "all 3 answers" in note(lockstep)
    trainer.take()
    trainer.train()
    assert told(lockstep) == [(1, 5), (1, 6), (0, 4), (2, 8)]
    assert_adds_up(lockstep.books.runs["again"].record.counts)


@pytest.mark.parametrize("crash", [False, True])
def test_what_becomes_ready_meanwhile_waits_for_the_end_of_the_replay(crash: bool) -> None:
    lockstep, trainer = searched(5)
    restarted(lockstep)
    trainer.stop_if_told()
    ask(lockstep, "again", trainer, (2, 8))
    ask(lockstep, "again", trainer, (1, 5))
    assert told(lockstep) == [(1, 5)]
    assert not lockstep.heard("again", RunState)[-1].settled, "it will be told more"
    if crash:
        lockstep.restart()
    ask(lockstep, "again", None, (0, 4))
    assert told(lockstep) == [(1, 5), (0, 4), (2, 8)]
    assert not list(lockstep.store.scan(HeldRecord))


def test_failure_is_told_again_in_its_turn_and_not_tried_again() -> None:
    lockstep, trainer = searched(5)
    trainer.end("Boom")
    restarted(lockstep)
    ask(lockstep, "again", trainer, (2, 8), (1, 5))
    assert told(lockstep) == [(1, 5)]
    ask(lockstep, "again", trainer, (0, 4))
    assert [(t.trial, t.error) for t in lockstep.answers("again")] == [(1, None), (0, None), (2, "Boom")]
    restarted(lockstep, "third")
    lockstep.release("third", done=True)
    restarted(lockstep, "fourth")
    ask(lockstep, "fourth", None, (2, 8))
    assert trainer.take(), "whoever begins anew tries again"


def test_failure_that_comes_meanwhile_waits_for_the_end_of_the_replay_too() -> None:
    lockstep, trainer = searched(5)
    restarted(lockstep)
    trainer.stop_if_told()
    ask(lockstep, "again", None, (2, 8))
    assert trainer.take()
    trainer.end("Boom")
    lockstep.restart()
    ask(lockstep, "again", None, (1, 5), (0, 4))
    assert [(t.trial, t.error) for t in lockstep.answers("again")] == [(1, None), (0, None), (2, "Boom")]


def test_request_that_means_nothing_is_told_again_in_its_turn() -> None:
    lockstep, _ = searched(5)
    lockstep.ask("run", (3, {"depth": STRAIGHT["lr"]}, 5))
    restarted(lockstep)
    lockstep.ask("again", (3, {"depth": STRAIGHT["lr"]}, 5))
    assert told(lockstep) == []
    ask(lockstep, "again", None, (1, 5), (0, 4))
    assert told(lockstep) == [(1, 5), (0, 4), (3, 5)]


def test_time_is_told_as_it_was() -> None:
    lockstep, _ = searched(5)
    lockstep.ask_time("run")
    (then,) = lockstep.heard("run", ToldTime)
    restarted(lockstep)
    lockstep.ask_time("again")
    assert lockstep.heard("again", ToldTime) == []
    ask(lockstep, "again", None, (1, 5), (0, 4))
    lockstep.ask_time("again")
    now = lockstep.now
    again, new = lockstep.heard("again", ToldTime)
    assert (again.number, again.time) == (then.number, then.time)
    assert (new.number, new.time) == (4, now)


def test_run_that_was_killed_while_it_was_told_again_hands_its_whole_rest_on() -> None:
    lockstep, trainer = searched(5, 6)
    for number in range(20):
        restarted(lockstep, f"again{number}")
        trainer.stop_if_told()
        if number % 2:
            ask(lockstep, f"again{number}", None, (1, 5))
            assert told(lockstep, f"again{number}") == [(1, 5)]
    restarted(lockstep, "last")
    ask(lockstep, "last", None, (1, 5), (1, 6), (0, 4))
    assert told(lockstep, "last") == [(1, 5), (1, 6), (0, 4)]
    assert [run.name for run in lockstep.books.runs.values() if not run.record.closed] == ["last"]
    assert len(list(lockstep.store.scan(AnswerRecord))) == 3


def test_trial_that_is_released_is_not_told_when_the_replay_ends() -> None:
    lockstep, trainer = searched(5)
    restarted(lockstep)
    trainer.stop_if_told()
    ask(lockstep, "again", trainer, (2, 8))
    lockstep.release("again", 2)
    ask(lockstep, "again", None, (1, 5), (0, 4))
    assert told(lockstep) == [(1, 5), (0, 4)]
    assert not list(lockstep.store.scan(HeldRecord))


# -- asking for something else --------------------------------------------------------------------------------


def test_config_that_leads_elsewhere_ends_the_replay_and_the_user_is_told() -> None:
    lockstep, trainer = searched(5, 6)
    restarted(lockstep)
    trainer.stop_if_told()
    ask(lockstep, "again", None, (0, 4), (1, 5))
    assert told(lockstep) == [(1, 5)]
    lockstep.ask("again", (1, OTHER, 6))
    assert told(lockstep) == [(1, 5), (0, 4)], "what was held is told"
    assert "after 1 of its 3 answers" in note(lockstep)
    assert "trial 1 at step 6" in note(lockstep)
    assert len(list(lockstep.store.scan(AnswerRecord))) == 2
    trainer.take()
    trainer.train()
    assert told(lockstep) == [(1, 5), (0, 4), (1, 6)]


def test_request_that_came_to_mean_nothing_ends_the_replay() -> None:
    lockstep, trainer = searched()
    restarted(lockstep)
    trainer.stop_if_told()
    lockstep.ask("again", (0, {"depth": STRAIGHT["lr"]}, 4))
    (answer,) = lockstep.answers("again")
    assert answer.error is not None
    assert "after 0 of its 1 answers" in note(lockstep)


def test_run_that_falls_silent_before_it_asks_for_what_comes_next_is_told_what_is_there() -> None:
    lockstep, trainer = searched(5)
    restarted(lockstep)
    trainer.stop_if_told()
    ask(lockstep, "again", trainer, (0, 6))
    quiet(lockstep, QUIET_BEATS - 1)
    ask(lockstep, "again", trainer, (0, 7))
    quiet(lockstep, QUIET_BEATS - 1)
    assert lockstep.heard("again", Told) == []
    quiet(lockstep, 1)
    assert told(lockstep) == [(0, 6), (0, 7)]
    assert "trial 1 at step 5" in note(lockstep)


def test_run_that_waits_for_training_is_not_taken_to_ask_for_something_else() -> None:
    lockstep, trainer = searched(5)
    restarted(lockstep)
    trainer.stop_if_told()
    ask(lockstep, "again", None, (0, 6))
    quiet(lockstep, 3 * QUIET_BEATS)
    assert lockstep.books.runs["again"].journal.replay
    assert note(lockstep).startswith("goes on")


def test_announcements_are_kept_until_they_are_released_or_the_run_ends() -> None:
    lockstep, _ = searched(5)
    lockstep.announce("run", (3, STRAIGHT), (4, OTHER))
    lockstep.restart()
    assert lockstep.books.runs["run"].announced.keys() == {3, 4}
    lockstep.release("run", 3)
    assert [a.trial for a in lockstep.store.scan(AnnouncementRecord)] == [4]
    restarted(lockstep)
    assert not list(lockstep.store.scan(AnnouncementRecord))
