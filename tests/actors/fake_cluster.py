"""All actors of a root on the fake wire: coordinator, node managers, trainers, sessions, aggregator.

`Cluster.finish` runs until everything asked is answered and every count is final, or fails. What each client was told
is in `Client.answers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hive.actors.actor import Called, DeleteFiles, FilesDeleted, FilesListed, JobEnded, ListFiles
from hive.actors.aggregator import Aggregator
from hive.actors.coordinator import AggregatorAt, Coordinator, CoordinatorSettings
from hive.actors.messages import AnnouncedTrial, AskedTrial, Opened, OpenRun, Refused, RunState, Told, ToldTime
from hive.actors.node import NodeActor, TrainerOrder
from hive.actors.runs import Run
from hive.actors.session import AnnounceCall, AskCall, AskTimeCall, CloseCall, ReleaseCall, Session
from hive.actors.trainer import TrainerActor
from hive.planner.space import Config
from hive.storage.memory_store import MemoryStore
from hive.storage.records import RunCounts, TrainerSource
from tests.actors.fake_job import FakeJobs, World
from tests.actors.fake_wire import Faults, Host, Wire

FILES_S = 0.2
"""What deleting files takes, or looking which there are."""

SOURCE = TrainerSource(
    path="study.py",
    module="study",
    qualname="Toy",
    search=(),
    dataset="",
    names=("lr", "batch_size", "momentum"),
    seed=0,
    fixed={},
    threads=1,
    eval_every=None,
    checkpoint_every_s=60.0,
)


def opening(run: str, *, plan_key: str = "key", merge: bool = True, fresh: bool = False, **more: Any) -> OpenRun:
    """A run's first message. Unless said otherwise each run is a study of its own."""
    parts: dict[str, str] = more.get("parts", {"Toy": "1"})
    study, weight = more.get("study", run), more.get("weight", 1.0)
    return OpenRun(
        run, 1, study, plan_key, merge, fresh, SOURCE, "print", parts, weight, more.get("metric", ""), maximize=True
    )


def asked(trial: int, config: Config, step: int) -> AskedTrial:
    """A request as a message says it."""
    return AskedTrial(trial, step, {name: sequence.descriptor() for name, sequence in config.items()})


@dataclass
class Client:
    """The script's side of a session."""

    wire: Wire
    run: str
    host: Host
    waiting: dict[tuple[int, int], int] = field(default_factory=dict)
    answers: list[Told] = field(default_factory=list)
    journal: list[Told | ToldTime] = field(default_factory=list)
    states: list[RunState] = field(default_factory=list)
    opened: list[Opened] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    on_told: Callable[[Told], None] = lambda told: None
    on_time: Callable[[float], None] = lambda time: None

    def ask(self, *requests: tuple[int, Config, int]) -> None:
        for trial, _, step in requests:
            self.waiting[trial, step] = self.waiting.get((trial, step), 0) + 1
        self.wire.post(self.host, Called(AskCall([asked(*request) for request in requests])))

    def ask_time(self) -> None:
        self.wire.post(self.host, Called(AskTimeCall()))

    def announce(self, *trials: tuple[int, Config]) -> None:
        announced = [AnnouncedTrial(trial, asked(trial, config, 1).config) for trial, config in trials]
        self.wire.post(self.host, Called(AnnounceCall(announced)))

    def release(self, *trials: int) -> None:
        self.waiting = {key: count for key, count in self.waiting.items() if key[0] not in trials}
        self.wire.post(self.host, Called(ReleaseCall(list(trials))))

    def close(self) -> None:
        self.waiting.clear()
        self.wire.post(self.host, Called(CloseCall()))

    def deliver(self, answer: Any) -> None:
        match answer:
            case Told() | ToldTime():
                assert answer.number == len(self.journal) + 1, "told once each, in number order"
                self.journal.append(answer)
        match answer:
            case ToldTime(time=time):
                self.on_time(time)
            case Told():
                self.answers.append(answer)
                self.waiting.pop((answer.trial, answer.step), None)
                self.on_told(answer)
            case RunState():
                self.states.append(answer)
            case Opened():
                self.opened.append(answer)
            case Refused():
                self.refused.append(answer)

    def told(self, trial: int, step: int) -> Told:
        """The last answer about a trial at a step."""
        return next(a for a in reversed(self.answers) if (a.trial, a.step) == (trial, step))


@dataclass
class NodeJobs:
    """The processes of one node manager: each is a trainer on the wire."""

    cluster: Cluster
    host: Host

    def start(self, job: str, order: TrainerOrder) -> None:
        self.cluster.wire.later(self.cluster.start_s, lambda: self.begin(job, order, self.host.life))

    def begin(self, job: str, order: TrainerOrder, life: int) -> None:
        if self.cluster.wire.hosts.get(self.host.name) is not self.host or self.host.life != life:
            return
        broken = self.cluster.broken(order)
        if isinstance(broken, int):
            self.cluster.wire.post(self.host, JobEnded(job, broken, "Illegal instruction"))
            return
        actor = TrainerActor(job, order.node, order.start.plan, broken=broken)
        jobs = FakeJobs(self.cluster.wire, self.cluster.world)
        jobs.host = Host(job, actor, 0, jobs=jobs, aliases={"node": order.node})
        self.cluster.wire.add(jobs.host)

    def amend(self, job: str, order: object) -> None:
        raise AssertionError("nobody amends a process")

    def stop(self, job: str) -> None:
        self.cluster.kill_trainer(job, code=-15)


