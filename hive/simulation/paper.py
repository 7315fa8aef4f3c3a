"""The studies of the Hippo paper on 40 simulated devices: its table 1, and the sets of figures 13 and 14.

    for row in rows(): print(row.to_json())

Each row is simulated twice, with every trial apart ("trial") and with shared beginnings trained once ("stage"), by the
coordinator, the trainers, the sessions and the tuners of real life. What a step takes is what it took in the paper's
cluster, by its GPU-hours; a checkpoint takes a second to save and two to load.

The paper does not print its spaces: those here hold every example that it gives, and have its numbers of trials and its
merge rates (spaces.json). Nor does it print what its sets of studies are tuned by; they are shown with both.

It must not know how anything is shown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from hive.actors.simulator import Simulator
from hive.planner.level_rule import makespan
from hive.planner.search_plan import SearchPlan, Wanter
from hive.planner.space import GridSpace, segments
from hive.planner.stage_tree import build
from hive.simulation.jobs import World
from hive.simulation.processes import processes
from hive.simulation.quality import QualityModel
from hive.simulation.root import PATIENT, SILENT, SimulatedRoot
from hive.simulation.scripts import Outcome, Script, SimulatedStudy, play
from hive.tuners.asha import ASHA
from hive.tuners.grid import Grid
from hive.tuners.successive_halving import SuccessiveHalving
from hive.tuners.tuner import Tuner

__all__ = ["PAPER", "Experiment", "Ratio", "Row", "run"]

DEVICES = 40
"""GPUs of the paper's cluster."""

LOAD_S, SAVE_S = 2.0, 1.0
"""What a checkpoint takes."""

RUNGS = {"min_steps": 15, "max_steps": 120, "reduction": 4}
"""Of SHA and ASHA (section 6.1)."""

WEIGHTS = {"optimizer": 1.0, "weight_decay": 1.0}
"""What trials differ by most: then halving keeps trials that share much, as it did for the paper."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times less "stage" takes than "trial"; None where the paper does not say."""

    device_hours: float | None = None
    hours: float | None = None


@dataclass(frozen=True, slots=True)
class Mode:
    """What one way of running an experiment takes, in hours: of all devices, and from beginning to end."""

    device_hours: float
    hours: float

    @property
    def busy_devices(self) -> float:
        """Devices at work, on average."""
        return self.device_hours / self.hours


@dataclass(frozen=True, slots=True)
class Experiment:
    """What one row shows.

    Attributes:
        study: a space's name, or that of a set of spaces that are searched at once, a study each.
        tuner: "grid", "SHA" or "ASHA".
        spaces: the spaces.
        seconds: what a step takes.
        gpus: how many GPUs a trainer has.
        extra: steps that the best trial of each study goes on for.
        paper: what the paper reports against its own trial mode.
        ray: what it reports against Ray Tune.
    """

    study: str
    tuner: str
    spaces: tuple[str, ...]
    seconds: float
    gpus: int = 1
    extra: int = 0
    paper: Ratio = field(default_factory=Ratio)
    ray: Ratio = field(default_factory=Ratio)

    @property
    def devices(self) -> int:
        """How many trainers there are."""
        return DEVICES // self.gpus

    def tuners(self) -> list[Tuner]:
        """Each study's."""
        return [TUNERS[self.tuner](space(name), self) for name in self.spaces]


TUNERS: dict[str, Callable[[GridSpace, Experiment], Tuner]] = {
    "grid": lambda space, given: Grid(space, extra_steps_for_best=given.extra),
    "SHA": lambda space, given: SuccessiveHalving(space, **RUNGS, extra_steps_for_best=given.extra),
    "ASHA": lambda space, given: ASHA(space, **RUNGS, extra_steps_for_best=given.extra),
}


