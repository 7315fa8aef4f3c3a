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

INTERVAL_STEPS = 10
"""Steps of 20 ms between the checkpoints that are made every 0.2 s."""

UNWRITTEN_STEPS = 3
"""Steps that may pass while a checkpoint that was copied is written and told of."""

BOUNDARY = 20
"""Leases of the slow study end at multiples of this step and nowhere else."""


def inside_a_lease(file: StudyFile, command: Command) -> list[int]:
    """The living trainers that are between two steps of a batch; ask only while all of them are stopped."""
    done = file.journal()
    return [pid for pid in command.members("trainer") if done.get(pid, 0) % BOUNDARY]


def stop_inside_a_lease(file: StudyFile, command: Command, steps: int) -> list[int]:
    """Stop the whole group when so many steps are done in all, and some trainer is inside a lease: those that are."""
    while True:
        wait_until(partial(step_done, file, command, steps), f"{steps} steps")
        assert command.code is None, f"it ended before the kill: {command.err}"
        command.signal(signal.SIGSTOP)
        inside = inside_a_lease(file, command)
        if inside:
            return inside
        command.signal(signal.SIGCONT)
        steps = file.steps() + 1


def step_done(file: StudyFile, command: Command, steps: int) -> bool:
    """Whether so many steps are done, or none will be any more."""
    return file.steps() >= steps or command.code is not None


def kill(file: StudyFile, command: Command, role: str, steps: int) -> None:
    """Kill a process of that role inside a lease; a trainer that is."""
    inside = stop_inside_a_lease(file, command, steps)
    victim = inside[0] if role == "trainer" else command.members(role)[0]
    before = set(command.members(role))
    assert victim in before
    os.kill(victim, signal.SIGKILL)
    command.signal(signal.SIGCONT)
    wait_until(lambda: set(command.members(role)) - before or command.code is not None, f"another {role}")


@pytest.mark.parametrize(
    ("role", "leases_lost"), [("trainer", 1), ("node manager", 2), ("aggregator", 0), ("coordinator", 0)]
)
def test_run_ends_as_if_undisturbed_when_a_process_is_killed(
    role: str, leases_lost: int, start: Start, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    draw = random.Random(f"kill {role}")
    file, summary = StudyFile.write(tmp_path / "study", SLOW), tmp_path / "summary.json"
    command = start("run", file.path, "--trainers", "2", "--json", summary)
    for steps in sorted(draw.sample(range(5, 90), 2)):
        kill(file, command, role, steps)
    assert command.wait().code == 0, command.err

    told = read_json(summary)
    assert found(told) == found(undisturbed)
    repeated = repeated_steps(told)
    assert repeated == told["steps_repeated"]["failure"] <= 2 * leases_lost * (INTERVAL_STEPS + UNWRITTEN_STEPS)
    unseen = 2 * leases_lost  # a lost attempt counts by its last report, which may be a step behind
    assert told["steps_run"] <= file.steps() <= told["steps_run"] + unseen * (INTERVAL_STEPS + UNWRITTEN_STEPS)


def test_same_command_goes_on_when_the_whole_group_was_killed(
    run: Callable[..., tuple[Command, dict[str, Any]]], start: Start, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    draw = random.Random("kill the group")
    file = StudyFile.write(tmp_path / "study", SLOW)
    for steps in sorted(draw.sample(range(10, 100), 2)):
        command = start("run", file.path, "--trainers", "2")
        stop_inside_a_lease(file, command, steps)
        command.signal(signal.SIGKILL)
        command.wait()
    command, told = run(file, "--trainers", "2")
    assert command.code == 0, command.err
    assert found(told) == found(undisturbed)
    assert repeated_steps(told) == 0, "what was lost belongs to the runs that were killed"
    lost = file.steps() - undisturbed["steps_distinct"]
    assert 0 < lost <= 2 * 2 * (INTERVAL_STEPS + UNWRITTEN_STEPS)
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
