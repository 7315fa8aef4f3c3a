"""Wrong input: one clear error that names the file, the hyper-parameter or the step, an exit code that is not 0, and no
traceback of hive's own; what else was asked for is trained."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.live.commands import HIVE, Command, read_json, wait_until
from tests.live.conftest import Start
from tests.live.studies import SLOW, TOY, StudyFile, edited

Run = Callable[..., tuple[Command, dict[str, Any]]]

LRS = "[Constant(0.1), MultiStep(0.1, [4], 0.5), MultiStep(0.1, [8], 0.5), Exponential(0.1, 0.9)]"
TUNER = "SuccessiveHalving(space, min_steps=4, max_steps=12, reduction=2)"

OTHER_NAMES = """
class Stranger:
    space, steps = space, 4

    async def tune(self, study):
        config = self.space.configs()[0]
        await study.train({"lr": config["lr"], "momentum": config["lr"]}, 4)


tuner = Stranger()
"""

FROM_JSON = """
space = GridSpace.from_json({"name": "s", "steps": 12, "space": {"lr": [{"fn": "Cosin", "initial": 0.1}]}})
"""

WRONG_FILES = [
    ("unknown fn", [("\nfixed =", f"{FROM_JSON}\nfixed =")], ["toy.py", "Cosin", "lr"]),
    ("milestones", [(LRS, "[MultiStep(0.1, [8, 4], 0.5)]")], ["toy.py", "milestones", "[8, 4]"]),
    ("values", [(LRS, "[hive.Piecewise([0.1, 0.2], [4, 8])]")], ["toy.py", "values", "milestones"]),
    (
        "condition",
        [("    steps=12,\n", '    steps=12, conditions=[{"hp": "momentum", "active_if": {"lr": [0.1]}}],\n')],
        ["toy.py", "momentum"],
    ),
    ("names", [("\nif __name__ ==", f"{OTHER_NAMES}\nif __name__ ==")], ["toy.py", "momentum", "lr", "batch_size"]),
    (
        "no study",
        [("\nstudy = hive.Study", "\nsearch = hive.Study"), ("    study.run(tuner)", "    pass")],
        ["toy.py", "`study`"],
    ),
    ("tuner", [(TUNER, "SuccessiveHalving")], ["toy.py, line", "tuner is", "call the class"]),
    (
        "tuner without a guard",
        [(TUNER, "SuccessiveHalving"), ("    study.run(tuner)", "    pass")],
        ["toy.py", "tuner is", "call the class"],
    ),
    ("a metric", [('metric="score"', "metric=None")], ["toy.py", "metric", "None"]),
    ("syntax", [("space = GridSpace(", "space = = GridSpace(")], ["toy.py", "no Python", "SyntaxError"]),
]


def one_clear_error(command: Command, *named: str) -> None:
    """What a person gets to read: the words it must have, once, and no traceback through hive."""
    assert command.code not in (0, None)
    for word in named:
        assert word in command.err, f"{word!r} is not in {command.err!r}"
    for line in command.err.splitlines():
        assert f'File "{Path(__file__).parents[2] / "hive"}' not in line, command.err
        assert "asyncio" not in line, command.err


@pytest.mark.parametrize(("changes", "named"), [w[1:] for w in WRONG_FILES], ids=[w[0] for w in WRONG_FILES])
def test_wrong_study_file_is_one_clear_error(
    changes: list[tuple[str, str]], named: list[str], run: Run, tmp_path: Path
) -> None:
    file = StudyFile.write(tmp_path / "study", edited(TOY, *changes))
    command, summary = run(file, "--trainers", "1")
    assert command.code == 2
    one_clear_error(command, *named)
    assert sum(line.startswith("hive: ") for line in command.err.splitlines()) == 1, command.err
    assert summary == {}
    assert file.steps() == 0


FAILING = """
class Failing:
    async def tune(self, study):
        raise OSError("no such paper")


