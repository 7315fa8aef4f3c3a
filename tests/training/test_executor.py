"""What an executor calls, when, and with which values; what it reports; what it does when something fails."""

from __future__ import annotations

import math
import random
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from hive.planner.pieces import Value
from hive.storage.checkpoints import read_checkpoint
from hive.storage.folders import LocalFolder
from hive.training.executor import Executor
from hive.training.isolation import seed_for
from hive.training.reports import BatchOrder, Ended, Evaluated, Failed, Reached, Report, StageOrder, Stepped
from tests.training.toys import RISING, STEADY, Bench, Counter, batch, constant, of_kind, stage


def calls(bench: Bench) -> list[tuple[str, Any]]:
    assert bench.executor.live is not None
    trainer = bench.executor.live.trainer
    assert isinstance(trainer, Counter)
    return trainer.calls


# Order of calls, and values


def test_trainer_is_built_and_set_up_with_all_values_of_step_0_when_it_starts_fresh(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)
    bench.run(batch(stage(0, 0, 2, RISING)))
    assert calls(bench) == [
        ("build", {"lr": 0.01, "size": 4}),
        ("setup", {"lr": 0.01, "size": 4}),
        ("train", 0),
        ("setup", {"lr": 0.02}),
        ("train", 1),
        ("evaluate", 2),
    ]


def test_trainer_is_built_with_the_values_before_and_set_up_with_all_when_it_starts_from_a_checkpoint(
    tmp_path: Path,
) -> None:
    Bench(Counter, tmp_path).run(batch(stage(0, 0, 2, RISING)))
    bench = Bench(Counter, tmp_path)
    bench.run(batch(stage(1, 2, 3, RISING), origin=(0, 2), checkpoint="0-2-1.safetensors"))
    assert calls(bench) == [
        ("build", {"lr": 0.02, "size": 4}),
        ("load", 2),
        ("setup", {"lr": 0.03, "size": 4}),
        ("train", 2),
        ("evaluate", 3),
    ]


def test_trainer_gets_only_changed_values_when_the_next_stage_goes_on(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)
    other = {"lr": constant(0.01), "size": constant(8)}
    bench.run(batch(stage(0, 0, 1, RISING, metrics=False), stage(1, 1, 2, other)))
    assert calls(bench)[2:] == [("train", 0), ("setup", {"size": 8}), ("train", 1), ("evaluate", 2)]


@pytest.mark.parametrize(("before", "after"), [(1, 1.0), (1, True), (0.0, False), ([1, 2], [1, 2.0]), ("1", 1)])
def test_trainer_is_told_a_value_when_only_its_type_changed(before: Value, after: Value, tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)
    first, second = [{"x": constant(value)} for value in (before, after)]
    bench.run(batch(stage(0, 0, 1, first, metrics=False), stage(1, 1, 2, second, metrics=False)))
    assert [found for name, found in calls(bench) if name == "setup"] == [{"x": before}, {"x": after}]


def test_trainer_is_not_told_a_list_again_when_it_is_the_same(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)
    bench.run(batch(stage(0, 0, 3, {"x": constant([1, [2, 3]])})))
    assert [name for name, _ in calls(bench)].count("setup") == 1


def test_trainer_is_only_evaluated_when_the_stage_is_empty(tmp_path: Path) -> None:
    Bench(Counter, tmp_path).run(batch(stage(0, 0, 2, RISING)))
    bench = Bench(Counter, tmp_path)
    [reached, ended] = bench.run(batch(stage(0, 2, 2, RISING), origin=(0, 2), checkpoint="0-2-1.safetensors"))
    values = {"lr": 0.02, "size": 4}
    assert calls(bench) == [("build", values), ("load", 2), ("setup", values), ("evaluate", 2)]
    assert isinstance(reached, Reached)
    assert (reached.step, reached.metrics, reached.checkpoint) == (2, {"count": 2.0}, None)
    assert ended == Ended(7, 0, (0, 2), of_kind(Ended, [ended])[0].load_s)


