"""`hive check` as a command: its exit code, what it prints, and that it starts no study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.live.conftest import Start

NET = """\
import random

import torch

import hive
from hive import Constant, GridSpace, MultiStep
from hive.tuners import Grid


class Sampler:
    def __init__(self, seed):
        self.generator = random.Random(seed)


class Net(hive.Trainer):
    def build(self, hp):
        self.model = torch.nn.Linear(3, 1)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=hp["lr"], momentum=0.9)
        self.sampler = Sampler(self.seed)

    def setup(self, hp):
        if "lr" in hp:
            self.optimizer.param_groups[0]["lr"] = hp["lr"]

    def train(self):
        scale = self.sampler.generator.random()
        loss = (self.model(torch.randn(4, 3)) * scale).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def evaluate(self):
        return {"loss": self.model(torch.ones(1, 3)).item()}


study = hive.Study("net", Net, metric="loss", mode="min", dataset="noise")
tuner = Grid(GridSpace({"lr": [Constant(0.1)]}, steps=4))
"""

TOY = """\
import os
import random

import hive
from hive import Constant, GridSpace, MultiStep
from hive.tuners import Grid


class Toy(hive.Trainer):
    def build(self, hp):
        print("building")
        self.total, self.done = 0.0, 0

    def setup(self, hp):
        self.lr = hp.get("lr", getattr(self, "lr", None))

    def train(self):
        self.done += 1
        self.total += self.lr * random.random() * DRAW

    def evaluate(self):
        return {"loss": self.total}


study = hive.Study("toy", Toy, metric="loss", mode="min", dataset="noise")
tuner = Grid(GridSpace({"lr": [Constant(0.1), MultiStep(0.1, [90], 0.1)]}, steps=100))
"""

GUARD = """
if __name__ == "__main__":
    study.run(tuner)
"""


def write(folder: Path, text: str, end: str = GUARD) -> Path:
    file = folder / "study_of_noise.py"
    file.write_text(text + end, encoding="utf-8")
    return file


def toy(draw: str = "1.0") -> str:
    return TOY.replace("DRAW", draw)


def test_check_passes_a_good_trainer_and_runs_no_study(start: Start, tmp_path: Path) -> None:
    command = start("check", write(tmp_path, toy()), "--json").wait()
    assert command.code == 0, command.err
    found = json.loads(command.out)
    assert found["ok"]
    assert len({way["digest"] for way in found["ways"]}) == 1
    assert found["steps"] == 6
    assert found["config"]["lr"] == {"fn": "Piecewise", "values": [0.1, 0.01], "milestones": [3]}
    assert "building" in command.err
    assert not (tmp_path / ".hive").exists()


def test_check_names_the_generator_that_no_checkpoint_holds(start: Start, tmp_path: Path) -> None:
    command = start("check", write(tmp_path, NET)).wait()
    assert command.code == 1, command.err
    assert "generators not saved: self.sampler.generator" in command.out
    assert "first difference: model.weight" in command.out
    assert "3 of 7 ways differ" in command.out


def test_check_finds_what_differs_in_a_new_process_only(start: Start, tmp_path: Path) -> None:
    command = start("check", write(tmp_path, toy("os.getpid()")), "--json").wait()
    assert command.code == 1, command.err
    bad = [way for way in json.loads(command.out)["ways"] if not way["equal"]]
    assert [(way["way"], way["first_difference"]) for way in bad] == [("new process", "total")]
    assert "from process to process" in bad[0]["likely_cause"]


def test_check_tells_when_the_trainer_ends_the_process(start: Start, tmp_path: Path) -> None:
    command = start("check", write(tmp_path, toy("os._exit(7)"))).wait()
    assert command.code == 1
    assert "code 7" in command.err


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("study.run(tuner)\n", "under `if __name__ =="),
        ("del study\n", "defines no `study`"),
        ("tuner = 3\n", "no space"),
    ],
)
def test_check_refuses_a_file_that_is_no_study(start: Start, tmp_path: Path, end: str, words: str) -> None:
    command = start("check", write(tmp_path, toy(), end)).wait()
    assert command.code == 2
    assert words in command.err
    assert command.out == ""


def test_check_refuses_a_file_that_is_not_there(start: Start, tmp_path: Path) -> None:
    command = start("check", tmp_path / "none.py").wait()
    assert command.code == 2
    assert "none.py" in command.err