tuner = Failing()
"""


@pytest.mark.parametrize("runs_itself", [True, False])
def test_tuner_that_fails_is_one_clear_error(runs_itself: bool, run: Run, tmp_path: Path) -> None:
    changes = [("\nif __name__ ==", f"{FAILING}\nif __name__ ==")]
    changes += [] if runs_itself else [("    study.run(tuner)", "    pass")]
    command, _ = run(StudyFile.write(tmp_path / "study", edited(TOY, *changes)), "--trainers", "1")
    assert command.code == 1
    one_clear_error(command, "toy.py failed", "no such paper")


def test_missing_file_is_one_clear_error(run: Run, tmp_path: Path) -> None:
    command, _ = run(StudyFile(tmp_path / "none.py", ""))
    assert command.code == 2
    one_clear_error(command, "none.py")


FAULTY = edited(
    TOY,
    (LRS, "[Constant(0.1)]"),
    ('"batch_size": [Constant(16), Constant(32)]', '"fault": [Constant(fault) for fault in FAULTS]'),
    (
        "\nspace = ",
        '\nFAULTS = "none setup train evaluate save load metric exit killed nan build".split()\n\nspace = ',
    ),
    (TUNER, "TwoRungs()"),
    (
        "        self.total, self.done = 0.0, 0\n",
        "        self.total, self.done, self.fault = 0.0, 0, hp['fault']\n        self.fail('build')\n",
    ),
    (
        "    def setup(self, hp):\n",
        """\
    def fail(self, where, at=0):
        if self.fault == where and self.done >= at:
            raise ValueError(f"bad {where}")

    def save(self):
        self.fail("save", 4)
        return super().save()

    def load(self, state):
        super().load(state)
        self.fail("load")

    def setup(self, hp):
        self.fail("setup")
""",
    ),
    (
        "        self.done += 1\n",
        """\
        self.done += 1
        self.fail("train", 3)
        if self.fault == "exit" and self.done == 3:
            os._exit(7)
        if self.fault == "killed" and self.done == 3:
            os.kill(os.getpid(), 9)
""",
    ),
    (
        "    def evaluate(self):\n",
        """\
    def evaluate(self):
        self.fail("evaluate")
        if self.fault == "metric":
            return {"loss": 1.0}
        if self.fault == "nan":
            return {"score": float("nan")}
""",
    ),
    (
        "\nfixed =",
        """
class TwoRungs:
    space, steps = space, 8

    async def tune(self, study):
        configs = self.space.configs()
        results = await study.train_all([(config, 4) for config in configs])
        await study.train_all([(r.config, 8) for r in results if r.status == "complete"])


