"""`hive-worker`: the node manager of one machine. It must not know what trainers train."""

from __future__ import annotations

import argparse
import asyncio
import logging
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

from hive.actors.actor import Called, Leave, Silence
from hive.actors.keys import named_folder
from hive.actors.messages import NodeWelcome
from hive.actors.node import NodeActor, TrainerOrder
from hive.actors.processes import EXIT_USAGE, ProcessJobs, end_with_parent
from hive.actors.runtime import Runtime
from hive.actors.sockets import ZmqNetwork, at_host_of
from hive.cli.arguments import TrainerArguments, WorkerFile, read_config
from hive.errors import HiveError, StudyError

__all__ = ["main"]

LEAVE_S = 10.0
"""How long trainers may take to leave when the worker is told to end: a step and a checkpoint of most models. Longer
ones are killed, and lose what they trained since their last checkpoint."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run trainers until told to end."""
    parser = argparse.ArgumentParser(prog="hive-worker", description="Runs a trainer on each device of this machine.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="see conf/worker.toml")
    parser.add_argument("--connect", metavar="URL", help="the coordinator's address")
    parser.add_argument("--keys", metavar="DIR", help="this machine's folder of keys, which `hive keys` made")
    parser.add_argument("--devices", metavar="LIST", help="such as cpu,cpu or cuda:0,cuda:1")
    parser.add_argument("--node", metavar="NAME", help="this machine's name; the host's by default")
    parser.add_argument("--logs", metavar="DIR", help="where the trainers' output goes, a file each")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    try:
        file = read_config(arguments.config, WorkerFile)
        given = {k: v for k in ("connect", "devices", "node", "logs") if (v := getattr(arguments, k)) is not None}
        given["keys"] = str(named_folder(arguments.keys or file.keys) or "")  # whole, for trainers, which may move
        if arguments.child:
            end_with_parent()
        file = msgspec.structs.replace(file, **given)
        asyncio.run(serve(file, devices_of(file.devices), child=arguments.child))
    except HiveError as error:
        print(f"hive: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130
    return 0


async def serve(file: WorkerFile, devices: list[str], *, child: bool) -> None:
    """Run the node manager. `child`: of a run, which waits for nobody when it ends."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    logs = Path(file.logs)
    logs.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="hive-"))
    name = file.node or socket.gethostname()
    network = ZmqNetwork(zmq.Context(), f"node:{name}", f"ipc://{folder}/n", Path(file.keys) if file.keys else None)
    network.connect("coordinator", file.connect)

    def command(order: Any) -> tuple[list[str], bytes, dict[str, str]]:
        logging.info("starting trainer %s for plan %s on %s", order.start.trainer, order.start.plan, order.device)
        return trainer_process(order, file, network.address)

    def deliver(answer: Any) -> None:
        if isinstance(answer, Silence):
            logging.info(
                "the coordinator at %s does not answer: trainers go on with the batches they have", file.connect
            )
        if isinstance(answer, NodeWelcome) and answer.aggregator:
            logging.info("the coordinator at %s is there", file.connect)
            network.connect("aggregator", at_host_of(answer.aggregator, file.connect))

    jobs = ProcessJobs(command, logs, file.log_bytes_max)
    runtime = Runtime(NodeActor(name, secrets.token_hex(8), devices), network, jobs=jobs, deliver=deliver)
    runtime.start()
    logging.info("node %s: trainers on %s, their logs in %s", name, ", ".join(devices), logs.absolute())
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    try:
        ends: list[asyncio.Future[Any]] = [runtime.failed, asyncio.ensure_future(told.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if runtime.failed.done():
            runtime.failed.result()
        if not child:
            logging.info("ending: trainers leave at their next step, within %g s", LEAVE_S)
            runtime.post(Called(Leave()))
            await jobs.leave(LEAVE_S)
    finally:
        await jobs.close()
        await asyncio.sleep(0)  # the ends of the last are told
        runtime.close()
        shutil.rmtree(folder, ignore_errors=True)


def devices_of(text: str) -> list[str]:
    """The devices that a list names.

    Raises:
        StudyError: it names none, or one that cannot be.
    """
    devices = [device.strip() for device in text.split(",") if device.strip()]
    if not devices:
        raise StudyError(f"devices is {text!r}: name one device at least, such as cpu or cuda:0")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    for device in devices:
        kind, _, number = device.partition(":")
        if device != "cpu" and not (kind == "cuda" and number.isdecimal()):
            raise StudyError(
                f"{device!r} is no device: write cpu, or cuda:0 for the first GPU, in a list such as cpu,cpu"
            )
        if kind == "cuda" and visible is not None and int(number) >= len(visible.split(",")):
            raise StudyError(
                f"there is no {device}: CUDA_VISIBLE_DEVICES is {visible!r}, and cuda:0 is the first of these"
            )
    return devices


def trainer_process(order: TrainerOrder, file: WorkerFile, node: str) -> tuple[list[str], bytes, dict[str, str]]:
    """How a trainer is started: its command, what it reads first, and its environment.

    The hash seed is fixed, so that iterating over a set is the same in each process; each has its threads and no more.
    """
    source = order.start.source
    given = TrainerArguments(order.node, order.device, node, order.start, file)
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
