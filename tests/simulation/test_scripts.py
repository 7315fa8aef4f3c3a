"""Tuners of real life in virtual time: answered, counted, timed, and the same whichever way trials are trained."""

from __future__ import annotations

import math

import pytest

from hive.actors.coordinator import CoordinatorSettings
from hive.actors.faults import Storm
from hive.actors.simulator import BEGAN, CLEAR, Simulator, StuckError, Weather
from hive.planner.sequences import Constant, MultiStep
from hive.planner.space import GridSpace, Space
from hive.simulation.jobs import World
from hive.simulation.quality import QualityModel
from hive.simulation.root import Beats, SimulatedRoot
from hive.simulation.scripts import Outcome, Script, SimulatedStudy, play
from hive.tuners.grid import Grid
from hive.tuners.successive_halving import SuccessiveHalving
from hive.tuners.tuner import StudyView, Tuner
from tests.actors.test_simulator import virtual

SPACE = GridSpace(
    {"lr": [MultiStep(0.1, [at], 0.1) for at in (4, 8)], "optimizer": [Constant("sgd"), Constant("adam")]}, steps=12
)


def simulated(
    *tuners: Tuner, merge: bool = True, devices: int = 4, weather: Weather = CLEAR, limit_s: float = 1e7
) -> list[Outcome]:
    """Studies beside each other on one plan, whose steps take a minute."""
    root = SimulatedRoot(
        Simulator(3, weather),
        World(QualityModel(60.0, {"optimizer": 1.0}), every_step=False),
        devices=devices,
        settings=CoordinatorSettings(lease_s=900.0, session_lease_s=900.0, beat_s=60.0, attempts_max=1000),
        beats=Beats(60.0, 60.0, 60.0),
    )
    scripts = [Script(SimulatedStudy(f"study{n}", "key", merge), tuner) for n, tuner in enumerate(tuners)]
    return play(root, scripts, limit_s)


def results(outcome: Outcome) -> list[tuple[int, dict[str, float] | None, str | None]]:
    return [(trial.steps, trial.metrics, trial.state_digest) for trial in outcome.live.table]


def test_grid_is_answered_counted_and_takes_as_long_as_its_longest_trial() -> None:
    (outcome,) = simulated(Grid(SPACE))
    assert [trial.status for trial in outcome.live.table] == ["complete"] * 4
    counts = outcome.counts
    assert (counts.steps_asked, counts.steps_distinct, counts.steps_run) == (48, 2 * (12 + 8), 40)
    assert math.isclose(counts.trainer_busy_s, 40 * 60.0, rel_tol=0.001)
    assert math.isclose(outcome.seconds, 12 * 60.0, rel_tol=0.01)


def test_merged_and_unmerged_trials_come_to_the_same_states_and_metrics() -> None:
    tuner = SuccessiveHalving(SPACE, 3, 12, 2)
    (merged,), (unmerged,) = simulated(tuner), simulated(tuner, merge=False)
    assert results(merged) == results(unmerged)
    assert merged.counts.steps_run < unmerged.counts.steps_run == unmerged.counts.steps_asked


def test_studies_beside_each_other_share_what_they_have_in_common() -> None:
    first, second = simulated(Grid(SPACE), Grid(SPACE))
    assert results(first) == results(second)
    assert first.counts.steps_run + second.counts.steps_run == first.counts.steps_distinct
    apart = simulated(Grid(SPACE), Grid(SPACE), merge=False)
    assert [outcome.counts.steps_run for outcome in apart] == [48, 48]


def test_storm_changes_when_answers_come_and_nothing_else() -> None:
    tuner = SuccessiveHalving(SPACE, 3, 12, 2)
    (calm,) = simulated(tuner)
    (stormy,) = simulated(tuner, weather=Storm(0.3, 0.3, 0.5, 100.0, until=BEGAN + 1200.0))
    assert results(stormy) == results(calm)
    assert stormy.seconds > calm.seconds


def test_tuner_may_wait_and_ask_for_the_time_in_virtual_time() -> None:
    class Patient:
        space: Space = SPACE
        steps = 12

        async def tune(self, study: StudyView) -> None:
            began = await study.now()
            await virtual(36_000.0)
            await study.train(SPACE.configs()[0], 1)
            assert await study.now() - began > 36_000.0

    (outcome,) = simulated(Patient())
    assert outcome.seconds > 36_000.0


def test_script_that_waits_for_what_never_comes_is_an_error() -> None:
    with pytest.raises(StuckError, match="too long"):
        simulated(Grid(SPACE), devices=0, limit_s=86_400.0)
