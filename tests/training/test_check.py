"""`hive check`: sound trainers pass, and of each fault the ways, the first key and the cause are named."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch

from hive.planner.pieces import Value
from hive.planner.sequences import Constant, Exponential, MultiStep, Piecewise
from hive.planner.space import Config, GridSpace
from hive.training import ways
from hive.training.causes import first_difference
from hive.training.check import WAYS, Checked, Outcome, check, drawn
from hive.training.live import Settings
from hive.training.trainer import Trainer
from hive.training.ways import Subject, Trained
from tests.training.faulty import FAULTY, Raises, Sound, UsesModule
from tests.training.toys import KINDS

CONFIG: Config = {"lr": Piecewise([0.1, 0.05], [2]), "size": Constant(4)}


def subject(kind: type[Trainer], folder: Path, config: Config = CONFIG) -> Subject:
    return Subject(Settings(kind, "cpu", 5, {}, 1, "loss"), config, 4, folder)


def checked(kind: type[Trainer], folder: Path) -> Checked:
    """The check, with a fork in this process in place of the one in another."""
    chosen = subject(kind, folder)
    return check(chosen, lambda: ways.forked_from_disk(chosen, "process"))


@pytest.mark.parametrize("kind", [*KINDS.values(), Sound], ids=lambda kind: kind.__name__)
def test_check_passes_a_trainer_that_keeps_its_contract(kind: type[Trainer], tmp_path: Path) -> None:
    found = checked(kind, tmp_path)
    assert found.ok, found
    assert [each.way for each in found.outcomes] == list(WAYS)
    assert len({each.digest for each in found.outcomes}) == 1
    assert found.to_json()["config"] == {name: sequence.descriptor() for name, sequence in CONFIG.items()}


@pytest.mark.parametrize(
    ("kind", "differing", "key", "cause"), FAULTY, ids=lambda each: getattr(each, "__name__", None)
)
def test_check_names_ways_key_and_cause_of_a_fault(
    kind: type[Trainer], differing: tuple[str, ...], key: str | None, cause: str, tmp_path: Path
) -> None:
    found = checked(kind, tmp_path)
    assert not found.ok
    bad = [each for each in found.outcomes if not each.equal]
    assert [each.way for each in bad] == list(differing)
    assert {each.first_difference for each in bad} == {key}
    assert cause in str(bad[0].likely_cause), bad[0].likely_cause


class Averages(Sound):
    """Leaves batch normalization in training mode while it evaluates, which hive undoes; keeps what load is given."""

    def build(self, hp: object) -> None:
        super().build({})
        self.norm = torch.nn.BatchNorm1d(2)

    def evaluate(self) -> dict[str, float]:
        return {"loss": self.norm(torch.randn(4, 2)).sum().item()}

    def save(self) -> dict[str, object]:
        return {"total": self.total, "norm": self.norm.state_dict(), "lr": self.lr}

    def load(self, state: dict[str, object]) -> None:
        self.total, self.lr = state["total"], state["lr"]  # type: ignore[assignment]
        self.norm.load_state_dict(state["norm"])  # type: ignore[arg-type]


def test_check_passes_what_hive_undoes_and_what_load_may_keep(tmp_path: Path) -> None:
    assert checked(Averages, tmp_path).ok


def test_check_says_so_when_the_same_steps_differ_by_themselves(tmp_path: Path) -> None:
    found = checked(UsesModule, tmp_path)
    assert {each.way for each in found.outcomes if not each.equal} == set(WAYS[1:])
    assert all("module-level variable" in str(each.likely_cause) for each in found.outcomes[1:])


def test_check_shows_the_traceback_and_trains_no_further_when_training_fails(tmp_path: Path) -> None:
    found = checked(Raises, tmp_path)
    [only] = found.outcomes
    assert (only.way, only.digest, only.equal) == ("straight", None, False)
    assert "train() failed at step 3" in str(only.likely_cause)
    assert "ValueError: no batch left" in str(only.likely_cause)


def test_check_blames_the_process_when_only_the_new_one_differs(tmp_path: Path) -> None:
    chosen = subject(Sound, tmp_path)
    other = Trained("0" * 64, {"loss": 1.0}, {"total": torch.ones(2), "lr": 0.05})
    found = check(chosen, lambda: other)
    [bad] = [each for each in found.outcomes if not each.equal]
    assert (bad.way, bad.first_difference) == ("new process", "total")
    assert "from process to process" in str(bad.likely_cause)


def test_check_fails_when_the_new_process_is_gone(tmp_path: Path) -> None:
    found = check(subject(Sound, tmp_path), lambda: Trained(error="the process ended with code -9"))
    assert not found.ok
    assert Outcome("new process", None, False, None, "the process ended with code -9") in found.outcomes


def test_first_difference_is_a_path_through_captured_objects_lists_and_arrays() -> None:
    model, other = (
        torch.nn.ModuleDict({"fc": torch.nn.Linear(1, 1)}),
        torch.nn.ModuleDict({"fc": torch.nn.Linear(1, 1)}),
    )
    captured = [{"hive:object": "state_dict", "state": each.state_dict()} for each in (model, other)]
    assert first_difference({"a": 1, "model": captured[0]}, {"a": 1, "model": captured[1]}) == "model.fc.weight"
    assert first_difference({"seen": [1, {2: numpy.ones(2)}]}, {"seen": [1, {2: numpy.ones(3)}]}) == "seen[1].2"
    assert first_difference({"a": 1}, {"a": 1.0}) == "a"
    assert first_difference({"a": 1}, {"a": 1, "b": 2}) == "b"
    assert first_difference([1, 2], [1]) == "state"
    assert first_difference({"a": float("nan")}, {"a": float("nan")}) is None


def values(config: Config, steps: int) -> list[dict[str, Value]]:
    return [{name: sequence(step) for name, sequence in config.items()} for step in range(steps)]


def test_draw_prefers_a_config_with_a_change_within_few_steps() -> None:
    space = GridSpace({"lr": [Constant(0.1), Constant(0.2), MultiStep(0.1, [3], 0.1)]}, steps=100)
    for seed in range(5):
        config, steps = drawn(space, seed)
        assert steps == 6
        assert config == {"lr": MultiStep(0.1, [3], 0.1)}


def test_draw_takes_a_curve_for_a_change() -> None:
    config, _ = drawn(GridSpace({"lr": [Constant(0.1), Exponential(0.1, 0.9)]}, steps=9), 0)
    assert config == {"lr": Exponential(0.1, 0.9)}


def test_draw_brings_a_late_change_forward_and_leaves_the_rest() -> None:
    config, steps = drawn(GridSpace({"lr": [MultiStep(0.1, [90], 0.1)], "size": [Constant(4)]}, steps=120), 0)
    assert [each["lr"] for each in values(config, steps)] == [0.1, 0.1, 0.1, 0.01, 0.01, 0.01]
    assert config["size"] == Constant(4)


def test_draw_is_the_same_for_a_seed_and_trains_two_steps_at_least() -> None:
    space = GridSpace({"lr": [Constant(each) for each in range(20)]}, steps=1)
    assert drawn(space, 3) == drawn(space, 3)
    assert len({str(drawn(space, seed)[0]) for seed in range(10)}) > 1
    assert drawn(space, 3)[1] == 2


def test_whole_form_cannot_be_moved(tmp_path: Path) -> None:
    form = subject(Sound, tmp_path).stage(0, 4).forms["lr"]
    assert [form.value(step) for step in range(4)] == [0.1, 0.1, 0.05, 0.05]
    with pytest.raises(TypeError, match="begins at step 0"):
        form.shifted(1)