class Cluster:
    """A root's processes.

    Args:
        seed: of everything that is drawn.
        faults: of the network.
        devices: of each node.
        nodes: how many node managers.
        world: what training does.
        settings: the coordinator's.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        faults: Faults | None = None,
        devices: int = 2,
        nodes: int = 1,
        world: World | None = None,
        settings: CoordinatorSettings | None = None,
        store: MemoryStore | None = None,
    ) -> None:
        self.wire = Wire(seed, faults)
        self.world = world or World()
        self.settings = settings or CoordinatorSettings(attempts_max=1000)
        self.store = store or MemoryStore()
        self.curves = MemoryStore()
        self.start_s = 0.5
        self.broken: Callable[[TrainerOrder], str | int | None] = lambda order: None
        self.devices = devices
        self.incarnations = 0
        self.crashes = 0
        self.folder_free = 0.0
        self.clients: list[Client] = []
        self.wire.on_crash = self.crashed
        self.start_coordinator()
        self.wire.add(Host("aggregator", Aggregator(self.curves), 0, store=self.curves))
        for number in range(nodes):
            self.start_node(f"node{number}")

    # -- processes ----------------------------------------------------------------------------------------------

    @property
    def coordinator(self) -> Coordinator:
        actor = self.wire.hosts["coordinator"].actor
        assert isinstance(actor, Coordinator)
        return actor

    def start_coordinator(self) -> None:
        actor = Coordinator(self.store, self.wire.now, self.settings)
        host = self.wire.add(Host("coordinator", actor, 0, store=self.store, files=self.look_after))
        self.wire.post(host, Called(AggregatorAt("at")))

    def look_after(self, effect: DeleteFiles | ListFiles) -> None:
        """Files go, or are looked at, when what came before is done and if their coordinator lives that long, which is
        told so a while later."""
        actor = self.wire.hosts["coordinator"].actor
        self.folder_free = max(self.folder_free, self.wire.now) + FILES_S

        def happen() -> None:
            host = self.wire.hosts.get("coordinator")
            if host is None or host.actor is not actor:
                return
            done: FilesDeleted | FilesListed = FilesListed(tuple((name, 100) for name in self.world.checkpoints))
            if isinstance(effect, DeleteFiles):
                for name in effect.names:
                    self.world.checkpoints.pop(name, None)
                done = FilesDeleted(effect.names)
            self.wire.post(host, Called(done), after_s=0.9 * FILES_S)

        self.wire.later(self.folder_free - self.wire.now, happen)

    def crash_coordinator(self, down_s: float = 0.0) -> None:
        self.crashes += 1
        self.wire.remove("coordinator")
        self.wire.later(down_s, self.start_coordinator)

    def crashed(self, name: str) -> None:
        assert name == "coordinator"
        self.crash_coordinator()

    def start_node(self, name: str) -> None:
        self.incarnations += 1
        actor = NodeActor(name, f"incarnation {self.incarnations}", ["cpu"] * self.devices)
        host = Host(name, actor, 0)
        host.jobs = NodeJobs(self, host)
        self.wire.add(host)

    def kill_node(self, name: str) -> None:
        """The node manager dies, and its trainers with it."""
        self.wire.remove(name)
        for trainer in self.trainers():
            if trainer.startswith(name + "/"):
                self.wire.remove(trainer)

    def trainers(self) -> list[str]:
        return [name for name, host in self.wire.hosts.items() if isinstance(host.actor, TrainerActor)]

    def busy(self) -> list[str]:
        """The trainers that run a batch."""
        hosts = self.wire.hosts
        return [n for n in self.trainers() if isinstance(a := hosts[n].actor, TrainerActor) and a.lease is not None]

    def kill_trainer(self, name: str, code: int = -9, tail: str = "") -> None:
        """A trainer's process dies; its node manager sees it."""
        self.wire.remove(name)
        node = self.wire.hosts.get(name.split("/")[0])
        if node is not None:
            self.wire.post(node, JobEnded(name, code, tail), after_s=0.01)

    # -- clients ------------------------------------------------------------------------------------------------

    def open(self, run: str = "run", **more: Any) -> Client:
        """A script starts."""
        host = Host(f"session {run}", Session(opening(run, **more)), 0)
        client = Client(self.wire, run, host)
        host.deliver = client.deliver
        self.wire.add(host)
        self.clients.append(client)
        return client

    def kill(self, client: Client) -> None:
        """A script dies."""
        self.wire.cut(client.host.name)
        self.clients.remove(client)

    def run_of(self, client: Client) -> Run | None:
        return self.coordinator.books.runs.get(client.run) if "coordinator" in self.wire.hosts else None

    def settled(self, client: Client) -> bool:
        """Everything it asked is answered, and its counts are final."""
        run = self.run_of(client)
        return not client.waiting and run is not None and not run.open and not self.coordinator.books.pays(run)

    def finish(self, limit_s: float = 600.0) -> None:
        """Run until every client's every request is answered."""
        self.wire.run(lambda: all(self.settled(client) for client in self.clients), limit_s)

    def counts(self, client: Client) -> RunCounts:
        run = self.run_of(client)
        assert run is not None
        return run.record.counts


def repeated(counts: RunCounts) -> int:
    """Steps that were trained more than once."""
    return counts.late_branch + counts.failure + counts.evicted


def assert_adds_up(counts: RunCounts) -> None:
    """The promise of honest counting."""
    assert counts.steps_run == counts.steps_distinct - counts.steps_reused + repeated(counts), counts
