"""What a run is told when it opens: whose training it shares, and of which earlier plan nothing, and why."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hive.actors.messages import Opened
from hive.actors.succession import ABANDONED_S
from hive.simulation.clients import SOURCE, opening
from tests.actors.lockstep import STRAIGHT, Lockstep, busy


def note(lockstep: Lockstep, run: str, *, source: dict[str, Any] | None = None, **more: Any) -> str:
    """What a run is told that opens now; earlier ones of its study that are at work speak first."""
    first = msgspec.structs.replace(opening(run, **more), source=msgspec.structs.replace(SOURCE, **(source or {})))
    lockstep.say(run, first)
    return lockstep.heard(run, Opened)[0].note


def test_first_run_of_a_study_is_told_nothing() -> None:
    lockstep = Lockstep()
    assert note(lockstep, "a", study="study") == ""
    assert note(lockstep, "b", study="another", plan_key="other") == ""


def test_run_that_joins_a_plan_is_told_how_much_is_trained_and_who_is_at_work() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 20))
    assert note(lockstep, "b") == "shares plan key-1 (at work on it: run)"
    trainer.train(5)
    trainer.reach()
    assert note(lockstep, "c") == "shares plan key-1 (5 steps trained so far, at work on it: b, run)"
    lockstep.wait(ABANDONED_S)
    assert note(lockstep, "d") == "shares plan key-1 (5 steps trained so far)", "nobody has spoken since"


def test_run_that_is_done_closed_or_commanded_is_not_at_work() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5))
    trainer.train()
    lockstep.release("run", 0, done=True)
    lockstep.open("closed")
    lockstep.close("closed")
    assert note(lockstep, "b") == "shares plan key-1 (5 steps trained so far)"


def test_run_that_asked_for_a_fresh_plan_is_told_nothing() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5))
    trainer.train()
    assert note(lockstep, "b", study="run", fresh=True) == ""


def test_run_of_changed_code_is_told_what_changed_and_what_it_does_not_share() -> None:
    lockstep, trainer = busy((0, STRAIGHT, 5))
    trainer.train()
    parts = {"Toy": "1", "toy.helper": "2", "toy.other": "3"}
    assert note(lockstep, "b", study="run", plan_key="new", parts=parts) == (
        "code that the trainer reaches changed (toy.helper, toy.other): a new plan begins, which shares nothing with "
        "plan key-1 (5 steps trained so far, at work on it: run)"
    )


def test_study_of_another_name_that_joined_a_plan_is_told_when_its_code_changes() -> None:
    lockstep = Lockstep()
    note(lockstep, "a", study="one")
    note(lockstep, "b", study="two")
    assert "(Toy)" in note(lockstep, "c", study="two", plan_key="new", parts={"Toy": "2"})


def test_of_two_versions_in_use_the_one_that_differs_least_is_compared() -> None:
    lockstep = Lockstep()
    note(lockstep, "a", study="s", plan_key="one", parts={"Toy": "1", "helper": "1", "loss": "1"})
    note(lockstep, "b", study="s", plan_key="two", parts={"Toy": "1", "helper": "2", "loss": "2"})
    lockstep.wait(ABANDONED_S)
    said = note(lockstep, "c", study="s", plan_key="three", parts={"Toy": "2", "helper": "1", "loss": "1"})
    assert "(Toy)" in said
    assert "plan one-1" in said


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ({"seed": 1}, "settings of the study changed (seed)"),
        ({"dataset": "b"}, "settings of the study changed (dataset)"),
        ({"names": ("lr",)}, "settings of the study changed (names of the hyper-parameters)"),
        ({"fixed": {"depth": 3}}, "settings of the study changed (fixed depth)"),
        ({"module": "other"}, "the trainer is another (other.Toy, before: study.Toy)"),
        ({}, "the study has another plan key"),
    ],
)
def test_what_else_of_the_plan_key_changed_is_named(source: dict[str, Any], named: str) -> None:
    lockstep = Lockstep()
    note(lockstep, "a", study="s")
    said = note(lockstep, "b", study="s", plan_key="new", source=source)
    assert said.startswith(f"{named}: a new plan begins, which shares nothing with plan key-1 (")


def test_many_names_are_cut_short() -> None:
    lockstep = Lockstep()
    note(lockstep, "a", study="s")
    said = note(lockstep, "b", study="s", plan_key="new", parts={"Toy": "1"} | {f"part{i}": "1" for i in range(8)})
    assert "(part0, part1, part2, part3, part4 and 3 more)" in said
