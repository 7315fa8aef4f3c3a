"""All processes of a root in virtual time: coordinator, aggregator, node managers, trainers, and scripts.

    root = SimulatedRoot(Simulator(seed), world, devices=2)
    root.tune([Script(opening, tuner, metric="score", mode="max")])

The actors are those of real life, unchanged; only what is around them is simulated: the network and the clock by the
simulator, the disk and training by the world. It must not know what goes wrong, or why anybody simulates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hive.actors.actor import Called, DeleteFiles, FilesDeleted, FilesListed, JobEnded, ListFiles
from hive.actors.aggregator import Aggregator
from hive.actors.coordinator import AggregatorAt, Coordinator, CoordinatorSettings
from hive.actors.node import NodeActor, TrainerOrder
from hive.actors.session import Session
from hive.actors.simulator import Host, Simulator
from hive.actors.trainer import TrainerActor
from hive.simulation.jobs import SimulatedJobs, World
from hive.storage.memory_store import MemoryStore

__all__ = ["PATIENT", "SILENT", "Beats", "SimulatedRoot"]

FILES_S = 0.2
"""What deleting files takes, or looking which there are."""


@dataclass(frozen=True, slots=True)
class Beats:
    """How often who says that it lives; seconds. Where nobody is ever lost, `math.inf` will do."""

    session_s: float = 1.0
    node_s: float = 1.0
    trainer_s: float = 1.0


SILENT = Beats(math.inf, math.inf, math.inf)
PATIENT = CoordinatorSettings(lease_s=math.inf, session_lease_s=math.inf, hang_s=math.inf, beat_s=math.inf)
"""Where nobody is ever lost, nobody says that he lives, and nobody waits for it: steps cost nothing to simulate, and
when nothing more happens, nothing more happens."""


class SimulatedRoot:
    """A root's processes.

    Args:
        simulator: the network and the clock.
        world: what training does.
        devices: of each node.
        nodes: how many node managers.
        settings: the coordinator's.
        store: what the coordinator owns.
        beats: how often others say that they live.
        start_s: what the start of a trainer's process takes; seconds.

    Attributes:
        broken: of an order to start a trainer: why its class cannot be had, or the code that its process exits with at
            once; None for neither.
        crashes: how often the coordinator was killed.
        nodes: the names of all node managers that ever lived.
    """

    def __init__(
        self,
        simulator: Simulator,
        world: World,
        *,
        devices: int = 2,
        nodes: int = 1,
        settings: CoordinatorSettings | None = None,
        store: MemoryStore | None = None,
        beats: Beats | None = None,
        start_s: float = 0.5,
    ) -> None:
        self.simulator = simulator
        self.world = world
        self.devices = devices
        self.settings = settings or CoordinatorSettings()
        self.store = store or MemoryStore()
        self.curves = MemoryStore()
        self.beats = beats or Beats()
        self.start_s = start_s
        self.broken: Callable[[TrainerOrder], str | int | None] = lambda _: None
        self.incarnations = 0
        self.crashes = 0
        self.folder_free = 0.0
        self.nodes: dict[str, None] = {}
        simulator.on_crash = self.crashed
        self.start_coordinator()
        simulator.add(Host("aggregator", Aggregator(self.curves), store=self.curves))
        for number in range(nodes):
            self.start_node(f"node{number}")

    # -- the coordinator --------------------------------------------------------------------------------------------

    @property
    def coordinator(self) -> Coordinator | None:
        """The coordinator's actor, if it lives."""
        host = self.simulator.hosts.get("coordinator")
        actor = host.actor if host is not None else None
        assert actor is None or isinstance(actor, Coordinator)
        return actor

    def start_coordinator(self) -> None:
        """Construct it from its store, unless it lives."""
        if "coordinator" in self.simulator.hosts:
            return
        actor = Coordinator(self.store, self.simulator.clock("coordinator"), self.settings)
        host = self.simulator.add(Host("coordinator", actor, store=self.store, files=self.look_after))
        self.simulator.post(host, Called(AggregatorAt("at")))

    def look_after(self, effect: DeleteFiles | ListFiles) -> None:
        """Files go, or are looked at, when what came before is done and if their coordinator lives that long, which is
        told so a while later."""
        asked = self.simulator.hosts["coordinator"]
        self.folder_free = max(self.folder_free, self.simulator.now) + FILES_S

        def happen() -> None:
            if not self.simulator.alive(asked):
                return
            files, size = self.world.checkpoints, self.world.bytes
            done: FilesDeleted | FilesListed = FilesListed(tuple((name, size) for name in files))
            if isinstance(effect, DeleteFiles):
                for name in effect.names:
                    files.pop(name, None)
                done = FilesDeleted(effect.names)
            self.simulator.post(asked, Called(done), after_s=0.9 * FILES_S)

        self.simulator.later(self.folder_free - self.simulator.now, happen)

    def crash_coordinator(self, down_s: float = 0.0) -> None:
        """Kill it; it is started again after a while."""
        self.crashes += 1
        self.simulator.remove("coordinator")
        self.simulator.later(down_s, self.start_coordinator)

    def crashed(self, name: str) -> None:
        """A process died in the middle of a turn."""
        if name == "coordinator":
            self.crash_coordinator()
        elif name in self.nodes:
            self.kill_node(name)
        else:
            self.kill_trainer(name)

    # -- node managers and trainers ---------------------------------------------------------------------------------

    def start_node(self, name: str) -> None:
        """A node manager begins, unless it lives."""
        if name in self.simulator.hosts:
            return
        self.nodes[name] = None
        self.incarnations += 1
        actor = NodeActor(name, f"incarnation {self.incarnations}", ["cpu"] * self.devices, self.beats.node_s)
        host = Host(name, actor)
        host.jobs = Processes(self, host)
        self.simulator.add(host)

    def kill_node(self, name: str) -> None:
        """A node manager dies, and its trainers with it."""
        self.simulator.remove(name)
        for trainer in self.trainers():
            if trainer.startswith(name + "/"):
                self.simulator.remove(trainer)

    def trainers(self) -> list[str]:
        """The trainers that live."""
        return [name for name, host in self.simulator.hosts.items() if isinstance(host.actor, TrainerActor)]

    def busy(self) -> list[str]:
        """The trainers that run a batch."""
        hosts = self.simulator.hosts
        return [n for n in self.trainers() if isinstance(a := hosts[n].actor, TrainerActor) and a.lease is not None]

    def kill_trainer(self, name: str, code: int = -9, tail: str = "") -> None:
        """A trainer's process dies; its node manager sees it."""
        self.simulator.remove(name)
        node = self.simulator.hosts.get(name.split("/")[0])
        if node is not None:
            self.simulator.post(node, JobEnded(name, code, tail), after_s=0.01)

    # -- scripts ----------------------------------------------------------------------------------------------------

    def start_session(self, session: Session, deliver: Callable[[Any], None]) -> Host:
        """A script's session begins."""
        return self.simulator.add(Host(f"session {session.run}", session, deliver=deliver))


@dataclass
class Processes:
    """The processes of one node manager: each is a trainer on the network."""

    root: SimulatedRoot
    host: Host

    def start(self, job: str, order: TrainerOrder) -> None:
        """A process starts, and is there after a while."""
        self.root.simulator.later(self.root.start_s, lambda: self.begin(job, order))

    def begin(self, job: str, order: TrainerOrder) -> None:
        """It is there, if its node manager still is."""
        root = self.root
        if not root.simulator.alive(self.host):
            return
        broken = root.broken(order)
        if isinstance(broken, int):
            root.simulator.post(self.host, JobEnded(job, broken, "Illegal instruction"))
            return
        actor = TrainerActor(job, order.node, order.start.plan, root.beats.trainer_s, broken)
        jobs = SimulatedJobs(root.simulator, root.world)
        jobs.host = Host(job, actor, jobs=jobs, aliases={"node": order.node})
        root.simulator.add(jobs.host)

    def amend(self, job: str, order: object) -> None:
        """Nobody amends a process."""
        raise AssertionError(f"{job} is a process: {order}")

    def stop(self, job: str) -> None:
        """It is told to end."""
        self.root.kill_trainer(job, code=-15)
