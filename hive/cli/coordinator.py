"""`hive-coordinator`: owns a root and serves it. It must not know what the coordinator decides."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import zmq

from hive.actors.actor import Called
from hive.actors.coordinator import AggregatorAt, Coordinator, CoordinatorSettings
from hive.actors.keys import named_folder
from hive.actors.processes import EXIT_USAGE, Child, end_with_parent, keep_running
from hive.actors.runtime import Runtime
from hive.actors.sockets import ZmqNetwork, at_host_of
from hive.cli.arguments import CoordinatorFile, read_config
from hive.errors import HiveError
from hive.storage.folders import claim, own_folder
from hive.storage.lmdb_store import LmdbStore
from hive.storage.root import Root

__all__ = ["main"]

OWNER_WAIT_S = 2.0
"""The processes of a run that was killed need a moment to notice it."""


GARBAGE_THRESHOLDS = (20_000, 50, 200)
"""Plans are large, live long, and hold next to no garbage; a look at all of one is a pause of a tenth of a second, and
Python's own thresholds take one each second under load."""

AGGREGATOR_NICE = 10
"""Nobody waits for a curve: those who train come first."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(
        prog="hive-coordinator", description="Owns a root: search plans, checkpoints, leases."
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="see conf/coordinator.toml")
    parser.add_argument("--root", metavar="DIR", help="the folder it owns")
    parser.add_argument("--listen", metavar="URL", help="where it listens; on loopback, or ipc, or with keys")
    parser.add_argument("--keys", metavar="DIR", help="its folder of keys, which `hive keys` made")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--close-runs", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    try:
        file = read_config(arguments.config, CoordinatorFile)
        given = {k: v for k in ("root", "listen", "keys") if (v := getattr(arguments, k)) is not None}
        file = msgspec.structs.replace(file, **given)
        with Root.acquire(file.root, wait_s=OWNER_WAIT_S) as root:
            if arguments.child:
                end_with_parent()
            asyncio.run(serve(root, file, close_runs=arguments.close_runs))
    except HiveError as error:
        print(f"hive: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130
    return 0


async def serve(root: Root, file: CoordinatorFile, *, close_runs: bool) -> None:
    """Run the coordinator and keep its aggregator running."""
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    store = LmdbStore(root.store_path)
    folder = claim(store, file.checkpoint_url or str(root.checkpoints_path))
    settings = CoordinatorSettings(
        session_lease_s=file.session_lease_s,
        lease_s=file.lease_s,
        hang_s=file.hang_s,
        attempts_max=file.attempts_max,
        checkpoint_bytes_max=file.checkpoint_bytes_max,
        checkpoints=folder,
        close_runs=close_runs,
        whole_paths=file.whole_paths,
    )
    network = ZmqNetwork(zmq.Context(), "coordinator", file.listen, named_folder(file.keys))
    coordinator = Coordinator(store, time.time(), settings)
    runtime = Runtime(coordinator, network, store=store, deliver=logging.warning, folder=own_folder(folder))
    runtime.start()
    root.publish_address(network.address)
    if network.door is not None:
        logging.info("letting in the keys of %s", ", ".join(network.door.keys.peers))
    logging.info("serving %s at %s", root.path, network.address)
    aggregator = asyncio.create_task(keep_aggregating(root, network, runtime))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runtime.failed.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await runtime.failed
    finally:
        aggregator.cancel()
        await asyncio.gather(aggregator, return_exceptions=True)
        runtime.close()


async def keep_aggregating(root: Root, network: ZmqNetwork, runtime: Runtime) -> None:
    """Keep an aggregator running beside the coordinator's own address, and say where it is."""
    address, keys = network.address, network.keys
    listen = f"{address}-curves" if address.startswith("ipc") else at_host_of("tcp://:0", address)
    where = root.path / "curves-address"
    command = ["-m", "hive.cli.aggregator", "--store", str(root.path / "curves"), "--listen", listen]
    command += ["--address-file", str(where)]
    command += [] if keys is None else ["--keys", str(keys)]

    async def tell() -> None:
        told = ""
        while True:
            with contextlib.suppress(OSError):
                now = where.read_text(encoding="utf-8")
                if now != told:
                    told = now
                    runtime.post(Called(AggregatorAt(now)))
            await asyncio.sleep(0.5)

    teller = asyncio.create_task(tell())
    where.unlink(missing_ok=True)
    try:
        await keep_running(
            lambda: Child.start(command, root.logs_path / "aggregator.log", nice=AGGREGATOR_NICE), lambda _: None
        )
    except HiveError as error:
        logging.warning("no curves are kept: %s", error)
    finally:
        teller.cancel()


if __name__ == "__main__":
    sys.exit(main())
