"""How a run reaches a coordinator: at an address, in processes of its own, or all in this one process.

Each way is an async context manager that gives the runtime of a session. The local processes are this one's children:
a coordinator (with its aggregator) and one node manager, each started again if it ends. It must not know tuners,
trials, or what is shown."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zmq

from hive.actors.actor import JobReported
from hive.actors.messages import Opened, OpenRun
from hive.actors.processes import Child, keep_running
from hive.actors.runtime import Hub, Runtime
from hive.actors.session import Session
from hive.actors.sockets import ZmqNetwork
from hive.display import say
from hive.errors import HiveError
from hive.training.trainer import Trainer

if TYPE_CHECKING:
    from hive.storage.root import Root

__all__ = ["RunOptions", "connect"]

OWNER_WAIT_S = 2.0
"""A coordinator whose run was killed needs a moment to notice that its lifeline ended."""

owned: set[str] = set()  # the roots that this process has run on: their open runs are its own


@dataclass(slots=True)
class RunOptions:
    """How a study is run; what `hive run` takes from its command line.

    Attributes:
        trainers: local trainers; None for one a GPU, else as many as the cores allow.
        root: the folder that holds store, checkpoints and logs.
        url: the address of a coordinator that runs already; None for one of this run's own.
        keys: the folder of this side's keys for that address; None for none.
        inline: everything in this process, training in the main thread.
        merge: whether equal beginnings are trained once.
        fresh: begin a new plan, and leave the old one.
        json_path: where the summary goes; None for nowhere.
    """

    trainers: int | None = None
    root: Path = Path(".hive")
    url: str | None = None
    keys: Path | None = None
    inline: bool = False
    merge: bool = True
    fresh: bool = False
    json_path: Path | None = None


def connect(
    options: RunOptions,
    opening: OpenRun,
    trainer_class: type[Trainer],
    session: Session,
    deliver: Callable[[Any], None],
) -> contextlib.AbstractAsyncContextManager[Runtime]:
    """The runtime of `session`, started, by the way that the options say."""
    if options.inline:
        return inline(options, opening, trainer_class, session, deliver)
    if options.url is not None:
        return remote(options.url, session, deliver, options.keys)
    return local(options, opening, session, deliver)


def address_of(session: Session) -> str:
    """What a session is called on the network: the same over each of its connections, so that it need not wait until
    the coordinator takes the one before for silent."""
    return f"session:{session.run}"


@contextlib.asynccontextmanager
async def remote(
    url: str, session: Session, deliver: Callable[[Any], None], keys: Path | None = None
) -> AsyncIterator[Runtime]:
    """A session with a coordinator that runs already. One that refuses the keys ends it; a late one is waited for."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    network = ZmqNetwork(context, address_of(session), keys=keys)
    network.connect("coordinator", url)
    runtime = Runtime(session, network, deliver=deliver)

    def tell(reason: str, refused: bool) -> None:
        if refused:
            runtime.fail(HiveError(reason))
        else:
            say(f"{reason}: still waiting")

    network.tell = tell
    runtime.start()
    try:
        yield runtime
    finally:
        runtime.close()
        context.term()