@dataclass(frozen=True, slots=True)
class Row:
    """What came of an experiment.

    Attributes:
        merge_rate: steps asked for by distinct ones, over all its studies.
        lower_bound_hours: no schedule can be shorter: the longest trial one step after the other, or the distinct work
            spread over all devices; and then what the best trial goes on for.
        optimum_hours: the shortest schedule of a grid, if nothing but training takes time, and then the same; None for
            tuners that stop trials early, whose work is not known before.
    """

    experiment: Experiment
    merge_rate: float
    trial: Mode
    stage: Mode
    lower_bound_hours: float
    optimum_hours: float | None

    @property
    def ratio(self) -> Ratio:
        """How many times less "stage" takes."""
        return Ratio(self.trial.device_hours / self.stage.device_hours, self.trial.hours / self.stage.hours)

    @property
    def over_optimum(self) -> float | None:
        """How many times as long as the optimum "stage" takes; None without one."""
        return None if self.optimum_hours is None else self.stage.hours / self.optimum_hours

    @property
    def below_paper(self) -> dict[str, str]:
        """Of each ratio that is below the paper's, why, from the figures."""
        paper, found = self.experiment.paper, dict[str, str]()
        if (self.ratio.device_hours or 0.0) < (paper.device_hours or 0.0):
            found["device_hours"] = self.why_no_fewer_device_hours(paper.device_hours or 0.0)
        if (self.ratio.hours or 0.0) < (paper.hours or 0.0):
            found["hours"] = self.why_no_sooner(paper.hours or 0.0)
        return found

    def why_no_fewer_device_hours(self, paper: float) -> str:
        """What keeps the ratio of device-hours below the paper's."""
        if self.merge_rate < paper:
            return f"the merge rate is {self.merge_rate:.2f}, and sharing saves no more than that"
        return f"the best trial's {self.experiment.extra} further steps are shared with nobody, nor are saves and loads"

    def why_no_sooner(self, paper: float) -> str:
        """What keeps the ratio of hours below the paper's."""
        extra, most = self.experiment.extra, self.trial.hours / self.lower_bound_hours
        alone_h = extra * self.experiment.seconds / 3600
        rest = (self.trial.hours - alone_h) / (self.stage.hours - alone_h)
        further = f"{extra} further steps of the best trial, {alone_h:.2f} h on one device"
        if most < paper:
            alone = f", {alone_h:.2f} of them the best trial's {extra} further steps on one device" if extra else ""
            return f"no schedule ends before {self.lower_bound_hours:.2f} h{alone}: a ratio of {most:.2f}"
        if rest >= paper:
            return f"{further}, end both; without them it is {rest:.2f}"
        busy = self.stage.busy_devices
        return f"{busy:.1f} of {DEVICES} devices have work on average" + (f"; {further}, end both" if extra else "")

    def to_json(self) -> dict[str, Any]:
        """The row as data."""
        return {
            "study": self.experiment.study,
            "tuner": self.experiment.tuner,
            "merge_rate": self.merge_rate,
            "trial": asdict(self.trial),
            "stage": {**asdict(self.stage), "busy_devices": self.stage.busy_devices},
            "ratio": asdict(self.ratio),
            "paper_ratio": asdict(self.experiment.paper),
            "ray_ratio": asdict(self.experiment.ray),
            "lower_bound_hours": self.lower_bound_hours,
            "optimum_hours": self.optimum_hours,
            "over_optimum": self.over_optimum,
            "below_paper": self.below_paper,
        }


# -- what there is -----------------------------------------------------------------------------------------------


@cache
def spaces_file() -> dict[str, Any]:
    """The paper's spaces, and its sets of them."""
    data: dict[str, Any] = json.loads(Path(__file__).with_name("spaces.json").read_text(encoding="utf-8"))
    return data


def space(name: str) -> GridSpace:
    """One of the paper's spaces."""
    return GridSpace.from_json(spaces_file()["spaces"][name])


def experiments() -> Iterator[Experiment]:
    """Table 1, then the sets, each as grids and with halving."""
    resnet = {"spaces": ("resnet56",), "seconds": 107.1, "extra": 100}
    yield Experiment("resnet56", "SHA", **resnet, paper=Ratio(4.84, 2.24), ray=Ratio(4.81, 2.42))  # type: ignore[arg-type]
    yield Experiment("resnet56", "ASHA", **resnet, paper=Ratio(2.70, 1.84), ray=Ratio(3.92, 2.38))  # type: ignore[arg-type]
    yield Experiment(
        "mobilenetv2", "grid", ("mobilenetv2",), 114.2, extra=100, paper=Ratio(3.24, 2.90), ray=Ratio(3.15, 2.76)
    )
    yield Experiment("bert", "grid", ("bert",), 2.755 / 4, gpus=4, paper=Ratio(2.00, 2.02), ray=Ratio(2.07, 2.11))
    for name in sorted(spaces_file()["sets"], key=lambda name: (name[:-1], int(name[-1]))):
        for tuner in ("grid", "SHA"):
            yield Experiment(name, tuner, tuple(spaces_file()["sets"][name]), 36.0)


