"""How long does a trainer stand still between two stages?

Through the executor, on a state as large as a ResNet-56's for CIFAR-10 in training (0.85 M parameters, 505 tensors with
momentum), evaluation, digest and file included. A step adds to every parameter and every momentum, and then computes
outside the interpreter for as long as a short real step does, while the writer's thread digests and writes.

    live_ms             from the last step of a stage to the first of the next one in the batch
    disk_ms             from a batch that starts from a file (warm in the page cache) to its first step: build, load,
                        setup
    build_ms            what of that is the user's own `build()`
    memory_ms           the same start from a state that the trainer still has in memory
    own_memory_ms       the same for a trainer with `save` and `load` of its own
    own_load_ms         what of that is its own `build()` and `load()`
    checkpoint_wait_ms  what a checkpoint makes training wait: as live_ms, where nothing is measured

Medians. The user's `evaluate()` is part of live_ms; here it does no more than put the model in eval mode. Targets: 5,
35 and 5 ms; 5 ms from memory, and with a `load` of its own 1.3 times what is its own.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from support.report import arguments, conclude, introduce, scratch
from torch import nn

import hive
from hive.planner.pieces import Form
from hive.planner.sequences import Constant, Exponential
from hive.storage.folders import LocalFolder
from hive.training.executor import Executor
from hive.training.reports import BatchOrder, Reached, Report, StageOrder

STAGES = 60
LOADS = 30
STEP_S = 0.06

moments: list[tuple[float, float]] = []
"""When each call of `train()` began and ended."""

builds: list[float] = []
"""Seconds of each call of `build()`."""

loads: list[float] = []
"""Seconds of each call of a trainer's own `load()`."""


