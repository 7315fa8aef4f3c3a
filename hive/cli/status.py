"""`hive status`: how things stand in a root, live or stopped. It must not know what the figures mean."""

from __future__ import annotations

import asyncio
import json as json_text
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zmq

from hive.actors.coordinator import Coordinator
from hive.actors.messages import Status, StatusQuery
from hive.actors.runtime import ZmqNetwork
from hive.actors.status import status
from hive.errors import StudyError
from hive.storage.lmdb_store import LmdbStore
from hive.storage.root import RootPaths, read_owner

__all__ = ["main"]

ANSWER_S = 5.0
"""How long a coordinator may take to answer."""


def main(root: Path, url: str | None, json: bool) -> int:
    """Show how things stand."""
    state = asyncio.run(ask(url)) if url is not None else of_root(root)
    show_json(state) if json else show(state)
    return 0


def of_root(root: Path) -> dict[str, Any]:
    """Of the coordinator that owns a root; of the store, if nobody does."""
    paths = RootPaths(root)
    address = paths.read_address() if read_owner(root) is not None else None
    if address is not None:
        return asyncio.run(ask(address))
    if not paths.store_path.exists():
        raise StudyError(f"{root} is no root: nothing was run there (name one with --root)")
    store = LmdbStore(paths.store_path, readonly=True)
    try:
        return {"live": False, **status(Coordinator(store, time.time()).books, time.time())}
    finally:
        store.close()


async def ask(url: str) -> dict[str, Any]:
    """Of a coordinator that runs."""
    answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    def receive(_sender: str, message: Any) -> None:
        if isinstance(message, Status) and not answer.done():
            answer.set_result(message.state)

    network = ZmqNetwork(zmq.Context(), f"status:{time.time_ns()}")
    network.connect("coordinator", url)
    network.attach(receive)
    network.send("coordinator", StatusQuery())
    try:
        return {"live": True, **await asyncio.wait_for(answer, ANSWER_S)}
    except TimeoutError:
        raise StudyError(f"nobody answered at {url} within {ANSWER_S:g} s") from None
    finally:
        network.close()


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
    yield f"{plan['trainer']}: {plan['steps_trained']} steps under {plan['nodes']} nodes{pace(plan['step_s'])}"
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
