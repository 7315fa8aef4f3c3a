"""How long grids take, from the first request to the last answer, against the least that is possible.

The coordinator, its trainers and the grids of the papers' spaces in virtual time: those of one study, and the sets,
each of whose spaces is a study of its own. A load takes 2 s and a save 1 s, which the optimum has for nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import hive.simulation
from hive.actors.coordinator import CoordinatorSettings
from hive.actors.simulator import CLEAR, Simulator
from hive.cli.plan import planned
from hive.cli.space_file import read_spaces
from hive.planner.level_rule import makespan
from hive.planner.space import GridSpace
from hive.planner.stage_tree import build
from hive.simulation.jobs import World
from hive.simulation.quality import QualityModel
from hive.simulation.root import Beats, SimulatedRoot
from hive.simulation.scripts import Script, SimulatedStudy, play
from hive.tuners.grid import Grid

PAPERS = Path(hive.simulation.__file__).with_name("spaces.json")
SETS = [f"{kind}-S{studies}" for kind in ("high", "low") for studies in (1, 2, 4, 8)]


def grids_s(spaces: list[GridSpace], trainers: int, step_s: float) -> tuple[float, int]:
    """Seconds until all of these grids have ended, which begin together on one plan, and the steps that they ran."""
    root = SimulatedRoot(
        Simulator(0, CLEAR),
        World(QualityModel(step_s, {}), load_s=2.0, save_s=1.0, every_step=False),
        devices=trainers,
        settings=CoordinatorSettings(lease_s=9_000.0, session_lease_s=9_000.0, beat_s=600.0),
        beats=Beats(600.0, 600.0, 600.0),
    )
    scripts = [Script(SimulatedStudy(f"study {n}", "key"), Grid(space)) for n, space in enumerate(spaces)]
    outcomes = play(root, scripts)
    return max(outcome.seconds for outcome in outcomes), sum(outcome.counts.steps_run for outcome in outcomes)


@pytest.mark.parametrize(
    ("space", "set_name", "trainers", "step_s"),
    [
        ("resnet56", None, 40, 107.1),
        ("mobilenetv2", None, 40, 113.3),
        ("bert", None, 10, 2.755 / 4),
        *((None, name, 40, 36.0) for name in SETS),
    ],
)
def test_grids_of_the_papers_take_at_most_three_hundredths_longer_than_they_must(
    space: str | None, set_name: str | None, trainers: int, step_s: float
) -> None:
    spaces = read_spaces(PAPERS, space, set_name)
    tree = build(planned(spaces)[0])
    seconds, steps_run = grids_s(spaces, trainers, step_s)
    assert seconds <= 1.03 * makespan(tree, trainers) * step_s
    assert steps_run == sum(stage.end - stage.start for stage in tree)
