"""Commands of hive as real processes, each in a process group of its own, so that a test can see and kill all of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["HIVE", "ROLES", "Command", "wait_until"]

HIVE = (sys.executable, "-m", "hive")

BOUND_S = 60.0
"""No command of these tests takes longer, on a machine that does other work besides."""

LEAVING_S = 10.0
"""After a command has ended, its processes have so long to follow."""

ROLES = {
    "hive.cli.coordinator": "coordinator",
    "hive.cli.worker": "node manager",
    "hive.cli.aggregator": "aggregator",
    "hive.cli.trainer": "trainer",
}


def wait_until(holds: Callable[[], Any], what: str, bound_s: float = BOUND_S) -> Any:
    """What `holds` returns, once it is true.

    Raises:
        AssertionError: that took longer than the bound.
    """
    end = time.monotonic() + bound_s
    while not (found := holds()):
        assert time.monotonic() < end, f"waited {bound_s:g} s for {what}"
        time.sleep(0.005)
    return found


class Command:
    """A command that runs or has run.

    Attributes:
        code: its exit code; None while it runs.
    """

    def __init__(self, words: Sequence[str | Path], folder: Path) -> None:
        number = len(list(folder.glob("*.out")))
        self.out_path, self.err_path = folder / f"{number}.out", folder / f"{number}.err"
        with self.out_path.open("wb") as out, self.err_path.open("wb") as err:
            self.process = subprocess.Popen(
                [str(word) for word in words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=heed_interrupts,
                cwd=folder,
                env={name: value for name, value in os.environ.items() if not name.startswith("COV_")},
            )

    @property
    def code(self) -> int | None:
        """The exit code."""
        return self.process.poll()

    @property
    def out(self) -> str:
        """What it has written to standard output so far."""
        return self.out_path.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        """What it has written to standard error so far."""
        return self.err_path.read_text(encoding="utf-8")

    def wait(self) -> Command:
        """Until it has ended, and every process of its group too."""
        wait_until(lambda: self.code is not None, f"the end of {self.process.args!r}; it wrote {self.err!r}")
        wait_until(lambda: not self.members(), f"{self.members()} of {self.process.args!r} to leave", LEAVING_S)
        return self

    def members(self, role: str | None = None) -> list[int]:
        """The living processes of its group, or those of one role; the lowest number first."""
        return [pid for pid, its in sorted(group(self.process.pid)) if role in (None, its)]

    def signal(self, number: signal.Signals, role: str | None = None) -> None:
        """Send a signal to its whole group, or to the first process of a role."""
        if role is None:
            os.killpg(self.process.pid, number)
        else:
            os.kill(self.members(role)[0], number)

    def end(self) -> None:
        """Kill what is left of the group."""
        while self.members():
            self.signal(signal.SIGKILL)
        self.process.wait()


def heed_interrupts() -> None:
    """As in a terminal: whoever runs the tests in the background, as a shell does with `&`, has Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def group(leader: int) -> Iterator[tuple[int, str]]:
    """The number and role of each living process of a group."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            state, _, group_id = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(group_id) == leader and state not in "ZX":
            yield int(folder.name), next((ROLES[word] for word in words if word in ROLES), "run")


def read_json(path: Path) -> dict[str, Any]:
    """A summary that a run wrote."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
