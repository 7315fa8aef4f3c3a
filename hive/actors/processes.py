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

STOP_S = 5.0
"""How long a process may take to end when asked; then it is killed."""


def prepare(nice: int) -> None:
    """In the child, before it begins: Ctrl-C is not for it, and whom nobody waits for yields to the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(nice)


class Child:
    """A process with a lifeline.

    Attributes:
        process: the running process.
        words: the file that its output goes to.
    """

    def __init__(self, process: asyncio.subprocess.Process, words: Path) -> None:
        self.process = process
        self.words = words

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        words: Path,
        first: bytes = b"",
        environment: Mapping[str, str] | None = None,
        nice: int = 0,
    ) -> Child:
        """Run a command of this interpreter.

        Args:
            command: arguments after the interpreter's name.
            words: file that its output is added to.
            first: bytes it finds on its lifeline.
            environment: added to this process's.
            nice: how far it yields to other processes, from 0 to 19.
        """
        with words.open("ab") as output:
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
        return cls(process, words)

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
        logs: the folder for what the processes write, one file a job.
    """

    def __init__(self, command: Callable[[Any], tuple[list[str], bytes, dict[str, str]]], logs: Path) -> None:
        self.command = command
        self.logs = logs
        self.children: dict[str, Child] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.closed = False

    def start(self, job: str, order: Any, runtime: Runtime) -> None:
        """Begin a process."""
        task = asyncio.get_running_loop().create_task(self.run(job, order, runtime))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def run(self, job: str, order: Any, runtime: Runtime) -> None:
        """A process's life."""
        command, first, environment = self.command(order)
        words = self.logs / f"{job.replace('/', '-')}.log"
        try:
            child = self.children[job] = await Child.start(command, words, first, environment)
        except OSError as error:
            runtime.post(JobEnded(job, 1, f"it could not be started: {error}"))
            return
        if self.closed:  # while it was being started
            self.stop(job)
        code = await child.process.wait()
        del self.children[job]
        runtime.post(JobEnded(job, code, child.tail()))

    def amend(self, job: str, order: Any) -> None:
        """Nobody amends a process."""

    def stop(self, job: str) -> None:
        """Kill a process: a trainer keeps nothing that its checkpoints do not."""
        child = self.children.get(job)
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                child.process.kill()

    async def close(self) -> None:
        """Kill all of them, those that are just being started too, and wait."""
        self.closed = True
        for job in list(self.children):
            self.stop(job)
        if self.tasks:
            await asyncio.gather(*self.tasks, return_exceptions=True)
