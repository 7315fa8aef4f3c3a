"""A live trainer: one instance of the user's class, from build to the last step, with what must surround each call.

This is where the same steps are made to give the same bits: generators seeded before `build`, carried in checkpoints
and restored behind `load`; `evaluate` and `save` isolated, so that calling them more or less often changes nothing.

It must not know of leases, reports or threads.
"""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hive.storage.checkpoints import Pool, Snapshot, read_checkpoint, snapshot
from hive.training.calls import call, checked_metrics
from hive.training.isolation import Isolation, restore_flags, restore_generators, seed_for, seed_generators
from hive.training.memory import Kept
from hive.training.reports import Metrics

if TYPE_CHECKING:
    from hive.planner.pieces import Value
    from hive.training.trainer import Trainer

__all__ = ["Live", "Settings", "same_value"]

log = logging.getLogger("hive.training")


@dataclass(frozen=True, slots=True)
class Settings:
    """What every instance of a study's trainer is given.

    Attributes:
        trainer_class: the user's class.
        device: as torch names it.
        seed: the study's seed.
        fixed: the study's fixed settings.
        threads: CPU threads of one trainer.
        metric: what `evaluate` must return among others; None for anything.
    """

    trainer_class: type[Trainer]
    device: str
    seed: int
    fixed: dict[str, Any]
    threads: int
    metric: str | None

    def made_on(self) -> dict[str, Any]:
        """What a state's bits depend on besides its steps: device type, threads, vector instructions."""
        torch = sys.modules.get("torch")
        capability = "" if torch is None else torch.backends.cpu.get_cpu_capability()
        return {"device": self.device.partition(":")[0], "threads": self.threads, "capability": capability}


class Live:
    """One instance of the user's trainer.

    Attributes:
        values: the hyper-parameters in force; empty until the first `put_in_force`.
    """

    def __init__(self, settings: Settings, build_values: Mapping[str, Value]) -> None:
        """Make the instance and build it.

        Raises:
            Broken: the user's code raised.
        """
        self.settings = settings
        self.values: dict[str, Value] = {}
        before = libraries()
        self.trainer = self.built(build_values)
        if libraries() != before:
            # build() imported NumPy or torch, whose generators were not seeded: the next process would differ.
            self.trainer = self.built(build_values)

    def built(self, build_values: Mapping[str, Value]) -> Trainer:
        """A new instance, built from seeded generators."""
        settings = self.settings
        seed_generators(settings.seed)
        torch = sys.modules.get("torch")
        if torch is not None and torch.get_num_threads() != settings.threads:
            torch.set_num_threads(settings.threads)
        trainer = call("build", settings.trainer_class)
        trainer.device, trainer.seed, trainer.fixed = settings.device, settings.seed, copy.deepcopy(settings.fixed)
        call("build", trainer.build, dict(build_values))
        return trainer

    def load(self, path: Path) -> None:
        """Go to a checkpoint's state.

        Raises:
            Broken: the file cannot be read, or the user's code raised.
        """
        state, extras = call("load", read_checkpoint, path, self.settings.device)
        self.take_over(state, extras)
        here, there = self.settings.made_on(), extras["made_on"]
        if here != there:
            log.warning("%s was trained on %s, and goes on on %s: expect other bits", path.name, there, here)

    def load_copy(self, kept: Kept) -> None:
        """Go to a state that is kept in memory. `load` gets a copy of its own, since it may keep what it is given.

        Raises:
            Broken: the user's code raised.
        """
        self.take_over(kept.snapshot.content(self.settings.device), kept.extras)

    def take_over(self, state: Any, extras: dict[str, Any]) -> None:
        """Go to a state, with what belongs to it besides."""
        call("load", self.trainer.load, state)
        restore_generators(extras["generators"], self.settings.seed)
        restore_flags(self.trainer, extras["flags"])

    def put_in_force(self, values: dict[str, Value]) -> None:
        """Call `setup` with the values that differ from those in force; at a start with all.

        Raises:
            Broken: the user's code raised.
        """
        changed = {
            name: value
            for name, value in values.items()
            if name not in self.values or not same_value(value, self.values[name])
        }
        if changed or not self.values:
            call("setup", self.trainer.setup, changed)
        self.values = values

    def train(self) -> Metrics | None:
        """Do one step.

        Raises:
            Broken: the user's code raised, or returned something else than metrics or None.
        """
        returned = call("train", self.trainer.train)
        return None if returned is None else checked_metrics("train", returned)

    def isolated(self) -> Isolation:
        """What must surround `snapshot` and `evaluate`: they leave no trace behind it. One may surround both."""
        return Isolation(self.trainer, self.settings.seed)

    def snapshot(self, pool: Pool, isolation: Isolation) -> tuple[Snapshot, dict[str, Any]]:
        """A copy of the state, and what a checkpoint carries besides: generators, training flags, what it was made on.

        Raises:
            Broken: the user's code raised, or returned something that cannot be stored.
        """
        copied = call("save", lambda: snapshot(self.trainer.save(), pool))
        isolation.put_back()
        flags = bytes(flag for _, flag in isolation.flags)
        return copied, {"generators": isolation.generators, "flags": flags, "made_on": self.settings.made_on()}

    def evaluate(self, step: int, isolation: Isolation) -> Metrics:
        """Measure after `step` steps.

        Raises:
            Broken: the user's code raised, or did not return metrics, or not the study's.
        """
        isolation.keep_buffers()
        seed_generators(seed_for(self.settings.seed, step))
        returned = call("evaluate", self.trainer.evaluate)
        return checked_metrics("evaluate", returned, self.settings.metric)


def libraries() -> set[str]:
    """Which libraries with global generators are imported."""
    return {"numpy", "torch"}.intersection(sys.modules)


def same_value(one: Value, other: Value) -> bool:
    """Whether two values are the same in type and value: 1, 1.0 and True are three."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    return type(one) is type(other) and one == other
