"""The daemons from bin/ with the files of conf/: any order of start, several runs, and no door left open."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.live.commands import Command, read_json, wait_until
from tests.live.conftest import Start
from tests.live.daemons import CHECKOUT, Daemons, ended
from tests.live.results import found
from tests.live.studies import SLOW, StudyFile, edited

Run = Callable[..., tuple[Command, dict[str, Any]]]

QUICK = edited(SLOW, ('"step_s": 0.02', '"step_s": 0.0'))


@pytest.mark.parametrize("order", [("coordinator", "worker", "run"), ("run", "worker", "coordinator")], ids="-".join)
def test_run_trains_on_daemons_started_in_any_order(
    order: tuple[str, ...], cluster: Daemons, start: Start, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    file, summary = StudyFile.write(tmp_path / "study", QUICK), tmp_path / "summary.json"
    started = {}
    for name in order:
        if name == "run":
            started[name] = start("run", file.path, "--url", cluster.url, "--json", summary)
        else:
            started[name] = cluster.daemon(name)
        wait_until(started[name].members, f"{name} to be there")
    assert started["run"].wait().code == 0, started["run"].err
    told = read_json(summary)
    assert found(told) == found(undisturbed)
    assert told["steps_run"] == told["steps_distinct"] == file.steps()

    again = start("run", file.path, "--url", cluster.url, "--json", summary).wait()
    assert again.code == 0, again.err
    assert read_json(summary)["steps_run"] == 0
    status = start("status", "--url", cluster.url).wait()
    assert status.code == 0, status.err
    assert "toy" in status.out
    ended(started["worker"])
    ended(started["coordinator"])


def test_run_goes_on_when_both_daemons_are_killed_and_started_again(
    cluster: Daemons, start: Start, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    file, summary = StudyFile.write(tmp_path / "study", SLOW), tmp_path / "summary.json"
    daemons = [cluster.daemon("coordinator"), cluster.daemon("worker")]
    run = start("run", file.path, "--url", cluster.url, "--json", summary)
    wait_until(lambda: file.steps() >= 30, "30 steps")
    for daemon in daemons:
        daemon.signal(signal.SIGKILL)
        daemon.wait()
    daemons = [cluster.daemon("worker"), cluster.daemon("coordinator")]
    assert run.wait().code == 0, run.err
    assert found(read_json(summary)) == found(undisturbed)
    for daemon in daemons:
        ended(daemon)


def test_run_says_what_it_waits_for_when_nobody_answers(cluster: Daemons, start: Start, tmp_path: Path) -> None:
    file = StudyFile.write(tmp_path / "study", QUICK)
    command = start("run", file.path, "--url", cluster.url)
    wait_until(lambda: f"the coordinator at {cluster.url} has not answered yet" in command.err, "a word")
    command.signal(signal.SIGINT)
    wait_until(lambda: "press Ctrl-C again" in command.err, "the first press to be heard")
    command.signal(signal.SIGINT)
    assert command.wait().code == 130, command.err
    assert "Traceback" not in command.err


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:7077", "tcp://192.0.2.1:7077", "tcp://example.org:7077", "7077"])
def test_address_that_other_machines_could_reach_is_refused(address: str, start: Start, tmp_path: Path) -> None:
    file = StudyFile.write(tmp_path / "study", QUICK)
    refused = [
        start("--listen", address, "--root", "root", program=(str(CHECKOUT / "bin" / "hive-coordinator"),)),
        start("--connect", address, program=(str(CHECKOUT / "bin" / "hive-worker"),)),
        start("run", file.path, "--url", address),
        start("status", "--url", address),
    ]
    for command in refused:
        assert command.wait().code == 2, command.err
        (line,) = command.err.splitlines()
        assert line.startswith("hive: ")
        assert address in line


def test_wrong_key_of_a_configuration_file_is_one_clear_error(cluster: Daemons) -> None:
    for name in ("coordinator", "worker"):
        path = cluster.folder / f"{name}.toml"
        path.write_text(path.read_text(encoding="utf-8") + "\nport = 1\n", encoding="utf-8")
        command = cluster.daemon(name).wait()
        assert command.code == 2
        (line,) = command.err.splitlines()
        assert f"{name}.toml" in line
        assert "port" in line
