"""The processes of `hive check`: one trains every way, and starts another that forks from a checkpoint it never made.

What to do comes in on standard input, what came of it goes to a file: standard output is the user's code's to write on,
and is shown as errors are. It must not know what is compared.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from hive.planner.sequences import sequence_from_descriptor
from hive.training.check import check
from hive.training.live import Settings
from hive.training.source import TrainerLocation, find_trainer
from hive.training.ways import Subject, Trained, forked_from_disk, state_of

__all__ = ["CheckOrder", "main", "run_child"]


class CheckOrder(msgspec.Struct, frozen=True):
    """What a process is told.

    Attributes:
        path: the file of the trainer's class; with `module`, `qualname` and `search`, see `TrainerLocation`.
        config: descriptors by name.
        steps: how many steps to train.
        folder: where checkpoints and answers go.
        fork: whether only to fork from the checkpoint that lies in the folder.
    """

    path: str
    module: str
    qualname: str
    search: tuple[str, ...]
    config: dict[str, dict[str, Any]]
    steps: int
    metric: str
    seed: int
    fixed: dict[str, Any]
    threads: int
    device: str
    folder: str
    fork: bool = False

    @property
    def answer(self) -> str:
        """The name of the file for what came of it."""
        return "fork.answer" if self.fork else "check.answer"

    @property
    def location(self) -> TrainerLocation:
        """Where the trainer's class is."""
        return TrainerLocation(self.path, self.module, self.qualname, self.search)


class ForkAnswer(msgspec.Struct, frozen=True):
    """Where the fork in the other process ended; its state lies in the folder."""

    digest: str | None
    metrics: dict[str, float]
    error: str | None


def run_child(order: CheckOrder, environment: Mapping[str, str] | None = None) -> int:
    """Run a process until it ends; its exit code. `environment`: all of it; None for this process's own."""
    command = [sys.executable, "-m", "hive.cli.check_child"]
    data = msgspec.msgpack.encode(order)
    return subprocess.run(command, input=data, stdout=sys.stderr, env=environment or os.environ, check=False).returncode


def main() -> int:
    """Do what standard input says."""
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=CheckOrder)
    subject = subject_of(order)
    path = Path(order.folder) / order.answer
    if order.fork:
        trained = forked_from_disk(subject, "process")
        path.write_bytes(msgspec.msgpack.encode(ForkAnswer(trained.digest, trained.metrics, trained.error)))
    else:
        found = check(subject, lambda: in_new_process(order, subject))
        path.write_bytes(msgspec.msgpack.encode(found.to_json()))
    return 0


def subject_of(order: CheckOrder) -> Subject:
    """What is checked."""
    settings = Settings(
        find_trainer(order.location), order.device, order.seed, order.fixed, order.threads, order.metric
    )
    config = {name: sequence_from_descriptor(d, name) for name, d in order.config.items()}
    return Subject(settings, config, order.steps, Path(order.folder))


def in_new_process(order: CheckOrder, subject: Subject) -> Trained:
    """Fork from disk in a process of its own."""
    fork = msgspec.structs.replace(order, fork=True)
    code = run_child(fork)
    try:
        data = (subject.folder / fork.answer).read_bytes()
    except FileNotFoundError:
        return Trained(error=f"the process ended with code {code}")
    answer = msgspec.msgpack.decode(data, type=ForkAnswer)
    state = None if answer.error is not None else state_of(subject, "process")
    return Trained(answer.digest, answer.metrics, state, answer.error)


if __name__ == "__main__":
    sys.exit(main())
