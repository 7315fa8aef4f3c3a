"""Ctrl-C: the first press stops at the next step and loses nothing, the second stops at once."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.live.commands import Command, read_json, wait_until
from tests.live.conftest import Start
from tests.live.results import found, repeated_steps
from tests.live.studies import SLOW, StudyFile, edited

Run = Callable[..., tuple[Command, dict[str, Any]]]

ON_THE_WAY_STEPS = 12
"""Steps of 20 ms that two trainers may do while word of the stop travels; their leases would go on for 60 more."""

SLEEPER = edited(SLOW, ('"step_s": 0.02', '"step_s": 3600'))
"""A study whose first step does not end while anybody looks."""


@pytest.mark.parametrize("option", ["--trainers=2", "--inline"])
def test_run_stops_at_the_next_step_and_the_next_run_repeats_nothing(
    option: str, run: Run, start: Start, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    file, summary = StudyFile.write(tmp_path / "study", SLOW), tmp_path / "stopped.json"
    command = start("run", file.path, option, "--json", summary)
    wait_until(lambda: file.steps() >= 25, "25 steps")
    command.signal(signal.SIGINT)
    wait_until(lambda: "stopping at the next step" in command.err, "the press to be heard")
    heard_at = file.steps()
    assert command.wait().code == 130, command.err
    pressed, last = [line for line in command.err.splitlines() if line.startswith("hive: ")]
    assert "stopping at the next step" in pressed
    assert "the same command goes on from there" in last
    assert len(command.err.splitlines()) == 2
    stopped = read_json(summary)
    assert repeated_steps({**stopped, "steps_distinct": stopped["steps_run"]}) == 0
    assert stopped["steps_run"] == file.steps() <= heard_at + ON_THE_WAY_STEPS

    command, told = run(file, option)
    assert command.code == 0, command.err
    assert found(told) == found(undisturbed)
    assert repeated_steps(told) == 0
    assert told["steps_reused"] == stopped["steps_run"]
    assert file.steps() == undisturbed["steps_run"]


@pytest.mark.parametrize("option", ["--trainers=2", "--inline"])
def test_run_ends_at_once_when_interrupted_again(option: str, start: Start, tmp_path: Path) -> None:
    file = StudyFile.write(
        tmp_path / "study",
        edited(SLEEPER, ("        time.sleep(", '        append(self.fixed["steps"], "b")\n        time.sleep(')),
    )
    command = start("run", file.path, option)
    wait_until(file.steps, "the first step to begin")
    command.signal(signal.SIGINT)
    wait_until(lambda: command.err or command.code is not None, "the first press to be heard")
    if command.code is None:
        command.signal(signal.SIGINT)
    assert command.wait().code == 130, command.err
    assert "Traceback" not in command.err


def test_run_stops_when_interrupted_before_its_first_step(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as sockets:  # not in tmp_path: a socket's path has 107 bytes at most
        monkeypatch.setenv("TMPDIR", sockets)
        stop_before_the_first_step(start, tmp_path)
        assert list(Path(sockets).iterdir()) == [], "whoever ended by itself tidied up; whoever was killed did not"


def stop_before_the_first_step(start: Start, tmp_path: Path) -> None:
    """Ctrl-C while the processes are still being started."""
    file = StudyFile.write(tmp_path / "study", SLOW)
    command = start("run", file.path, "--trainers", "2")
    wait_until(lambda: command.members("coordinator"), "the coordinator to be started")
    command.signal(signal.SIGINT)
    assert command.wait().code == 130, command.err
    assert "Traceback" not in command.err


@pytest.mark.parametrize("words", [["paper"], ["faults", "--seeds", "0-9999"]])
def test_simulation_ends_at_once_with_its_processes(words: list[str], start: Start) -> None:
    command = start("simulate", *words)
    wait_until(lambda: len(command.members()) >= 3, "two processes that simulate")
    command.signal(signal.SIGINT)
    assert command.wait().code == 130, command.err
    assert "hive: stopped\n" in command.err
