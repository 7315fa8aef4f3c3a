"""`hive simulate FILE`: what a search would take; of spaces, of study files, by what a root has measured."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hive.actors.simulator import Simulator
from hive.cli.main import main
from hive.planner.pieces import Form
from hive.planner.sequences import Constant, MultiStep
from hive.planner.space import GridSpace
from hive.simulation.jobs import World
from hive.simulation.quality import QualityModel
from hive.simulation.root import SimulatedRoot
from hive.simulation.scripts import Script, SimulatedStudy, play
from hive.storage.lmdb_store import LmdbStore
from hive.storage.records import MeasuredRecord, NodeRecord, PlanRecord, RunRecord, StandingRecord
from hive.storage.root import RootPaths
from hive.storage.store import Put
from hive.study import CHECKPOINT_EVERY_S
from hive.tuners.grid import Grid

SPACE = GridSpace(
    {"lr": [MultiStep(0.1, [at], 0.1) for at in (4, 8)], "optimizer": [Constant("sgd"), Constant("adam")]}, steps=12
)

STUDY = """
import hive

class Toy(hive.Trainer):
    def train(self):
        raise AssertionError("nobody trains")

    evaluate = train

class Mine:
    space, steps = hive.GridSpace({"lr": [hive.MultiStep(1.0, [m], 0.5) for m in (2, 3)]}, steps=4), 4

    async def tune(self, study):
        results = await study.train_all([(config, 2) for config in self.space.configs()])
        assert study.mode == "min" and all(set(result.metrics) == {"loss"} for result in results)
        await study.train(min(results, key=lambda result: result.metrics["loss"]).config, 4)

study, tuner = hive.Study("toy", Toy, metric="loss", mode="min"), Mine()
if __name__ == "__main__":
    raise SystemExit("this is not run")
