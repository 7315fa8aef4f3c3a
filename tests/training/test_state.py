"""The default save and load: what they capture, and what they fill in place."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter as Tally
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from hive.errors import CheckpointError
from hive.storage.checkpoints import Pool, digest, read_checkpoint, snapshot, write_checkpoint
from hive.training.trainer import Trainer


class Bare(Trainer):
    """A trainer whose attributes a test sets."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    def train(self) -> None:
        pass

    def evaluate(self) -> Mapping[str, float]:
        return {}


def through_file(state: dict[str, Any], folder: Path) -> Any:
    copied = snapshot(state, Pool())
    write_checkpoint(folder / "state.safetensors", copied, {})
    return read_checkpoint(folder / "state.safetensors")[0]


VALUES: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "bool": lambda: True,
    "int": lambda: 3,
    "large int": lambda: -(2**200),
    "float": lambda: -0.5,
    "complex": lambda: 1 - 2j,
    "text": lambda: "é",
    "bytes": lambda: b"\x00\xff",
    "list": lambda: [1, [2.0, "a"]],
    "tuple": lambda: (1, (2,), [3]),
    "dict": lambda: {1: "a", (2, "b"): None, "c": {}},
    "ordered": lambda: {"b": 1, "a": 2},
    "set": lambda: {1, "a", (2, 3)},
    "frozenset": lambda: frozenset({1, 2}),
    "deque": lambda: deque([1, 2], maxlen=2),
    "tally": lambda: Tally({3: 1, 5: 2}),
    "NumPy scalar": lambda: numpy.float32(0.1),
}


@pytest.mark.parametrize("name", VALUES)
def test_trainer_gets_a_plain_value_back_as_it_was(name: str, tmp_path: Path) -> None:
    state = through_file(Bare(value=VALUES[name]()).save(), tmp_path)
    for built in (Bare(), Bare(value=None), Bare(value=VALUES[name]())):
        built.load(state)
        value = vars(built)["value"]
        assert type(value) is type(VALUES[name]())
        assert value == VALUES[name]()
        assert digest(built.save()) == digest(state)


def test_trainer_keeps_device_seed_and_settings_out_of_its_state() -> None:
    assert Bare(device="cpu", seed=1, fixed={"a": 1}, step=2).save() == {"step": 2}


def test_trainer_gets_the_order_of_a_dict_back(tmp_path: Path) -> None:
    state = through_file(Bare(value={"b": 1, "a": 2}).save(), tmp_path)
    built = Bare(value={"a": 0, "b": 0})
    built.load(state)
    assert list(vars(built)["value"]) == ["b", "a"]


@pytest.mark.parametrize(
    "fill",
    [
        lambda: torch.arange(3.0),
        lambda: torch.arange(3.0, dtype=torch.bfloat16),
        lambda: torch.tensor(7),
        lambda: torch.empty(0, 2),
        lambda: torch.arange(6).reshape(2, 3).t(),
        lambda: torch.nn.Parameter(torch.ones(2)),
        lambda: numpy.arange(3),
        lambda: numpy.asfortranarray(numpy.ones((2, 3))),
    ],
)
def test_trainer_gets_tensors_and_arrays_back_in_place(fill: Callable[[], Any], tmp_path: Path) -> None:
    state = through_file(Bare(value=fill()).save(), tmp_path)
    existing = fill() * 0
    built = Bare(value=existing)
    built.load(state)
    assert vars(built)["value"] is existing
    assert digest(built.save()) == digest({"value": fill()})


@pytest.mark.parametrize("existing", [torch.zeros(2), torch.zeros(3, dtype=torch.int64), numpy.zeros(3), None, [1]])
def test_trainer_gets_a_new_tensor_when_the_built_one_has_another_shape_or_type(existing: Any, tmp_path: Path) -> None:
    state = through_file(Bare(value=torch.arange(3.0)).save(), tmp_path)
    built = Bare(value=existing)
    built.load(state)
    assert vars(built)["value"].tolist() == [0.0, 1.0, 2.0]


