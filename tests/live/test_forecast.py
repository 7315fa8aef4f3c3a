"""What `hive simulate --from` says of a study that was run, against what its run took."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.live.commands import Command
from tests.live.conftest import Start
from tests.live.studies import TOY, StudyFile, edited

BATCHES = edited(
    TOY,
    ('        self.lr = hp.get("lr"', '        self.batch_size = hp.get("batch_size", getattr(self, "batch_size", 0))\n'
     '        self.lr = hp.get("lr"'),
    ('time.sleep(self.fixed["step_s"])', 'time.sleep(self.fixed["step_s"] * self.batch_size / 16)'),
    ("MultiStep(0.1, [4], 0.5), MultiStep(0.1, [8], 0.5), Exponential(0.1, 0.9)", "MultiStep(0.1, [20], 0.5)"),
    ("    steps=12,\n", "    steps=40,\n"),
    ('"step_s": 0.0', '"step_s": 0.05'),
    ("SuccessiveHalving(space, min_steps=4, max_steps=12, reduction=2)", "Grid(space)"),
)  # fmt: skip
"""Four trials of 40 steps, two and two of which part at step 20: 60 steps of 50 ms, and 60 of 100 ms."""

STEPS_S = 60 * 0.05 + 60 * 0.1

Run = Callable[..., tuple[Command, dict[str, Any]]]


def device_s(start: Start, file: StudyFile, root: Path) -> float:
    """Seconds of two trainers, as a forecast from a root says."""
    command = start("simulate", file.path, "--from", root, "--devices", "2", "--json").wait()
    assert command.code == 0, command.err
    seconds: float = json.loads(command.out)["stage"]["device_hours"] * 3600
    return seconds


def test_forecast_from_a_run_takes_what_the_run_took_and_knows_that_large_batches_take_longer(
    run: Run, start: Start, tmp_path: Path
) -> None:
    file, root = StudyFile.write(tmp_path / "study", BATCHES), tmp_path / "root"
    command, summary = run(file, "--root", root, "--trainers", "2")
    assert command.code == 0, command.err
    assert summary["steps_run"] == 120
    busy_s = summary["trainer_busy_s"]
    assert max(STEPS_S, 0.8 * busy_s) <= device_s(start, file, root) <= 1.1 * busy_s
    large = StudyFile.write(tmp_path / "large", edited(BATCHES, ("Constant(16), Constant(32)", "Constant(32)")))
    assert 60 * 0.1 <= device_s(start, large, root) <= 0.75 * busy_s, "not half of it, as by the mean"