def test_trainer_goes_on_behind_an_evaluation(tmp_path: Path) -> None:
    Bench(Counter, tmp_path).run(batch(stage(0, 0, 2, RISING)))
    bench = Bench(Counter, tmp_path)
    stages = (stage(0, 2, 2, RISING), stage(1, 2, 3, RISING))
    reports = bench.run(batch(*stages, origin=(0, 2), checkpoint="0-2-1.safetensors"))
    assert calls(bench)[3:] == [("evaluate", 2), ("setup", {"lr": 0.03}), ("train", 2), ("evaluate", 3)]
    assert reports[-1] == Ended(7, 1, (1, 3), of_kind(Ended, reports)[0].load_s, ((1, 3),))


def test_trainer_is_built_anew_when_the_batch_starts_elsewhere(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)
    bench.run(batch(stage(0, 0, 2), stage(0, 2, 4)))
    bench.run(batch(stage(1, 2, 3), origin=(0, 2), checkpoint="0-2-1.safetensors"))
    assert [name for name, _ in calls(bench)] == ["build", "load", "setup", "train", "evaluate"]


class Settings(Counter):
    def build(self, hp: Mapping[str, Value]) -> None:
        super().build(hp)
        self.fixed["sizes"].append(1)


def test_trainer_is_given_device_seed_and_a_copy_of_the_settings(tmp_path: Path) -> None:
    fixed = {"sizes": [0]}
    bench = Bench(Settings, tmp_path, fixed=fixed, seed=11)
    bench.run(batch(stage(0, 0, 1)))
    assert bench.executor.live is not None
    trainer = bench.executor.live.trainer
    assert (trainer.device, trainer.seed, trainer.fixed) == ("cpu", 11, {"sizes": [0, 1]})
    assert fixed == {"sizes": [0]}


# From memory


ORIGIN = batch(stage(1, 2, 3, RISING), origin=(0, 2), checkpoint="0-2-1.safetensors")
"""From step 2, after `batch(stage(0, 0, 2, RISING), stage(0, 2, 4, RISING))`."""


def forked(bench: Bench, *, keep_file: bool = False) -> list[Report]:
    """Train to step 4 with a boundary at 2, and then from 2 on; without the file unless it is to stay."""
    bench.run(batch(stage(0, 0, 2, RISING), stage(0, 2, 4, RISING)))
    if not keep_file:
        bench.executor.folder.get("0-2-1.safetensors").unlink()
    return bench.run(ORIGIN)


def test_trainer_with_its_own_load_is_built_and_loaded_from_memory(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)
    reports = forked(bench)
    assert calls(bench) == [
        ("build", {"lr": 0.02, "size": 4}),
        ("load", 2),
        ("setup", {"lr": 0.03, "size": 4}),
        ("train", 2),
        ("evaluate", 3),
    ]
    assert of_kind(Ended, reports)[0].load_s is None


def test_trainer_is_loaded_from_the_file_when_its_state_is_not_in_memory(tmp_path: Path) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    bench = Bench(Counter, tmp_path, snapshot_bytes_max=0, clock=clock)
    [ended] = of_kind(Ended, forked(bench, keep_file=True))
    assert [name for name, _ in calls(bench)] == ["build", "load", "setup", "train", "evaluate"]
    assert ended == Ended(7, 1, (1, 3), load_s=1.0)


def test_trainer_is_loaded_from_the_file_when_another_than_the_one_in_memory_is_named(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)
    bench.run(batch(stage(0, 0, 2, RISING), stage(0, 2, 4, RISING)))
    (tmp_path / "0-2-1.safetensors").rename(tmp_path / "0-2-6.safetensors")
    [ended] = of_kind(Ended, bench.run(replace(ORIGIN, checkpoint="0-2-6.safetensors")))
    assert ended.load_s is not None


