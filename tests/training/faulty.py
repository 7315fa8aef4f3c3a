"""Trainers that break the contract of `hive.Trainer`, one fault each: what `hive check` must find."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from hive.planner.pieces import Value
from hive.training.trainer import Trainer

__all__ = ["FAULTY"]

made = itertools.count()


class Sound(Trainer):
    """Keeps the contract: a value that grows by what is drawn."""

    def build(self, hp: Mapping[str, Value]) -> None:
        self.total = torch.zeros(2)
        self.lr = 0.0

    def setup(self, hp: Mapping[str, Value]) -> None:
        if "lr" in hp:
            self.lr = float(str(hp["lr"]))

    def draw(self) -> float:
        """What a step adds, before the learning rate."""
        return random.random()

    def train(self) -> Mapping[str, float] | None:
        self.total += self.lr * self.draw()
        return None

    def evaluate(self) -> Mapping[str, float]:
        return {"loss": self.total.sum().item()}


class Sampler:
    """An object of the user's own, in which the default save sees nothing."""

    def __init__(self, seed: int) -> None:
        self.generator = random.Random(seed)
        self.taken = 0

    def take(self) -> float:
        """The next number."""
        self.taken += 1
        return self.generator.random()


class HidesGenerator(Sound):
    """Draws from a generator in an own object."""

    def build(self, hp: Mapping[str, Value]) -> None:
        super().build(hp)
        self.sampler = Sampler(self.seed)

    def draw(self) -> float:
        return self.sampler.take()


class HidesCounter(Sound):
    """Counts in an own object, and the count takes part."""

    def build(self, hp: Mapping[str, Value]) -> None:
        super().build(hp)
        self.sampler = Sampler(self.seed)

    def draw(self) -> float:
        self.sampler.taken += 1
        return float(self.sampler.taken)


class KeepsIterator(Sound):
    """Takes its batches from an iterator that `build` makes."""

    def build(self, hp: Mapping[str, Value]) -> None:
        super().build(hp)
        self.batches: Iterator[float] = iter([float(number) for number in range(100)])

    def draw(self) -> float:
        return next(self.batches)


class KeepsGeneratorFunction(KeepsIterator):
    """The same with an iterator that does not tell how far it is."""

    def build(self, hp: Mapping[str, Value]) -> None:
        super().build(hp)
        self.batches = (float(number) for number in range(100))


class EvaluateTrains(Sound):
    """Counts its evaluations in the state."""

    def build(self, hp: Mapping[str, Value]) -> None:
        super().build(hp)
        self.progress = {"measured": 0}

    def evaluate(self) -> Mapping[str, float]:
        self.progress["measured"] += 1
        return super().evaluate()


class SetupAdds(Sound):
    """Setting a value again moves it."""

    def setup(self, hp: Mapping[str, Value]) -> None:
        if "lr" in hp:
            self.lr += float(str(hp["lr"]))


class SaveCounts(Sound):
    """Saving leaves a trace."""

    def save(self) -> dict[str, Any]:
        self.total += 1
        return super().save()


class LoadAliases(Sound):
    """Its own load gives one of the state's tensors to two attributes, and a step changes one of them in place."""

    def build(self, hp: Mapping[str, Value]) -> None:
        super().build(hp)
        self.start = self.total.clone()

    def train(self) -> Mapping[str, float] | None:
        super().train()
        self.start = self.start * 0.5 + 0.01
        self.total += self.start
        return None

    def save(self) -> dict[str, Any]:
        return {"total": self.total, "start": self.start, "lr": self.lr}

    def load(self, state: dict[str, Any]) -> None:
        self.total, self.lr = state["total"], state["lr"]
        self.start = state["total"]


class LoadForgets(Sound):
    """Its own save and load leave out what a step needs."""

    def build(self, hp: Mapping[str, Value]) -> None:
        super().build(hp)
        self.warmth = 1.0

    def draw(self) -> float:
        self.warmth *= 0.5
        return self.warmth

    def save(self) -> dict[str, Any]:
        return {"total": self.total}

    def load(self, state: dict[str, Any]) -> None:
        self.total = state["total"]


class MeasuresHidden(HidesCounter):
    """The hidden count shows in a metric only."""

    def train(self) -> Mapping[str, float] | None:
        self.sampler.taken += 1
        return None

    def evaluate(self) -> Mapping[str, float]:
        return {"loss": float(self.sampler.taken)}


class UsesModule(Sound):
    """A module-level variable takes part."""

    def draw(self) -> float:
        return float(next(made))


class ForgetsToBuild(Sound):
    """Has an optimizer after the first step only, so it cannot be loaded."""

    def train(self) -> Mapping[str, float] | None:
        self.optimizer = torch.optim.SGD([self.total], lr=self.lr)
        return super().train()


class Raises(Sound):
    """Fails at its third step."""

    def build(self, hp: Mapping[str, Value]) -> None:
        super().build(hp)
        self.done = 0

    def train(self) -> Mapping[str, float] | None:
        self.done += 1
        if self.done == 3:
            raise ValueError("no batch left")
        return None


FORKS = ("from memory", "from disk", "new process")

FAULTY: list[tuple[type[Trainer], tuple[str, ...], str | None, str]] = [
    (HidesGenerator, FORKS, "total", "generators not saved: self.sampler.generator"),
    (HidesCounter, FORKS, "total", "an attribute that build() makes anew and train() changes: self.sampler.taken"),
    (KeepsIterator, FORKS, "total", "an attribute that build() makes anew and train() changes: self.batches"),
    (KeepsGeneratorFunction, FORKS, "total", "build() makes anew and train() changes: self.batches, an iterator"),
    (EvaluateTrains, ("extra evaluations",), "progress.measured", "evaluate() changes the state"),
    (SetupAdds, ("setup twice",), "total", "setup() is not idempotent"),
    (SaveCounts, ("live continuation", *FORKS), "total", "save() changes the state"),
    (LoadAliases, FORKS, "total", "load() keeps references: self.start and self.total are one tensor"),
    (LoadForgets, FORKS, "total", "save() and load() do not bring self.warmth back"),
    (MeasuresHidden, FORKS, "metrics.loss", "an attribute that build() makes anew and train() changes: self.sampler"),
    (ForgetsToBuild, FORKS, None, "build() made nothing there"),
]
"""The class, the ways that differ, the first key that does, and what the likely cause must say."""
