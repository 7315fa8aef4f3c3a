"""The study of benchmarks/fidelity.py: steps that take known times, and a score that is the sum of the learning rates.

A step sleeps, so that two trainers and the rest of hive do not wait for each other's processor.
"""

import os
import time

import hive
from hive import Constant, GridSpace, MultiStep
from hive.tuners import SuccessiveHalving

STEP_S = {16: 0.39, 32: 0.2, 64: 0.29}
"""What a step takes, by batch size; seconds."""

METRIC = "score"


class Sleeper(hive.Trainer):
    """Adds up learning rates, slowly."""

    def build(self, hp):  # noqa: ARG002  (what it is made of does not depend on it)
        self.total = 0.0

    def setup(self, hp):
        self.lr = hp.get("lr", getattr(self, "lr", None))
        self.batch_size = hp.get("batch_size", getattr(self, "batch_size", None))

    def train(self):
        time.sleep(STEP_S[self.batch_size])
        self.total += self.lr

    def evaluate(self):
        return {METRIC: self.total}


space = GridSpace(
    {
        "lr": [Constant(0.1), MultiStep(0.1, [8], 0.5), MultiStep(0.1, [23], 0.9)],
        "batch_size": [Constant(16), Constant(32), Constant(64)],
    },
    steps=60,
)
study = hive.Study(
    "fidelity",
    Sleeper,
    metric=METRIC,
    mode="max",
    seed=int(os.environ.get("HIVE_BENCHMARK_SEED", "0")),
    checkpoint_every_s=3600.0,
)
tuner = SuccessiveHalving(space, min_steps=15, max_steps=60, reduction=2)