def test_executor_tells_which_places_are_in_memory_the_last_used_first(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)
    first = bench.run(batch(stage(0, 0, 2, RISING), stage(0, 2, 4, RISING)))
    assert of_kind(Ended, first)[0].in_memory == ((0, 4), (0, 2))
    assert of_kind(Ended, bench.run(ORIGIN))[0].in_memory == ((1, 3), (0, 2), (0, 4))
    bench.executor.close()
    assert bench.executor.memory.places() == ()


def test_state_is_measured_from_memory_when_only_evaluation_is_asked(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)
    bench.run(batch(stage(0, 0, 2, RISING), stage(0, 2, 4, RISING)))
    (tmp_path / "0-2-1.safetensors").unlink()
    reports = bench.run(batch(stage(0, 2, 2, RISING), origin=(0, 2), checkpoint="0-2-1.safetensors"))
    assert [(each.step, each.metrics) for each in of_kind(Reached, reports)] == [(2, {"count": 2.0})]
    values = {"lr": 0.02, "size": 4}
    assert calls(bench) == [("build", values), ("load", 2), ("setup", values), ("evaluate", 2)]


# Reports


def test_executor_reports_every_step_and_ends_last(tmp_path: Path) -> None:
    reports = Bench(Counter, tmp_path).run(batch(stage(3, 0, 2), stage(4, 2, 3, metrics=False)))
    steps = [(each.node, each.step, each.steps_run, each.metrics) for each in of_kind(Stepped, reports)]
    assert steps == [(3, 1, 1, None), (3, 2, 2, None), (4, 3, 3, None)]
    reached = [(each.node, each.step, each.steps_run, each.metrics) for each in of_kind(Reached, reports)]
    assert reached == [(3, 2, 2, {"count": 2.0}), (4, 3, 3, None)]
    assert isinstance(reports[-1], Ended)
    assert (reports[-1].lease, reports[-1].steps_run, reports[-1].held) == (7, 3, (4, 3))


def test_executor_yields_once_after_each_step(tmp_path: Path) -> None:
    yields: list[int] = []
    Bench(Counter, tmp_path).run(batch(stage(0, 0, 2), stage(1, 2, 5)), yields.append)
    assert yields == [0, 1, 2, 3, 4]


def test_executor_reports_a_boundary_when_its_file_is_durable(tmp_path: Path) -> None:
    def report(report: Report) -> None:
        if isinstance(report, Reached):
            assert report.checkpoint is not None
            found.append(read_checkpoint(tmp_path / report.checkpoint.name)[0])
            sizes.append((report.checkpoint.bytes, (tmp_path / report.checkpoint.name).stat().st_size))

    found: list[Any] = []
    sizes: list[tuple[int, int]] = []
    executor = Executor(Counter, device="cpu", seed=0, fixed={}, threads=1, folder=LocalFolder(tmp_path), report=report)
    list(executor.run(batch(stage(0, 0, 2), stage(0, 2, 3))))
    executor.close()
    assert found == [{"count": 2}, {"count": 3}]
    assert all(told == real for told, real in sizes)


def test_executor_names_checkpoints_by_prefix_place_and_attempt(tmp_path: Path) -> None:
    order = BatchOrder(1, 4, None, None, {"lr": 0.1}, (stage(12, 0, 1),), "plan/")
    [reached] = of_kind(Reached, Bench(Counter, tmp_path).run(order))
    assert reached.checkpoint is not None
    assert reached.checkpoint.name == "plan/12-1-4.safetensors"
    assert (tmp_path / "plan/12-1-4.safetensors").exists()


def test_executor_evaluates_between_boundaries_when_told_how_often(tmp_path: Path) -> None:
    reports = Bench(Counter, tmp_path, eval_every=2).run(batch(stage(0, 0, 4, metrics=False), stage(1, 4, 6)))
    points = [(each.node, each.step, each.metrics) for each in of_kind(Evaluated, reports)]
    assert points == [(0, 2, {"count": 2.0}), (0, 4, {"count": 4.0})]  # at 6 the boundary's own metrics do


