"""Small trainers and a bench to run them on: what the tests of hive.training share."""

from __future__ import annotations

import queue
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy
import torch

from hive.planner.pieces import Form, Value, form_from_data
from hive.planner.sequences import Constant
from hive.storage.folders import LocalFolder
from hive.training.executor import Executor
from hive.training.reports import BatchOrder, Ended, Report, StageOrder
from hive.training.trainer import Trainer

__all__ = ["KINDS", "RISING", "STEADY", "Bench", "Counter", "batch", "constant", "of_kind", "stage"]

R = TypeVar("R")

ANSWER_S_MAX = 60.0
"""Seconds after which a test gives up waiting for a report."""


def constant(value: Value) -> Form:
    """The form of a value that never changes."""
    [piece] = Constant(value).pieces()
    return piece.form


STEADY: dict[str, Form] = {"lr": constant(0.1)}
RISING: dict[str, Form] = {"lr": form_from_data(["line", "1/100", "1/100"]), "size": constant(4)}


def stage(node: int, start: int, end: int, forms: dict[str, Form] = STEADY, metrics: bool = True) -> StageOrder:
    """A stage order."""
    return StageOrder(node, start, end, forms, metrics)


def batch(*stages: StageOrder, origin: tuple[int, int] | None = None, checkpoint: str | None = None) -> BatchOrder:
    """A batch order whose checkpoints are named after its origin."""
    first = stages[0]
    values = {name: form.value(max(first.start - 1, 0)) for name, form in first.forms.items()}
    return BatchOrder(7, 1, origin, checkpoint, values, stages, "fork-" if origin else "")


class Bench:
    """An executor and the reports it made."""

    def __init__(self, trainer_class: type[Trainer], folder: Path, **options: Any) -> None:
        self.reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        settings: dict[str, Any] = {"device": "cpu", "seed": 5, "fixed": {}, "threads": 1, **options}
        self.executor = Executor(trainer_class, folder=LocalFolder(folder), report=self.reports.put, **settings)

    def run(self, order: BatchOrder, between: Callable[[int], None] = lambda step: None) -> list[Report]:
        """Run a batch to its end; `between` is called at each yield, with the number of yields before it."""
        for count, _ in enumerate(self.executor.run(order)):
            between(count)
        found: list[Report] = []
        while not (found and isinstance(found[-1], Ended)):
            found.append(self.reports.get(timeout=ANSWER_S_MAX))
        assert self.reports.empty()
        return found


def of_kind(kind: type[R], reports: list[Report]) -> list[R]:
    """The reports of one kind, in order."""
    return [report for report in reports if isinstance(report, kind)]


class Counter(Trainer):
    """Counts without torch, and writes down every call."""

    calls: list[tuple[str, Any]]
    count: int

    def build(self, hp: Mapping[str, Value]) -> None:
        self.calls = [("build", dict(hp))]
        self.count = 0

    def setup(self, hp: Mapping[str, Value]) -> None:
        self.calls.append(("setup", dict(hp)))

    def train(self) -> Mapping[str, float] | None:
        self.calls.append(("train", self.count))
        self.count += 1
        return None

    def evaluate(self) -> Mapping[str, float]:
        self.calls.append(("evaluate", self.count))
        return {"count": self.count}

    def save(self) -> dict[str, Any]:
        return {"count": self.count}

    def load(self, state: dict[str, Any]) -> None:
        self.calls.append(("load", state["count"]))
        self.count = state["count"]