fixed =""",
    ),
)
"""A trial for each fault: all in one run, so that each shows that it hurts nobody else."""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Command, dict[str, dict[str, Any]]]:
    """The run of it, and its trials by fault."""
    folder = tmp_path_factory.mktemp("faulty")
    file = StudyFile.write(folder / "study", FAULTY)
    summary = folder / "summary.json"
    command = Command([*HIVE, "run", file.path, "--trainers", "1", "--json", summary], folder).wait()
    trials = read_json(summary)["trials"] if summary.exists() else []
    return command, {trial["config"]["fault"]["value"]: trial for trial in trials}


Faulty = tuple[Command, dict[str, dict[str, Any]]]


@pytest.mark.parametrize("where", ["build", "setup", "train", "evaluate", "save", "load"])
def test_trial_fails_with_the_users_own_traceback_when_its_code_raises(where: str, faulty: Faulty) -> None:
    command, trials = faulty
    trial = trials[where]
    assert command.code == 1
    assert trial["status"] == "failed"
    assert "Traceback (most recent call last):" in trial["error"]
    assert trial["error"].endswith(f"ValueError: bad {where}")
    assert "toy.py" in trial["error"]
    assert "/hive/" not in trial["error"]
    assert trial["metrics"] is None or where == "load"


def test_other_trials_are_finished_when_some_fail(faulty: Faulty) -> None:
    command, trials = faulty
    assert len(trials) == 11
    assert trials["none"]["status"] == "complete"
    assert trials["none"]["steps"] == 8
    assert [fault for fault, trial in trials.items() if trial["status"] != "failed"] == ["none"]
    assert trials["load"]["steps"] == 4
    one_clear_error(command, "bad setup", "toy.py")


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("metric", ["score", "loss"]),
        ("exit", ["exited with code 7", "3 times"]),
        ("killed", ["signal 9", "memory", "3 times"]),
        ("nan", ["score", "nan", "step 4"]),
    ],
)
def test_trial_fails_with_what_hive_saw_when_its_code_does_not_say(
    fault: str, named: list[str], faulty: Faulty
) -> None:
    _, trials = faulty
    assert trials[fault]["status"] == "failed"
    assert trials[fault]["metrics"] is None
    for word in named:
        assert word in trials[fault]["error"]


def test_metric_that_is_nan_fails_its_trial_and_nothing_else(run: Run, tmp_path: Path) -> None:
    text = edited(
        TOY, ('return {"score": self.total,', 'return {"score": self.total if self.lr < 0.1 else float("nan"),')
    )
    file = StudyFile.write(tmp_path / "study", text)
    command, summary = run(file, "--inline")
    assert command.code == 0, command.err
    failed = [trial for trial in summary["trials"] if trial["status"] == "failed"]
    assert failed
    assert all(trial["metrics"] is None and "nan" in trial["error"] for trial in failed)
    assert summary["best"]["status"] == "complete"
    assert summary["best"]["metrics"]["score"] is not None


def test_file_that_a_trainer_cannot_import_is_one_clear_error(run: Run, tmp_path: Path) -> None:
    text = edited(TOY, ("\nHERE =", '\nif __name__ != "__main__":\n    raise OSError("no such device")\n\nHERE ='))
    command, summary = run(StudyFile.write(tmp_path / "study", text), "--trainers", "2")
    assert command.code == 1
    one_clear_error(command, "toy.py", "OSError: no such device")
    assert command.err.count("OSError: no such device") == 1, command.err
    assert {trial["status"] for trial in summary["trials"]} == {"failed"}


def test_study_that_runs_itself_on_import_is_one_clear_error(run: Run, tmp_path: Path) -> None:
    text = edited(TOY, ('if __name__ == "__main__":\n    study.run(tuner)', "study.run(tuner)"))
    command, _ = run(StudyFile.write(tmp_path / "study", text), "--trainers", "2")
    assert command.code == 1
    one_clear_error(command, "toy.py", "while a trainer imports", "__main__")
    assert command.err.count("while a trainer imports") == 1, command.err


def test_root_held_by_another_run_is_refused_with_who_holds_it(start: Start, tmp_path: Path) -> None:
    file = StudyFile.write(tmp_path / "study", SLOW)
    first = start("run", file.path, "--trainers", "1")
    wait_until(file.steps, "the first step")
    first.signal(signal.SIGSTOP)  # it holds its root as long as the test likes
    for option in (["--trainers", "1"], ["--inline"]):
        second = start("run", file.path, *option).wait()
        assert second.code == 2
        holder = first.members("coordinator")[0]
        one_clear_error(second, f"process {holder}", "held by", "--root")
    first.signal(signal.SIGCONT)
    assert first.wait().code == 0, first.err


def test_summary_that_cannot_be_written_is_refused_before_anything_is_trained(start: Start, tmp_path: Path) -> None:
    file = StudyFile.write(tmp_path / "study", TOY)
    command = start("run", file.path, "--json", "nowhere/summary.json").wait()
    assert command.code == 2
    one_clear_error(command, "nowhere/summary.json", "--json")
    assert file.steps() == 0


@pytest.mark.parametrize("option", ["--inline", "--trainers=1"])
@pytest.mark.parametrize("root", ["/proc/hive", "study/toy.py/root"])
def test_root_that_cannot_be_written_is_one_clear_error(option: str, root: str, run: Run, tmp_path: Path) -> None:
    command, _ = run(StudyFile.write(tmp_path / "study", TOY), option, "--root", root)
    assert command.code == 2
    one_clear_error(command, root, "--root")
    assert sum(line.startswith("hive: ") for line in command.err.splitlines()) == 1, command.err
