"""The study's file is edited between runs: what the trainer cannot reach loses nothing, what it can begins anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.live.commands import Command
from tests.live.results import found, repeated_steps
from tests.live.studies import TOY, StudyFile, edited

Run = Callable[..., tuple[Command, dict[str, Any]]]

HARMLESS = {
    "comment": [("    def evaluate(self):\n", "    def evaluate(self):\n        # how good it is\n")],
    "tuner": [("min_steps=4", "min_steps=2")],
    "space": [("Constant(0.1), ", ""), ("Constant(32)]", "Constant(32), Constant(64)]")],
    "layout": [
        ("        self.done += 1\n", "        self.done += (\n            1)\n"),
        ("\nspace =", "\n\n\nspace ="),
    ],
}


@pytest.fixture
def trained(run: Run, tmp_path: Path) -> tuple[StudyFile, dict[str, Any]]:
    """A study that was run, and its summary."""
    file = StudyFile.write(tmp_path / "study", TOY)
    command, summary = run(file, "--inline")
    assert command.code == 0, command.err
    return file, summary


@pytest.mark.parametrize("changes", HARMLESS.values(), ids=list(HARMLESS))
def test_edit_that_the_trainer_cannot_reach_loses_nothing(
    changes: list[tuple[str, str]], trained: tuple[StudyFile, dict[str, Any]], run: Run
) -> None:
    file, before = trained
    command, after = run(StudyFile.write(file.folder, edited(TOY, *changes)), "--inline")
    assert command.code == 0, command.err
    assert after["plan_key"] == before["plan_key"]
    assert after["steps_reused"] > 0
    assert repeated_steps(after) == after["steps_repeated"]["late_branch"]
    told = [line for line in command.err.splitlines() if not line.startswith("hive: trials ")]
    assert len(told) == 1
    assert told[0].startswith("hive: shares plan ")
    assert told[0].endswith(f"({before['steps_run']} steps trained so far)")


def test_edit_of_a_helper_that_the_trainer_calls_begins_anew_and_names_it(
    trained: tuple[StudyFile, dict[str, Any]], run: Run
) -> None:
    file, before = trained
    changed = StudyFile.write(file.folder, edited(TOY, ("total * 0.9", "total * 0.8")))
    command, after = run(changed, "--trainers", "1")
    assert command.code == 0, command.err
    assert after["plan_key"] != before["plan_key"]
    assert after["steps_run"] == after["steps_distinct"]
    assert found(after) != found(before)
    (line,) = command.err.splitlines()
    assert "(toy.decay)" in line
    assert "new plan" in line
    assert line.endswith(f"({before['steps_run']} steps trained so far)")

    command, back = run(StudyFile.write(file.folder, TOY), "--inline")
    assert "shares plan" in command.err
    assert back["steps_run"] == 0, "what was trained under the earlier code is still there"
    assert found(back) == found(before)


def test_fresh_begins_a_new_plan_and_leaves_the_old_one(trained: tuple[StudyFile, dict[str, Any]], run: Run) -> None:
    file, before = trained
    command, fresh = run(file, "--inline", "--fresh")
    assert command.code == 0, command.err
    assert fresh["steps_run"] == fresh["steps_distinct"]
    assert found(fresh) == found(before)
    assert file.steps() == 2 * before["steps_run"]
    command, again = run(file, "--inline")
    assert again["steps_run"] == 0
    checkpoints = [path.name for path in (file.folder.parent / ".hive" / "checkpoints").iterdir() if path.is_dir()]
    assert len(checkpoints) == 2, "a folder for each plan"
