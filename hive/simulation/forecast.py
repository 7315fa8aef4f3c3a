"""What a search would take, before it is paid for: device-hours, time, money, and bytes of checkpoints.

    forecast(search, devices=8, costs=Costs(seconds_per_step=30.0))

The search is simulated twice, with shared beginnings trained once and with every trial apart. How good its trials get
is drawn, all hyper-parameters alike: a tuner that stops trials early may keep others in real life, though as many.

It must not know files, command lines, or pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from hive.actors.simulator import Simulator, StuckError
from hive.errors import StudyError
from hive.simulation.jobs import Bar, World
from hive.simulation.quality import QualityModel
from hive.simulation.root import PATIENT, SILENT, SimulatedRoot
from hive.simulation.scripts import Outcome, Script, SimulatedStudy, play
from hive.study import CHECKPOINT_EVERY_S
from hive.tuners.tuner import Tuner

__all__ = ["Costs", "Expected", "Forecast", "Search", "forecast"]


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
        checkpoint_every_s: seconds of training after which there is a checkpoint between boundaries.
    """

    name: str
    tuners: Sequence[Tuner]
    metric: str = "score"
    mode: Literal["min", "max"] = "max"
    checkpoint_every_s: float = CHECKPOINT_EVERY_S


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
        devices: how many train, >= 1.
        costs: what things take.
        whole_paths: whether every batch is a whole critical path, as in the Hippo paper.

    Raises:
        StudyError: a tuner asks for nothing, or for what cannot be trained, or waits for what never comes.
        TrainingError: a tuner failed; the message is its own traceback.
    """
    _, _, apart = simulate(search, devices, costs, merge=False, whole_paths=whole_paths)
    trials, merge_rate, shared = simulate(search, devices, costs, merge=True, whole_paths=whole_paths)
    return Forecast(search.name, devices, costs, trials, merge_rate, apart, shared)


def simulate(
    search: Search, devices: int, costs: Costs, *, merge: bool, whole_paths: bool
) -> tuple[int, float, Expected]:
    """One way: how many trials there are, the merge rate, and what it takes."""
    world = World(
        QualityModel(costs.seconds_per_step, metric=search.metric, mode=search.mode, measured=costs.measured),
        load_s=costs.load_s,
        save_s=costs.save_s,
        evaluate_s=costs.evaluate_s,
        every_step=False,
        checkpoint_every_s=search.checkpoint_every_s,
        bars=[],
    )
    settings = replace(PATIENT, whole_paths=whole_paths)
    root = SimulatedRoot(Simulator(), world, devices=devices, settings=settings, beats=SILENT, start_s=0.0)
    began = root.simulator.now
    outcomes = searched(root, search, merge=merge)
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


def searched(root: SimulatedRoot, search: Search, *, merge: bool) -> list[Outcome]:
    """A search on a root, to its end. A tuner may remember what it found: each way has copies of its own."""
    scripts = [
        Script(SimulatedStudy(f"study {n}", "plan", merge, search.metric, search.mode), copied(tuner))
        for n, tuner in enumerate(search.tuners)
    ]
    try:
        outcomes = play(root, scripts)
    except StuckError as error:
        raise StudyError(
            f"{search.name}: nothing is left to train, and the tuner still waits: for something that does not come in "
            "a simulation, or never"
        ) from error
    failed = [trial.error for outcome in outcomes for trial in outcome.live.table if trial.error is not None]
    if failed:
        raise StudyError(f"{search.name}: {failed[0]}")
    if not any(outcome.counts.steps_asked for outcome in outcomes):
        raise StudyError(f"{search.name}: the tuner ended without asking for anything")
    return outcomes


def copied(tuner: Tuner) -> Tuner:
    """A tuner that knows what this one knows now.

    Raises:
        StudyError: there is no copying it.
    """
    try:
        return deepcopy(tuner)
    except Exception as error:
        raise StudyError(f"{tuner!r} cannot be copied, to be simulated twice: {error}") from error