def convolution(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    """A convolution and its normalization."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(channels_out)
    )


class Block(nn.Module):
    """A residual block; a projection where the shape changes. (ResNet, section 4.2: 3 groups of 9 blocks.)"""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        stride = 1 if channels_in == channels_out else 2
        self.first = convolution(channels_in, channels_out, stride)
        self.second = convolution(channels_out, channels_out, 1)
        self.short = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False) if stride == 2 else nn.Identity()


class Resnet56(hive.Trainer):
    """The state of a real one, without its arithmetic."""

    def build(self, hp: Mapping[str, Any]) -> None:
        """Model, optimizer, and two generators, such as data and augmentation have."""
        began = time.perf_counter()
        widths = [16] * 10 + [32] * 9 + [64] * 9
        blocks = [Block(a, b) for a, b in itertools.pairwise(widths)]
        self.model = nn.Sequential(convolution(3, 16, 1), *blocks, nn.Linear(64, 10))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=hp["lr"], momentum=0.9)
        self.order, self.augmentation = torch.Generator(), torch.Generator()
        for parameter in self.model.parameters():  # in place of what a backward pass makes
            parameter.grad = torch.full_like(parameter, 1e-6)
        builds.append(time.perf_counter() - began)

    def setup(self, hp: Mapping[str, Any]) -> None:
        """A new learning rate at every step."""
        self.optimizer.param_groups[0]["lr"] = hp["lr"]

    def train(self) -> None:
        """Change everything; compute outside the interpreter."""
        began = time.perf_counter()
        self.optimizer.step()
        while time.perf_counter() - began < STEP_S:
            torch.mm(MATRIX, MATRIX)
        moments.append((began, time.perf_counter()))

    def evaluate(self) -> dict[str, float]:
        """As little as a user's can do."""
        self.model.eval()
        return {"accuracy": self.model[-1].get_parameter("bias")[0].item()}


class OwnLoad(Resnet56):
    """The same, saved and loaded as users do it who say it themselves."""

    def save(self) -> dict[str, Any]:
        """Live tensors."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Put them back."""
        began = time.perf_counter()
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        loads.append(time.perf_counter() - began)


MATRIX = torch.ones(256, 256)


def main() -> None:
    """Two long batches, then many short ones from memory, and from a file."""
    given = arguments(__doc__)
    introduce(given.seed, ["hive-stage", "torch", "safetensors", "msgpack"])
    torch.set_num_threads(1)
    with scratch() as folder:
        told: list[Report] = []
        executor = make_executor(Resnet56, Path(folder), told, given.seed)
        live = median_ms(gaps(executor, fresh_batch(1, metrics=True)))
        wait = median_ms(gaps(executor, fresh_batch(2, metrics=False)))
        memory = median_ms(starts(executor))
        executor.close()
        executor = make_executor(Resnet56, Path(folder), told, given.seed, snapshot_bytes_max=0)
        disk, build = median_ms(starts(executor)), median_ms(builds[-LOADS:])
        executor.close()
    with scratch() as folder:
        executor = make_executor(OwnLoad, Path(folder), [], given.seed)
        for _ in executor.run(fresh_batch(1, metrics=False)):
            pass
        own = median_ms(starts(executor))
        own_load = median_ms([a + b for a, b in zip(builds[-LOADS:], loads[-LOADS:], strict=True)])
        executor.close()
    files = [report.checkpoint for report in told if isinstance(report, Reached) and report.checkpoint is not None]
    assert len(files) == 2 * STAGES + 2 * LOADS, told[-2:]
    print(
        f"medians   of {STAGES - 1} live handovers, {LOADS} starts each from disk and memory, {STAGES - 1} checkpoints"
    )
    figures = {
        "live_ms": live,
        "disk_ms": disk,
        "checkpoint_wait_ms": wait,
        "build_ms": build,
        "memory_ms": memory,
        "own_memory_ms": own,
        "own_load_ms": own_load,
    }
    print(f"state     {size_of_state()}, a checkpoint of {files[0].bytes / 1e6:.2f} MB")
    conclude(figures, as_json=given.json)


def make_executor(
    kind: type[Resnet56], folder: Path, told: list[Report], seed: int, snapshot_bytes_max: int = 1 << 30
) -> Executor:
    return Executor(
        kind,
        device="cpu",
        seed=seed,
        fixed={},
        threads=1,
        folder=LocalFolder(folder),
        report=told.append,
        snapshot_bytes_max=snapshot_bytes_max,
    )


def starts(executor: Executor) -> list[float]:
    """Start so many times from the first checkpoint of the first batch."""
    return [start_s(executor, batch_from_first(next(LEASES))) for _ in range(LOADS)]


LEASES = itertools.count(3)


def median_ms(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1000


def gaps(executor: Executor, batch: BatchOrder) -> list[float]:
    """Run a batch: the seconds between the end of each stage's last step and the beginning of the next one's first."""
    moments.clear()
    for _ in executor.run(batch):
        pass
    return [moments[stage.end][0] - moments[stage.end - 1][1] for stage in batch.stages[:-1]]


def start_s(executor: Executor, batch: BatchOrder) -> float:
    """Run a batch of one step: the seconds from the order to the beginning of the step."""
    moments.clear()
    began = time.perf_counter()
    for _ in executor.run(batch):
        pass
    return moments[0][0] - began


def fresh_batch(lease: int, *, metrics: bool) -> BatchOrder:
    """Stages of two steps each from a fresh start, under a curve, so that each step has a value of its own."""
    stages = tuple(StageOrder(0, 2 * n, 2 * n + 2, forms(), metrics) for n in range(STAGES))
    return BatchOrder(lease, lease, None, None, values_at(0), stages, "")


def batch_from_first(lease: int) -> BatchOrder:
    """One step on from the first checkpoint of the first batch, whose state nobody holds."""
    stage = StageOrder(1, 2, 3, forms(), metrics=True)
    return BatchOrder(lease, lease, (0, 2), "0-2-1.safetensors", values_at(1), (stage,), "")


def forms() -> dict[str, Form]:
    return {"lr": next(Exponential(0.1, 0.99).pieces()).form, "batch_size": next(Constant(128).pieces()).form}


def values_at(step: int) -> dict[str, Any]:
    return {name: form.value(step) for name, form in forms().items()}


def size_of_state() -> str:
    """Parameters and tensors, generators included."""
    trainer = Resnet56()
    trainer.build({"lr": 0.1})
    trainer.train()
    count = sum(parameter.numel() for parameter in trainer.model.parameters())
    return f"{count / 1e6:.3f} M parameters, {tensors(trainer.save())} tensors"


def tensors(state: Any) -> int:
    """How many tensors a nested state holds."""
    if isinstance(state, Mapping):
        return sum(map(tensors, state.values()))
    return sum(map(tensors, state)) if isinstance(state, (list, tuple)) else isinstance(state, torch.Tensor)


if __name__ == "__main__":
    main()
