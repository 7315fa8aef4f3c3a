"""Two scripts in two shells on one coordinator, the second started while the first trains: what both want is trained
once, and what was asked for too late costs no more than the way back to the last boundary passed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.live.commands import Command, read_json, wait_until
from tests.live.conftest import Start
from tests.live.daemons import Daemons, ended
from tests.live.results import repeated_steps
from tests.live.studies import TOY, StudyFile, edited

TRAINER = edited(TOY, ('"step_s": 0.0', '"step_s": 0.05'))

SCRIPT = """\
import hive
from hive import Constant, GridSpace, MultiStep
from hive.tuners import Grid
from toy import Toy, fixed

space = GridSpace({{"lr": [{lr}], "batch_size": [Constant(16)]}}, steps={steps})
study = hive.Study("{name}", Toy, metric="score", mode="max", fixed=fixed)
tuner = Grid(space)
"""

FIRST = ("Constant(0.1)", "MultiStep(0.1, [30], 0.5)")


def script(file: StudyFile, name: str, lr: tuple[str, ...], steps: int) -> Path:
    """A script that searches these learning rates with the trainer of another file."""
    path = file.folder / f"{name}.py"
    path.write_text(SCRIPT.format(name=name, lr=", ".join(lr), steps=steps), encoding="utf-8")
    return path


@pytest.fixture
def daemons(start: Start, tmp_path: Path) -> Daemons:
    """A coordinator and a worker with two devices, running."""
    found = Daemons(start, tmp_path)
    found.running = [found.daemon("coordinator"), found.daemon("worker")]
    return found


def run_both(
    daemons: Daemons, start: Start, file: StudyFile, second: Path, after_steps: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The summaries of two runs, the second one begun once the first has trained so many steps."""
    first, summaries = script(file, "first", FIRST, 40), [file.folder / "first.json", file.folder / "second.json"]
    commands: list[Command] = []
    for path, summary in zip((first, second), summaries, strict=True):
        commands.append(start("run", path, "--url", daemons.url, "--json", summary))
        wait_until(lambda: file.steps() >= after_steps, f"{after_steps} steps")
    for command in commands:
        assert command.wait().code == 0, command.err
    for daemon in reversed(daemons.running):
        ended(daemon)
    return read_json(summaries[0]), read_json(summaries[1])


def test_what_two_scripts_want_is_trained_once_and_late_branches_cost_at_most_the_way_back(
    daemons: Daemons, start: Start, tmp_path: Path
) -> None:
    file = StudyFile.write(tmp_path / "study", TRAINER)
    lr = ("Constant(0.1)", "MultiStep(0.1, [12], 0.5)", "MultiStep(0.1, [30], 0.5)")
    first, second = run_both(daemons, start, file, script(file, "second", lr, 40), after_steps=8)
    union = 40 + (40 - 12) + (40 - 30)  # the constant rate, and what leaves it at 12 and at 30
    repeated = repeated_steps(first) + repeated_steps(second)
    assert file.steps() == union + repeated, "counted from outside"
    assert first["steps_run"] + second["steps_run"] == file.steps()
    late = first["steps_repeated"]["late_branch"] + second["steps_repeated"]["late_branch"]
    assert repeated == late <= 12, (
        "the branch at 12 lies 12 steps behind the last boundary that may be passed, the start"
    )
    assert [t["state_digest"] for t in first["trials"]] == [second["trials"][i]["state_digest"] for i in (0, 2)]


def test_boundary_asked_for_ahead_of_a_batch_that_runs_is_met_and_nothing_is_trained_twice(
    daemons: Daemons, start: Start, tmp_path: Path
) -> None:
    file = StudyFile.write(tmp_path / "study", edited(TRAINER, ('"step_s": 0.05', '"step_s": 0.15')))
    lr = ("Constant(0.1)", "MultiStep(0.1, [28], 0.5)")
    first, second = run_both(daemons, start, file, script(file, "second", lr, 29), after_steps=2)
    assert repeated_steps(first) == repeated_steps(second) == 0
    assert file.steps() == 40 + 10 + 1
    assert second["steps_reused"] == 29
    assert second["steps_run"] == 1
