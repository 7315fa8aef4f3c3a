"""The aggregator's process: a child of `hive-coordinator`. It must not know what is aggregated."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import zmq

from hive.actors.aggregator import Aggregator
from hive.actors.processes import end_with_parent
from hive.actors.runtime import Runtime
from hive.actors.sockets import ZmqNetwork
from hive.storage.lmdb_store import LmdbStore

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until the coordinator is gone."""
    parser = argparse.ArgumentParser(prog="hive-aggregator")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--address-file", type=Path, required=True)
    parser.add_argument("--keys", type=Path)
    arguments = parser.parse_args(argv)
    end_with_parent()
    asyncio.run(serve(arguments.store, arguments.listen, arguments.address_file, arguments.keys))
    return 0


async def serve(path: Path, listen: str, address_file: Path, keys: Path | None) -> None:
    """Run the aggregator, and write down where it listens."""
    store = LmdbStore(path)
    network = ZmqNetwork(zmq.Context(), "aggregator", listen, keys)
    runtime = Runtime(Aggregator(store), network, store=store)
    runtime.start()
    part = address_file.with_suffix(".part")
    part.write_text(network.address, encoding="utf-8")
    part.replace(address_file)
    await runtime.failed


if __name__ == "__main__":
    sys.exit(main())
