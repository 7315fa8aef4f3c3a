"""What a forecast says, against sums made without hive: a trie of values, and what a step, a save and a load take."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive.actors.simulator import Simulator
from hive.planner.sequences import Constant, MultiStep, Piecewise
from hive.planner.sequences import Sequence as HyperSequence
from hive.planner.space import GridSpace
from hive.simulation.forecast import Costs, Expected, Search, forecast
from hive.simulation.jobs import Bar, World
from hive.simulation.quality import QualityModel
from hive.simulation.root import PATIENT, SILENT, SimulatedRoot
from hive.simulation.scripts import Script, SimulatedStudy, play
from hive.tuners.early_stop import EarlyStop
from hive.tuners.grid import Grid

MESSAGES_S = 0.02
"""What the messages about a batch take at most: a millisecond each."""


@st.composite
def spaces(draw: st.DrawFn) -> GridSpace:
    """One to twelve trials of one to eight steps."""
    steps = draw(st.integers(1, 8))
    marks = st.lists(st.integers(1, 8), min_size=1, max_size=3, unique=True).map(sorted)
    sequences: st.SearchStrategy[HyperSequence] = st.one_of(
        st.sampled_from([1, 2]).map(Constant),
        marks.map(lambda at: MultiStep(1, at, 2)),
        marks.map(lambda at: Piecewise((1, 2, 1, 3)[: len(at) + 1], at)),
    )
    lists = [draw(st.lists(sequences, min_size=1, max_size=most)) for most in (4, 3)]
    unique = [list({str(each.descriptor()): each for each in options}.values()) for options in lists]
    return GridSpace(dict(zip(("lr", "momentum"), unique, strict=True)), steps)


def distinct_steps(space: GridSpace) -> int:
    """How many steps are left when equal beginnings count once."""
    told = [tuple((config["lr"](t), config["momentum"](t)) for t in range(space.steps)) for config in space.configs()]
    return len({values[: t + 1] for values in told for t in range(space.steps)})


def by_device(bars: Sequence[Bar]) -> list[list[Bar]]:
    """What each device did, in order."""
    devices: dict[str, list[Bar]] = {}
    for bar in sorted(bars, key=lambda bar: (bar.begin, bar.end)):
        devices.setdefault(bar.trainer, []).append(bar)
    return list(devices.values())


def spent(way: Expected, what: str) -> float:
    """Seconds that all devices together spent on something."""
    return sum(bar.end - bar.begin for bar in way.bars if bar.what == what)


def check(way: Expected, steps: int, longest: int, devices: int, costs: Costs) -> None:
    """What holds of one way, whatever is searched."""
    assert way.steps == steps
    assert spent(way, "train") == pytest.approx(steps * costs.seconds_per_step)
    assert spent(way, "save") == pytest.approx(way.checkpoints * costs.save_s)
    busy_s = sum(spent(way, what) for what in ("train", "save", "load", "evaluate"))
    leases_max = way.steps + way.checkpoints
    assert busy_s <= way.device_hours * 3600 <= busy_s + leases_max * MESSAGES_S
    work_s = max(longest * costs.seconds_per_step, busy_s / devices)
    assert work_s <= way.hours * 3600 <= busy_s + leases_max * MESSAGES_S
    assert way.cost == pytest.approx(way.device_hours * (costs.price or 0))
    assert way.checkpoint_bytes == way.checkpoints * costs.checkpoint_bytes
    assert len(by_device(way.bars)) <= devices
    for bars in by_device(way.bars):
        assert all(one.end <= other.begin + 1e-9 for one, other in pairwise(bars))


@given(
    spaces(),
    st.sampled_from([1, 2, 3, 20]),
    st.sampled_from([0.0, 2.0, 50.0]),
    st.sampled_from([0.0, 1.0, 30.0]),
    st.sampled_from([0.0, 5.0]),
    st.sampled_from([15.0, 60.0]),
)
def test_grid_takes_what_its_distinct_steps_and_its_checkpoints_take(
    space: GridSpace, devices: int, load_s: float, save_s: float, evaluate_s: float, every_s: float
) -> None:
    costs = Costs(10.0, load_s=load_s, save_s=save_s, evaluate_s=evaluate_s, checkpoint_bytes=7, price=3.0)
    found = forecast(Search("s", [Grid(space)], checkpoint_every_s=every_s), devices, costs)
    trials, distinct = len(space.configs()), distinct_steps(space)
    assert found.trials == trials
    assert found.merge_rate == pytest.approx(trials * space.steps / distinct)
    check(found.trial, trials * space.steps, space.steps, devices, costs)
    check(found.stage, distinct, space.steps, devices, costs)
    assert found.trial.checkpoints >= trials
    if devices == 1:
        assert found.stage.hours == pytest.approx(found.stage.device_hours, abs=1e-4)


def test_tuner_that_stops_trials_takes_what_its_rungs_say() -> None:
    space = GridSpace({"lr": [Constant(n) for n in range(9)], "momentum": [Constant(0.9)]}, 27)
    found = forecast(Search("s", [EarlyStop.from_milestones([(3, 9), (9, 3), (27, 1)], space)]), 4, Costs(60.0))
    assert found.trial.steps == found.stage.steps == 9 * 3 + 3 * 6 + 18
    assert found.stage.hours * 60 >= 9 * 3 / 4 + 6 + 18


def test_checkpoints_are_left_between_boundaries_as_often_as_a_trainer_leaves_them() -> None:
    space = GridSpace({"lr": [Constant(1)], "momentum": [Constant(1)]}, 100)
    for step_s, checkpoints in ((0.1, 1), (1.0, 2), (30.0, 50), (90.0, 100)):
        assert forecast(Search("s", [Grid(space)]), 1, Costs(step_s)).stage.checkpoints == checkpoints


def test_million_steps_are_a_few_turns() -> None:
    space = GridSpace({"lr": [MultiStep(1, [500_000], 2), Constant(1)]}, 1_000_000)
    simulator = Simulator()
    world = World(QualityModel(100.0), every_step=False)
    root = SimulatedRoot(simulator, world, devices=2, settings=PATIENT, beats=SILENT)
    (outcome,) = play(root, [Script(SimulatedStudy("study", "plan"), Grid(space))])
    assert outcome.seconds > 3 * 365 * 86_400
    assert outcome.counts.steps_run == 1_500_000
    assert simulator.turns < 100