@contextlib.asynccontextmanager
async def local(
    options: RunOptions, opening: OpenRun, session: Session, deliver: Callable[[Any], None]
) -> AsyncIterator[Runtime]:
    """A session with a coordinator and a node manager of its own."""
    folder = Path(tempfile.mkdtemp(prefix="hive-"))
    address = f"ipc://{folder}/c"
    root = str(options.root.absolute())
    count = options.trainers or default_trainers(opening.source.threads)
    coordinator = ["-m", "hive.cli.coordinator", "--root", root, "--listen", address, "--child"]
    worker = ["-m", "hive.cli.worker", "--connect", address, "--node", "local", "--logs", f"{root}/logs", "--child"]
    worker += ["--devices", ",".join(devices(count))]
    if root not in owned:
        coordinator.append("--close-runs")
        owned.add(root)

    def coordinator_started(_: Child) -> None:
        if "--close-runs" in coordinator:
            coordinator.remove("--close-runs")

    tasks = [
        asyncio.create_task(
            keep_running(lambda: Child.start(coordinator, folder / "coordinator"), coordinator_started)
        ),
        asyncio.create_task(keep_running(lambda: Child.start(worker, folder / "worker"), lambda _: None)),
    ]
    try:
        async with remote(address, session, deliver) as runtime:
            for task in tasks:
                task.add_done_callback(lambda done: pass_on(done, runtime))
            yield runtime
    finally:
        for task in reversed(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        shutil.rmtree(folder, ignore_errors=True)


def pass_on(task: asyncio.Task[None], runtime: Runtime) -> None:
    """A process that was given up ends the run."""
    if not task.cancelled() and task.exception() is not None and not runtime.failed.done():
        runtime.failed.set_exception(task.exception() or RuntimeError("unreachable"))


def default_trainers(threads: int) -> int:
    """One a GPU; without GPUs as many as the cores allow."""
    return len(gpus()) or max(1, (os.cpu_count() or 1) // threads)


def gpus() -> list[str]:
    """The GPUs that this user may use, told without torch: what CUDA_VISIBLE_DEVICES says, else the driver's device
    files."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [f"cuda:{i}" for i, name in enumerate(visible.split(",")) if name.strip() not in ("", "-1")]
    return [f"cuda:{i}" for i in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def devices(count: int) -> list[str]:
    """The devices of so many trainers: GPUs in turn, or the CPU."""
    found = gpus()
    return [found[i % len(found)] if found else "cpu" for i in range(count)]


# -- all in one process ---------------------------------------------------------------------------------------


class InlineTraining:
    """Runs a trainer's batches in the loop's own thread, a step at a time, so that a debugger stops where the user
    expects."""

    def __init__(self, trainer_class: type[Trainer], opening: OpenRun, root: Root) -> None:
        from hive.storage.folders import LocalFolder
        from hive.training.executor import Executor

        source = opening.source
        self.runtime: Runtime | None = None
        self.executor = Executor(
            trainer_class,
            device=devices(1)[0],
            seed=source.seed,
            fixed=source.fixed,
            threads=source.threads,
            folder=LocalFolder(root.checkpoints_path),
            report=self.report,
            eval_every=source.eval_every,
            checkpoint_every_s=source.checkpoint_every_s,
        )
        self.task: asyncio.Task[None] | None = None

    def report(self, report: Any) -> None:
        """From the training thread or the writer's."""
        if self.runtime is not None:
            self.runtime.post_from_thread(JobReported("", report))

    def start(self, job: str, order: Any, runtime: Runtime) -> None:  # noqa: ARG002  (a trainer has one job)
        """Begin a batch."""
        self.runtime = runtime
        self.task = asyncio.get_running_loop().create_task(self.run(order))

    async def run(self, order: Any) -> None:
        for _ in self.executor.run(order):
            await asyncio.sleep(0)

    def amend(self, job: str, order: Any) -> None:  # noqa: ARG002  (a trainer has one job)
        """Cut anew what is ahead of the batch."""
        self.executor.amend(order)

    def stop(self, job: str) -> None:
        """Leave the batch at its next step."""
        self.executor.stop(int(job))

    async def close(self) -> None:
        """End what runs."""
        self.executor.stop()
        if self.task is not None:
            with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
                await self.task
        self.executor.close()


@contextlib.asynccontextmanager
async def inline(
    options: RunOptions,
    opening: OpenRun,
    trainer_class: type[Trainer],
    session: Session,
    deliver: Callable[[Any], None],
) -> AsyncIterator[Runtime]:
    """Coordinator, trainer and session in this process, with a queue in place of sockets."""
    # Loaded here: a run on processes has them in its processes, and begins a tenth of a second sooner.
    from hive.actors.coordinator import Coordinator, CoordinatorSettings
    from hive.actors.trainer import TrainerActor
    from hive.storage.folders import claim, own_folder
    from hive.storage.lmdb_store import LmdbStore
    from hive.storage.root import Root

    with Root.acquire(options.root, wait_s=OWNER_WAIT_S) as root:
        store = LmdbStore(root.store_path)
        folder = claim(store, str(root.checkpoints_path))
        settings = CoordinatorSettings(lease_s=math.inf, hang_s=math.inf, close_runs=str(root.path) not in owned)
        owned.add(str(root.path))
        hub = Hub()
        training = InlineTraining(trainer_class, opening, root)
        actor = Coordinator(store, time.time(), settings)
        coordinator = Runtime(actor, hub.network("coordinator"), store=store, folder=own_folder(folder))
        runtimes = [coordinator]

        def delivered(answer: Any) -> None:
            if isinstance(answer, Opened) and len(runtimes) == 2:
                actor = TrainerActor("inline", "inline", answer.plan)
                runtimes.append(Runtime(actor, hub.network("trainer"), jobs=training))
                runtimes[-1].start()
            deliver(answer)

        runtimes.append(Runtime(session, hub.network(address_of(session)), deliver=delivered))
        coordinator.failed.add_done_callback(lambda done: first_failure(done, runtimes[1]))
        for runtime in list(runtimes):
            runtime.start()
        try:
            yield runtimes[1]
        finally:
            await training.close()
            for runtime in reversed(runtimes):
                runtime.close()


def first_failure(done: asyncio.Future[None], runtime: Runtime) -> None:
    if not done.cancelled() and done.exception() is not None and not runtime.failed.done():
        runtime.failed.set_exception(done.exception() or RuntimeError("unreachable"))
