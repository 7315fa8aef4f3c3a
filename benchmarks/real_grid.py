"""Is what sharing saves in steps saved in time, too?

24 trials x 12 epochs of a small CNN on Fashion-MNIST (where Debian's package `dataset-fashion-mnist` is not installed,
on scikit-learn's digits), `hive run` with 2 trainers, merged and with `--no-merge` in turn, twice if time allows, since
a machine's speed drifts by more than what is asked about.

    merge_rate       steps asked for by distinct steps
    wall_merged_s    seconds of a run, processes' start included; mean of the runs
    wall_unmerged_s  the same with --no-merge
    ratio            of the two; target: 0.95 x merge_rate
    cpu_ratio        of the CPU seconds of all processes: what the ratio would be if nothing else ran on the machine

All trials' metrics and digests are compared between the two: they must be equal.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from support.report import Ran, arguments, conclude, hive_run, introduce, scratch

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
BUDGET_S = 330.0
ROUNDS_MAX = 2


def main() -> None:
    """A B, and A B again if it can be over within the budget."""
    given = arguments(__doc__)
    introduce(given.seed, ["hive-stage", "torch", "numpy", "scikit-learn"])
    found = FASHION_MNIST.is_dir()
    print(f"data      {'Fashion-MNIST' if found else 'scikit-learn digits: dataset-fashion-mnist is not installed'}")
    merged, unmerged = rounds(given.seed)
    rate = merged[0].summary["merge_rate"]
    wall_merged, wall_unmerged = mean_wall_s(merged), mean_wall_s(unmerged)
    figures = {
        "merge_rate": rate,
        "wall_merged_s": wall_merged,
        "wall_unmerged_s": wall_unmerged,
        "ratio": wall_unmerged / wall_merged,
        "ratio_wanted": 0.95 * rate,
        "cpu_ratio": sum(ran.cpu_s for ran in unmerged) / sum(ran.cpu_s for ran in merged),
        "rounds": len(merged),
        "equal_trials": equal_trials(merged[0], unmerged[0]),
    }
    conclude(figures, as_json=given.json)


def rounds(seed: int) -> tuple[list[Ran], list[Ran]]:
    """The runs, merged and unmerged."""
    began = time.monotonic()
    merged: list[Ran] = []
    unmerged: list[Ran] = []
    while len(merged) < ROUNDS_MAX:
        merged.append(run("merged", seed))
        unmerged.append(run("unmerged", seed, "--no-merge"))
        spent = time.monotonic() - began
        if spent * (len(merged) + 1) / len(merged) > BUDGET_S:
            break
    return merged, unmerged


def run(way: str, seed: int, *options: str) -> Ran:
    """One run, told as it ends."""
    with scratch() as folder:
        ran = hive_run("real_grid.py", Path(folder), *options, seed=seed)
    summary = ran.summary
    spent = f"{summary['wall_s']:.1f} s, {ran.command_s:.1f} s with the command's own start, {ran.cpu_s:.1f} s of CPU"
    print(f"{way:9} {summary['steps_run']} epochs in {spent}", flush=True)
    return ran


def mean_wall_s(runs: list[Ran]) -> float:
    return statistics.mean(float(ran.summary["wall_s"]) for ran in runs)


def equal_trials(one: Ran, other: Ran) -> int:
    """How many trials, which must be all, came out the same."""
    keys = ("number", "metrics", "state_digest")
    pairs = list(zip(one.summary["trials"], other.summary["trials"], strict=True))
    equal = sum(all(a[key] == b[key] for key in keys) for a, b in pairs)
    if equal < len(pairs):
        sys.exit(f"merged and unmerged differ in {len(pairs) - equal} of {len(pairs)} trials")
    return equal


if __name__ == "__main__":
    main()
