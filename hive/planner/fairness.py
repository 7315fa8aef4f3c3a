"""Whose turn it is: trainer time shared by weight among those who wait for it.

Each study has a *usage*: the trainer-seconds that it was charged, divided by its weight. The next batch is for the
waiting study with the least usage, and is charged when it is given out, by what it should take; when it has ended, by
what it took. So a study that waits all the while is never further ahead of its share than by one batch of its own, nor
further behind than by its share of one batch of each. (Start-time fair queueing: Goyal, Vin and Cheng, 1996.)

* A stage that several studies want is charged to all of them, each by its weight: together they are served as one study
  with the sum of their weights would be.
* A study that had nothing to train comes back with the usage of whoever was served last, from before that batch, or its
  own if that is more: time that it did not need gives it no claim. Where nobody waits, all begin anew from nothing, for
  then nobody is served at another's cost. That is why nothing here has to be kept over a restart.

It must not know stages, plans, trainers, or clocks. A study is whatever its caller names one, in an order of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["FairShares"]

S = TypeVar("S", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Charge(Generic[S]):
    """What a batch that is out was charged.

    Attributes:
        parts: by study, trainer-seconds; they sum to what the batch should take.
        weights: by study, what it weighed then.
        era: when that was; see `FairShares.era`.
    """

    parts: dict[S, float]
    weights: dict[S, float]
    era: int


class FairShares(Generic[S]):
    """The accounts of all studies.

    Attributes:
        usage: by study, trainer-seconds charged / weight, since nobody waited last.
        charged_s: by study, all trainer-seconds it was ever charged: for people, no decision rests on it.
        waiting: the studies that had something to train and no trainer for it, with their weights.
        turn: the usage, before its last batch, of the study that was served last.
        era: how often nobody waited, and all began anew.
    """

    def __init__(self) -> None:
        self.usage: dict[S, float] = {}
        self.charged_s: dict[S, float] = defaultdict(float)
        self.waiting: dict[S, float] = {}
        self.turn = 0.0
        self.out: dict[int, Charge[S]] = {}
        self.era = 0

    def arrive(self, ready: Mapping[S, float]) -> None:
        """These studies, and no others, have something that a trainer could begin now.

        Args:
            ready: by study, its weight (> 0).
        """
        stayed = [self.usage[study] for study in ready if study in self.waiting]
        if not stayed:
            self.usage.clear()
            self.turn = 0.0
            self.era += 1
        floor = min([self.turn, *stayed])
        for study in ready:
            if study not in self.waiting:
                self.usage[study] = max(self.usage.get(study, 0.0), floor)
        self.waiting = dict(ready)

    def leave(self, ready: Collection[S]) -> None:
        """Of those who waited, only these still do."""
        self.waiting = {study: weight for study, weight in self.waiting.items() if study in ready}

    def owed_s(self, study: S, other: S) -> float:
        """The trainer-seconds that a waiting study lacks to be level with another; negative if it is ahead."""
        return (self.usage[other] - self.usage[study]) * self.waiting[study]

    def charge(
        self, batch: int, study: S, costs: Iterable[tuple[float, Collection[S]]], weights: Mapping[S, float]
    ) -> None:
        """A batch is given out.

        Args:
            batch: its number.
            study: whose turn it was; a waiting one.
            costs: of each of its stages, the seconds that it should take and the studies that want it.
            weights: by study, for all of these.
        """
        self.turn = self.usage[study]
        parts: dict[S, float] = defaultdict(float)
        for seconds, studies in costs:
            together = sum(weights[study] for study in studies)
            for study in studies:
                parts[study] += seconds * weights[study] / together
        charge = self.out[batch] = Charge(dict(parts), {study: weights[study] for study in parts}, self.era)
        self.add(charge, 1.0)

    def settle(self, batch: int, seconds: float) -> None:
        """A batch has ended after so many seconds: each study's part is of these from now on. One that was given out
        before these accounts began is passed over."""
        charge = self.out.pop(batch, None)
        expected = sum(charge.parts.values()) if charge is not None else 0.0
        if charge is not None and expected > 0.0:
            self.add(charge, seconds / expected - 1.0)

    def batches_of(self, study: S) -> list[int]:
        """The batches that are out and that a study pays a part of."""
        return [batch for batch, charge in self.out.items() if study in charge.parts]

    def add(self, charge: Charge[S], factor: float) -> None:
        """Add so many times the parts of a charge. Usage of an earlier era counts no more."""
        for study, seconds in charge.parts.items():
            self.charged_s[study] += seconds * factor
            if charge.era == self.era:
                self.usage[study] = self.usage.get(study, 0.0) + seconds * factor / charge.weights[study]
