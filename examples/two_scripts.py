"""Two people search with one trainer at the same time, and share what their trials have in common.

    hive-coordinator & hive-worker --devices cpu,cpu &
    python examples/two_scripts.py decay & python examples/two_scripts.py drop
    hive status --url tcp://127.0.0.1:7077

The first one tries how the learning rate should decay, the second one when it should drop. What begins alike in both is
trained once, whoever asked first: `hive status` tells of each how many of its steps were run for it, and how many it
could reuse.
"""

import asyncio
import sys

from digits import Digits  # examples/digits.py: the trainer

import hive
from hive import Constant, GridSpace, Linear, MultiStep

RATES: dict[str, list[hive.Sequence]] = {
    "decay": [Constant(0.1), MultiStep(0.1, [2], 0.5), Linear(0.1, 0.01, 4)],
    "drop": [MultiStep(0.1, [2], 0.5), MultiStep(0.1, [2], 0.1), MultiStep(0.1, [3], 0.1)],
}


async def main(name, url="tcp://127.0.0.1:7077"):
    space = GridSpace({"lr": RATES[name], "batch_size": [Constant(64)], "momentum": [Constant(0.9)]}, steps=4)
    async with hive.connect(url) as client:
        study = client.study(f"digits-{name}", Digits, metric="accuracy", mode="max", dataset="sklearn-digits")
        results = await study.train_all([(config, space.steps) for config in space.configs()])
    for result in results:
        print(f"{name}: {result.config['lr']} {result.metrics or result.error}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
