"""Daemons as people run them: what a log says, and a worker that is ended and started again loses no steps."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.live.commands import read_json, wait_until
from tests.live.conftest import Start
from tests.live.daemons import CHECKOUT, Daemons, ended
from tests.live.results import found, repeated_steps
from tests.live.studies import SLOW, StudyFile, edited

PRINTING = edited(
    SLOW,
    (
        "        self.done += 1\n",
        '        self.done += 1\n        print("done", self.done)\n        os.write(1, b"from C\\n")\n',
    ),
)


def test_worker_that_is_ended_lets_its_trainers_leave_with_a_checkpoint_and_their_prints_are_kept(
    cluster: Daemons, start: Start, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    file, summary = StudyFile.write(tmp_path / "study", PRINTING), tmp_path / "summary.json"
    coordinator, worker = cluster.daemon("coordinator"), cluster.daemon("worker")
    run = start("run", file.path, "--url", cluster.url, "--json", summary)
    for steps in (25, 60):
        wait_until(lambda steps=steps: file.steps() >= steps, f"{steps} steps")  # type: ignore[misc]
        ended(worker)
        worker = cluster.daemon("worker")
    assert run.wait().code == 0, run.err
    told = read_json(summary)
    assert [trial["metrics"] for trial in found(told)] == [trial["metrics"] for trial in found(undisturbed)]
    assert repeated_steps(told) == 0
    assert file.steps() == told["steps_distinct"], "counted from outside"
    ended(worker)
    ended(coordinator)

    logs = sorted((cluster.folder / "cluster" / "logs").glob("*-[01].log"))
    lines = [line for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+/[01]/\d+"
    prints = [re.fullmatch(rf"{stamp} node (\d+) trial (\d+) step (\d+) \| done (\d+)", line) for line in lines]
    assert {match[4] for match in prints if match} == {str(step) for step in range(1, 41)}
    assert all(int(match[4]) == int(match[3]) + 1 for match in prints if match)
    assert sum(bool(re.fullmatch(rf"{stamp} \| from C", line)) for line in lines) == file.steps()
    assert "node" in worker.err
    assert "serving" in coordinator.err


@pytest.mark.parametrize("devices", ["gpu", "cuda", "cpu,tpu:0", " "])
def test_device_that_cannot_be_is_one_clear_line(devices: str, start: Start) -> None:
    command = start("--devices", devices, program=(str(CHECKOUT / "bin" / "hive-worker"),)).wait()
    assert command.code == 2
    (line,) = command.err.splitlines()
    assert line.startswith("hive: ")
    assert "cuda:0" in line


def test_device_named_twice_runs_two_trainers(start: Start, tmp_path: Path) -> None:
    cluster = Daemons(start, tmp_path)
    file = StudyFile.write(tmp_path / "study", SLOW)
    daemons = [cluster.daemon("coordinator"), cluster.daemon("worker")]
    run = start("run", file.path, "--url", cluster.url)
    wait_until(lambda: len(file.journal()) == 2, "two trainers")
    run.signal(signal.SIGINT)
    run.wait()
    for daemon in reversed(daemons):
        ended(daemon)
