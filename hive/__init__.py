"""hive: hyper-parameter optimization that trains what trials have in common once.

Hyper-parameters are sequences over training steps. Trials whose sequences begin alike are one training until they part:

    sequences -> search plan (a tree of what was asked) -> stage tree (what is left to train) -> batches for trainers

A user subclasses `Trainer`, describes a space of sequences, and runs a tuner over a `Study`. Importing hive loads no
torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hive.connection import connect
    from hive.errors import (
        CheckpointError,
        HiveError,
        ProtocolError,
        SequenceError,
        SpaceError,
        StoreError,
        StudyError,
        TrainingError,
        UsageError,
    )
    from hive.planner.random_space import RandomSpace, choice, randint, uniform
    from hive.planner.sequences import (
        Chain,
        Constant,
        Cosine,
        CosineWarmRestarts,
        Cyclic,
        Exponential,
        Linear,
        MultiStep,
        OneCycle,
        Piecewise,
        Polynomial,
        Sequence,
        Step,
        Values,
        Warmup,
    )
    from hive.planner.space import GridSpace
    from hive.result import StudyResult
    from hive.study import Study
    from hive.training.trainer import Trainer

__all__ = [
    "Chain",
    "CheckpointError",
    "Constant",
    "Cosine",
    "CosineWarmRestarts",
    "Cyclic",
    "Exponential",
    "GridSpace",
    "HiveError",
    "Linear",
    "MultiStep",
    "OneCycle",
    "Piecewise",
    "Polynomial",
    "ProtocolError",
    "RandomSpace",
    "Sequence",
    "SequenceError",
    "SpaceError",
    "Step",
    "StoreError",
    "Study",
    "StudyError",
    "StudyResult",
    "Trainer",
    "TrainingError",
    "UsageError",
    "Values",
    "Warmup",
    "choice",
    "connect",
    "randint",
    "uniform",
]

__version__ = "0.1.0"

HOMES = {
    "hive.connection": "connect",
    "hive.errors": "CheckpointError HiveError ProtocolError SequenceError SpaceError StoreError StudyError "
    "TrainingError UsageError",
    "hive.planner.sequences": "Chain Constant Cosine CosineWarmRestarts Cyclic Exponential Linear MultiStep OneCycle "
    "Piecewise Polynomial Sequence Step Values Warmup",
    "hive.planner.random_space": "RandomSpace choice randint uniform",
    "hive.planner.space": "GridSpace",
    "hive.result": "StudyResult",
    "hive.study": "Study",
    "hive.training.trainer": "Trainer",
}
"""Where the public names are. They are imported when first asked for: each of hive's processes begins by importing this
package, and none of them needs all of it."""


def __getattr__(name: str) -> Any:
    """A public name, from its home."""
    for home, names in HOMES.items():
        if name in names.split():
            found = globals()[name] = getattr(import_module(home), name)
            return found
    raise AttributeError(f"module 'hive' has no attribute {name!r}")


def __dir__() -> list[str]:
    """All public names, imported or not."""
    return sorted({*globals(), *__all__})
