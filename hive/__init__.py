"""hive: hyper-parameter optimization that trains what trials have in common once.

Hyper-parameters are sequences over training steps. Trials whose sequences begin alike are one training until they part:

    sequences -> search plan (a tree of what was asked) -> stage tree (what is left to train) -> batches for trainers

A user subclasses `Trainer`, describes a space of sequences, and runs a tuner over a `Study`. Importing hive loads no
torch. """

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from hive.training.trainer import Trainer

if TYPE_CHECKING:
    from hive.study import Study, StudyResult

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
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`Study` brings sockets and a store along: it is imported when it is first asked for, never by a planner."""
    if name in ("Study", "StudyResult"):
        from hive import study

        return getattr(study, name)
    raise AttributeError(f"module 'hive' has no attribute {name!r}")