"""


ASKS = "results = await study.train_all([(config, 2) for config in self.space.configs()])"
"""The first line of its `tune`."""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    file = tmp_path / "space.json"
    file.write_text(json.dumps(SPACE.to_json()))
    return file


def found(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main(["simulate", *map(str, words), "--json"]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def test_grid_takes_its_distinct_steps_or_all_of_them(space: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = found(capsys, space, "--devices", 4, "--seconds-per-step", 3, "--price", 30)
    assert (said["trials"], said["trial"]["steps"], said["stage"]["steps"]) == (4, 48, 40)
    assert said["merge_rate"] == pytest.approx(1.2)
    assert said["trial"]["device_hours"] == pytest.approx(48 / 1200, rel=0.001)
    assert said["stage"]["device_hours"] == pytest.approx(40 / 1200, rel=0.001)
    assert said["stage"]["hours"] == pytest.approx(12 / 1200, rel=0.01)
    assert said["stage"]["cost"] == pytest.approx(1.0, rel=0.001)
    assert (said["trial"]["checkpoints"], said["stage"]["checkpoints"]) == (4, 6)
    assert said["ratio"]["device_hours"] == pytest.approx(1.2, rel=0.001)


@pytest.mark.parametrize("tuner", ["sha", "asha"])
def test_tuners_that_stop_early_take_less(tuner: str, space: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(capsys, space, "--tuner", tuner)["trial"]["steps"] < 48


def test_set_is_a_study_for_each_of_its_spaces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "spaces.json"
    spaces = {"one": SPACE.to_json(), "two": SPACE.to_json()}
    file.write_text(json.dumps({"spaces": spaces, "sets": {"both": ["one", "two"]}}))
    said = found(capsys, file, "--set", "both")
    assert (said["search"], said["trials"], said["trial"]["steps"], said["stage"]["steps"]) == ("both", 8, 96, 40)


def test_paths_are_handed_out_whole_where_that_is_said_and_end_unevenly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "space.json"
    file.write_text(json.dumps(GridSpace({"lr": [Constant(at / 10) for at in range(1, 6)]}, steps=1000).to_json()))
    shared_out, whole = (
        found(capsys, file, "--devices", 2, *words)["stage"]["hours"] for words in ([], ["--whole-paths"])
    )
    assert shared_out == pytest.approx(2500 / 3600, rel=0.01)
    assert whole == pytest.approx(3000 / 3600, rel=0.01)


def test_study_file_is_searched_by_its_own_tuner_or_by_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "toy.py"
    file.write_text(STUDY)
    said = found(capsys, file)
    assert (said["search"], said["trials"], said["trial"]["steps"], said["stage"]["steps"]) == ("toy", 2, 6, 4)
    assert found(capsys, file, "--tuner", "grid")["trial"]["steps"] == 8


def toy(folder: Path, *changes: tuple[str, str]) -> Path:
    """The study file, changed; each under a name of its own, as modules have them."""
    text = STUDY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = folder / f"{folder.name.replace('-', '_')}.py"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("does", "code", "said"),
    [
        ("return", 2, "toy: the tuner ended without asking for anything"),
        ("await __import__('asyncio').Event().wait()", 2, "toy: nothing is left to train, and the tuner still waits"),
        ("await study.train({'momentum': hive.Constant(1)}, 2)", 2, "'momentum' is not in the space"),
        ("await study.train(self.space.configs()[0], 0)", 2, "0 steps were asked for"),
        ("raise KeyError('mine')", 1, "KeyError: 'mine'"),
        ("await __import__('asyncio').create_subprocess_exec('true')", 1, "NotImplementedError"),
    ],
)
def test_tuner_that_does_wrong_is_told_so_without_a_trace_of_hive(
    does: str, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = toy(tmp_path, (ASKS, f"{does}\n        {ASKS}"))
    assert main(["simulate", str(file)]) == code
    err = capsys.readouterr().err
    assert said in err
    assert "hive/simulation" not in err


def test_trial_that_no_trainer_could_train_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asks = "await study.train(self.grid.configs()[0], 2)\n        await study.train({'momentum': hive.Constant(1)}, 2)"
    file = toy(tmp_path, ("space, steps =", "grid, steps ="), (ASKS, f"{asks}\n        return"))
    assert main(["simulate", str(file)]) == 2
    assert "toy: trial 1: momentum: the study's hyper-parameters are lr" in capsys.readouterr().err


def test_named_tuner_searches_a_space_that_was_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = "hive.RandomSpace({'lr': hive.Constant(hive.uniform(0.0, 1.0))}, n=5, steps=4), 4"
    line = next(line for line in STUDY.splitlines() if "space, steps =" in line)
    file = toy(tmp_path, (line, f"    space, steps = {drawn}"))
    assert found(capsys, file, "--tuner", "grid")["stage"]["steps"] == 20


def test_tuner_that_remembers_begins_anew_for_each_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remembers = "assert not self.__dict__, self.seen\n        self.seen = True\n        "
    said = found(capsys, toy(tmp_path, (ASKS, remembers + ASKS)))
    assert (said["trial"]["steps"], said["stage"]["steps"]) == (6, 4)


def test_tuner_that_cannot_be_copied_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = toy(tmp_path, ("space, steps", "__deepcopy__ = lambda *_: 1 / 0\n    space, steps"))
    assert main(["simulate", str(file)]) == 2
    assert "cannot be copied, to be simulated twice: division by zero" in capsys.readouterr().err


def test_every_key_of_the_answer_is_documented(space: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "getting-started.md").read_text(encoding="utf-8")
    table = page.split("| key of `--json` | meaning |")[1].split("\n\n")[0]
    said = found(capsys, space)
    assert {*said, *said["stage"]} <= set(re.findall(r"`(\w+)`", table))


def test_what_a_file_prints_is_not_in_the_way_of_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = toy(tmp_path, (ASKS, f"print('in tune')\n        {ASKS}"), ("class Mine", "print('on import')\nclass Mine"))
    assert main(["simulate", str(file), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["trials"] == 2
    assert said.err.splitlines() == ["on import", "in tune", "in tune"]


def test_study_says_how_often_checkpoints_are_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    often = toy(tmp_path, ('mode="min"', 'mode="min", checkpoint_every_s=1'))
    assert found(capsys, often)["stage"]["checkpoints"] == found(capsys, often)["stage"]["steps"] == 4


def test_names_are_as_long_as_people_like(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "space.json"
    file.write_text(json.dumps(SPACE.to_json() | {"name": "x" * 300}))
    assert found(capsys, file)["search"] == "x" * 300


def test_small_amounts_have_digits_and_one_is_no_plural(space: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(space), "--devices", "1", "--price", "0.01"]) == 0
    out = capsys.readouterr().out
    assert "; 1 device, " in out
    assert "0.00 " not in out
    assert "0.000111" in out


@dataclass(frozen=True)
class Slower(QualityModel):
    """A step with a batch size of 32 takes twice as long as others."""

    def step_s(self, forms: Mapping[str, Form], step: int) -> float:
        return 2.0 * self.seconds if forms["batch_size"].value(step) == 32 else self.seconds


SIZES = [Constant(16), Constant(32), MultiStep(16, [4], 2), MultiStep(32, [8], 0.5)]


def batches(*rates: float) -> GridSpace:
    return GridSpace({"lr": [Constant(rate) for rate in rates], "batch_size": SIZES}, steps=12)


def root_of(folder: Path, *searches: tuple[str, World, GridSpace]) -> float:
    """A root in which grids were searched by studies of these names: the seconds for which trainers were busy with the
    last one."""
    paths, busy_s = RootPaths(folder), 0.0
    paths.store_path.parent.mkdir(parents=True)
    with closing(LmdbStore(paths.store_path)) as store:
        for name, world, space in searches:
            simulated = SimulatedRoot(Simulator(), world, devices=2)
            (outcome,) = play(simulated, [Script(SimulatedStudy(name, name), Grid(space))])
            for kind in (PlanRecord, NodeRecord, StandingRecord, RunRecord, MeasuredRecord):
                store.commit([Put(record) for record in simulated.store.scan(kind)])
            busy_s = outcome.counts.trainer_busy_s
    return busy_s


def all_steps(space: GridSpace, *, merge: bool) -> list[dict[str, Any]]:
    """The values of each step of a space's trials, or of all distinct ones: those with other values, then or before."""
    histories = [
        tuple(tuple((name, config[name](t)) for name in sorted(config)) for t in range(step + 1))
        for config in space.configs()
        for step in range(space.steps)
    ]
    return [dict(history[-1]) for history in (set(histories) if merge else histories)]


