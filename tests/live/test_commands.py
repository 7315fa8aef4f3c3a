"""Studies of different weight on one plan, and commands from outside, on the daemons that people run."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from tests.live.commands import Command, wait_until
from tests.live.conftest import Start
from tests.live.daemons import Daemons
from tests.live.results import found
from tests.live.studies import SLOW, StudyFile, edited

LONG = edited(
    SLOW,
    ("Constant(0.1), MultiStep(0.1, [20], 0.5)", "Constant(0.01 * i) for i in range(1, 31)"),
    ("Constant(16), Constant(32)", "Constant(16)"),
)
"""Thirty trials of 40 steps that share nothing, 20 ms a step."""


def listed(start: Start, cluster: Daemons) -> dict[str, dict[str, Any]]:
    """What `hive studies` says, by study."""
    command = start("studies", "--url", cluster.url, "--json").wait()
    assert command.code == 0, command.err
    return {run["study"]: run for run in json.loads(command.out)}


def command(start: Start, cluster: Daemons, *words: str) -> Command:
    done = start("studies", *words, "--url", cluster.url).wait()
    assert done.code == 0, done.err
    return done


def test_two_studies_of_different_weight_on_one_plan_both_progress_by_weight(
    cluster: Daemons, start: Start, tmp_path: Path
) -> None:
    file = StudyFile.write(tmp_path / "study", LONG)
    other = file.folder / "other.py"
    other.write_text(
        "import hive\nfrom hive import Constant, GridSpace\nfrom hive.tuners import Grid\n"
        "from toy import Toy, fixed\n\n"
        'space = GridSpace({"lr": [Constant(i) for i in range(1, 31)], "batch_size": [Constant(16)]}, steps=40)\n'
        'study = hive.Study("heavy", Toy, metric="score", mode="max", fixed=fixed, checkpoint_every_s=0.1, weight=3)\n'
        'if __name__ == "__main__":\n    study.run(Grid(space))\n',
        encoding="utf-8",
    )
    daemons = [cluster.daemon("coordinator"), cluster.daemon("worker")]
    runs = [start("run", path, "--url", cluster.url) for path in (file.path, other)]
    wait_until(lambda: file.steps() >= 20, "training")
    wait_until(lambda: len(listed(start, cluster)) == 2, "both studies")
    before = listed(start, cluster)
    wait_until(lambda: listed(start, cluster)["heavy"]["answered"] >= before["heavy"]["answered"] + 12, "twelve more")
    after = listed(start, cluster)
    assert after["toy"]["plan"] == after["heavy"]["plan"]
    heavy, light = (after[study]["answered"] - before[study]["answered"] for study in ("heavy", "toy"))
    assert 2 <= light <= 8, f"{light} answers against {heavy}: a third, give or take a batch each"
    assert 0.55 <= after["heavy"]["share"] <= 0.9
    for run in runs:
        run.signal(signal.SIGINT)
        run.wait()
    for daemon in daemons:
        daemon.end()


def test_study_is_paused_resumed_and_cancelled_from_outside(
    cluster: Daemons, start: Start, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    file, summary = StudyFile.write(tmp_path / "study", SLOW), tmp_path / "summary.json"
    daemons = [cluster.daemon("coordinator"), cluster.daemon("worker")]
    run = start("run", file.path, "--url", cluster.url, "--json", summary)
    wait_until(lambda: file.steps() >= 30, "30 steps")
    assert "paused toy-" in command(start, cluster, "pause", "toy").out
    wait_until(lambda: "paused by" in run.err, "a word to the user")
    wait_until(lambda: listed(start, cluster)["toy"]["trainers"] == 0, "the trainers to leave")
    steps = file.steps()
    daemons[0].signal(signal.SIGTERM)
    daemons[0].wait()
    daemons[0] = cluster.daemon("coordinator")
    wait_until(lambda: listed(start, cluster)["toy"]["state"] == "paused", "the new coordinator")
    assert file.steps() == steps
    command(start, cluster, "resume", "toy")
    assert run.wait().code == 0, run.err
    told = json.loads(summary.read_text(encoding="utf-8"))
    assert found(told) == found(undisturbed)
    assert told["steps_run"] == told["steps_distinct"] == file.steps(), "a pause costs no step"

    again = StudyFile.write(tmp_path / "again", SLOW)
    cancelled = start("run", again.path, "--url", cluster.url)
    wait_until(lambda: again.steps() >= 30, "30 steps")
    command(start, cluster, "cancel", "toy")
    assert cancelled.wait().code == 1
    assert "cancelled by" in cancelled.err
    assert "Traceback" not in cancelled.err
    wait_until(lambda: listed(start, cluster)["toy"]["state"] == "cancelled", "its state")
    for daemon in daemons:
        daemon.end()