def test_executor_saves_between_steps_when_the_time_is_up(tmp_path: Path) -> None:
    now = [0.0]
    bench = Bench(Counter, tmp_path, checkpoint_every_s=10.0, clock=lambda: now[0])

    def pass_time(count: int) -> None:
        now[0] += 4.0

    reports = bench.run(batch(stage(0, 0, 7)), pass_time)
    assert [(each.step, each.metrics) for each in of_kind(Reached, reports)] == [(4, None), (7, {"count": 7.0})]


class Figures(Counter):
    returned: Any = None

    def train(self) -> Any:
        super().train()
        return self.returned

    def evaluate(self) -> Any:
        return self.returned


def figures(value: Any) -> type[Figures]:
    return type("Figures", (Figures,), {"returned": value})


def test_executor_passes_metrics_on_as_floats(tmp_path: Path) -> None:
    value = {"a": 1, "b": True, "c": numpy.float32(0.5), "d": torch.tensor(2.0), "e": math.nan, "f": math.inf}
    reports = Bench(figures(value), tmp_path).run(batch(stage(0, 0, 1)))
    for metrics in (of_kind(Stepped, reports)[0].metrics, of_kind(Reached, reports)[0].metrics):
        assert metrics is not None
        assert math.isnan(metrics.pop("e"))
        assert metrics == {"a": 1.0, "b": 1.0, "c": 0.5, "d": 2.0, "f": math.inf}
        assert {type(figure) for figure in metrics.values()} == {float}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "returned a float, not a dict"),
        ([("a", 1)], "returned a list, not a dict"),
        ({"a": "0.5"}, "returned 'a': a str"),
        ({"a": None}, "returned 'a': a NoneType"),
        ({1: 0.5}, "returned 1: a float"),
    ],
)
def test_executor_reports_a_failure_when_metrics_are_none(value: Any, text: str, tmp_path: Path) -> None:
    [failed] = of_kind(Failed, Bench(figures(value), tmp_path).run(batch(stage(0, 0, 1))))
    assert (failed.where, failed.step_failed) == ("train", 1)
    assert text in failed.error


def test_executor_reports_a_failure_when_the_studys_metric_is_missing(tmp_path: Path) -> None:
    reports = Bench(Counter, tmp_path, metric="accuracy").run(batch(stage(0, 0, 2)))
    [failed] = of_kind(Failed, reports)
    assert (failed.where, failed.step_failed) == ("evaluate", 2)
    assert failed.error == "evaluate() must return the study's metric 'accuracy'; it returned 'count'"
    assert not of_kind(Reached, reports)


# Stopping


def test_executor_leaves_with_a_checkpoint_when_told_to_stop(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)
    reports = bench.run(batch(stage(3, 0, 9)), lambda count: bench.executor.stop() if count == 1 else None)
    [reached] = of_kind(Reached, reports)
    assert (reached.node, reached.step, reached.metrics) == (3, 2, None)
    assert reached.checkpoint is not None
    assert read_checkpoint(tmp_path / reached.checkpoint.name)[0] == {"count": 2}
    ended = reports[-1]
    assert isinstance(ended, Ended)
    assert (ended.steps_run, ended.held) == (2, (3, 2))


def test_executor_saves_no_place_twice_when_told_to_stop_at_a_boundary(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)
    order = batch(stage(0, 0, 2), stage(1, 2, 4))
    reports = bench.run(order, lambda count: bench.executor.stop() if count == 1 else None)
    assert [(each.step, each.metrics) for each in of_kind(Reached, reports)] == [(2, {"count": 2.0})]
    assert of_kind(Ended, reports)[0].held == (0, 2)


