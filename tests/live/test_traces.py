"""Traces of real processes: actors made anew want the same, and the simulator hands out the same batches."""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tests.live.commands import wait_until
from tests.live.conftest import Start
from tests.live.studies import SLOW, StudyFile


def test_actors_made_anew_want_the_same_as_those_of_a_run_whose_processes_are_killed(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces = tmp_path / "traces"
    monkeypatch.setenv("HIVE_TRACE", str(traces))
    file = StudyFile.write(tmp_path / "study", SLOW)
    command = start("run", file.path, "--trainers", "2")
    for role, steps in (("trainer", 5), ("coordinator", 40), ("node manager", 70)):
        wait_until(partial(lambda steps: file.steps() >= steps, steps), f"{steps} steps")
        before = command.members(role)
        os.kill(before[0], signal.SIGKILL)
        wait_until(partial(lambda role, before: set(command.members(role)) - set(before), role, before), f"new {role}")
    assert command.wait().code == 0, command.err
    monkeypatch.delenv("HIVE_TRACE")

    again = start("trace", traces, "--json").wait()
    assert again.code == 0, again.out
    report = json.loads(again.out)
    assert report["differences"] == []
    assert report["files"] == report["actors"] >= 9, "run, two coordinators, aggregators, workers and more trainers"
    assert report["turns"] == sum(path.read_bytes().count(b"\n") for path in traces.iterdir()) > 100


def test_simulator_hands_out_the_batches_of_real_processes_in_the_same_order(start: Start) -> None:
    command = start(ROOT / "benchmarks" / "fidelity.py", "--json", program=(sys.executable,)).wait()
    assert command.code == 0, command.err
    found = json.loads(command.out.splitlines()[-1])
    assert found["grants_equal"] == found["grants"] == found["grants_simulated"] > 10
    assert found["answers_equal"] == found["answers"] > 10
    assert found["turns_differ"] == 0
