"""Study files for the live tests, and what can be read from outside about the training that they do.

A step appends one byte to a file, so steps are counted by its size, whatever hive says; a second file tells which
process has done which step of its trial.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["SLOW", "TORCH", "TOY", "StudyFile", "edited"]

TOY = """\
import os
import random
import time

import hive
from hive import Constant, Exponential, GridSpace, MultiStep
from hive.tuners import Grid, SuccessiveHalving

HERE = os.path.dirname(os.path.abspath(__file__))


def decay(total):
    return total * 0.9


def append(path, text):
    with open(path, "a") as file:
        file.write(text)


class Toy(hive.Trainer):
    def build(self, hp):
        self.total, self.done = 0.0, 0

    def setup(self, hp):
        self.lr = hp.get("lr", getattr(self, "lr", None))

    def train(self):
        time.sleep(self.fixed["step_s"])
        self.total = decay(self.total) + self.lr * random.random()
        self.done += 1
        append(self.fixed["steps"], ".")
        append(self.fixed["journal"], f"{os.getpid()} {self.done}\\n")
        return {"total": self.total}

    def evaluate(self):
        return {"score": self.total, "luck": random.random()}


space = GridSpace(
    {
        "lr": [Constant(0.1), MultiStep(0.1, [4], 0.5), MultiStep(0.1, [8], 0.5), Exponential(0.1, 0.9)],
        "batch_size": [Constant(16), Constant(32)],
    },
    steps=12,
)
fixed = {"steps": f"{HERE}/steps", "journal": f"{HERE}/journal", "step_s": 0.0}
study = hive.Study("toy", Toy, metric="score", mode="max", fixed=fixed)
tuner = SuccessiveHalving(space, min_steps=4, max_steps=12, reduction=2)

if __name__ == "__main__":
    study.run(tuner)
"""
"""Eight trials, three rungs, no torch: 8 x 4 + 4 x 4 + 2 x 4 steps asked for."""


def edited(text: str, *changes: tuple[str, str]) -> str:
    """A study's text with pieces replaced, each of which stands there once."""
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the study"
        text = text.replace(old, new)
    return text


SLOW = edited(
    TOY,
    ("MultiStep(0.1, [4], 0.5), MultiStep(0.1, [8], 0.5), Exponential(0.1, 0.9)", "MultiStep(0.1, [20], 0.5)"),
    ("    steps=12,\n", "    steps=40,\n"),
    ('"step_s": 0.0', '"step_s": 0.02'),
    ("fixed=fixed)", "fixed=fixed, checkpoint_every_s=0.1)"),
    ("SuccessiveHalving(space, min_steps=4, max_steps=12, reduction=2)", "Grid(space)"),
)
"""Four trials of 40 steps that part at step 20, 20 ms a step: whoever has done 1 to 19 or 21 to 39 holds a lease."""

TORCH = edited(
    TOY,
    ("import hive\n", "import torch\n\nimport hive\n"),
    (
        "        self.total, self.done = 0.0, 0\n",
        """\
        self.model = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)
        )
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=hp["lr"], momentum=0.9)
        self.done = 0
""",
    ),
    (
        '        self.lr = hp.get("lr", getattr(self, "lr", None))\n',
        """\
        if "batch_size" in hp:
            self.batch_size = hp["batch_size"]
        if "lr" in hp:
            for group in self.optimizer.param_groups:
                group["lr"] = hp["lr"]
""",
    ),
    (
        "        self.total = decay(self.total) + self.lr * random.random()\n",
        """\
        x = torch.randn(self.batch_size, 4)
        loss = (self.model(x) - x.sum(1, keepdim=True)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
""",
    ),
    ('        return {"total": self.total}\n', '        return {"loss": float(loss)}\n'),
    (
        '        return {"score": self.total, "luck": random.random()}\n',
        """\
        self.model.eval()
        x = torch.randn(64, 4)
        return {"score": -float((self.model(x) - x.sum(1, keepdim=True)).square().mean().detach())}
""",
    ),
)
"""The same search over a small net with dropout and batch normalization, so that every generator counts."""


@dataclass(frozen=True)
class StudyFile:
    """A study in a folder of its own.

    Attributes:
        path: the file.
        text: what it holds.
    """

    path: Path
    text: str

    @classmethod
    def write(cls, folder: Path, text: str) -> StudyFile:
        """Put a study into a folder, which is made if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "toy.py"
        path.write_text(text, encoding="utf-8")
        return cls(path, text)

    @property
    def folder(self) -> Path:
        """Where the file and what its trainers write are."""
        return self.path.parent

    def steps(self) -> int:
        """Calls of `train()` by any process so far."""
        path = self.folder / "steps"
        return path.stat().st_size if path.exists() else 0

    def journal(self) -> dict[int, int]:
        """By process, the step of its trial that it did last."""
        path = self.folder / "journal"
        text = path.read_text() if path.exists() else ""
        lines = [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]
        return {int(process): int(step) for process, step in lines}
