"""Pause, resume and cancel: durable, harmless when repeated, and nothing of others' is touched."""

from __future__ import annotations

import pytest

from hive.actors.coordinator import CoordinatorSettings
from hive.actors.messages import Refused, RunState, SessionBeat, Status, StatusQuery, StudyCommand, StudyDone
from tests.actors.clients import assert_adds_up
from tests.actors.lockstep import DROPPED, OTHER, STRAIGHT, HandTrainer, Lockstep, busy, stages, told


def command(lockstep: Lockstep, action: str, name: str = "run", by: str = "ann@here") -> list[str]:
    """Command a study; the runs it was about."""
    lockstep.say("person", StudyCommand(name, action, by))  # type: ignore[arg-type]
    (done,) = lockstep.heard("person", StudyDone)
    assert (done.name, done.action) == (name, action)
    return done.runs


def refused(lockstep: Lockstep, action: str, name: str) -> str:
    lockstep.say("person", StudyCommand(name, action))  # type: ignore[arg-type]
    (answer,) = lockstep.heard("person", Refused)
    return answer.reason


def beat(lockstep: Lockstep, run: str = "run") -> RunState:
    lockstep.say(run, SessionBeat(run, 0))
    return lockstep.heard(run, RunState)[-1]


def states(lockstep: Lockstep) -> dict[str, str]:
    lockstep.say("person", StatusQuery())
    (status,) = lockstep.heard("person", Status)
    return {run["run"]: run["state"] for run in status.state["runs"]}


def test_paused_study_leaves_its_batch_and_beats_do_not_resume_it() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    trainer.train(3)
    assert command(lockstep, "pause") == ["run"]
    assert trainer.stop_if_told()
    state = beat(lockstep)
    assert (state.paused_by, state.settled) == ("ann@here", False)
    assert not trainer.take()
    assert states(lockstep) == {"run": "paused"}
    assert command(lockstep, "resume") == ["run"]
    trainer.take()
    assert stages(trainer) == [(0, 3, 20, True)], "it goes on where it was left"
    trainer.train()
    assert beat(lockstep).paused_by == ""
    assert told(lockstep) == [(0, 20, None)]
    assert_adds_up(lockstep.books.runs["run"].record.counts)


def test_pause_outlives_the_coordinator() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    command(lockstep, "pause")
    lockstep.restart()
    trainer.beat()
    assert trainer.stop_if_told(), "the one before had not said it"
    assert beat(lockstep).paused_by == "ann@here"
    assert not trainer.take()
    lockstep.restart()
    command(lockstep, "resume")
    trainer.beat()
    assert trainer.grant is not None


def test_what_a_paused_run_asks_is_remembered_and_trained_when_it_is_resumed() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5))
    trainer.train()
    command(lockstep, "pause")
    lockstep.ask("run", (0, STRAIGHT, 9), (1, STRAIGHT, 5))
    assert told(lockstep) == [(0, 5, None), (1, 5, None)], "what stands is told"
    assert not trainer.take()
    lockstep.restart()
    command(lockstep, "resume")
    trainer.beat()
    trainer.train()
    assert told(lockstep)[2:] == [(0, 9, None)]
    assert_adds_up(lockstep.books.runs["run"].record.counts)


@pytest.mark.parametrize("crash", [False, True])
def test_paused_run_is_told_what_others_get_trained(crash: bool) -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), (1, OTHER, 5))
    lockstep.open("second", study="two")
    lockstep.ask("second", (0, STRAIGHT, 20))
    command(lockstep, "pause")
    assert not trainer.stop_if_told()
    trainer.train()
    if crash:
        lockstep.restart()
    beat(lockstep)
    assert told(lockstep) == [(0, 20, None)]
    trainer.beat()
    assert trainer.grant is None, "the rest only it wants"
    assert beat(lockstep).paused_by == "ann@here"


def test_silence_and_pause_are_two_states() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), session_lease_s=15.0)
    command(lockstep, "pause")
    assert trainer.stop_if_told()
    lockstep.wait(16.1)
    command(lockstep, "resume")
    assert not trainer.take(), "nobody speaks for it"
    assert states(lockstep) == {"run": "silent"}
    beat(lockstep)
    assert trainer.take()


def test_cancelled_study_is_told_so_for_all_it_waits_for_and_all_it_asks() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), (1, OTHER, 5))
    trainer.train(3)
    assert command(lockstep, "cancel") == ["run"]
    assert trainer.stop_if_told()
    assert [(trial, step) for trial, step, _ in told(lockstep)] == [(0, 20), (1, 5)]
    assert all("cancelled by ann@here" in str(error) for _, _, error in told(lockstep))
    assert beat(lockstep).settled
    lockstep.ask("run", (2, STRAIGHT, 3))
    assert "cancelled by ann@here" in str(told(lockstep)[2])
    lockstep.restart()
    lockstep.ask("run", (3, STRAIGHT, 3))
    assert len(told(lockstep)) == 4
    assert not trainer.take()
    assert states(lockstep) == {"run": "cancelled"}
    lockstep.open("again", study="run")
    lockstep.ask("again", (0, STRAIGHT, 20))
    trainer.beat()
    assert stages(trainer) == [(0, 3, 20, True)], "a new run is not cancelled, and what was trained stays"


def test_cancel_leaves_what_others_want() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    lockstep.open("second", study="two")
    lockstep.ask("second", (0, DROPPED, 15))
    lockstep.ask("second", (1, STRAIGHT, 20))
    command(lockstep, "cancel")
    assert not trainer.stop_if_told()
    trainer.train()
    assert told(lockstep, "second") == [(1, 20, None)]


@pytest.mark.parametrize("action", ["pause", "resume", "cancel"])
def test_command_that_comes_twice_is_answered_alike_and_changes_nothing(action: str) -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20), (1, OTHER, 5))
    trainer.train(3)
    first = command(lockstep, action)
    trainer.stop_if_told()
    before, answers = dict(lockstep.store.entries), told(lockstep)
    assert command(lockstep, action, by="bob@there") == first
    assert dict(lockstep.store.entries) == before
    assert told(lockstep) == answers


def test_command_names_a_study_or_one_run() -> None:
    lockstep = Lockstep(CoordinatorSettings())
    for run, study in (("a-1", "a"), ("a-2", "a"), ("b-1", "b")):
        lockstep.open(run, study=study)
    assert command(lockstep, "pause", "a") == ["a-1", "a-2"]
    assert command(lockstep, "resume", "a-2") == ["a-2"]
    assert states(lockstep) == {"a-1": "paused", "a-2": "idle", "b-1": "idle"}


def test_command_that_means_nobody_is_refused() -> None:
    lockstep, _ = busy((0, STRAIGHT, 20))
    assert "'nothing'" in refused(lockstep, "pause", "nothing")
    assert "open studies: run" in refused(lockstep, "pause", "nothing")
    command(lockstep, "cancel")
    assert "start its script again" in refused(lockstep, "resume", "run")
    lockstep.close("run")
    assert "none" in refused(lockstep, "cancel", "run")


def test_two_studies_of_one_plan_are_commanded_apart() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    lockstep.open("second", study="two")
    lockstep.ask("second", (0, OTHER, 5))
    command(lockstep, "pause", "two")
    trainer.train()
    assert not trainer.take()
    command(lockstep, "resume", "two")
    assert isinstance(trainer, HandTrainer)
    trainer.take()
    assert stages(trainer) == [(1, 0, 5, True)]
