"""Child processes: they end with their parent's wish, whenever it comes, and a child that keeps ending is given up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hive.actors.actor import Event, JobEnded
from hive.actors.processes import Child, ProcessJobs, keep_running
from hive.actors.runtime import Hub, Runtime
from hive.errors import HiveError

BOUND_S = 20.0


class Ends:
    """An actor that keeps which jobs ended."""

    def __init__(self) -> None:
        self.ends: list[JobEnded] = []

    def start(self, now: float) -> list[Any]:
        """Nothing."""
        return []

    def handle(self, event: Event, now: float) -> list[Any]:
        """Keep it."""
        if isinstance(event, JobEnded):
            self.ends.append(event)
        return []


def python(program: str) -> tuple[list[str], bytes, dict[str, str]]:
    """A job's command."""
    return ["-c", program], b"", {}


def test_job_that_is_just_being_started_ends_when_its_manager_closes(tmp_path: Path) -> None:
    async def work() -> list[JobEnded]:
        actor = Ends()
        jobs = ProcessJobs(python, tmp_path, 10_000)
        runtime = Runtime(actor, Hub().network("node"), jobs=jobs)
        jobs.start("a", "import sys; sys.stdin.read()", runtime)
        await asyncio.sleep(0)  # the job's task runs up to where the process is made
        await jobs.close()
        await asyncio.sleep(0)
        return actor.ends

    (end,) = asyncio.run(asyncio.wait_for(work(), BOUND_S))
    assert end.code == -9


def test_end_of_a_job_is_told_with_its_last_words(tmp_path: Path) -> None:
    async def work() -> list[JobEnded]:
        actor = Ends()
        jobs = ProcessJobs(python, tmp_path, 10_000)
        runtime = Runtime(actor, Hub().network("node"), jobs=jobs)
        jobs.start("node/0/1", "import sys; sys.exit('no such model')", runtime)
        while not actor.ends:
            await asyncio.sleep(0.01)
        return actor.ends

    (end,) = asyncio.run(asyncio.wait_for(work(), BOUND_S))
    assert (end.job, end.code, end.tail) == ("node/0/1", 1, "no such model\n")
    assert (tmp_path / "node-0.log").read_text().endswith(" node/0/1 | no such model\n")


@pytest.mark.parametrize(
    ("program", "starts", "named"),
    [
        ("import sys; print('hive: bad root'); sys.exit(2)", 1, "^bad root$"),
        ("raise SystemExit('again')", 6, "6 times.*again"),
    ],
)
def test_process_that_cannot_run_is_given_up_with_its_last_words(
    program: str, starts: int, named: str, tmp_path: Path
) -> None:
    started: list[Child] = []
    words = tmp_path / "words"

    async def work() -> None:
        await keep_running(lambda: Child.start(["-c", program], words), started.append)

    with pytest.raises(HiveError, match=f"(?s){named}"):
        asyncio.run(asyncio.wait_for(work(), BOUND_S))
    assert len(started) == starts
