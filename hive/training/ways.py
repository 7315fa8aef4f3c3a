"""The ways in which hive may come to one state: what `hive check` trains and compares.

Each takes a few steps of one config to their end: straight; with a save or an evaluation in between; forked in the
middle from memory, from disk, in a process that never trained the beginning; with values set again that are in force. A
trainer that keeps its contract ends in the same state by each.

It must not know what is compared, or how a process is started.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hive.planner.pieces import Form, Value
from hive.planner.sequences import Sequence
from hive.planner.space import Config
from hive.storage.checkpoints import read_checkpoint
from hive.storage.folders import LocalFolder
from hive.training.executor import Executor
from hive.training.live import Live, Settings
from hive.training.reports import BatchOrder, Failed, Metrics, Place, Reached, Report, StageOrder
from hive.training.trainer import Trainer

__all__ = [
    "Subject",
    "Trained",
    "begun",
    "evaluated",
    "forked_from_disk",
    "forked_from_memory",
    "go_on",
    "live",
    "setup_twice",
    "state_of",
    "straight",
]


@dataclass(frozen=True, eq=False)
class WholeForm(Form):
    """A whole sequence in the place of one piece, so that a stage need not end where a piece does."""

    sequence: Sequence

    def value(self, step: int) -> Value:
        """The sequence's value in force during `step`."""
        return self.sequence(step)

    def shifted(self, steps: int) -> Form:
        """There is none: these stages count from step 0."""
        raise TypeError(f"a whole sequence begins at step 0, not {steps} later")

    def to_data(self) -> list[Value]:
        """The sequence as text; no message holds it."""
        return ["sequence", self.sequence.canonical_text]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked.

    Attributes:
        settings: the trainer's class, and what every instance is given.
        config: the sequences.
        steps: how many steps are trained, >= 2.
        folder: where checkpoints go.
    """

    settings: Settings
    config: Config
    steps: int
    folder: Path

    @property
    def fork(self) -> int:
        """The step at which a state is saved, and loaded by the forks: the middle."""
        return self.steps // 2

    @property
    def origin(self) -> str:
        """The checkpoint at the fork, which the live way leaves; relative to the folder."""
        return self.order("live", ()).file_name(0, self.fork)

    def values(self, step: int) -> dict[str, Value]:
        """Every value in force during a step."""
        return {name: sequence(step) for name, sequence in self.config.items()}

    def stage(self, start: int, end: int, *, metrics: bool = True) -> StageOrder:
        """The steps [start, end)."""
        forms: dict[str, Form] = {name: WholeForm(sequence) for name, sequence in self.config.items()}
        return StageOrder(0, start, end, forms, metrics)

    def order(self, way: str, stages: tuple[StageOrder, ...], origin: Place | None = None) -> BatchOrder:
        """A batch whose checkpoints are named after the way."""
        build_values = self.values(0 if origin is None else origin[1] - 1)
        checkpoint = None if origin is None else self.origin
        return BatchOrder(1, 1, origin, checkpoint, build_values, stages, f"{way}-")


@dataclass(frozen=True, slots=True)
class Trained:
    """Where a way ended.

    Attributes:
        digest: of the state there; None if the way failed.
        metrics: what `evaluate()` returned there.
        state: what `save()` returned there.
        error: why it failed: the traceback of the user's code; None if it did not.
    """

    digest: str | None = None
    metrics: Metrics = field(default_factory=dict)
    state: Any = None
    error: str | None = None


# -- through the executor -------------------------------------------------------------------------------------


def straight(subject: Subject) -> Trained:
    """All steps, one after the other."""
    return train(subject, subject.order("straight", (subject.stage(0, subject.steps),)))


def evaluated(subject: Subject) -> Trained:
    """The same, with an evaluation after each step."""
    return train(subject, subject.order("evaluated", (subject.stage(0, subject.steps),)), eval_every=1)


def live(subject: Subject) -> Trained:
    """The same, with a checkpoint at the fork; training goes on in the live model."""
    stages = (subject.stage(0, subject.fork, metrics=False), subject.stage(subject.fork, subject.steps))
    return train(subject, subject.order("live", stages))


def forked_from_memory(subject: Subject) -> Trained:
    """From the state at the fork that was kept in memory while training went on, and then once more."""
    middle, end = subject.stage(0, subject.fork, metrics=False), subject.stage(subject.fork, subject.steps)
    first = subject.order("memory", (middle, end))
    origin = (0, subject.fork)
    again = replace(subject.order("again", (end,), origin), checkpoint=first.file_name(*origin))
    return train(subject, first, again, replace(again, file_prefix="and-again-"))


def forked_from_disk(subject: Subject, way: str = "disk") -> Trained:
    """From the checkpoint at the fork. `way` begins the names of the files it leaves."""
    stages = (subject.stage(subject.fork, subject.steps),)
    return train(subject, subject.order(way, stages, (0, subject.fork)))


def setup_twice(subject: Subject) -> Trained:
    """Straight, with every value in force set again before each step."""
    order = subject.order("setup", (subject.stage(0, subject.steps),))
    return train(subject, order, kind=setting_again(subject.settings.trainer_class))


def setting_again(kind: type[Trainer]) -> type[Trainer]:
    """A class whose `train` sets every value again first. What it remembers is no attribute, or it would be saved."""
    in_force: dict[str, Value] = {}

    def setup(trainer: Any, hp: Mapping[str, Value]) -> None:
        in_force.update(hp)
        kind.setup(trainer, hp)

    def train(trainer: Any) -> Mapping[str, float] | None:
        kind.setup(trainer, dict(in_force))
        return kind.train(trainer)

    return type(kind.__name__, (kind,), {"setup": setup, "train": train, "__module__": kind.__module__})


def train(
    subject: Subject, *orders: BatchOrder, kind: type[Trainer] | None = None, eval_every: int | None = None
) -> Trained:
    """Run batches, one after the other, on an executor of their own; where the last one ended."""
    settings, reports = subject.settings, list[Report]()
    executor = Executor(
        kind or settings.trainer_class,
        device=settings.device,
        seed=settings.seed,
        fixed=settings.fixed,
        threads=settings.threads,
        folder=LocalFolder(subject.folder),
        report=reports.append,
        metric=settings.metric,
        eval_every=eval_every,
        checkpoint_every_s=math.inf,
    )
    try:
        for order in orders:
            for _ in executor.run(order):
                pass
    finally:
        executor.close()
    return outcome(subject, reports)


def outcome(subject: Subject, reports: list[Report]) -> Trained:
    """What the reports of a batch come to."""
    for report in reports:
        if isinstance(report, Failed):
            return Trained(error=f"{report.where}() failed at step {report.step_failed}:\n{report.error}")
    last = [report for report in reports if isinstance(report, Reached)][-1]
    assert last.checkpoint is not None
    state, _ = read_checkpoint(subject.folder / last.checkpoint.name)
    return Trained(last.digest, last.metrics or {}, state)


def state_of(subject: Subject, way: str) -> Any:
    """The state in which a way ended, from the checkpoint it left."""
    return read_checkpoint(subject.folder / subject.order(way, ()).file_name(0, subject.steps))[0]


# -- by hand --------------------------------------------------------------------------------------------------


def begun(subject: Subject, step: int) -> Live:
    """A trainer built with the values of a step."""
    return Live(subject.settings, subject.values(step))


def go_on(subject: Subject, trainer: Live, start: int, end: int) -> None:
    """Train the steps [start, end)."""
    for step in range(start, end):
        trainer.put_in_force(subject.values(step))
        trainer.train()
