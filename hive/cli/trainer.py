"""A trainer's process: training in the main thread, messages in another. It must not know what is trained, or for whom.

Its arguments come down the lifeline that its node manager holds, so that no path or setting shows in the process list.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import zmq

from hive.actors.actor import Called, JobReported, Leave
from hive.actors.processes import end_with_parent
from hive.actors.runtime import Runtime
from hive.actors.sockets import ZmqNetwork
from hive.actors.trainer import Left, TrainerActor
from hive.cli.arguments import TrainerArguments
from hive.errors import HiveError, StudyError
from hive.storage.folders import Folder, open_folder
from hive.storage.records import TrainerSource
from hive.training.executor import Executor
from hive.training.fingerprint import fingerprint
from hive.training.prints import tell_prints
from hive.training.reports import Evaluated, Stepped
from hive.training.source import TrainerLocation, find_trainer, module_name
from hive.training.trainer import Trainer

__all__ = ["main"]


class QueuedTraining:
    """Hands batches from the messages' thread to the training thread."""

    def __init__(self) -> None:
        self.orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.executor: Executor | None = None

    def start(self, job: str, order: Any, runtime: Runtime) -> None:  # noqa: ARG002  (the executor reports)
        """Begin a batch."""
        self.orders.put(order)

    def amend(self, job: str, order: Any) -> None:  # noqa: ARG002  (a trainer has one job)
        """Cut anew what is ahead of a batch."""
        if self.executor is not None:
            self.executor.amend(order)

    def stop(self, job: str) -> None:
        """Leave a batch at its next step."""
        if self.executor is not None:
            self.executor.stop(int(job))

    def leave(self) -> None:
        """Leave whatever batch runs at its next step."""
        if self.executor is not None:
            self.executor.stop()

    def context(self) -> str:
        """What is trained now, for what user code prints."""
        return "" if self.executor is None else self.executor.context()


def main() -> int:
    """Train what comes until the node manager is gone."""
    given = read_arguments()
    end_with_parent()
    jobs = QueuedTraining()
    tell_prints(jobs.context)
    trainer_class, folder, broken = load(given)
    here = Messages(given, broken)
    leave_when_told(jobs, here)
    thread = threading.Thread(target=here.run, args=(jobs,), name="messages", daemon=True)
    thread.start()
    here.ready.wait()
    if trainer_class is None or folder is None:
        print(f"hive: {broken}", file=sys.stderr)
        thread.join()
        return 1
    executor = jobs.executor = make_executor(trainer_class, folder, given, here)
    while True:
        for _ in executor.run(jobs.orders.get()):
            pass


def leave_when_told(jobs: QueuedTraining, here: Messages) -> None:
    """At SIGTERM, which the node manager or a service manager sends: leave with a checkpoint at the next step, and end
    once all is noted. Processes that user code forked end at once, as they would have."""
    own = os.getpid()

    def told(number: int, _frame: object) -> None:
        if os.getpid() != own:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        jobs.leave()
        here.leave()

    signal.signal(signal.SIGTERM, told)


def read_arguments() -> TrainerArguments:
    """The arguments: four bytes of length, then MessagePack."""
    length = int.from_bytes(read_exactly(4), "big")
    return msgspec.msgpack.decode(read_exactly(length), type=TrainerArguments)


def read_exactly(count: int) -> bytes:
    """So many bytes of the lifeline."""
    data = b""
    while len(data) < count:
        part = os.read(0, count - len(data))
        if not part:
            sys.exit("the node manager was gone before it said what to train")
        data += part
    return data


def load(given: TrainerArguments) -> tuple[type[Trainer] | None, Folder | None, str | None]:
    """The trainer's class and the folder of its checkpoints, or why they cannot be had here."""
    order, worker = given.start, given.worker
    location = location_here(order.source, worker.code)
    try:
        found = find_trainer(location)
        if fingerprint(found).digest != order.fingerprint:
            raise StudyError(f"{location.path} is not, or not any more, what the study was run with: run it again")
        folder = open_folder(order.checkpoints, Path(worker.cache), worker.cache_bytes_max)
    except HiveError as error:
        return None, None, f"{given.node}: {error}"
    return found, folder, None


def location_here(source: TrainerSource, code: str) -> TrainerLocation:
    """Where the trainer's class is on this machine. `code`: a folder to look in first, "" for none."""
    location = TrainerLocation(source.path, source.module, source.qualname, source.search)
    if not code:
        return location
    folder = Path(code).absolute()
    file = Path(source.path)
    here = folder / (file.name if source.module == module_name(file) else f"{source.module.replace('.', '/')}.py")
    return replace(location, path=str(here), search=(str(folder), *source.search)) if here.is_file() else location


def make_executor(trainer_class: type[Trainer], folder: Folder, given: TrainerArguments, here: Messages) -> Executor:
    """The executor of this process's plan."""
    source = given.start.source
    return Executor(
        trainer_class,
        device="cuda:0" if given.device.startswith("cuda") else given.device,
        seed=source.seed,
        fixed=source.fixed,
        threads=source.threads,
        folder=folder,
        report=here.report,
        eval_every=source.eval_every,
        checkpoint_every_s=source.checkpoint_every_s,
        snapshot_bytes_max=given.worker.snapshot_bytes_max,
    )


class Messages:
    """The thread that speaks with the coordinator."""

    def __init__(self, given: TrainerArguments, broken: str | None) -> None:
        self.given = given
        self.broken = broken
        self.ready = threading.Event()
        self.runtime: Runtime | None = None

    def report(self, report: Any) -> None:
        """From the training thread or the writer's: hand a report to the actor. Points of curves can wait."""
        if self.runtime is not None:
            self.runtime.post_from_thread(JobReported("", report), urgent=not isinstance(report, Stepped | Evaluated))

    def leave(self) -> None:
        """From the main thread: take no more batches, and end when all is noted."""
        if self.runtime is not None:
            self.runtime.post_from_thread(Called(Leave()))

    def left(self, answer: Any) -> None:
        """The actor has nothing more to do."""
        if isinstance(answer, Left):
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(0)

    def run(self, jobs: QueuedTraining) -> None:
        """The thread's life."""
        try:
            asyncio.run(self.serve(jobs))
        finally:
            os._exit(1)  # nobody would hear of what the training thread does from here on

    async def serve(self, jobs: QueuedTraining) -> None:
        given, order = self.given, self.given.start
        keys = Path(given.worker.keys) if given.worker.keys else None
        network = ZmqNetwork(zmq.Context(), f"trainer:{order.trainer}", keys=keys)
        network.connect("coordinator", given.worker.connect)
        network.connect("node", given.node_address)
        actor = TrainerActor(order.trainer, given.node, order.plan, broken=self.broken)
        self.runtime = Runtime(actor, network, jobs=jobs, deliver=self.left)
        self.runtime.start()
        self.ready.set()
        await self.runtime.failed


if __name__ == "__main__":
    sys.exit(main())
