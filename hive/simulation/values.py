"""A model of training whose states say exactly which values were in force at which step.

It must not know search spaces, tuners, or the coordinator.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hive.planner.pieces import Form, Value
from hive.planner.space import Config

__all__ = ["ValuesModel", "expected_digest", "score", "score_or_no_number"]

Forms = Mapping[str, Form]


NO_NUMBERS = (math.nan, math.inf, -math.inf)
"""What is measured where training went wrong."""


def score(digest: str) -> dict[str, float]:
    """Figures made from a digest."""
    return {"score": int(digest[:6] or "0", 16) / 1000}


def score_or_no_number(digest: str, no_number: float) -> dict[str, float]:
    """The same, but in this part of all states, which are always the same ones, the figure is no number."""
    drawn = int(digest[-6:] or "0", 16)
    return {"score": NO_NUMBERS[drawn % len(NO_NUMBERS)]} if drawn < no_number * 16**6 else score(digest)


@dataclass
class ValuesModel:
    """A state is a digest of all values so far, so that it says exactly which were in force at which step.

    Attributes:
        seconds: what a step takes.
        measure: digest -> metrics.
    """

    seconds: float = 0.1
    measure: Callable[[str], dict[str, float]] = score

    def begin(self) -> str:
        """No value yet."""
        return ""

    def train(self, state: str, forms: Forms, start: int, end: int) -> str:
        """One digest over another, step by step."""
        for step in range(start, end):
            state = after(state, {name: form.value(step) for name, form in forms.items()})
        return state

    def digest(self, state: str) -> str:
        """The state itself."""
        return state

    def metrics(self, state: str, step: int) -> dict[str, float]:
        """Made from the digest."""
        return self.measure(state)

    def step_s(self, forms: Forms, step: int) -> float:
        """The same for all."""
        return self.seconds


def after(state: str, values: dict[str, Value]) -> str:
    """The state of a `ValuesModel` after a step with these values."""
    return hashlib.sha256((state + json.dumps(values, sort_keys=True)).encode()).hexdigest()


def expected_digest(config: Config, steps: int) -> str:
    """The state that a `ValuesModel` comes to with a config trained alone."""
    state = ""
    for step in range(steps):
        state = after(state, {name: sequence(step) for name, sequence in config.items()})
    return state
