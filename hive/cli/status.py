"""`hive status`: how things stand in a root, live or stopped. It must not know what the figures mean."""

from __future__ import annotations

import json as json_text
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hive.actors.coordinator import Coordinator
from hive.actors.messages import Status, StatusQuery
from hive.actors.status import status
from hive.cli.asking import answer_of, live_address
from hive.errors import StudyError
from hive.storage.lmdb_store import LmdbStore
from hive.storage.root import RootPaths

__all__ = ["main", "reading"]


def main(root: Path, url: str | None, keys: Path | None, json: bool) -> int:
    """Show how things stand."""
    address = url if url is not None else live_address(root)
    state = of_stopped(root) if address is None else {"live": True, **of_live(address, keys)}
    show_json(state) if json else show(state)
    return 0


def of_live(address: str, keys: Path | None) -> dict[str, Any]:
    """Of a coordinator that runs."""
    return answer_of(address, keys, StatusQuery(), Status).state


def of_stopped(root: Path) -> dict[str, Any]:
    """Of a root that nobody owns."""
    with reading(root) as store:
        coordinator = Coordinator(store, time.time())
        return {"live": False, **status(coordinator.books, coordinator.sharing, time.time())}


@contextmanager
def reading(root: Path, flag: str = "--root") -> Iterator[LmdbStore]:
    """The store of a root, to be read, beside its owner if there is one. `flag`: what named it.

    Raises:
        StudyError: there is none.
    """
    paths = RootPaths(root)
    if not paths.store_path.exists():
        raise StudyError(f"{root} is no root: nothing was run there (name one with {flag})")
    store = LmdbStore(paths.store_path, readonly=True)
    try:
        yield store
    finally:
        store.close()


def show_json(state: dict[str, Any]) -> None:
    """For programs."""
    print(json_text.dumps(state, indent=1))


def show(state: dict[str, Any]) -> None:
    """For people: a block for each plan with its runs, then who trains what."""
    print("live" if state["live"] else "stopped")
    for plan in state["plans"]:
        print("\n" + "\n  ".join(plan_lines(plan, [run for run in state["runs"] if run["plan"] == plan["plan"]])))
    for lease in state["leases"]:
        ahead = ", ".join(str(step) for _, step in lease["boundaries_ahead"])
        done = f"{lease['steps_run']} steps in {lease['age_s']:.0f} s from step {lease['from_step']}"
        print(f"\n{lease['trainer']} trains: {done}, next boundaries {ahead}")
    for node in state["nodes"]:
        print(f"\nnode {node['node']}: {', '.join(trainer or 'a free device' for trainer in node['slots'])}")


def plan_lines(plan: dict[str, Any], runs: list[dict[str, Any]]) -> Iterator[str]:
    """A plan and its runs, a line each."""
    yield f"{plan['study']} (plan {plan['plan']}{'' if plan['merge'] else ', nothing shared'})"
    yield f"{plan['trainer']} of {plan['file']}"
    yield f"{plan['steps_trained']} steps under {plan['nodes']} nodes{pace(plan['step_s'])}"
    yield f"{plan['checkpoints']} checkpoints, {size(plan['checkpoint_bytes'])}"
    yield f"{plan['requests_pending']} requests pending"
    for run in runs:
        steps = ", ".join(f"{run['steps_' + word]} {word}" for word in ("asked", "distinct", "reused", "run"))
        told = f"{run['answered']} answers, {run['waiting']} awaited"
        yield f"run {run['run']} ({run['age_s']:.0f} s ago): {told}; steps {steps}"


def pace(step_s: float | None) -> str:
    """How long a step takes, if it is known."""
    return "" if step_s is None else f", {step_s:.3g} s each"


def size(count: float) -> str:
    """Bytes in words."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
