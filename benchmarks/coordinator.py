"""How much does one coordinator take through the wire, and how long does a result wait at half of that?

A real `hive-coordinator` with its store on disk; clients and trainers are plain sockets of one other process, which
train nothing: a trainer answers each batch at once. Each client speaks for one study on a plan that all share, no two
trials alike, 10 requests a trial. For 1, 8 and 64 clients:

    requests_per_s     requests that are durable (`Applied`), by seconds, without trainers; one request a message
    results_per_s      results told, by seconds, with 32 trainers, everything asked for before
    p99_ms_at_half     from asking for a trial's first result to being told it, with one trial asked for at a time
                       each client, so that results come at half of results_per_s or what the asking allows
    fsyncs_per_result  transactions of the store while results were told, by results (each syncs once)
    rss_mb             memory of the coordinator at the end

Target: 10,000 requests and results a second.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lmdb
import zmq
from support.report import arguments, conclude, introduce, scratch

from hive.actors import wire
from hive.actors.messages import (
    Applied,
    Ask,
    AskedTrial,
    Grant,
    LeaseEnded,
    Message,
    Noted,
    Notice,
    Opened,
    OpenRun,
    SessionBeat,
    Told,
    TrainerBeat,
)
from hive.storage.records import CheckpointFile, TrainerSource

CLIENTS = (1, 8, 64)
TRAINERS = 32
STEPS = 10
RESULTS = 20_000
UNAPPLIED_MAX = 512
"""Messages under way of all clients together: enough to keep a coordinator busy, too few to overflow a queue."""
PACED_S = 4.0
BEAT_S = 1.0
QUIET_S = 60.0

SOURCE = TrainerSource("study.py", "study", "Toy", (), "", ("lr",), 0, {}, 1, None, 60.0)


@dataclass
class Peer:
    """A connection to the coordinator."""

    context: zmq.Context[Any]
    url: str
    name: str

    def __post_init__(self) -> None:
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IDENTITY, self.name.encode())
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(self.url)

    def say(self, message: Message) -> None:
        self.socket.send(wire.encode(message))

    def heard(self) -> Iterator[Message]:
        """What has come."""
        while True:
            try:
                yield wire.decode(self.socket.recv(zmq.NOBLOCK))
            except zmq.Again:
                return


@dataclass
class Client(Peer):
    """A session of one study."""

    number: int = 1
    applied: int = 0
    told: int = 0
    trials: int = 0
    said_at: dict[int, float] = field(default_factory=dict)
    waits_s: list[float] = field(default_factory=list)
    plan: str = ""

    def open(self) -> None:
        self.say(OpenRun(self.name, 1, self.name, "key", True, False, SOURCE, "print", {}))

    def ask(self, steps: list[int]) -> None:
        """Ask for these steps of the present trial."""
        self.number += 1
        config = {"lr": {"fn": "Constant", "value": f"{self.name} {self.trials}"}}
        self.say(Ask(self.name, self.number, [AskedTrial(self.trials, step, config) for step in steps]))

    def ask_next_trial(self) -> None:
        self.trials += 1
        self.said_at[self.trials] = time.perf_counter()
        self.ask(list(range(1, STEPS + 1)))

    def beat(self) -> None:
        self.say(SessionBeat(self.name, self.told))

    def read(self) -> None:
        for message in self.heard():
            match message:
                case Opened():
                    self.plan = message.plan
                case Applied():
                    self.applied = max(self.applied, message.number)
                case Told() if message.number == self.told + 1:
                    self.told += 1
                    if (said_at := self.said_at.pop(message.trial, None)) is not None:
                        self.waits_s.append(time.perf_counter() - said_at)


@dataclass
class Trainer(Peer):
    """A trainer that needs no time."""

    plan: str = ""
    lease: int = 0

    def beat(self) -> None:
        self.say(TrainerBeat(self.name, "node", self.plan))

    def read(self) -> None:
        for message in self.heard():
            if isinstance(message, Grant) and message.lease > self.lease:
                self.train(message)
            elif not isinstance(message, Grant | Noted):
                raise AssertionError(f"{self.name} was told {message}")

    def train(self, grant: Grant) -> None:
        self.lease, run, number = grant.lease, 0, 0
        for stage in grant.stages:
            run += stage.end - stage.start
            if not stage.boundary:
                continue
            number += 1
            file = CheckpointFile(f"{self.plan}/{stage.node}-{stage.end}-{grant.lease}.safetensors", 1)
            notice = Notice(
                trainer=self.name,
                number=number,
                lease=grant.lease,
                node=stage.node,
                step=stage.end,
                steps_run=run,
                digest="0" * 64,
                metrics={"score": 0.5} if stage.metrics else None,
                checkpoint=file,
            )
            self.say(notice)
        self.say(LeaseEnded(self.name, number + 1, grant.lease, run))


class Load:
    """Clients and trainers, and a loop that reads what comes to them."""

    def __init__(self, url: str, clients: int) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.poller = zmq.Poller()
        self.url = url
        self.peers: dict[Any, Client | Trainer] = {}
        self.clients = [self.add(Client(self.context, url, f"client{n}")) for n in range(clients)]
        self.trainers: list[Trainer] = []
        self.beaten_at = 0.0
        for client in self.clients:
            client.open()
        self.until(lambda: all(client.plan for client in self.clients))

    def add(self, peer: Any) -> Any:
        self.peers[peer.socket] = peer
        self.poller.register(peer.socket, zmq.POLLIN)
        return peer

    def hire(self) -> None:
        """Trainers come."""
        plan = self.clients[0].plan
        self.trainers = [self.add(Trainer(self.context, self.url, f"trainer{n}", plan)) for n in range(TRAINERS)]
        for trainer in self.trainers:
            trainer.beat()

    def turn(self, wait_s: float = 0.05) -> None:
        """Read what comes within so many seconds; beat once a second."""
        for socket, _ in self.poller.poll(int(wait_s * 1000)):
            self.peers[socket].read()
        if time.perf_counter() - self.beaten_at > BEAT_S:
            self.beaten_at = time.perf_counter()
            for peer in self.peers.values():
                if isinstance(peer, Trainer) or peer.plan:
                    peer.beat()

    def until(self, done: Callable[[], bool]) -> None:
        """Go on until something holds."""
        end = time.perf_counter() + QUIET_S
        while not done():
            assert time.perf_counter() < end, "the coordinator does not keep up"
            self.turn()

    @property
    def told(self) -> int:
        return sum(client.told for client in self.clients)

    def close(self) -> None:
        self.context.destroy(linger=0)


@contextmanager
def coordinator(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A coordinator on a root of its own: its address and its process."""
    command = [sys.executable, "-m", "hive.cli.coordinator", "--root", str(folder), "--listen", "tcp://127.0.0.1:0"]
    process = subprocess.Popen(command, stderr=(folder / "words").open("wb"), start_new_session=True)
    try:
        while not (folder / "address").exists():
            assert process.poll() is None, (folder / "words").read_text()
            time.sleep(0.01)
        yield (folder / "address").read_text().strip(), process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def requests_per_s(load: Load) -> float:
    """Ask for all results, a request a message, with a bound on how many are under way."""
    window = max(1, UNAPPLIED_MAX // len(load.clients))
    waiting = {client.name: deque[int]() for client in load.clients}
    for number in range(RESULTS // STEPS):
        waiting[load.clients[number % len(load.clients)].name].extend(range(1, STEPS + 1))
    began, asked = time.perf_counter(), load.clients
    while asked:
        for client in asked:
            queue = waiting[client.name]
            while queue and client.number - client.applied < window:
                step = queue.popleft()
                client.trials += step == 1
                client.ask([step])
        load.turn()
        asked = [client for client in asked if waiting[client.name] or client.applied < client.number]
    return RESULTS / (time.perf_counter() - began)


def results_per_s(load: Load) -> float:
    """Train all of it."""
    began = time.perf_counter()
    load.hire()
    load.until(lambda: load.told == RESULTS)
    return RESULTS / (time.perf_counter() - began)


def waits_at(load: Load, rate: float) -> list[float]:
    """Seconds from asking for a trial to its first result, with so many results asked for in a second."""
    began, said = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < PACED_S:
        due = int(passed * rate / STEPS)
        while said < due:
            load.clients[said % len(load.clients)].ask_next_trial()
            said += 1
        load.turn(wait_s=0.001)
    load.until(lambda: load.told == RESULTS + said * STEPS)
    return [wait for client in load.clients for wait in client.waits_s]


def transactions(folder: Path) -> int:
    with lmdb.open(str(folder / "store"), readonly=True, lock=False) as store:
        return int(store.info()["last_txnid"])


def rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def measure(clients: int) -> dict[str, float]:
    """The figures for so many clients."""
    with scratch() as name, coordinator(Path(name)) as (url, process):
        load = Load(url, clients)
        requests = requests_per_s(load)
        before = transactions(Path(name))
        results = results_per_s(load)
        syncs = transactions(Path(name)) - before
        waits = waits_at(load, min(requests, results) / 2)
        figures = {
            "requests_per_s": requests,
            "results_per_s": results,
            "p99_ms_at_half": statistics.quantiles(waits, n=100)[98] * 1000,
            "fsyncs_per_result": syncs / RESULTS,
            "rss_mb": rss_mb(process.pid),
        }
        load.close()
        return figures


def main() -> None:
    """Each number of clients on a new root."""
    given = arguments(__doc__)
    introduce(given.seed, ["hive-stage", "lmdb", "pyzmq", "msgspec"])
    found = {}
    for clients in CLIENTS:
        found[str(clients)] = figures = measure(clients)
        print(
            f"clients   {clients}: " + ", ".join(f"{name} {figure:.4g}" for name, figure in figures.items()), flush=True
        )
    conclude({"clients": found}, as_json=given.json)


if __name__ == "__main__":
    main()
