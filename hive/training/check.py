"""Does a trainer give the same bits whichever way hive trains it? What `hive check` asks.

A few steps of one config, trained straight, are the measure. The same steps are trained in each of the other ways
(ways.py). One that ends in another state or other metrics is told with the first key that differs and the likely cause
(causes.py).

It must not know commands, studies, or how a process is started.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hive.planner.pieces import ConstantForm
from hive.planner.sequences import Piecewise, Sequence
from hive.planner.space import Config, Space, segments
from hive.training import ways
from hive.training.calls import Broken
from hive.training.causes import Portrait, first_difference, known_cause, suspicion
from hive.training.reports import Metrics
from hive.training.trainer import Trainer
from hive.training.ways import Subject, Trained, begun, go_on

__all__ = ["WAYS", "Checked", "Outcome", "check", "drawn"]

STEPS_MAX = 6
"""Enough for a fork with steps on both sides of it; a step may be an epoch."""

WAYS = ("straight", "extra evaluations", "live continuation", "from memory", "from disk", "new process", "setup twice")
"""Every way; the first is what the others are compared with."""

UNREPEATABLE = (
    "training the same steps again in one process gives another state: something outside the trainer's attributes "
    "takes part, such as a generator that nobody seeded, a module-level variable, or the time"
)
SAVES = "save() changes the state"
EVALUATES = "evaluate() changes the state"
SETS = "setup() is not idempotent: setting a value that is in force already changes something"
PROCESS = (
    "something that differs from process to process: a module-level variable that training changes, id(), hash(), "
    "or the time"
)
UNKNOWN = (
    "load() does not bring back all that training depends on, and nothing that hive can look into differs: "
    "look at what build() makes and train() changes"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way against the straight one.

    Attributes:
        way: one of WAYS.
        digest: of the state it ended in; None if it failed.
        equal: whether digest and metrics are those of the straight way.
        first_difference: the first key of the state that differs (`model.fc.weight`), else of the metrics
            (`metrics.loss`); None if none does.
        likely_cause: why it differs, or the traceback of what failed; None if it is equal.
    """

    way: str
    digest: str | None
    equal: bool
    first_difference: str | None = None
    likely_cause: str | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check."""

    outcomes: list[Outcome]
    steps: int
    config: dict[str, dict[str, Any]]

    @property
    def ok(self) -> bool:
        """Whether all ways give one digest, and the same metrics."""
        return all(outcome.equal for outcome in self.outcomes)

    def to_json(self) -> dict[str, Any]:
        """The form of `hive check --json`."""
        told = [
            {
                "way": each.way,
                "digest": each.digest,
                "equal": each.equal,
                "first_difference": each.first_difference,
                "likely_cause": each.likely_cause,
            }
            for each in self.outcomes
        ]
        return {"ok": self.ok, "ways": told, "steps": self.steps, "config": self.config}


# -- what is trained ------------------------------------------------------------------------------------------


def drawn(space: Space, seed: int) -> tuple[Config, int]:
    """A config of the space, drawn from the seed, and how many steps to train it.

    Preferred is one with a value that changes within these steps. If there is none, values that change later change in
    the middle of them instead: a change is what finds most faults.
    """
    steps = max(2, min(space.steps, STEPS_MAX))
    configs = space.configs()
    random.Random(seed).shuffle(configs)
    early = next((config for config in configs if changes(config, steps)), None)
    if early is not None:
        return early, steps
    late = next((config for config in configs if changes(config, space.steps)), configs[0])
    return {name: brought_forward(sequence, steps, space.steps) for name, sequence in late.items()}, steps


def changes(config: Config, steps: int) -> bool:
    """Whether some value changes before step `steps`."""
    cut = segments(config, steps)
    return len(cut) > 1 or any(not isinstance(form, ConstantForm) for form in cut[0].forms.values())


def brought_forward(sequence: Sequence, steps: int, limit: int) -> Sequence:
    """The sequence; if it changes before `limit`, its first two values, with the change in the middle of `steps`."""
    cut = segments({"": sequence}, limit)
    return Piecewise([sequence(0), sequence(cut[1].start)], [steps // 2]) if len(cut) > 1 else sequence


# -- what came of it ------------------------------------------------------------------------------------------


def check(subject: Subject, new_process: Callable[[], Trained]) -> Checked:
    """Train the subject in every way.

    Args:
        subject: what is checked.
        new_process: does what `forked_from_disk` does, in another process.
    """
    straight = ways.straight(subject)
    outcomes = [Outcome(WAYS[0], straight.digest, straight.error is None, likely_cause=straight.error)]
    if straight.error is None:
        others = [
            ways.evaluated(subject),
            ways.live(subject),
            ways.forked_from_memory(subject),
            ways.forked_from_disk(subject),
            new_process(),
            ways.setup_twice(subject),
        ]
        outcomes += compared(subject, straight, dict(zip(WAYS[1:], others, strict=True)))
    config = {name: sequence.descriptor() for name, sequence in subject.config.items()}
    return Checked(outcomes, subject.steps, config)


def compared(subject: Subject, straight: Trained, found: dict[str, Trained]) -> list[Outcome]:
    """Each way against the straight one."""
    differences = {way: difference(straight, trained) for way, trained in found.items()}
    differing = {way for way, key in differences.items() if key is not None}
    reasons: dict[str, str] = {}
    if differing:
        again = ways.straight(subject)
        unrepeatable = again.error is not None or difference(straight, again) is not None
        reasons = dict.fromkeys(differing, UNREPEATABLE) if unrepeatable else causes(subject, differing)
    return [
        Outcome(way, trained.digest, False, None, trained.error)
        if trained.error is not None
        else Outcome(way, trained.digest, differences[way] is None, differences[way], reasons.get(way))
        for way, trained in found.items()
    ]


def difference(straight: Trained, other: Trained) -> str | None:
    """The first key of the state, else of the metrics, that differs; None if all is equal, or the other failed."""
    if other.error is not None:
        return None
    if straight.digest != other.digest:
        return first_difference(straight.state, other.state) or "state"
    return different_metric(straight.metrics, other.metrics)


def different_metric(one: Metrics, other: Metrics) -> str | None:
    """The first metric that differs; two that are no number are equal."""
    for name in sorted({*one, *other}):
        if repr(one.get(name)) != repr(other.get(name)):
            return f"metrics.{name}"
    return None


def causes(subject: Subject, differing: set[str]) -> dict[str, str]:
    """Why these ways differ."""
    own = {"extra evaluations": EVALUATES, "live continuation": SAVES, "setup twice": SETS}
    if "live continuation" in differing:
        fork = SAVES
    elif "setup twice" in differing:
        fork = SETS
    else:
        fork = cause_at_fork(subject, elsewhere=differing <= {"new process"})
    return {way: own.get(way, fork) for way in differing}


def cause_at_fork(subject: Subject, *, elsewhere: bool) -> str:
    """Why a trainer goes on otherwise after a load. `elsewhere`: it does so in another process only."""
    if elsewhere:
        return PROCESS
    kind = subject.settings.trainer_class
    try:
        trained = begun(subject, 0)
        go_on(subject, trained, 0, subject.fork)
        loaded = begun(subject, subject.fork - 1)
        loaded.load(subject.folder / subject.origin)
        for each in (trained, loaded):  # what setup() puts right is no cause
            each.put_in_force(subject.values(subject.fork))
        before, after = Portrait.of(trained.trainer), Portrait.of(loaded.trainer)
        saved = trained.trainer.save()
    except Broken as broken:
        return f"{broken.where}() failed:\n{broken.text}"
    return known_cause(before, after, saved, kind.load is not Trainer.load) or suspicion(before) or UNKNOWN
