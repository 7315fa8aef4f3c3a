"""`hive status`: how things stand in a root, live or stopped. It must not know what the figures mean."""

from __future__ import annotations

import asyncio
import json as json_text
import time
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
    """For people."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print("live" if state["live"] else "stopped")
    for name in ("plans", "runs", "leases", "nodes"):
        rows = state[name]
        if not rows:
            continue
        table = Table(*rows[0], title=name, title_justify="left")
        for row in rows:
            table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()))
        console.print(table)
