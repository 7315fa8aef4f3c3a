"""Studies that do more than run one tuner: several in turn, evaluations, and how `hive status` tells of it all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.live.commands import HIVE, Command, wait_until
from tests.live.conftest import Start
from tests.live.daemons import Daemons, ended
from tests.live.studies import SLOW, TOY, StudyFile, edited

Run = Callable[..., tuple[Command, dict[str, Any]]]

IN_TURN = edited(
    TOY,
    (
        "    study.run(tuner)\n",
        """\
    def steps():
        return os.path.getsize(fixed["steps"])

    first = study.run(SuccessiveHalving(space, min_steps=2, max_steps=4, reduction=4))
    said = {"first": steps(), "trials": len(first.trials)}
    second = study.run(Grid(space))
    said |= {"second": steps(), "trials after": len(second.trials), "best": second.best_trial.number}

    best = second.best_trial.config
    there = study.eval(best, 12)
    said |= {"eval there": steps(), "score there": there.metrics, "best score": second.best_trial.metrics}
    further = study.eval(best, 15)
    said |= {"eval further": steps(), "status": further.status}

    third = study.run(SuccessiveHalving(space, min_steps=4, max_steps=12, reduction=2)).counts
    said |= {"third": steps(), "run": third.steps_run, "distinct": third.steps_distinct, "again": third.late_branch}
    import json
    print("SAID", json.dumps(said))
""",
    ),
)


@pytest.mark.parametrize("option", ["--trainers=2", "--inline", "--url"])
def test_several_tuners_in_turn_share_one_study_and_eval_trains_only_what_is_missing(
    option: str, run: Run, cluster: Daemons, tmp_path: Path
) -> None:
    file = StudyFile.write(tmp_path / "study", IN_TURN)
    daemons = [cluster.daemon(name) for name in ("coordinator", "worker")] if option == "--url" else []
    command, summary = run(file, *([option, cluster.url] if daemons else [option]))
    for daemon in reversed(daemons):
        ended(daemon)
    assert command.code == 0, command.err
    (line,) = [line for line in command.out.splitlines() if line.startswith("SAID ")]
    said = json.loads(line.removeprefix("SAID "))
    assert said["trials"] == said["trials after"] == 8
    assert 0 < said["first"] < said["second"]
    assert said["eval there"] == said["second"], "step 12 was trained: nothing is trained again"
    assert said["score there"] == said["best score"]
    assert said["eval further"] == said["second"] + 3
    assert said["status"] == "complete"
    assert said["third"] == said["run"] == said["distinct"] + said["again"] == file.steps()
    assert said["eval further"] == said["distinct"], "the third tuner asks for nothing new but states at earlier steps"
    assert summary["steps_run"] == file.steps()
    assert len(summary["trials"]) == 8


def test_asha_goes_on_where_it_was_when_its_run_was_killed(run: Run, start: Start, tmp_path: Path) -> None:
    asha = edited(
        TOY,
        ("import Grid, SuccessiveHalving", "import ASHA"),
        ("SuccessiveHalving(space, ", "ASHA(space, concurrency=3, "),
        ('"step_s": 0.0', '"step_s": 0.05'),
    )
    file = StudyFile.write(tmp_path / "study", asha)
    command = start("run", file.path, "--trainers", "2")
    wait_until(lambda: file.steps() >= 20, "20 steps")
    command.signal(signal.SIGKILL)
    command.wait()
    command, summary = run(file, "--trainers", "2")
    assert command.code == 0, command.err
    assert "answers of the run before were told again" in command.err
    steps = sorted(trial["steps"] for trial in summary["trials"])
    assert len(steps) == 8
    assert set(steps) <= {4, 8, 12}
    assert steps[4] >= 8, "four of eight went on"
    assert steps[6] == 12, "and two of these"
    assert summary["steps_reused"] > 0


def status(start: Start, *words: str | Path) -> dict[str, Any]:
    """What `hive status --json` says."""
    command = start("status", "--json", *words).wait()
    assert command.code == 0, command.err
    found: dict[str, Any] = json.loads(command.out)
    return found


def test_status_tells_of_a_live_root_and_of_a_stopped_one(start: Start, tmp_path: Path) -> None:
    file = StudyFile.write(tmp_path / "study", edited(SLOW, ('"step_s": 0.02', '"step_s": 0.05')))
    command = start("run", file.path, "--trainers", "2", "--root", "root")
    wait_until(lambda: file.steps() >= 30, "30 steps")
    live = status(start, "--root", "root")
    assert live["live"] is True
    assert live["plans"][0]["study"] == "toy"
    assert live["runs"][0]["steps_asked"] == 160
    assert live["leases"]
    assert [len(node["slots"]) for node in live["nodes"]] == [2]
    shown = start("status", "--root", "root").wait()
    assert shown.code == 0, shown.err
    assert "toy" in shown.out
    assert "live" in shown.out

    command.signal(signal.SIGINT)
    command.wait()
    stopped = status(start, "--root", "root")
    assert stopped["live"] is False
    assert stopped["leases"] == []
    assert stopped["plans"][0]["steps_trained"] == file.steps() == stopped["runs"][0]["steps_run"]
    shown = start("status", "--root", "root").wait()
    assert shown.code == 0, shown.err
    assert "stopped" in shown.out


def test_status_of_a_folder_that_is_no_root_is_one_clear_error(start: Start, tmp_path: Path) -> None:
    command = start("status", "--root", "nothing").wait()
    assert command.code == 2
    assert command.err.startswith("hive: ")
    assert "nothing" in command.err
    assert not (tmp_path / "nothing").exists()


def test_status_ends_without_a_word_when_its_reader_has_left(run: Run, tmp_path: Path) -> None:
    run(StudyFile.write(tmp_path / "study", TOY), "--inline", "--root", "root")
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as nobody:
        ended = subprocess.run([*HIVE, "status", "--root", "root"], cwd=tmp_path, stdout=nobody, stderr=subprocess.PIPE)
    assert (ended.returncode, ended.stderr) == (1, b"")


OWN_LOOP = edited(
    TOY,
    (
        "    study.run(tuner)\n",
        """\
    class Own:
        async def tune(self, study):
            a, b = {"lr": Constant(0.1)}, {"lr": MultiStep(0.1, [2], 0.5)}
            await study.train_all([(a, 3), (b, 3)])
            result = await study.train(b, 5)
            other = await study.train({"lr": Constant(0.1), "rl": Constant(1)}, 3)
            print("SAID", result.status, other.status, other.error)

    study.run(Own())
""",
    ),
)


def test_tuner_of_the_user_s_own_may_be_a_loop_and_nothing_else(run: Run, tmp_path: Path) -> None:
    file = StudyFile.write(tmp_path / "study", OWN_LOOP)
    command, summary = run(file, "--inline")
    assert "SAID complete failed" in command.out, command.err
    assert "rl" in command.out
    assert command.code == 1
    assert [trial["status"] for trial in summary["trials"]] == ["stopped", "complete", "failed"]
    assert summary["steps_run"] == file.steps() == 6  # 2 shared, then 1 and 3
