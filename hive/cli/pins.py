"""`hive pins`: the states that are never given up; pin one by its digest, or let it go. It must not know what for."""

from __future__ import annotations

import getpass
import json as json_text
import socket
from pathlib import Path
from typing import Any, Literal

from hive.actors.messages import Pin, Pinned
from hive.cli.asking import answer_at, live_address
from hive.cli.status import of_live, of_stopped
from hive.errors import StudyError

__all__ = ["main"]


def main(
    action: Literal["add", "remove"] | None,
    digest: str | None,
    root: Path,
    url: str | None,
    keys: Path | None,
    json: bool,
) -> int:
    """List the pins, or change one.

    Raises:
        StudyError: an action without a digest.
    """
    if action is not None and digest is None:
        raise StudyError(f"hive pins {action}: which? Name a state by its digest, as a run's --json has it")
    if action is None or digest is None:
        address = url if url is not None else live_address(root)
        show((of_stopped(root) if address is None else of_live(address, keys))["pins"], json)
        return 0
    by = f"{getpass.getuser()}@{socket.gethostname()}"
    done = answer_at(root, url, keys, Pin(digest, action == "add", by), Pinned)
    if json:
        print(json_text.dumps({"digest": done.digest, "pinned": done.keep, "file": done.file or None}, indent=1))
    else:
        print(f"{'pinned' if done.keep else 'pinned no longer:'} {done.digest[:16]} {done.file or '(evicted)'}")
    return 0


def show(pins: list[dict[str, Any]], json: bool) -> None:
    """A line each."""
    if json:
        print(json_text.dumps(pins, indent=1))
        return
    for pin in pins:
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in (pin["metrics"] or {}).items())
        where = pin["file"] or "evicted"
        print(f"{pin['kind']:5} {pin['name']}: {pin['digest'][:16]} at step {pin['step']} ({metrics}) {where}")
