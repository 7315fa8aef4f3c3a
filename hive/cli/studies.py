"""`hive studies`: the studies of a coordinator that runs; pause, resume, or cancel one. It must not know what that
does."""

from __future__ import annotations

import getpass
import json as json_text
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from hive.actors.messages import Status, StatusQuery, StudyCommand, StudyDone
from hive.cli.asking import answer_of, live_address
from hive.errors import StudyError

__all__ = ["main"]

Action = Literal["pause", "resume", "cancel"]

DONE = {"pause": "paused", "resume": "resumed", "cancel": "cancelled"}

KEYS = ("study", "plan", "run", "state", "weight", "share", "trainers", "trials_asked", "answered", "waiting")
"""What `--json` says of each open run; the meanings are those of `hive status --json`."""

HEADINGS = ("STUDY", "RUN", "PLAN", "STATE", "WEIGHT", "SHARE", "TRAINERS", "ANSWERED")


def main(action: Action | None, name: str | None, root: Path, url: str | None, keys: Path | None, json: bool) -> int:
    """List the studies, or command one.

    Raises:
        StudyError: an action without a name, or nobody runs there.
    """
    if action is not None and name is None:
        raise StudyError(f"hive studies {action}: which? Name a study, or a run as `hive studies` lists it")
    address = url if url is not None else live_address(root)
    if address is None:
        raise StudyError(f"the coordinator of {root} is not running: `hive status --root {root}` shows what is there")
    if action is None or name is None:
        show(answer_of(address, keys, StatusQuery(), Status).state["runs"], json)
        return 0
    command = StudyCommand(name, action, f"{getpass.getuser()}@{socket.gethostname()}")
    done = answer_of(address, keys, command, StudyDone)
    if json:
        print(json_text.dumps({"action": done.action, "runs": done.runs}, indent=1))
    else:
        print("\n".join(f"{DONE[done.action]} {run}" for run in done.runs))
    return 0


def show(runs: Sequence[dict[str, Any]], json: bool) -> None:
    """The runs that are open, a line each."""
    there = [run for run in runs if run["state"] != "closed"]
    if json:
        print(json_text.dumps([{key: run[key] for key in KEYS} for run in there], indent=1))
        return
    rows = [HEADINGS, *map(row, there)]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEADINGS))]
    for line in rows:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())


def row(run: dict[str, Any]) -> tuple[str, ...]:
    """A run's line."""
    asked = run["answered"] + run["waiting"]
    return (
        *(run["study"], run["run"], run["plan"], run["state"], f"{run['weight']:g}", f"{run['share']:.0%}"),
        *(str(run["trainers"]), f"{run['answered']} of {asked}"),
    )