def test_trainer_gets_a_new_tensor_when_the_built_one_is_expanded(tmp_path: Path) -> None:
    built = Bare(value=torch.zeros(1).expand(3))
    built.load(through_file(Bare(value=torch.arange(3.0)).save(), tmp_path))
    assert vars(built)["value"].tolist() == [0.0, 1.0, 2.0]


def test_trainer_gets_containers_filled_in_place(tmp_path: Path) -> None:
    saved = {"a": [1, 2], "b": deque([3]), "c": {"x": 4}, "d": {5}, "e": defaultdict(list, k=[6])}
    state = through_file(Bare(**saved).save(), tmp_path)
    existing: dict[str, Any] = {"a": [], "b": deque([0, 0]), "c": {"y": 0}, "d": set(), "e": defaultdict(list)}
    built = Bare(**existing)
    built.load(state)
    assert vars(built) == saved
    assert all(vars(built)[name] is value for name, value in existing.items())


def test_trainer_gets_objects_inside_containers_back(tmp_path: Path) -> None:
    def made(seed: int) -> Bare:
        torch.manual_seed(seed)
        return Bare(nets={"g": torch.nn.Linear(2, 1)}, rest=[1, (torch.nn.Linear(1, 1), len), random.Random(seed)])

    one, other = made(1), made(2)
    nets = vars(other)["nets"]
    net = nets["g"]
    other.load(through_file(one.save(), tmp_path))
    assert digest(one.save()) == digest(other.save())
    assert vars(other)["nets"] is nets
    assert nets["g"] is net
    assert vars(other)["rest"][1][1] is len


def test_optimizer_still_refers_to_the_models_parameters_after_a_load(tmp_path: Path) -> None:
    def made() -> Any:
        model = torch.nn.Linear(3, 1)
        return Bare(model=model, optimizer=torch.optim.AdamW(model.parameters(), lr=0.1), weight=model.weight)

    def step(trainer: Any) -> None:
        trainer.model(torch.ones(2, 3)).sum().backward()
        trainer.optimizer.step()

    one, other = made(), made()
    step(one)
    other.load(through_file(one.save(), tmp_path))
    before = other.model.weight.detach().clone()
    step(other)
    assert not torch.equal(before, other.model.weight)
    assert other.weight is other.model.weight
    assert other.optimizer.param_groups[0]["params"][0] is other.model.weight


@pytest.mark.parametrize(
    "make",
    [
        random.Random,
        numpy.random.default_rng,
        lambda seed: numpy.random.Generator(numpy.random.MT19937(seed)),
        numpy.random.RandomState,
        lambda seed: torch.Generator().manual_seed(seed),
    ],
    ids=["random", "PCG64", "MT19937", "RandomState", "torch"],
)
def test_generator_goes_on_where_it_was_after_a_load(make: Callable[[int], Any], tmp_path: Path) -> None:
    def draw(generator: Any) -> float:
        if isinstance(generator, torch.Generator):
            return float(torch.rand((), generator=generator))
        return float(generator.normal(0, 1) if hasattr(generator, "normal") else generator.gauss(0, 1))

    one, other = make(1), make(2)
    draw(one)  # odd number of draws: some keep half a pair
    Bare(value=other).load(through_file(Bare(value=one).save(), tmp_path))
    assert [draw(one) for _ in range(5)] == [draw(other) for _ in range(5)]


def test_trainer_leaves_to_build_what_cannot_be_captured(tmp_path: Path) -> None:
    one = Bare(data=object(), hook=len, kind=int, entropy=random.SystemRandom(), odd={object(): 1}, steps=1, n=[len, 2])
    state = one.save()
    assert set(state) == {"steps", "n"}
    other = Bare(data="built", n=[max, 0])
    other.load(through_file(state, tmp_path))
    assert vars(other) == {"data": "built", "n": [max, 2], "steps": 1}


def test_trainer_that_is_its_own_element_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(CheckpointError, match=r"self\.loop contains itself"):
        Bare(loop=loop).save()