class Net(Trainer):
    """Dropout and batch normalization, in train mode in evaluate() too; batches are drawn from torch's generator."""

    def build(self, hp: Mapping[str, Value]) -> None:
        self.model = torch.nn.Sequential(
            torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1)
        )
        self.optimizer = self.made_optimizer()
        self.seen: list[float] = []

    def made_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.model.parameters(), lr=1.0, momentum=0.9)

    def setup(self, hp: Mapping[str, Value]) -> None:
        if "lr" in hp:
            for group in self.optimizer.param_groups:
                group["lr"] = hp["lr"]

    def inputs(self) -> torch.Tensor:
        return torch.randn(5, 6)

    def train(self) -> Mapping[str, float] | None:
        self.optimizer.zero_grad()
        loss = self.model(self.inputs()).square().mean()
        loss.backward()
        self.optimizer.step()
        self.seen.append(loss.item())
        return {"loss": loss.detach()}

    def evaluate(self) -> Mapping[str, float]:
        with torch.no_grad():
            return {"loss": self.model(self.inputs()).square().mean().item()}


class AdamNet(Net):
    """AdamW, and evaluate() leaves eval mode on and gradients off."""

    def made_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.model.parameters(), lr=1.0)

    def evaluate(self) -> Mapping[str, float]:
        self.model.eval()
        torch.set_grad_enabled(False)
        return super().evaluate()


class DrawingNet(Net):
    """The batches are drawn from Python's and NumPy's global generators; evaluate() draws from them too."""

    def inputs(self) -> torch.Tensor:
        return torch.from_numpy(numpy.random.rand(5, 6)).float() * random.random()


class OwningNet(Net):
    """The batches are drawn from generators that are attributes."""

    def build(self, hp: Mapping[str, Value]) -> None:
        super().build(hp)
        self.model[2] = torch.nn.Identity()
        self.generators: list[Any] = [random.Random(self.seed), numpy.random.default_rng(self.seed)]
        self.generator = torch.Generator().manual_seed(self.seed)
        self.old = {"generator": numpy.random.RandomState(self.seed)}

    def inputs(self) -> torch.Tensor:
        scale = self.generators[0].random() * self.generators[1].random() * self.old["generator"].rand()
        return torch.randn(5, 6, generator=self.generator) * float(scale)


class SavingNet(AdamNet):
    """Its own save and load, with tuples, int keys and the parameters as a tuple of tensors."""

    def save(self) -> dict[str, Any]:
        state = self.optimizer.state_dict()
        return {"model": dict(self.model.named_parameters()), "rest": (state, {1: tuple(self.model.buffers())})}

    def load(self, state: dict[str, Any]) -> None:
        optimizer, rest = state["rest"]
        self.optimizer.load_state_dict(optimizer)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(state["model"][name])
            for buffer, saved in zip(self.model.buffers(), rest[1], strict=True):
                buffer.copy_(saved)


class FreezingNet(SavingNet):
    """Puts batch normalization in eval mode once, in its second step; its state does not say so."""

    def train(self) -> Mapping[str, float] | None:
        if len(self.seen) == 1:
            self.model[1].eval()
        return super().train()

    def save(self) -> dict[str, Any]:
        return {**super().save(), "seen": self.seen}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        self.seen = state["seen"]


class AliasingNet(Net):
    """Its own save returns live tensors, and its own load keeps what it is handed: so may torch's optimizers."""

    def build(self, hp: Mapping[str, Value]) -> None:
        super().build(hp)
        self.average = torch.zeros(8, 6)

    def train(self) -> Mapping[str, float] | None:
        metrics = super().train()
        with torch.no_grad():
            self.average.mul_(0.5).add_(self.model[0].get_parameter("weight"))
            self.model[0].get_parameter("weight").add_(self.average, alpha=0.01)
        return metrics

    def save(self) -> dict[str, Any]:
        tensors = self.model.state_dict(keep_vars=True)
        return {"model": tensors, "optimizer": self.optimizer.state_dict(), "average": self.average}

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"], assign=True)
        self.optimizer = self.made_optimizer()
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = state["average"]


KINDS: dict[str, type[Trainer]] = {
    kind.__name__: kind for kind in (Net, AdamNet, DrawingNet, OwningNet, SavingNet, FreezingNet, AliasingNet)
}