def test_executor_does_nothing_when_told_to_stop_before_it_began(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)
    bench.executor.stop()
    assert bench.run(batch(stage(0, 0, 2))) == [Ended(7, 0, None)]
    assert len(of_kind(Stepped, bench.run(batch(stage(0, 0, 2))))) == 2  # the next batch is not concerned


def test_executor_goes_on_when_told_to_stop_another_lease(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)
    reports = bench.run(batch(stage(0, 0, 3)), lambda count: bench.executor.stop(lease=6))
    assert len(of_kind(Stepped, reports)) == 3


def test_executor_stops_when_told_from_another_thread(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)

    def stop(count: int) -> None:
        other = threading.Thread(target=bench.executor.stop, kwargs={"lease": 7})
        other.start()
        other.join()

    assert len(of_kind(Stepped, bench.run(batch(stage(0, 0, 3)), stop))) == 1


# Generators and libraries


class Drawing(Counter):
    def build(self, hp: Mapping[str, Value]) -> None:
        super().build(hp)
        self.drawn = random.random()


def test_executor_seeds_the_generators_before_build(tmp_path: Path) -> None:
    drawn = []
    for seed in (1, 1, 2):
        bench = Bench(Drawing, tmp_path, seed=seed)
        bench.run(batch(stage(0, 0, 1)))
        assert bench.executor.live is not None
        drawn.append(vars(bench.executor.live.trainer)["drawn"])
    assert drawn[0] == drawn[1] == random.Random(1).random()
    assert drawn[2] == random.Random(2).random()


class Chancy(Counter):
    def evaluate(self) -> Mapping[str, float]:
        return {"drawn": random.random()}


def test_executor_seeds_the_generators_from_seed_and_step_before_evaluate(tmp_path: Path) -> None:
    [first, second] = of_kind(Reached, Bench(Chancy, tmp_path, seed=4).run(batch(stage(0, 0, 2), stage(0, 2, 3))))
    assert first.metrics == {"drawn": random.Random(seed_for(4, 2)).random()}
    assert second.metrics == {"drawn": random.Random(seed_for(4, 3)).random()}


class Importing(Counter):
    def build(self, hp: Mapping[str, Value]) -> None:
        sys.modules["numpy"] = numpy  # what a first import does; a second one of NumPy is not possible
        super().build(hp)
        self.drawn = float(numpy.random.rand())


def test_executor_builds_again_when_build_was_the_first_to_import_numpy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numpy.random.seed(99)
    expected = float(numpy.random.RandomState(3).rand())
    monkeypatch.delitem(sys.modules, "numpy")
    bench = Bench(Importing, tmp_path, seed=3)
    bench.run(batch(stage(0, 0, 1)))
    assert bench.executor.live is not None
    assert vars(bench.executor.live.trainer)["drawn"] == expected


def test_executor_sets_the_thread_count(tmp_path: Path) -> None:
    try:
        [reached] = of_kind(Reached, Bench(Counter, tmp_path, threads=2).run(batch(stage(0, 0, 1))))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert reached.checkpoint is not None
    found = (reached.checkpoint.device, reached.checkpoint.threads, reached.checkpoint.capability)
    assert found == ("cpu", 2, torch.backends.cpu.get_cpu_capability())


def test_executor_warns_when_it_goes_on_with_another_thread_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Bench(Counter, tmp_path).run(batch(stage(0, 0, 1)))
    order = batch(stage(0, 1, 2), origin=(0, 1), checkpoint="0-1-1.safetensors")
    Bench(Counter, tmp_path).run(order)
    assert not caplog.records
    try:
        Bench(Counter, tmp_path, threads=2).run(order)
    finally:
        torch.set_num_threads(1)
    assert "expect other bits" in caplog.text


def test_stage_order_compares_by_value() -> None:
    assert stage(0, 1, 2) == StageOrder(0, 1, 2, dict(STEADY), True)