def test_trainer_that_uses_the_mark_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"self\.a\[0\] has the key 'hive:object'"):
        Bare(a=[{"hive:object": "built"}]).save()


def test_trainer_with_a_sparse_tensor_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"self\.a\['b'\] is a sparse tensor"):
        Bare(a={"b": torch.eye(2).to_sparse()}).save()


@pytest.mark.parametrize(("value", "text"), [(torch.nn.Linear(1, 1), "state_dict"), (random.Random(1), "generator")])
def test_load_is_refused_when_build_made_something_else(value: Any, text: str) -> None:
    for built in (Bare(), Bare(value=1)):
        with pytest.raises(CheckpointError, match=rf"self\.value was saved as .*{text}"):
            built.load(Bare(value=value).save())


# Two names for one object


@pytest.mark.parametrize("make", [lambda: [1], lambda: {"k": 1}, lambda: {1}, lambda: deque([1])])
def test_load_parts_two_names_when_they_had_parted_by_the_save(make: Callable[[], Any], tmp_path: Path) -> None:
    one, shared = Bare(a=make(), b=type(make())()), make()
    other = Bare(a=shared, b=shared)
    other.load(through_file(one.save(), tmp_path))
    assert vars(other) == vars(one)


@pytest.mark.parametrize("zeros", [torch.zeros, numpy.zeros])
def test_load_parts_two_tensors_when_they_had_parted_by_the_save(zeros: Callable[[int], Any], tmp_path: Path) -> None:
    one, shared = Bare(a=zeros(2), b=zeros(2) + 1), zeros(2)
    other = Bare(a=shared, b=shared)
    other.load(through_file(one.save(), tmp_path))
    assert [vars(other)[name].tolist() for name in "ab"] == [[0, 0], [1, 1]]


def test_load_leaves_two_names_for_one_tensor_together(tmp_path: Path) -> None:
    def made(value: float) -> Any:
        shared = torch.full((2,), value)
        return Bare(a=shared, b=shared)

    other = made(0)
    other.load(through_file(made(1).save(), tmp_path))
    assert other.a is other.b
    assert other.a.tolist() == [1, 1]


def test_load_ties_two_names_when_they_were_tied_by_the_save(tmp_path: Path) -> None:
    shared = torch.ones(2)
    other: Any = Bare(a=None, b=None)
    other.load(through_file(Bare(a=shared, b=shared).save(), tmp_path))
    other.a.add_(1)
    assert other.b.tolist() == [2, 2]


def test_module_keeps_an_ordered_dict_subclass_out_of_the_way(tmp_path: Path) -> None:
    state = Bare(value=OrderedDict(b=1, a=2)).save()
    assert through_file(state, tmp_path) == {"value": {"b": 1, "a": 2}}


# Without torch


PLAIN_TRAINER = """
import sys
from pathlib import Path
from hive.storage.folders import LocalFolder
from hive.training.executor import Executor
from hive.training.reports import BatchOrder, StageOrder
from hive.training.trainer import Trainer
class Plain(Trainer):
    def build(self, hp): self.count, self.seen = 0, [()]
    def train(self): self.count += 1; self.seen.append((self.count,))
    def evaluate(self): return {"count": self.count}
reports = []
executor = Executor(Plain, device="cpu", seed=0, fixed={}, threads=1, folder=LocalFolder(Path(sys.argv[1])),
                    report=reports.append)
for origin, name, stage in (
    (None, None, StageOrder(0, 0, 2, {}, True)),
    ((0, 2), "0-2-1.safetensors", StageOrder(1, 2, 3, {}, True)),
):
    list(executor.run(BatchOrder(1, 1, origin, name, {}, (stage,), "")))
    executor.close()
assert [type(r).__name__ for r in reports if type(r).__name__ != "Stepped"] == ["Reached", "Ended"] * 2, reports
print(sorted({"torch", "numpy"} & set(sys.modules)))
"""


def test_trainer_without_torch_loads_neither_torch_nor_numpy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_TRAINER, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "[]\n"
