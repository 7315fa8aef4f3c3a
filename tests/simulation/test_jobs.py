"""A simulated job says what a real executor says, in the same order; and time passes as the world says."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive.actors.actor import Event, JobReported
from hive.actors.simulator import BEGAN, Host, Simulator
from hive.planner.pieces import Value
from hive.planner.sequences import MultiStep
from hive.planner.space import segments
from hive.simulation.jobs import SimulatedJobs, World
from hive.simulation.values import ValuesModel, expected_digest
from hive.storage.folders import LocalFolder
from hive.training.reports import (
    Amendment,
    AmendmentTaken,
    BatchOrder,
    Ended,
    Evaluated,
    Failed,
    Reached,
    Report,
    StageOrder,
    Stepped,
)
from tests.actors.test_drivers import Scripted
from tests.training.toys import RISING, STEADY, Bench, Counter, batch, stage

STEP_S = 2.0

R = TypeVar("R")


class Trainer:
    """A simulated trainer, and what its job reported: (seconds since the beginning, report)."""

    def __init__(self, world: World | None = None) -> None:
        self.simulator = Simulator()
        self.world = world or World(ValuesModel(STEP_S))
        self.jobs = SimulatedJobs(self.simulator, self.world)
        self.reports: list[tuple[float, Report]] = []
        self.jobs.host = self.simulator.add(Host("trainer", Scripted(self.heard), jobs=self.jobs))

    def heard(self, event: Event) -> tuple[()]:
        if isinstance(event, JobReported):
            self.reports.append((self.simulator.now - BEGAN, event.report))
        return ()

    def run(self, order: BatchOrder, *, after: float | None = None, amendment: Amendment | None = None) -> list[Report]:
        """A batch to its end; an amendment comes after so many seconds."""
        count = len(self.reports)
        self.jobs.start("", order)
        if after is not None:
            self.simulator.later(after, lambda: self.jobs.amend("", amendment) if amendment else self.jobs.stop(""))
        self.simulator.run(lambda: isinstance(self.reports[-1][1] if self.reports[count:] else None, Ended))
        return [report for _, report in self.reports[count:]]


def told(reports: list[Report]) -> list[tuple[Any, ...]]:
    """What reports say, but for times, digests and how many steps one tells of. Evaluations come first: a real one
    overtakes the checkpoint that is still being written."""
    said: list[tuple[Any, ...]] = []
    for report in reports:
        match report:
            case Reached():
                measured, filed = report.metrics is not None, report.checkpoint is not None
                said.append((Reached, report.node, report.step, report.steps_run, measured, filed))
            case Evaluated():
                said.append((Evaluated, report.node, report.step))
            case AmendmentTaken():
                said.append((AmendmentTaken, report.number, report.step))
            case Ended():
                said.append((Ended, report.steps_run, report.held))
            case Failed():
                said.append((Failed, report.node, report.step_failed, report.where))
    return sorted(said, key=lambda each: each[0] is not Evaluated)


@st.composite
def ways(draw: st.DrawFn) -> list[StageOrder]:
    """Consecutive stages, the last of them a boundary."""
    start, stages = 0, []
    for node in range(draw(st.integers(1, 3))):
        for _ in range(draw(st.integers(1, 2))):
            end = start + draw(st.integers(1, 3))
            stages.append(stage(node, start, end, STEADY if node % 2 else RISING, metrics=draw(st.booleans())))
            start = end
        if draw(st.booleans()):
            stages[-1] = replace(stages[-1], boundary=False, metrics=False)
    stages[-1] = replace(stages[-1], boundary=True)
    return stages


def cut(stages: list[StageOrder], keep: list[bool], pieces: list[int]) -> tuple[StageOrder, ...]:
    """The same way as an amendment might say it: some boundaries passed and passes met, some stages cut in two."""
    made: list[StageOrder] = []
    for number, each in enumerate(stages):
        last = number == len(stages) - 1 or stages[number + 1].node == each.node
        if each.start + pieces[number] < each.end:
            middle = each.start + pieces[number]
            made.append(replace(each, end=middle, boundary=True))
            each = replace(each, start=middle)
        made.append(each if last or keep[number] else replace(each, boundary=not each.boundary, metrics=False))
    return tuple(made)


@given(
    ways(),
    st.none() | st.integers(1, 9),
    st.lists(st.booleans(), min_size=6, max_size=6),
    st.lists(st.integers(1, 3), min_size=6, max_size=6),
    st.none() | st.integers(1, 3),
    st.just(math.inf) | st.integers(1, 3),
    st.booleans(),
)
def test_simulated_job_says_what_the_executor_says(
    stages: list[StageOrder],
    after: int | None,
    keep: list[bool],
    pieces: list[int],
    eval_every: int | None,
    saved_every: float,
    every_step: bool,
) -> None:
    order = batch(*stages)
    amendment = None if after is None else Amendment(order.lease, 1, cut(stages, keep, pieces))
    every: dict[str, Any] = {"eval_every": eval_every, "checkpoint_every_s": saved_every * STEP_S}
    world = World(ValuesModel(STEP_S), **every, every_step=every_step)
    simulated = Trainer(world)
    said = simulated.run(order, after=None if after is None else (after - 0.5) * STEP_S, amendment=amendment)
    with tempfile.TemporaryDirectory() as folder:
        trained = [0]
        bench = Bench(Counter, Path(folder), **every, clock=lambda: trained[0] * STEP_S)

        def report(said: Report) -> None:
            trained[0] += isinstance(said, Stepped)
            if amendment is not None and isinstance(said, Stepped) and said.steps_run == after:
                bench.executor.amend(amendment)
            bench.reports.put(said)

        bench.executor.report = report
        real = bench.run(order)
        bench.executor.close()
    assert told(said) == told(real)
    assert world.trained == trained[0]


def way(world: World | None = None) -> tuple[Trainer, BatchOrder]:
    """A trainer, and a batch under a rate that drops at step 3, to step 8."""
    cut_at = segments({"lr": MultiStep(1, [3], 0.1)}, 8)
    stages = [StageOrder(n, s.start, s.end, dict(s.forms), metrics=True) for n, s in enumerate(cut_at)]
    return Trainer(world), BatchOrder(1, 1, None, None, {"lr": 1}, tuple(stages), "plan/")


@pytest.mark.parametrize("every_step", [True, False])
def test_states_are_those_of_the_values_however_many_steps_pass_at_once(every_step: bool) -> None:
    trainer, order = way(World(ValuesModel(STEP_S), every_step=every_step))
    reached = [report for report in trainer.run(order) if isinstance(report, Reached)]
    assert [report.digest for report in reached] == [expected_digest({"lr": MultiStep(1, [3], 0.1)}, n) for n in (3, 8)]


def test_steps_saves_and_loads_take_their_time() -> None:
    trainer, order = way(World(ValuesModel(STEP_S), save_s=1.0, load_s=4.0, memory_max=0, every_step=False))
    trainer.run(order)
    at = [seconds for seconds, report in trainer.reports if isinstance(report, Reached | Ended)]
    assert at == [3 * STEP_S + 1, 8 * STEP_S + 2, 8 * STEP_S + 2]
    began = trainer.simulator.now
    again = replace(order, lease=2, attempt=2, origin=(0, 3), checkpoint=order.file_name(0, 3), stages=order.stages[1:])
    ended = trainer.run(again)[-1]
    assert trainer.simulator.now - began == 4 + 5 * STEP_S + 1
    assert isinstance(ended, Ended)
    assert ended.load_s == 4.0
    assert (trainer.world.saves, trainer.world.loads) == (3, 1)


def test_state_in_memory_loads_in_half_the_time_and_the_live_one_in_none() -> None:
    world = World(ValuesModel(STEP_S), load_s=4.0, every_step=False)
    trainer, order = way(world)
    trainer.run(order)
    for origin, seconds in (((0, 3), 2.0), ((1, 8), 0.0)):
        began = trainer.simulator.now
        stages = (stage(1, origin[1], origin[1] + 1, dict(order.stages[1].forms)),)
        values: dict[str, Value] = {"lr": 1} if origin == (0, 3) else {"lr": 0.1}
        trainer.jobs.live = ((1, 8), world.checkpoints[order.file_name(1, 8)][0])
        next_order = replace(order, lease=2 + origin[1], attempt=2 + origin[1], origin=origin)
        next_order = replace(next_order, checkpoint=order.file_name(*origin), build_values=values, stages=stages)
        trainer.run(next_order)
        assert trainer.simulator.now - began == seconds + STEP_S


@pytest.mark.parametrize(("after", "left"), [(0.5, 1), (1.0, 1), (2.2, 3), (5.9, 6)])
def test_job_that_is_told_to_stop_leaves_after_the_step_that_runs(after: float, left: int) -> None:
    trainer, order = way(World(ValuesModel(STEP_S), every_step=False))
    reports = trainer.run(order, after=after * STEP_S)
    *_, reached, ended = reports
    assert isinstance(reached, Reached)
    assert isinstance(ended, Ended)
    assert (reached.step, ended.steps_run) == (left, left)


def test_job_whose_process_is_gone_says_nothing_more() -> None:
    trainer, order = way()
    trainer.jobs.start("", order)
    trainer.simulator.run_for(2.5 * STEP_S)
    trainer.simulator.remove("trainer")
    count = len(trainer.reports)
    trainer.simulator.run_for(100.0)
    assert len(trainer.reports) == count


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_job_that_hangs_reports_nothing_more() -> None:
    trainer = Trainer()
    trainer.jobs.start("", batch(stage(0, 0, 5, STEADY)))
    trainer.simulator.run_for(2.5 * STEP_S)
    said = len(trainer.reports)
    assert trainer.jobs.hang()
    assert not trainer.jobs.hang(), "it does already"
    trainer.jobs.stop("")
    trainer.simulator.run_for(100.0)
    assert len(trainer.reports) == said == 2
    assert trainer.jobs.hung


def test_job_is_slow_for_a_while_in_the_middle_of_a_step() -> None:
    trainer = Trainer()
    trainer.jobs.start("1", batch(stage(0, 0, 3, STEADY)))
    trainer.simulator.run_for(STEP_S / 2)
    assert trainer.jobs.slow_down(100.0)
    trainer.simulator.run_for(STEP_S * 40)
    assert trainer.reports == [], "half a step takes fifty"
    trainer.jobs.slow_down(100.0)
    trainer.simulator.run_for(STEP_S * 10)
    (_, first), *_ = trainer.reports
    assert isinstance(first, Stepped)
    assert first.seconds == pytest.approx(STEP_S * 50.5)
    trainer.jobs.slow_down(1.0)
    trainer.simulator.run_for(STEP_S * 2.1)
    assert isinstance(trainer.reports[-1][1], Ended)
    assert not trainer.jobs.slow_down(100.0), "nothing runs"


def test_idle_job_cannot_hang() -> None:
    trainer = Trainer()
    assert not trainer.jobs.hang()
    trainer.run(batch(stage(0, 0, 2, STEADY)))
    assert not trainer.jobs.hang()


def test_reports_that_are_heard_late_or_twice_keep_their_order() -> None:
    order = batch(stage(0, 0, 8, STEADY, metrics=True))
    whole = Trainer().run(order)
    delays = iter([[0.0], [9.0], [0.0, 0.0], [3.0], *[[0.0]] * 100])
    trainer = Trainer(World(ValuesModel(STEP_S), heard=lambda _: next(delays)))
    reports = trainer.run(order)
    assert reports == [*whole[:2], whole[2], *whole[2:]]
    assert trainer.reports[1][0] == 2 * STEP_S + 9.0


@pytest.mark.parametrize("end", [2, 4])
def test_job_whose_file_is_damaged_fails_as_the_executor_does(end: int, tmp_path: Path) -> None:
    world = World(ValuesModel(STEP_S))
    first = Trainer(world)
    reached = first.run(batch(stage(0, 0, 2, STEADY)))[-2]
    assert isinstance(reached, Reached)
    assert reached.checkpoint is not None
    file = reached.checkpoint.name
    world.damaged[file] = "torn"
    order = batch(stage(0, 2, end, STEADY), origin=(0, 2), checkpoint=file)
    simulated, real = Trainer(world).run(order), Bench(Counter, tmp_path).run(order)
    assert told(simulated) == told(real)
    assert isinstance(simulated[0], Failed)
    assert simulated[0].error == "torn"
    assert not any(isinstance(report, Failed) for report in first.run(order)), "it has the state itself"


class FullFolder(LocalFolder):
    """A folder on a disk without space."""

    def put(self, name: str, write: Callable[[Path], R]) -> R:
        raise OSError(f"no space left for {name}")


@pytest.mark.parametrize("leaves", [False, True])
def test_job_whose_checkpoint_cannot_be_written_fails_as_the_executor_does(leaves: bool, tmp_path: Path) -> None:
    def raises(where: str, values: dict[str, Any], step: int) -> str | None:
        return "no space left" if where == "save" else None

    order = batch(stage(0, 0, 2, STEADY, metrics=True))
    real = Bench(Counter, tmp_path)
    real.executor.folder = FullFolder(tmp_path)
    trainer = Trainer(World(ValuesModel(STEP_S), raises=raises))
    if leaves:  # after the first step, with a checkpoint there
        simulated = trainer.run(order, after=STEP_S / 2)
        reports = real.run(order, lambda count: real.executor.stop())
    else:
        simulated, reports = trainer.run(order), real.run(order)
    assert told(simulated) == told(reports)
    assert told(simulated)[-2:] == [(Failed, 0, 2 - leaves, "save"), (Ended, 2 - leaves, None)]
