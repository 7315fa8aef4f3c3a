"""The coordinator is away under load, for longer than all leases last, and comes back: nobody is touched meanwhile,
everybody ends as if nothing had been, and no step is trained again for it.

What must hold does not depend on how long it is away, only on what runs out meanwhile: a trainer's lease, a session's
lease, the batches that trainers have, and a client's patience of five beats. So 60 s with leases of 30 and 60 s are
scaled down to 8 s with leases of 3 s. HIVE_TEST_FULL_OUTAGE=1 also runs the 60 s, with the daemons as they are shipped.
"""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.live.clients import ASHA, LADDER, ClientFile
from tests.live.commands import HIVE, Command, read_json, wait_until
from tests.live.conftest import Start
from tests.live.daemons import Daemons, ended
from tests.live.results import found, repeated_steps
from tests.live.studies import SLOW, StudyFile, edited
from tests.live.test_connect import script


@dataclass(frozen=True)
class Outage:
    """So many seconds without a coordinator; `leases`: what its configuration says in place of the shipped terms."""

    seconds: float
    leases: tuple[tuple[str, str], ...] = ()


SCALED = Outage(8.0, (("\nlease_s = 30.0", "\nlease_s = 3.0"), ("session_lease_s = 60.0", "session_lease_s = 3.0")))
FULL = pytest.param(
    Outage(60.0),
    marks=pytest.mark.skipif(not os.environ.get("HIVE_TEST_FULL_OUTAGE"), reason="takes two minutes"),
    id="60 s",
)


def long_study(step_s: float) -> str:
    """Two trials that part at step 60 of 100. One batch trains the first 100 steps, throughout an outage."""
    return edited(
        SLOW,
        ('Study("toy"', 'Study("long"'),
        ("MultiStep(0.1, [20], 0.5)", "MultiStep(0.1, [60], 0.5)"),
        ("Constant(16), Constant(32)", "Constant(16)"),
        ("    steps=40,\n", "    steps=100,\n"),
        ('"step_s": 0.02', f'"step_s": {step_s}'),
    )


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, ...]]:
    """What the client may be told: trial, step and score, by a run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("ladder")
    file = ClientFile.write(folder, LADDER)
    command = Command([*HIVE, "run", file.path, "--inline"], folder).wait()
    assert command.code == 0, command.err
    return {tuple(line.split()) for line in file.told(0)}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The summary of the long study, by a run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("alone")
    file = StudyFile.write(folder, long_study(0.0))
    command = Command([*HIVE, "run", file.path, "--inline", "--json", folder / "summary.json"], folder).wait()
    assert command.code == 0, command.err
    return read_json(folder / "summary.json")


def away(coordinator: Command, outage: Outage, cluster: Daemons, how: str) -> Command:
    """The coordinator is gone for a while, and then there again, at the same address and root."""
    coordinator.signal(signal.SIGKILL if how == "killed" else signal.SIGSTOP)
    time.sleep(outage.seconds)  # that it is away, and for how long, is what is tested
    if how == "killed":
        coordinator.wait()
        return cluster.daemon("coordinator")
    coordinator.signal(signal.SIGCONT)
    return coordinator


@pytest.mark.parametrize("outage", [pytest.param(SCALED, id="scaled"), FULL])
@pytest.mark.parametrize("how", ["killed", "suspended"])
def test_clients_and_workers_carry_on_when_the_coordinator_is_away_for_longer_than_all_leases(
    how: str,
    outage: Outage,
    cluster: Daemons,
    start: Start,
    tmp_path: Path,
    ladder: set[tuple[str, ...]],
    alone: dict[str, Any],
) -> None:
    cluster.configure("coordinator", *outage.leases)
    coordinator, worker = cluster.daemon("coordinator"), cluster.daemon("worker")
    wait_until(lambda: "serving" in coordinator.err, "the coordinator")
    file = StudyFile.write(tmp_path / "study", long_study(outage.seconds / 60))
    run = start("run", file.path, "--url", cluster.url, "--json", tmp_path / "summary.json")
    wait_until(lambda: file.steps() >= 1, "the one batch of the run: the other device is the client's")
    client_file = ClientFile.write(tmp_path / "client", ASHA)
    client = script(start, client_file, cluster.url)
    wait_until(lambda: len(client_file.told(0)) >= 5, "both to be under way")
    coordinator = away(coordinator, outage, cluster, how)
    assert run.code is client.code is None, "both wait"
    assert file.steps() < 100, "a batch outlasts it"

    for command in (client, run):
        assert command.wait().code == 0, command.err
        assert "Traceback" not in command.err
        of_coordinator = [line for line in command.err.splitlines() if "the coordinator at" in line]
        assert [line.partition(f"the coordinator at {cluster.url} ")[2][:8] for line in of_coordinator] == [
            "does not",
            "answers",
        ], command.err
    assert len(client.err.splitlines()) == 2, client.err

    told = read_json(tmp_path / "summary.json")
    assert found(told) == found(alone)
    assert file.steps() == told["steps_run"] == told["steps_distinct"] + repeated_steps(told)
    answers = [tuple(line.split()[:3]) for line in client_file.told(0)]
    assert len(answers) == len(set(answers)), "each is told once"
    assert set(answers) <= ladder
    counts = counts_of(start, cluster, "toy")
    again = counts["late_branch"] + counts["failure"] + counts["evicted"]
    assert client_file.steps() == counts["steps_run"] == counts["steps_distinct"] + again
    assert told["steps_repeated"]["failure"] == counts["failure"] == 0, "no batch was given up for it"
    for daemon in (worker, coordinator):
        ended(daemon)
    assert worker.err.count("does not answer") == 1
    assert "is there" in worker.err.partition("does not answer")[2]


def counts_of(start: Start, cluster: Daemons, study: str) -> dict[str, Any]:
    """How the coordinator counts what was done for the one run of a study."""
    status = start("status", "--url", cluster.url, "--json").wait()
    assert status.code == 0, status.err
    (counts,) = [run for run in json.loads(status.out)["runs"] if run["study"] == study]
    return dict(counts)