PAPER = tuple(experiments())
"""All of the paper's."""


# -- simulating --------------------------------------------------------------------------------------------------


def run(chosen: Sequence[Experiment] = PAPER, workers: int = 2, *, whole_paths: bool = False) -> Iterator[Row]:
    """Simulate experiments, and say of each what came of it, in their order.

    Args:
        chosen: which.
        workers: processes that simulate beside each other.
        whole_paths: whether every batch is a whole critical path, which is the paper's rule.
    """
    with processes(workers) as pool:
        modes = [
            tuple(pool.submit(simulate, each, merge=merge, whole_paths=whole_paths) for merge in (False, True))
            for each in chosen
        ]
        for experiment, (trial, stage) in zip(chosen, modes, strict=True):
            yield row(experiment, trial.result(), stage.result())


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a simulation came to: seconds of all trainers, and from beginning to end; steps asked for, and run."""

    busy_s: float
    seconds: float
    asked: int
    run: int
    longest: int


def simulate(experiment: Experiment, *, merge: bool, whole_paths: bool) -> Simulated:
    """One experiment, in one way."""
    simulator = Simulator()
    model = QualityModel(experiment.seconds, WEIGHTS)
    world = World(model, load_s=LOAD_S, save_s=SAVE_S, every_step=False)
    settings = replace(PATIENT, whole_paths=whole_paths)
    root = SimulatedRoot(simulator, world, devices=experiment.devices, settings=settings, beats=SILENT)
    scripts = [
        Script(SimulatedStudy(f"{name}-{number}", experiment.study, merge), tuner)
        for number, (name, tuner) in enumerate(zip(experiment.spaces, experiment.tuners(), strict=True))
    ]
    return summed(play(root, scripts))


def summed(outcomes: Sequence[Outcome]) -> Simulated:
    """What several studies came to together."""
    counts = [outcome.counts for outcome in outcomes]
    return Simulated(
        busy_s=sum(each.trainer_busy_s for each in counts),
        seconds=max(outcome.seconds for outcome in outcomes),
        asked=sum(each.steps_asked for each in counts),
        run=sum(each.steps_run for each in counts),
        longest=max(trial.steps for outcome in outcomes for trial in outcome.live.table),
    )


def row(experiment: Experiment, trial: Simulated, stage: Simulated) -> Row:
    """Both ways beside each other."""
    seconds, extra = experiment.seconds, experiment.extra
    longest = max(stage.longest - extra, math.ceil((stage.run - extra) / experiment.devices))
    return Row(
        experiment=experiment,
        merge_rate=(stage.asked - extra) / (stage.run - extra),
        trial=mode(experiment, trial),
        stage=mode(experiment, stage),
        lower_bound_hours=(longest + extra) * seconds / 3600,
        optimum_hours=optimum_hours(experiment) if experiment.tuner == "grid" else None,
    )


def mode(experiment: Experiment, simulated: Simulated) -> Mode:
    """Seconds of trainers as hours of GPUs."""
    return Mode(simulated.busy_s * experiment.gpus / 3600, simulated.seconds / 3600)


def optimum_hours(experiment: Experiment) -> float:
    """By the level rule: all grids at once, and then what the best trial goes on for."""
    plan = SearchPlan()
    for name in experiment.spaces:
        grid = space(name)
        for trial, config in enumerate(grid.configs()):
            place, _ = plan.place(segments(config, grid.steps))
            plan.want(place, Wanter(name, trial), trial)
    return (makespan(build(plan), experiment.devices) + experiment.extra) * experiment.seconds / 3600
