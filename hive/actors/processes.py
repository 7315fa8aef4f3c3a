"""The driver of processes: starting them, watching them, ending them, and ending with one's parent.

Children stay in their parent's process group and ignore SIGINT: who pressed Ctrl-C is for the parent to say. Each
holds the reading end of a pipe, its lifeline, that its parent never closes; when the parent is gone, however that
came, the pipe ends and so does the child. It must not know what the processes do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hive.actors.actor import JobEnded
from hive.actors.output import Output, SlotLog
from hive.actors.runtime import Runtime
from hive.errors import HiveError

__all__ = ["EXIT_USAGE", "Child", "ProcessJobs", "end_with_parent", "keep_running"]

EXIT_USAGE = 2
"""A process that ends so was told something wrong: starting it again would change nothing."""

RESTARTS_MAX = 5
"""Ends in a row, each within `RESTART_WINDOW_S` of its start, after which a process is given up."""

RESTART_WINDOW_S = 10.0

TAIL_BYTES = 4_000
"""Of a process's last words: a traceback and what led to it."""

WORDS_S = 1.0
"""How long the last words of a process that has ended may take to be read."""

STOP_S = 5.0
"""How long a process may take to end when asked; then it is killed."""


def prepare(nice: int) -> None:
    """In the child, before it begins: Ctrl-C is not for it, and whom nobody waits for yields to the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(nice)


async def spawn(
    command: Sequence[str],
    output: int,
    first: bytes = b"",
    environment: Mapping[str, str] | None = None,
    nice: int = 0,
) -> asyncio.subprocess.Process:
    """Run a command of this interpreter.

    Args:
        command: arguments after the interpreter's name.
        output: the descriptor that it writes to.
        first: bytes it finds on its lifeline.
        environment: added to this process's.
        nice: how far it yields to other processes, from 0 to 19.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=output,
        stderr=output,
        env={**os.environ, **(environment or {})},
        preexec_fn=partial(prepare, nice),
    )
    if first and process.stdin is not None:
        process.stdin.write(first)
    return process


class Child:
    """A process whose output goes to a file.

    Attributes:
        process: the running process.
        words: the file that its output is added to.
    """

    def __init__(self, process: asyncio.subprocess.Process, words: Path) -> None:
        self.process = process
        self.words = words

    @classmethod
    async def start(cls, command: Sequence[str], words: Path, nice: int = 0) -> Child:
        """Run a command of this interpreter; see `spawn`."""
        with words.open("ab") as output:
            return cls(await spawn(command, output.fileno(), nice=nice), words)

    def tail(self) -> str:
        """The end of what it wrote."""
        with contextlib.suppress(OSError), self.words.open("rb") as words:
            words.seek(max(0, words.seek(0, os.SEEK_END) - TAIL_BYTES))
            return words.read().decode(errors="replace")
        return ""

    def end(self) -> None:
        """Ask it to end."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()

    async def ended(self, within_s: float = STOP_S) -> None:
        """Ask it to end and wait; kill it if it takes longer than `within_s`."""
        self.end()
        try:
            await asyncio.wait_for(self.process.wait(), within_s)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


def end_with_parent(then: Callable[[], None] | None = None) -> None:
    """Read the lifeline in a thread until it ends, then end this process at once (`then` first)."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        if then is not None:
            then()
        os._exit(0)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


async def keep_running(start: Callable[[], Any], started: Callable[[Child], None]) -> None:
    """Start a process again whenever it ends, until this is cancelled, which ends it.

    Args:
        start: a coroutine function that gives a new `Child`.
        started: told of each.

    Raises:
        HiveError: it ended with `EXIT_USAGE`, or too often; the message is what it wrote last.
    """
    loop = asyncio.get_running_loop()
    quick_ends = 0
    while True:
        began = loop.time()
        child: Child = await start()
        started(child)
        try:
            code = await child.process.wait()
        except asyncio.CancelledError:
            await child.ended()
            raise
        if code == EXIT_USAGE:
            raise HiveError(child.tail().strip().removeprefix("hive: "))
        quick_ends = quick_ends + 1 if loop.time() - began < RESTART_WINDOW_S else 1
        if quick_ends > RESTARTS_MAX:
            raise HiveError(
                f"a process of hive ended {quick_ends} times in a row (code {code}); its last words:\n{child.tail()}"
            )


class ProcessJobs:
    """Runs each job of a node manager as a process.

    Args:
        command: from a job's order, the arguments, what goes down the lifeline first, and what to add to the
            environment.
        logs: the folder for what the processes write, a file for each slot.
        log_bytes_max: the size of one of these at most.
    """

    def __init__(
        self, command: Callable[[Any], tuple[list[str], bytes, dict[str, str]]], logs: Path, log_bytes_max: int
    ) -> None:
        self.command = command
        self.logs = logs
        self.log_bytes_max = log_bytes_max
        self.slot_logs: dict[str, SlotLog] = {}
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.closed = False

    def start(self, job: str, order: Any, runtime: Runtime) -> None:
        """Begin a process."""
        task = asyncio.get_running_loop().create_task(self.run(job, order, runtime))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def log_of(self, job: str) -> SlotLog:
        """The log of the slot that a job runs on: NODE-SLOT.log for NODE/SLOT/NUMBER."""
        name = job.rpartition("/")[0].replace("/", "-")
        return self.slot_logs.setdefault(name, SlotLog(self.logs / f"{name}.log", self.log_bytes_max))

    async def run(self, job: str, order: Any, runtime: Runtime) -> None:
        """A process's life."""
        command, first, environment = self.command(order)
        output = Output(job, self.log_of(job))
        try:
            process = self.processes[job] = await spawn(command, output.write_end, first, environment)
        except OSError as error:
            runtime.post(JobEnded(job, 1, f"it could not be started: {error}"))
            return
        finally:
            os.close(output.write_end)
        if self.closed:  # while it was being started
            self.stop(job)
        code = await process.wait()
        del self.processes[job]
        runtime.post(JobEnded(job, code, await asyncio.to_thread(output.tail, WORDS_S)))

    def amend(self, job: str, order: Any) -> None:
        """Nobody amends a process."""

    def stop(self, job: str) -> None:
        """Kill a process: a trainer keeps nothing that its checkpoints do not."""
        process = self.processes.get(job)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    async def leave(self, within_s: float) -> None:
        """Ask all of them to leave, and wait; for no longer than `within_s`."""
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=within_s)

    async def close(self) -> None:
        """Kill all of them, those that are just being started too, and wait."""
        self.closed = True
        for job in list(self.processes):
            self.stop(job)
        if self.tasks:
            await asyncio.gather(*self.tasks, return_exceptions=True)
