"""One study, two tuners in turn: a wide look first, then a finer one around what was best.

    hive run examples/two_tuners.py

The second tuner's trials begin where the best of the first one's left off: all of them hold its learning rate for three
steps, so that hive trains those once, or not at all, and only what follows for each.
"""

from digits import Digits  # examples/digits.py: the trainer

import hive
from hive import Chain, Constant, GridSpace, Linear, RandomSpace, uniform
from hive.tuners import Grid, RandomSearch

STEPS = 6

study = hive.Study("digits-twice", Digits, metric="accuracy", mode="max", dataset="sklearn-digits")
wide = RandomSpace(
    {
        "lr": Constant(uniform(0.01, 0.3, log=True)),
        "batch_size": Constant(64),
        "momentum": Constant(uniform(0.5, 0.95)),
    },
    n=6,
    steps=3,
)


def finer(best):
    """The best trial's beginning, and several ways to go on from there."""
    rate = best["lr"](0)
    ends = [Constant(rate), Constant(rate / 4), Linear(rate, 0.0, STEPS - 3)]
    rates = [Chain([(best["lr"], 3), (end, None)]) for end in ends]
    return GridSpace({"lr": rates, "batch_size": [best["batch_size"]], "momentum": [best["momentum"]]}, steps=STEPS)


if __name__ == "__main__":
    best = study.run(RandomSearch(wide)).best_trial
    if best is not None:
        best = study.run(Grid(finer(best.config))).best_trial or best
        print(best)
        print(study.eval(best.config, 3).metrics)
