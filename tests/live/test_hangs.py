"""Training that hangs in a process that lives on: the process is killed, and another trains what it had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.live.commands import read_json, wait_until
from tests.live.conftest import Start
from tests.live.daemons import Daemons, ended
from tests.live.results import found, repeated_steps
from tests.live.studies import SLOW, StudyFile, edited

HANGS = edited(
    SLOW,
    (
        '        time.sleep(self.fixed["step_s"])\n',
        """\
        if self.done == 7 and not os.path.exists(self.fixed["hung"]):
            append(self.fixed["hung"], str(os.getpid()))
            time.sleep(3600.0)
        time.sleep(self.fixed["step_s"])
""",
    ),
    ('"step_s": 0.02', '"step_s": 0.02, "hung": f"{HERE}/hung"'),
)
"""The first trainer that comes to its eighth step never returns."""


def test_run_ends_as_if_undisturbed_when_training_hangs(
    cluster: Daemons, start: Start, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    file, summary = StudyFile.write(tmp_path / "study", HANGS), tmp_path / "summary.json"
    cluster.configure("coordinator", ("hang_s = 86400.0", "hang_s = 3.0"))
    coordinator, worker = cluster.daemon("coordinator"), cluster.daemon("worker")
    run = start("run", file.path, "--url", cluster.url, "--json", summary)
    wait_until((file.folder / "hung").exists, "a trainer to hang")
    hung = int((file.folder / "hung").read_text())
    assert run.wait().code == 0, run.err
    told = read_json(summary)
    assert found(told) == found(undisturbed)
    assert repeated_steps(told) <= 7
    assert hung not in worker.members("trainer")
    assert "did no step for 3 s (hang_s): it is ended, and its batch is given to another" in coordinator.err
    ended(worker)
    ended(coordinator)
