"""`hive-worker`: the node manager of one machine. It must not know what trainers train."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import zmq

from hive.actors.messages import NodeWelcome
from hive.actors.node import NodeActor, TrainerOrder
from hive.actors.processes import EXIT_USAGE, ProcessJobs, end_with_parent
from hive.actors.runtime import Runtime, ZmqNetwork
from hive.cli.arguments import TrainerArguments, WorkerFile, read_config
from hive.errors import HiveError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run trainers until told to end."""
    parser = argparse.ArgumentParser(prog="hive-worker", description="Runs a trainer on each device of this machine.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="see conf/worker.toml")
    parser.add_argument("--connect", metavar="URL", help="the coordinator's address")
    parser.add_argument("--devices", metavar="LIST", help="such as cpu,cpu or cuda:0,cuda:1")
    parser.add_argument("--node", metavar="NAME", help="this machine's name; the host's by default")
    parser.add_argument("--logs", metavar="DIR", help="where the trainers' output goes, a file each")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    try:
        file = read_config(arguments.config, WorkerFile)
        given = {k: v for k in ("connect", "devices", "node", "logs") if (v := getattr(arguments, k)) is not None}
        if arguments.child:
            end_with_parent()
        asyncio.run(serve(msgspec.structs.replace(file, **given)))
    except HiveError as error:
        print(f"hive: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130
    return 0


async def serve(file: WorkerFile) -> None:
    """Run the node manager."""
    devices = [device.strip() for device in file.devices.split(",") if device.strip()]
    logs = Path(file.logs)
    logs.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="hive-"))
    name = file.node or socket.gethostname()
    network = ZmqNetwork(zmq.Context(), f"node:{name}", f"ipc://{folder}/n")
    network.connect("coordinator", file.connect)

    def command(order: Any) -> tuple[list[str], bytes, dict[str, str]]:
        return trainer_process(order, file.connect, network.address)

    def deliver(answer: Any) -> None:
        if isinstance(answer, NodeWelcome) and answer.aggregator:
            network.connect("aggregator", answer.aggregator)

    jobs = ProcessJobs(command, logs)
    runtime = Runtime(NodeActor(name, secrets.token_hex(8), devices), network, jobs=jobs, deliver=deliver)
    runtime.start()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runtime.failed.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await runtime.failed
    finally:
        await jobs.close()
        runtime.close()
        shutil.rmtree(folder, ignore_errors=True)


def trainer_process(order: TrainerOrder, coordinator: str, node: str) -> tuple[list[str], bytes, dict[str, str]]:
    """How a trainer is started: its command, what it reads first, and its environment.

    The hash seed is fixed, so that iterating over a set is the same in each process; each has its threads and no more.
    """
    source = order.start.source
    given = TrainerArguments(order.node, order.device, coordinator, node, order.start)
    data = msgspec.msgpack.encode(given)
    threads = str(source.threads)
    environment = {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    if order.device.startswith("cuda:"):
        index = int(order.device.removeprefix("cuda:"))
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        environment["CUDA_VISIBLE_DEVICES"] = visible.split(",")[index] if visible else str(index)
    return ["-m", "hive.cli.trainer"], len(data).to_bytes(4, "big") + data, environment


if __name__ == "__main__":
    sys.exit(main())
