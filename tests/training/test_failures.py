"""What an executor does and reports when the user's code fails, or a checkpoint cannot be read or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from hive.planner.pieces import Value
from hive.storage.checkpoints import IN_FLIGHT_MAX
from hive.training.reports import BatchOrder, Ended, Failed, Reached
from hive.training.trainer import Trainer
from tests.training.toys import RISING, Bench, Counter, batch, of_kind, stage


class Fault(Counter):
    """Raises in one method, at one count."""

    place = ""
    at = 0
    error: BaseException = ZeroDivisionError("by hand")

    def hit(self, place: str) -> None:
        if self.place == place and getattr(self, "count", 0) >= self.at:
            raise self.error

    def build(self, hp: Mapping[str, Value]) -> None:
        self.hit("build")
        super().build(hp)

    def setup(self, hp: Mapping[str, Value]) -> None:
        self.hit("setup")

    def train(self) -> Mapping[str, float] | None:
        self.hit("train")
        return super().train()

    def evaluate(self) -> Mapping[str, float]:
        self.hit("evaluate")
        return super().evaluate()

    def save(self) -> dict[str, Any]:
        self.hit("save")
        return super().save()

    def load(self, state: dict[str, Any]) -> None:
        self.hit("load")
        super().load(state)


def faulty(place: str, at: int = 0, error: BaseException | None = None) -> type[Fault]:
    return type("Faulty", (Fault,), {"place": place, "at": at, "error": error or Fault.error})


@pytest.mark.parametrize(
    ("place", "at", "step_failed", "steps_run", "reached"),
    [
        ("build", 0, 1, 0, []),
        ("setup", 0, 1, 0, []),
        ("setup", 3, 4, 3, [2]),
        ("train", 0, 1, 1, []),
        ("train", 1, 2, 2, []),
        ("train", 2, 3, 3, [2]),
        ("evaluate", 2, 2, 2, []),
        ("evaluate", 3, 5, 5, [2]),
        ("save", 2, 2, 2, []),
        ("save", 3, 5, 5, [2]),
    ],
)
def test_executor_reports_where_and_at_which_step_the_trainer_failed(
    place: str, at: int, step_failed: int, steps_run: int, reached: list[int], tmp_path: Path
) -> None:
    bench = Bench(faulty(place, at), tmp_path)
    reports = bench.run(batch(stage(0, 0, 2, RISING), stage(1, 2, 5, RISING)))
    [failed] = of_kind(Failed, reports)
    node = 0 if step_failed < 3 else 1
    assert (failed.lease, failed.where, failed.node) == (7, place, node)
    assert (failed.step_failed, failed.steps_run) == (step_failed, steps_run)
    assert [each.step for each in of_kind(Reached, reports)] == reached
    assert reports[-2:] == [failed, Ended(7, steps_run, None, in_memory=of_kind(Ended, reports)[0].in_memory)]
    assert bench.executor.held is None
    assert bench.executor.live is None


def test_executor_keeps_no_copy_when_evaluate_failed(tmp_path: Path) -> None:
    bench = Bench(faulty("evaluate"), tmp_path)
    assert of_kind(Failed, bench.run(batch(stage(0, 0, 1))))
    assert all(bench.executor.pool.room.acquire(blocking=False) for _ in range(IN_FLIGHT_MAX))


@pytest.mark.parametrize(("end", "step_failed"), [(4, 3), (2, 2)])
@pytest.mark.parametrize("place", ["build", "load", "setup"])
def test_executor_reports_the_first_step_that_cannot_be_answered_when_a_start_failed(
    place: str, end: int, step_failed: int, tmp_path: Path
) -> None:
    Bench(Counter, tmp_path).run(batch(stage(0, 0, 2)))
    order = batch(stage(0, 2, end), origin=(0, 2), checkpoint="0-2-1.safetensors")
    [failed] = of_kind(Failed, Bench(faulty(place), tmp_path).run(order))
    assert (failed.where, failed.step_failed) == (place, step_failed)


def test_executor_shows_the_users_frames_and_none_of_hives(tmp_path: Path) -> None:
    [failed] = of_kind(Failed, Bench(faulty("train"), tmp_path).run(batch(stage(0, 0, 1))))
    assert failed.error.startswith("Traceback (most recent call last):\n")
    assert "test_failures.py" in failed.error
    assert "raise self.error" in failed.error
    assert failed.error.endswith("ZeroDivisionError: by hand")
    assert "hive/training" not in failed.error


def test_executor_reports_a_failure_when_the_trainer_exits(tmp_path: Path) -> None:
    [failed] = of_kind(Failed, Bench(faulty("train", 1, SystemExit(3)), tmp_path).run(batch(stage(0, 0, 2))))
    assert failed.error.endswith("SystemExit: 3\nthe trainer called sys.exit(3)")


def test_executor_lets_a_keyboard_interrupt_through_and_forgets_the_model(tmp_path: Path) -> None:
    bench = Bench(faulty("train", 1, KeyboardInterrupt()), tmp_path)
    run = bench.executor.run(batch(stage(0, 0, 2)))
    next(run)
    with pytest.raises(KeyboardInterrupt):
        next(run)
    assert bench.executor.held is None


def test_executor_runs_the_next_batch_after_a_failure(tmp_path: Path) -> None:
    bench = Bench(faulty("train", 2), tmp_path)
    assert of_kind(Failed, bench.run(batch(stage(0, 0, 3))))
    reports = bench.run(batch(stage(0, 0, 2)))
    assert not of_kind(Failed, reports)
    assert of_kind(Ended, reports)[0].held == (0, 2)


def test_executor_reports_a_failure_when_a_trainer_has_abstract_methods(tmp_path: Path) -> None:
    class Half(Trainer):
        pass

    [failed] = of_kind(Failed, Bench(cast(Any, Half), tmp_path).run(batch(stage(0, 0, 1))))
    assert failed.where == "build"
    assert "abstract" in failed.error


class Unstorable(Counter):
    def save(self) -> dict[str, Any]:
        return {"model": [{"hook": lambda: None}]}


def test_executor_names_the_key_when_save_returned_what_cannot_be_stored(tmp_path: Path) -> None:
    [failed] = of_kind(Failed, Bench(Unstorable, tmp_path).run(batch(stage(0, 0, 1))))
    assert (failed.where, failed.step_failed) == ("save", 1)
    assert failed.error.startswith("hive.errors.CheckpointError: state['model'][0]['hook'] is a builtins.function")


def test_executor_reports_a_failure_when_the_checkpoint_is_missing_or_outside(tmp_path: Path) -> None:
    for name in ("0-2-1.safetensors", "../0-2-1.safetensors", "/etc/passwd"):
        order = batch(stage(0, 2, 3), origin=(0, 2), checkpoint=name)
        [failed] = of_kind(Failed, Bench(Counter, tmp_path / "folder").run(order))
        assert (failed.where, failed.step_failed) == ("load", 3)
        assert failed.error.startswith("hive.errors.CheckpointError: ")
        assert name in failed.error


def test_executor_reports_a_failure_when_it_is_to_go_on_from_a_place_it_does_not_hold(tmp_path: Path) -> None:
    [failed] = of_kind(Failed, Bench(Counter, tmp_path).run(batch(stage(0, 2, 3), origin=(0, 2))))
    assert failed.where == "load"
    assert "does not hold the state at (0, 2)" in failed.error


def test_executor_reports_a_failure_and_stops_when_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder is needed")
    order = BatchOrder(7, 1, None, None, {"lr": 0.1}, (stage(0, 0, 2), stage(0, 2, 4)), "taken/")
    reports = Bench(Counter, tmp_path).run(order)
    [failed] = of_kind(Failed, reports)
    assert (failed.where, failed.step_failed) == ("save", 2)
    assert "taken" in failed.error
    assert not of_kind(Reached, reports)
    assert reports[-2] == failed
    assert of_kind(Ended, reports)[0].held is None


def test_executor_offers_no_state_whose_file_could_not_be_written(tmp_path: Path) -> None:
    bench = Bench(Counter, tmp_path)
    bench.run(batch(stage(0, 0, 2), stage(0, 2, 4)))
    (tmp_path / "fork-1-6-1.safetensors").mkdir()  # a folder where a file is to be
    order = batch(stage(1, 4, 5), stage(1, 5, 6), stage(1, 6, 7), origin=(0, 4), checkpoint="0-4-1.safetensors")
    reports = bench.run(order)
    assert [(each.where, each.step_failed) for each in of_kind(Failed, reports)] == [("save", 6)]
    [ended] = of_kind(Ended, reports)
    assert (ended.held, ended.in_memory) == (None, ((1, 5), (0, 4), (0, 2)))
    missing = replace(order, stages=order.stages[2:], origin=(1, 6), checkpoint="fork-1-6-1.safetensors")
    [failed] = of_kind(Failed, bench.run(missing))
    assert failed.where == "load"


def test_executor_forks_from_memory_after_a_failure(tmp_path: Path) -> None:
    bench = Bench(faulty("train", 3), tmp_path)
    reports = bench.run(batch(stage(0, 0, 2), stage(0, 2, 4)))
    assert [(each.held, each.in_memory) for each in of_kind(Ended, reports)] == [(None, ((0, 2),))]
    (tmp_path / "0-2-1.safetensors").unlink()
    reports = bench.run(batch(stage(1, 2, 3), origin=(0, 2), checkpoint="0-2-1.safetensors"))
    assert [each.step for each in of_kind(Reached, reports)] == [3]
