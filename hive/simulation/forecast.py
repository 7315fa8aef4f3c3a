"""What a search would take, before it is paid for: device-hours, time, money, and bytes of checkpoints.

    forecast(search, devices=8, costs=Costs(seconds_per_step=30.0))

The search is simulated twice, with shared beginnings trained once and with every trial apart. How good its trials get
is drawn, all hyper-parameters alike: a tuner that stops trials early may keep others in real life, though as many.

It must not know files, command lines, or pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from hive.actors.coordinator import CoordinatorSettings
from hive.actors.simulator import Simulator
from hive.simulation.jobs import Bar, World
from hive.simulation.quality import QualityModel
from hive.simulation.root import Beats, SimulatedRoot
from hive.simulation.scripts import Script, SimulatedStudy, play
from hive.tuners.tuner import Tuner

__all__ = ["Costs", "Expected", "Forecast", "Search", "forecast"]

BEATS_MAX = 20.0
"""Steps that pass between two signs of life."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What things take.

    Attributes:
        seconds_per_step: of training, where nothing better is known.
        measured: by the key of a node's forms, what a step takes under these values.
        load_s, save_s: of a checkpoint, in seconds.
        evaluate_s: of an evaluation where metrics are asked for.
        checkpoint_bytes: of a checkpoint.
        price: of a device for an hour.
    """

    seconds_per_step: float = 1.0
    measured: Mapping[str, float] = field(default_factory=dict)
    load_s: float = 0.0
    save_s: float = 0.0
    evaluate_s: float = 0.0
    checkpoint_bytes: int = 0
    price: float | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """What is to be searched: studies beside each other on one plan.

    Attributes:
        name: what people call it.
        tuners: one for each study.
        metric, mode: what ranks trials, and whether "max" or "min" of it is better.
    """

    name: str
    tuners: Sequence[Tuner]
    metric: str = "score"
    mode: Literal["min", "max"] = "max"


@dataclass(frozen=True, slots=True)
class Expected:
    """What one way of searching takes.

    Attributes:
        device_hours: of all devices.
        hours: from beginning to end.
        cost: of the device-hours, in the price's money; None without a price.
        steps: trained.
        checkpoints: written.
        checkpoint_bytes: what these take together.
        bars: what each device did when.
    """

    device_hours: float
    hours: float
    cost: float | None
    steps: int
    checkpoints: int
    checkpoint_bytes: int
    bars: Sequence[Bar] = field(repr=False, default=())

    def to_json(self) -> dict[str, Any]:
        """All but the bars."""
        return {key: value for key, value in asdict(self).items() if key != "bars"}


@dataclass(frozen=True, slots=True)
class Forecast:
    """Both ways beside each other: `stage` with shared beginnings trained once, `trial` with every trial apart.

    Attributes:
        trials: how many were asked for.
        merge_rate: steps asked for by distinct ones.
    """

    search: str
    devices: int
    costs: Costs
    trials: int
    merge_rate: float
    trial: Expected
    stage: Expected

    def to_json(self) -> dict[str, Any]:
        """The forecast as data."""
        return {
            "search": self.search,
            "devices": self.devices,
            "seconds_per_step": self.costs.seconds_per_step,
            "trials": self.trials,
            "merge_rate": self.merge_rate,
            "trial": self.trial.to_json(),
            "stage": self.stage.to_json(),
            "ratio": {
                "device_hours": self.trial.device_hours / self.stage.device_hours,
                "hours": self.trial.hours / self.stage.hours,
            },
        }


def forecast(search: Search, devices: int, costs: Costs, *, whole_paths: bool = False) -> Forecast:
    """Simulate a search in both ways.

    Args:
        search: what is to be searched.
        devices: how many train.
        costs: what things take.
        whole_paths: whether every batch is a whole critical path, as in the Hippo paper.
    """
    _, _, apart = simulate(search, devices, costs, merge=False, whole_paths=whole_paths)
    trials, merge_rate, shared = simulate(search, devices, costs, merge=True, whole_paths=whole_paths)
    return Forecast(search.name, devices, costs, trials, merge_rate, apart, shared)


def simulate(
    search: Search, devices: int, costs: Costs, *, merge: bool, whole_paths: bool
) -> tuple[int, float, Expected]:
    """One way: how many trials there are, the merge rate, and what it takes."""
    beat_s = BEATS_MAX * costs.seconds_per_step
    model = QualityModel(costs.seconds_per_step, metric=search.metric, mode=search.mode, measured=costs.measured)
    world = World(
        model,
        load_s=costs.load_s,
        save_s=costs.save_s,
        evaluate_s=costs.evaluate_s,
        every_step=False,
        report_s=beat_s,
        bars=[],
    )
    settings = CoordinatorSettings(
        lease_s=4 * beat_s, session_lease_s=4 * beat_s, hang_s=math.inf, beat_s=beat_s, whole_paths=whole_paths
    )
    beats = Beats(beat_s, beat_s, beat_s)
    simulator = Simulator()
    root = SimulatedRoot(simulator, world, devices=devices, settings=settings, beats=beats, start_s=0.0)
    began = simulator.now
    names = [search.name] if len(search.tuners) == 1 else [f"{search.name}-{n}" for n in range(len(search.tuners))]
    scripts = [
        Script(SimulatedStudy(name, search.name, merge, search.metric, search.mode), tuner)
        for name, tuner in zip(names, search.tuners, strict=True)
    ]
    outcomes = play(root, scripts)
    counts = [outcome.counts for outcome in outcomes]
    device_hours = sum(each.trainer_busy_s for each in counts) / 3600
    expected = Expected(
        device_hours=device_hours,
        hours=max(outcome.seconds for outcome in outcomes) / 3600,
        cost=None if costs.price is None else device_hours * costs.price,
        steps=sum(each.steps_run for each in counts),
        checkpoints=world.saves,
        checkpoint_bytes=world.saves * costs.checkpoint_bytes,
        bars=[bar.since(began) for bar in world.bars or ()],
    )
    trials = sum(each.trials_asked for each in counts)
    distinct = sum(each.steps_distinct - each.steps_reused for each in counts)
    return trials, sum(each.steps_asked for each in counts) / distinct, expected
