"""A model of training: how long a step takes, and how good a trial gets.

Quality is additive in the hyper-parameters, and some weigh more than others. What a hyper-parameter adds depends on the
values that it had so far, and on nothing else, so that trials which share a beginning are equally good until they part.
Everything is drawn from a seed, by name and history.

It must not know search spaces, tuners, or the coordinator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal

from hive.planner.pieces import Form
from hive.planner.space import forms_key

__all__ = ["QualityModel", "State"]

NORMAL = NormalDist()

WEIGHT = 0.1
"""What a hyper-parameter weighs that has no weight of its own."""

HALF_WAY = 10.0
"""Steps after which a trial has half of the quality that time alone gives."""


@dataclass(frozen=True, slots=True)
class History:
    """The values of one hyper-parameter so far.

    Attributes:
        before: what came before the form in force, as a digest.
        key: that form.
        since: the step from which it is in force.
    """

    before: str
    key: str
    since: int

    def then(self, key: str, step: int) -> History:
        """A form is in force from a step on."""
        if key == self.key:
            return self
        return History(hashed(self.before, self.key, str(self.since)), key, step)

    @property
    def digest(self) -> str:
        """What tells histories apart."""
        return hashed(self.before, self.key, str(self.since))


State = tuple[int, Mapping[str, History]]
"""Steps done, and by hyper-parameter what was in force."""


@dataclass(frozen=True)
class QualityModel:
    """Training as the simulator sees it.

    Attributes:
        seconds: what a step takes, under forms that nobody measured.
        weights: by hyper-parameter, the standard deviation of what its choice adds to a trial's score.
        seed: of what each choice adds.
        metric: what the score is called.
        mode: whether "max" or "min" of it is better.
        measured: what a step takes under the forms of these keys.
    """

    seconds: float
    weights: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    metric: str = "score"
    mode: Literal["min", "max"] = "max"
    measured: Mapping[str, float] = field(default_factory=dict)

    def begin(self) -> State:
        """Nothing was in force yet."""
        return 0, {}

    def train(self, state: State, forms: Mapping[str, Form], start: int, end: int) -> State:
        """The steps [start, end) under these forms."""
        _, before = state
        nothing = History("", "", 0)
        return end, {name: before.get(name, nothing).then(form.key, start) for name, form in forms.items()}

    def digest(self, state: State) -> str:
        """Of the steps, and of every hyper-parameter's history."""
        steps, histories = state
        return hashed(str(steps), *(f"{name} {histories[name].digest}" for name in sorted(histories)))

    def metrics(self, state: State, step: int) -> dict[str, float]:
        """The score so far."""
        _, histories = state
        chosen = sum(
            self.weights.get(name, WEIGHT) * self.drawn(name, history.digest) for name, history in histories.items()
        )
        score = chosen + step / (step + HALF_WAY)
        return {self.metric: score if self.mode == "max" else -score}

    def step_s(self, forms: Mapping[str, Form], step: int) -> float:
        """What was measured under these forms, or the same for all."""
        return self.measured.get(forms_key(forms), self.seconds) if self.measured else self.seconds

    def drawn(self, name: str, digest: str) -> float:
        """What a history adds, before it is weighed: from a normal distribution."""
        part = int(hashed(str(self.seed), name, digest)[:13], 16)
        return NORMAL.inv_cdf((part + 0.5) / 16**13)


def hashed(*parts: str) -> str:
    """A digest of texts."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()