def test_forecast_takes_each_step_for_what_the_root_measured_under_its_values_and_others_for_the_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def known_s(values: dict[str, Any]) -> float:
        return 20.0 if values["batch_size"] == 32 else 10.0

    root, file = tmp_path / "root", tmp_path / "batches.json"
    root_of(root, ("other", World(Slower(1.0)), batches(0.1, 0.2)), ("batches", World(Slower(10.0)), batches(0.1)))
    measured = [known_s(values) for values in all_steps(batches(0.1), merge=True)]
    mean_s = sum(measured) / len(measured)
    assert mean_s == pytest.approx(560 / 36)
    for rates in ((0.1,), (0.1, 0.2)):
        file.write_text(json.dumps(batches(*rates).to_json()))
        said = found(capsys, file, "--from", root)
        assert said["seconds_per_step"] == pytest.approx(mean_s), "of the study of this name"
        for way, merge in (("trial", False), ("stage", True)):
            steps = all_steps(batches(*rates), merge=merge)
            seconds = sum(known_s(values) if values["lr"] == 0.1 else mean_s for values in steps)
            assert said[way]["steps"] == len(steps)
            assert said[way]["device_hours"] * 3600 == pytest.approx(seconds, rel=0.001), (rates, way)


def test_forecast_of_a_search_that_was_run_takes_what_it_took_with_its_loads_saves_and_evaluations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, file = tmp_path / "root", tmp_path / "batches.json"
    every: dict[str, Any] = {"load_s": 7.0, "save_s": 3.0, "evaluate_s": 5.0, "checkpoint_every_s": CHECKPOINT_EVERY_S}
    world = World(Slower(10.0), **every, memory_max=0, bytes=1000)
    busy_s = root_of(root, ("batches", world, batches(0.1, 0.2, 0.3)))
    assert world.loads
    steps_s = sum(20.0 if v["batch_size"] == 32 else 10.0 for v in all_steps(batches(0.1, 0.2, 0.3), merge=True))
    assert busy_s > 1.05 * steps_s
    file.write_text(json.dumps(batches(0.1, 0.2, 0.3).to_json()))
    said = found(capsys, file, "--from", root, "--devices", 2)
    assert said["stage"]["device_hours"] * 3600 == pytest.approx(busy_s, rel=0.02)
    assert said["stage"]["checkpoint_bytes"] == 1000 * said["stage"]["checkpoints"]


