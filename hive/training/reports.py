"""What an executor is told to do, and what it tells: orders in, reports out.

All are frozen records of plain values, so that any thread may hold them. This module must not know how training is
run, how messages are written, or what a search plan is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from hive.planner.pieces import Form, Value

__all__ = [
    "Amendment",
    "AmendmentTaken",
    "BatchOrder",
    "CheckpointFile",
    "Ended",
    "Evaluated",
    "Failed",
    "Metrics",
    "Place",
    "Reached",
    "Report",
    "StageOrder",
    "Stepped",
    "Where",
    "written_by",
]

Metrics = dict[str, float]
"""Name -> figure. NaN and infinities are passed on as they are."""

Place = tuple[int, int]
"""(node, step): the state after `step` steps, the last of them under `node`."""

FILE = re.compile(r"(.*/)\d+-\d+-(\d+)\.safetensors(?:\.\d+\.tmp)?")
"""A checkpoint's name, or that of what was to become one (storage/durable.py)."""

Where = Literal["build", "load", "setup", "train", "evaluate", "save"]
"""Which call of the user's code failed."""


@dataclass(frozen=True, slots=True)
class StageOrder:
    """Train the steps [start, end) under one node.

    Attributes:
        node: the plan's node.
        start: first step, absolute, from 0.
        end: the last step's successor; equal to `start` for evaluation only.
        forms: hyper-parameter name -> form, holding for every step of the stage.
        metrics: whether `evaluate()` is wanted at `end`.
        trial: whom it is trained for, for what is printed; None where nobody said.
        boundary: whether a checkpoint is made at `end`; if not, training goes on with the next stage.
    """

    node: int
    start: int
    end: int
    forms: dict[str, Form]
    metrics: bool
    trial: int | None = None
    boundary: bool = True


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """The stages of one critical path, for one lease.

    Attributes:
        lease: the lease's number; every report carries it.
        attempt: number of the attempt, part of the checkpoints' names.
        origin: place the state comes from; None for a fresh start at step 0.
        checkpoint: the origin's file, relative to the checkpoint folder; None for a fresh start.
        build_values: values `build` gets: those of the step before the first, of step 0 for a fresh start.
        stages: consecutive stages, each beginning where the one before ended.
        file_prefix: checkpoints are named `{file_prefix}{node}-{step}-{attempt}.safetensors`.
    """

    lease: int
    attempt: int
    origin: Place | None
    checkpoint: str | None
    build_values: dict[str, Value]
    stages: tuple[StageOrder, ...]
    file_prefix: str

    def file_name(self, node: int, step: int) -> str:
        """Name of the checkpoint this lease writes at (node, step)."""
        return f"{self.file_prefix}{node}-{step}-{self.attempt}.safetensors"


def written_by(name: str) -> tuple[str, int] | None:
    """The prefix and the attempt in a checkpoint's name, whole or not; None if it is another file's."""
    found = FILE.fullmatch(name)
    return None if found is None else (found[1], int(found[2]))


@dataclass(frozen=True, slots=True)
class Amendment:
    """What is ahead of a batch that runs, cut anew.

    Attributes:
        lease: the lease that it is about.
        number: counts the lease's amendments; the highest one holds.
        stages: in place of all that is ahead, on the same way. The first may begin before what is done.
    """

    lease: int
    number: int
    stages: tuple[StageOrder, ...]


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """A checkpoint that is durable.

    Attributes:
        name: relative to the checkpoint folder.
        bytes: size of the file.
        digest: SHA-256, in hex, of the state's canonical form.
        device: the device type it was trained on: "cpu", "cuda".
        threads: CPU threads it was trained with.
        capability: the CPU's vector instructions as torch names them ("AVX512"); empty without torch.
    """

    name: str
    bytes: int
    digest: str
    device: str
    threads: int
    capability: str


@dataclass(frozen=True, slots=True)
class Stepped:
    """One call of `train()` returned; `step` steps are done, absolute, `steps_run` of them in this lease."""

    lease: int
    node: int
    step: int
    steps_run: int
    seconds: float
    metrics: Metrics | None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation between boundaries, because of `eval_every`."""

    lease: int
    node: int
    step: int
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Reached:
    """A boundary, an interval checkpoint or a stop: the state is durable, and the metrics are known if they were
    wanted.

    Attributes:
        lease: the lease.
        node: the node trained under.
        step: steps done, absolute.
        steps_run: calls of `train()` in this lease until then.
        metrics: what `evaluate()` returned; None if it was not asked.
        digest: of the state there.
        checkpoint: the file; None for an evaluation-only stage, whose state has its file already.
        evaluate_s: seconds `evaluate()` took, 0 without.
        save_s: seconds training waited for `save()` and the copy; the file is written beside training.
    """

    lease: int
    node: int
    step: int
    steps_run: int
    metrics: Metrics | None
    digest: str
    checkpoint: CheckpointFile | None
    evaluate_s: float
    save_s: float


@dataclass(frozen=True, slots=True)
class AmendmentTaken:
    """Training looked: the amendment's boundaries from `step` on will be met, and none before it any more.

    Attributes:
        lease: the lease.
        number: the amendment's.
        step: steps done then, absolute.
    """

    lease: int
    number: int
    step: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The user's code raised, or a checkpoint could not be written or read.

    Attributes:
        lease: the lease.
        node: the node trained under.
        step_failed: requests at (node, step_failed) and later, and all behind them, cannot be answered.
        steps_run: calls of `train()` in this lease, one that failed included.
        where: the call that failed.
        error: the traceback's text, with the user's frames only.
    """

    lease: int
    node: int
    step_failed: int
    steps_run: int
    where: Where
    error: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The lease's last report.

    Attributes:
        lease: the lease.
        steps_run: calls of `train()` in this lease.
        held: where the live model stands now; None if there is none, as after a failure.
        load_s: seconds from taking the lease until the state stood: build and load; None unless it came from a file.
        in_memory: places of the states that are kept in memory, the last used first.
    """

    lease: int
    steps_run: int
    held: Place | None
    load_s: float | None = None
    in_memory: tuple[Place, ...] = ()


Report = Stepped | Evaluated | Reached | AmendmentTaken | Failed | Ended
