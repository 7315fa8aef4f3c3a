"""`hive.connect` in scripts of its own, over the daemons: all that a client can do, and scripts that are killed."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.live.clients import ASHA, CALLS, ClientFile
from tests.live.commands import Command, wait_until
from tests.live.conftest import Start
from tests.live.daemons import Daemons, ended

KILLS = 10
"""Of each of two scripts."""


@pytest.fixture
def cluster(start: Start, tmp_path: Path) -> Daemons:
    """A coordinator and a worker with two trainers, not started yet."""
    return Daemons(start, tmp_path)


def script(start: Start, file: ClientFile, url: str, number: int = 0) -> Command:
    """Start a script for the time of that number."""
    return start(url, file.told_path(number), program=(sys.executable, str(file.path)))


def test_client_asks_and_leaves_while_the_coordinator_comes_late_and_is_started_again(
    cluster: Daemons, start: Start, tmp_path: Path
) -> None:
    file = ClientFile.write(tmp_path / "calls", CALLS)
    client = script(start, file, cluster.url)
    wait_until(lambda: f"the coordinator at {cluster.url} has not answered yet" in client.err, "a word")
    daemons = {name: cluster.daemon(name) for name in ("coordinator", "worker")}
    wait_until(lambda: file.steps() >= 2 or client.code is not None, "two steps")
    daemons["coordinator"].signal(signal.SIGKILL)
    daemons["coordinator"].wait()
    daemons["coordinator"] = cluster.daemon("coordinator")
    assert client.wait().code == 0, client.err
    assert file.told_path(0).read_text() == "done"
    assert "Traceback" not in client.err
    for daemon in daemons.values():
        ended(daemon)


class Killed:
    """A script that is killed at drawn moments and started again at once, until it was killed often enough."""

    def __init__(self, start: Start, file: ClientFile, url: str, seed: str) -> None:
        self.start, self.file, self.url = start, file, url
        self.draw = random.Random(seed)

    def life(self) -> Iterator[None]:
        """Goes on whenever there is something to do; ends when the script has come to its end."""
        for number in range(KILLS + 1):
            command = script(self.start, self.file, self.url, number)
            lines = self.lines_before_kill(number)
            while command.code is None and (number == KILLS or len(self.file.told(number)) < lines):
                yield
            if number == KILLS:
                assert command.wait().code == 0, command.err
            elif command.code is None:
                command.signal(signal.SIGKILL)
                command.wait()
            else:
                raise AssertionError(f"it ended before kill {number}: {command.err}")

    def lines_before_kill(self, number: int) -> int:
        """After how many answers to kill an execution: while it is told again, or once something new was told."""
        before = len(self.file.told(number - 1)) if number else 0
        return self.draw.choice([before + 1, self.draw.randint(0, before), self.draw.randint(0, before)])

    def check(self) -> None:
        """Each execution was told what those before it were, in the same order; no step was trained twice."""
        told = [self.file.told(number) for number in range(KILLS + 1)]
        for before in told:
            assert told[-1][: len(before)] == before
        reached: dict[str, int] = {}
        for trial, steps, *_ in (line.split() for line in told[-1]):
            reached[trial] = max(reached.get(trial, 0), int(steps))
        assert len(reached) == 12
        apart = [steps - 4 for steps in reached.values()]
        assert self.file.steps() == 4 * 4 + sum(apart), "trials of one rate share their first four steps, and no more"


def test_scripts_that_are_killed_twenty_times_decide_the_same_and_pay_for_nothing_twice(
    cluster: Daemons, start: Start, tmp_path: Path
) -> None:
    daemons = [cluster.daemon("coordinator"), cluster.daemon("worker")]
    killed = [Killed(start, ClientFile.write(tmp_path / name, ASHA), cluster.url, seed=name) for name in ("one", "two")]
    lives = [each.life() for each in killed]
    wait_until(partial(all_over, lives), "the last execution of each", bound_s=240.0)
    for each in killed:
        each.check()
    for daemon in daemons:
        ended(daemon)


def all_over(lives: list[Iterator[None]]) -> bool:
    """Each life goes on by a bit; whether all have ended."""
    over = object()
    lives[:] = [life for life in lives if next(life, over) is not over]
    return not lives