def test_forecast_is_a_table_and_a_picture(space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "gantt.png"
    assert main(["simulate", str(space), "--plot", str(picture)]) == 0
    shown = capsys.readouterr().out
    assert "4 trials, merge rate 1.20; 8 devices, 1 s a step (assumed" in shown
    assert [line.split()[0] for line in shown.splitlines()[2:]] == ["device-hours", "hours", "steps", "checkpoints"]
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.json"], "nothing.json: cannot be read"),
        (["nothing.py"], "nothing.py"),
        (
            ["SPACE", "--plot", "picture.of"],
            "cannot draw to picture.of (--plot): its name must end in .png, .svg, .pdf",
        ),
        (["SPACE", "--plot", "picture"], "cannot draw to picture (--plot): its name must end in .png, .svg, .pdf"),
        (["SPACE", "--plot", "no/picture.png"], "(--plot): name a file in a folder that can be written"),
        (["SPACE", "--devices", "100001"], "--devices 100001: 100,000 are simulated at most"),
        (["SPACE", "--from", "nowhere"], "nowhere is no root: nothing was run there (name one with --from)"),
        (["SPACE", "--space", "other"], "holds one space, which needs no --space"),
        (["paper", "--devices", "3"], "hive simulate paper: takes no option but --whole-paths and --json"),
        (["faults", "--tuner", "sha"], "hive simulate faults: takes no option but --seeds and --json"),
        (["faults", "--whole-paths"], "hive simulate faults: takes no option but --seeds and --json"),
        (["study.py", "--set", "all"], "study.py: --space and --set are for a JSON file of spaces"),
        (["SPACE", "--seeds", "0-9"], "--seeds is for `hive simulate faults`"),
    ],
)
def test_what_is_wrong_is_one_line(
    words: list[str], said: str, space: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *(str(space) if word == "SPACE" else word for word in words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_picture_without_matplotlib_is_refused_before_anything_is_simulated(
    space: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hive.cli.gantt", None)
    assert main(["simulate", str(space), "--plot", "picture.png"]) == 2
    assert "--plot needs matplotlib: pip install 'hive-stage[plot]'" in capsys.readouterr().err


def test_root_in_which_nothing_was_measured_says_nothing_of_steps(
    tmp_path: Path, space: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = RootPaths(tmp_path / "root")
    paths.store_path.parent.mkdir(parents=True, exist_ok=True)
    LmdbStore(paths.store_path).close()
    assert main(["simulate", str(space), "--from", str(tmp_path / "root")]) == 2
    assert "no step was measured in" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        *(["--price", "-1"], ["--price", "1e13"], ["--seconds-per-step", "nan"], ["--devices", "0"]),
        *(["--seeds", "9-1"], ["--seeds", "0-1000000"]),
    ],
)
def test_numbers_that_mean_nothing_are_refused(
    words: list[str], space: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["simulate", str(space), *words])
    assert words[1] in capsys.readouterr().err


def test_faults_say_what_went_wrong_and_that_no_promise_was_broken(capsys: pytest.CaptureFixture[str]) -> None:
    said = found(capsys, "faults", "--seeds", "0-19")
    assert (said["seeds"], said["violations"], said["repeated"], said["differed"]) == (20, 0, 1, 0)
    assert sum(said["faults"].values()) > 20
    assert said["messages"]["Notice"] > 0
    assert main(["simulate", "faults", "--seeds", "3-4"]) == 0
    assert "2 seeds" in capsys.readouterr().out
