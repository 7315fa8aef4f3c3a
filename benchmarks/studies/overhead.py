"""448 trials of a trainer that does nothing, no two alike, one request each; every step is measured."""

import contextlib
import os
import time
from pathlib import Path

import hive
from hive import Constant, GridSpace
from hive.tuners import Grid

TRIALS = 448
STEPS = 10


class Nothing(hive.Trainer):
    """Counts its steps, and leaves the time of the first of all."""

    noted = False
    done = 0

    def setup(self, hp):
        self.x = hp["x"]

    def train(self):
        if not Nothing.noted:  # of the class: no part of the state, and once a process
            Nothing.noted = True
            with contextlib.suppress(FileExistsError), open(self.fixed["first_step"], "x") as file:
                file.write(repr(time.time()))
        self.done += 1
        return {"loss": self.x}

    def evaluate(self):
        return {"accuracy": self.x}


class Timed(Grid):
    """A grid search that leaves the time of its last answer."""

    async def tune(self, study):
        await super().tune(study)
        (folder / "last_answer").write_text(repr(time.time()))


folder = Path(os.environ["HIVE_BENCHMARK_FOLDER"])
space = GridSpace({"x": [Constant(i) for i in range(TRIALS)]}, steps=STEPS)
study = hive.Study(
    "overhead",
    Nothing,
    metric="accuracy",
    mode="max",
    seed=int(os.environ["HIVE_BENCHMARK_SEED"]),
    eval_every=1,
    fixed={"first_step": str(folder / "first_step")},
)
tuner = Timed(space)
