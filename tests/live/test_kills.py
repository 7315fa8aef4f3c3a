"""Any process killed inside a lease, at drawn moments: the run ends, or the next one does, with what nobody's death
would have given, and little is trained twice.

The moment is proven: the group is stopped first, and the trainers' own journal must show one of them between two steps
of a batch. Only then is the victim killed, and the others go on.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.live.commands import Command, read_json, wait_until
from tests.live.conftest import Start
from tests.live.results import found, repeated_steps
from tests.live.studies import SLOW, StudyFile

LOST_STEPS_MAX = 5 + 6
"""A lease's loss: the steps of 20 ms between checkpoints every 0.1 s, and those while one is written and told of."""

DEEP = 13
"""A victim has done so many steps since the last boundary: without checkpoints between, it would lose more."""

BOUNDARY = 20
"""Leases of the slow study end at multiples of this step and nowhere else."""


def inside_a_lease(file: StudyFile, command: Command) -> dict[int, int]:
    """By living trainer that is between two steps of a batch, how many it did of it; ask only while all are stopped."""
    done = file.journal()
    return {pid: deep for pid in command.members("trainer") if (deep := done.get(pid, 0) % BOUNDARY)}


def stop_inside_a_lease(file: StudyFile, command: Command, steps: int) -> dict[int, int]:
    """Stop the whole group once so many steps are done in all, and some trainer is deep inside a lease: all inside."""
    while True:
        wait_until(partial(step_done, file, command, steps), f"{steps} steps")
        assert command.code is None, f"it ended before the kill: {command.err}"
        command.signal(signal.SIGSTOP)
        inside = inside_a_lease(file, command)
        if inside and max(inside.values()) >= DEEP:
            return inside
        command.signal(signal.SIGCONT)
        steps = file.steps() + 1


def step_done(file: StudyFile, command: Command, steps: int) -> bool:
    """Whether so many steps are done, or none will be any more."""
    return file.steps() >= steps or command.code is not None


def kill(file: StudyFile, command: Command, role: str, steps: int) -> int:
    """Kill a process of that role inside a lease, or the trainer that is deepest; how many steps that may cost."""
    inside = stop_inside_a_lease(file, command, steps)
    victim = max(inside, key=inside.__getitem__) if role == "trainer" else command.members(role)[0]
    before = set(command.members(role))
    assert victim in before
    os.kill(victim, signal.SIGKILL)
    command.signal(signal.SIGCONT)
    wait_until(lambda: set(command.members(role)) - before or command.code is not None, f"another {role}")
    dead = {"trainer": [victim], "node manager": list(inside)}.get(role, [])
    return sum(min(inside[pid], LOST_STEPS_MAX) for pid in dead)


@pytest.mark.parametrize("role", ["trainer", "node manager", "aggregator", "coordinator"])
def test_run_ends_as_if_undisturbed_when_a_process_is_killed(
    role: str, start: Start, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    draw = random.Random(f"kill {role}")
    file, summary = StudyFile.write(tmp_path / "study", SLOW), tmp_path / "summary.json"
    command = start("run", file.path, "--trainers", "2", "--json", summary)
    lost_max = sum([kill(file, command, role, steps) for steps in sorted(draw.sample(range(5, 80), 2))])
    assert command.wait().code == 0, command.err

    told = read_json(summary)
    assert found(told) == found(undisturbed)
    repeated = repeated_steps(told)
    assert repeated == told["steps_repeated"]["failure"] <= lost_max
    assert told["steps_run"] <= file.steps() <= told["steps_distinct"] + lost_max


def test_same_command_goes_on_when_the_whole_group_was_killed(
    run: Callable[..., tuple[Command, dict[str, Any]]], start: Start, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    draw = random.Random("kill the group")
    file = StudyFile.write(tmp_path / "study", SLOW)
    lost_max = 0
    for steps in sorted(draw.sample(range(10, 90), 2)):
        command = start("run", file.path, "--trainers", "2")
        inside = stop_inside_a_lease(file, command, steps)
        lost_max += sum(min(deep, LOST_STEPS_MAX) for deep in inside.values())
        command.signal(signal.SIGKILL)
        command.wait()
    command, told = run(file, "--trainers", "2")
    assert command.code == 0, command.err
    assert found(told) == found(undisturbed)
    assert repeated_steps(told) == 0, "what was lost belongs to the runs that were killed"
    lost = file.steps() - undisturbed["steps_distinct"]
    assert 0 <= lost <= lost_max
    assert told["steps_run"] == told["steps_distinct"] - told["steps_reused"]


def test_processes_leave_when_the_run_alone_is_killed(
    run: Callable[..., tuple[Command, dict[str, Any]]], start: Start, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    file = StudyFile.write(tmp_path / "study", SLOW)
    command = start("run", file.path, "--trainers", "2")
    stop_inside_a_lease(file, command, 20)
    os.kill(command.process.pid, signal.SIGKILL)
    command.signal(signal.SIGCONT)
    command.wait()
    command, told = run(file, "--inline")
    assert command.code == 0, command.err
    assert found(told) == found(undisturbed)
