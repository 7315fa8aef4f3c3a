"""`hive simulate`: searches in virtual time, before anything is trained. It must not know how they are simulated.

hive simulate FILE       what a search of one's own would take (forecast.py)
hive simulate paper      the tables of the Hippo paper, on 40 simulated devices
hive simulate faults     hive's promises, while everything goes wrong (faults.py)
"""

from __future__ import annotations

import json as json_text
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hive.cli import faults, forecast
from hive.errors import StudyError
from hive.simulation.paper import Row, run

__all__ = ["main"]

SEEDS = range(100)
"""Unless it is said which."""

HEADINGS = (
    "STUDY", "TUNER", "MERGE", "DEVICE-HOURS", "RATIO", "PAPER", "RAY", "HOURS", "RATIO", "PAPER", "RAY", "BUSY",
    "BOUND", "OPTIMUM", "OVER",
)  # fmt: skip

LEGEND = """\
DEVICE-HOURS and HOURS (from beginning to end) are those with each trial apart > those with shared beginnings trained
once; RATIO is one by the other, PAPER what the paper reports against its own trials apart, RAY against Ray Tune. BUSY:
devices at work, of 40. BOUND: hours that no schedule can be below: the longest trial, or the work over all devices, and
then what the best trial goes on for. OPTIMUM: the shortest schedule of a grid if saves and loads took no time. OVER:
how many times as long hive takes, by its own rule for batches, or by the paper's (--whole-paths)."""


def main(what: str, json: bool, **given: Any) -> int:
    """Simulate, and show what came of it.

    Raises:
        UsageError: what is to be simulated is not there, or wrong.
    """
    if what == "faults":
        return of_seeds(json, given.pop("seeds"), given)
    if given.pop("seeds") is not None:
        raise StudyError(f"hive simulate {what}: --seeds is for `hive simulate faults`")
    if what == "paper":
        return paper(json, given)
    code: int = forecast.main(Path(what), json=json, **given)
    return code


def of_seeds(json: bool, seeds: range | None, given: Mapping[str, Any]) -> int:
    """Seeds in which everything goes wrong.

    Raises:
        StudyError: options that they have no use for.
    """
    check_unused("faults", "--seeds and --json", given)
    return faults.main(seeds or SEEDS, json)


def check_unused(what: str, used: str, given: Mapping[str, Any]) -> None:
    """Refuse options that mean nothing here.

    Raises:
        StudyError: there is one.
    """
    if any(value is not None for value in given.values()):
        raise StudyError(f"hive simulate {what}: takes no option but {used}")


def paper(json: bool, given: dict[str, Any]) -> int:
    """The paper's studies.

    Raises:
        StudyError: options that they have no use for.
    """
    whole_paths = bool(given.pop("whole_paths"))
    check_unused("paper", "--whole-paths and --json", given)
    rows = run(workers=os.cpu_count() or 1, whole_paths=whole_paths)
    if json:
        print(json_text.dumps([row.to_json() for row in rows], indent=1))
        return 0
    shown = list(show(rows))
    print(f"\n{LEGEND}")
    below = [(row, of, why) for row in shown for of, why in row.below_paper.items()]
    if below:
        print("\nWhere less is saved than in the paper:")
    for row, of, why in below:
        print(f"  {row.experiment.study} {row.experiment.tuner}, {of.replace('_', '-')}: {why}")
    return 0


def show(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, each shown as soon as it is there."""
    widths = [11, 5, 5, 14, 5, 5, 4, 13, 5, 5, 4, 4, 5, 7, 5]

    def line(words: tuple[str, ...]) -> None:
        print("  ".join(word.ljust(width) for word, width in zip(words, widths, strict=True)).rstrip(), flush=True)

    line(HEADINGS)
    for row in rows:
        line(cells(row))
        yield row


def cells(row: Row) -> tuple[str, ...]:
    """A row's words."""
    given, trial, stage = row.experiment, row.trial, row.stage
    optimum = "" if row.optimum_hours is None else f"{row.optimum_hours:.2f}"
    over = "" if row.over_optimum is None else f"{row.over_optimum:.3f}"
    return (
        *(given.study, given.tuner, f"{row.merge_rate:.2f}"),
        *(f"{trial.device_hours:.1f} > {stage.device_hours:.1f}", *ratios(row, "device_hours")),
        *(f"{trial.hours:.2f} > {stage.hours:.2f}", *ratios(row, "hours")),
        *(f"{stage.busy_devices:.1f}", f"{row.lower_bound_hours:.2f}", optimum, over),
    )


def ratios(row: Row, of: str) -> Iterator[str]:
    """Ours, and those that the paper reports."""
    for ratio in (row.ratio, row.experiment.paper, row.experiment.ray):
        value: float | None = getattr(ratio, of)
        yield "" if value is None else f"{value:.2f}"
