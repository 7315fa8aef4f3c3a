"""A simulated root with clients whose every word whoever simulates can choose.

`Cluster.finish` runs until everything asked is answered and every count is final, or fails. What each client was told
is in `Client.answers`. It must not know what goes wrong, or what is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hive.actors.actor import Called
from hive.actors.books import Books
from hive.actors.coordinator import CoordinatorSettings
from hive.actors.messages import AnnouncedTrial, AskedTrial, Opened, OpenRun, Refused, RunState, Told, ToldTime
from hive.actors.runs import Run
from hive.actors.session import AnnounceCall, AskCall, AskTimeCall, CloseCall, ReleaseCall, Session
from hive.actors.simulator import CLEAR, Host, Simulator, Weather
from hive.planner.space import Config
from hive.simulation.jobs import World
from hive.simulation.promises import told_in_order
from hive.simulation.root import SimulatedRoot
from hive.storage.memory_store import MemoryStore
from hive.storage.records import RunCounts, TrainerSource

__all__ = ["SOURCE", "Client", "Cluster", "asked", "opening"]

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
    """The script's side of a session.

    Attributes:
        asked: by (trial, step), how often it was asked for.
        waiting: what of that has no answer yet.
        released: the trials that were ever released.
        answers, journal: what it was told; with the times, in order.
        states, opened, refused: what else it was told.
        on_told, on_time: called with each answer, and with each time.
    """

    simulator: Simulator
    run: str
    host: Host
    asked: Counter[tuple[int, int]] = field(default_factory=Counter)
    waiting: dict[tuple[int, int], int] = field(default_factory=dict)
    released: set[int] = field(default_factory=set)
    answers: list[Told] = field(default_factory=list)
    journal: list[Told | ToldTime] = field(default_factory=list)
    states: list[RunState] = field(default_factory=list)
    opened: list[Opened] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    on_told: Callable[[Told], None] = lambda _: None
    on_time: Callable[[float], None] = lambda _: None

    def ask(self, *requests: tuple[int, Config, int]) -> None:
        """Ask for trials at steps, together."""
        for trial, _, step in requests:
            self.asked[trial, step] += 1
            self.waiting[trial, step] = self.waiting.get((trial, step), 0) + 1
        self.simulator.post(self.host, Called(AskCall([asked(*request) for request in requests])))

    def ask_time(self) -> None:
        """Ask for the time."""
        self.simulator.post(self.host, Called(AskTimeCall()))

    def announce(self, *trials: tuple[int, Config]) -> None:
        """Say what may be asked for later."""
        announced = [AnnouncedTrial(trial, asked(trial, config, 1).config) for trial, config in trials]
        self.simulator.post(self.host, Called(AnnounceCall(announced)))

    def release(self, *trials: int) -> None:
        """Want nothing more of these trials."""
        self.released.update(trials)
        self.waiting = {key: count for key, count in self.waiting.items() if key[0] not in trials}
        self.simulator.post(self.host, Called(ReleaseCall(list(trials))))

    def close(self) -> None:
        """Want nothing more."""
        self.released.update(trial for trial, _ in self.asked)
        self.waiting.clear()
        self.simulator.post(self.host, Called(CloseCall()))

    def deliver(self, answer: Any) -> None:
        """The session hands something on."""
        match answer:
            case Told() | ToldTime():
                told_in_order(self.run, len(self.journal), answer.number)
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


class Cluster(SimulatedRoot):
    """A root's processes, and its clients.

    Args:
        seed: of everything that is drawn.
        weather: of the network.
        devices: of each node.
        nodes: how many node managers.
        world: what training does.
        settings: the coordinator's.
        simulator: in place of one of that seed and weather.
        store: what the coordinator owns.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        weather: Weather = CLEAR,
        devices: int = 2,
        nodes: int = 1,
        world: World | None = None,
        settings: CoordinatorSettings | None = None,
        simulator: Simulator | None = None,
        store: MemoryStore | None = None,
    ) -> None:
        self.clients: list[Client] = []
        super().__init__(
            simulator or Simulator(seed, weather),
            world or World(),
            devices=devices,
            nodes=nodes,
            settings=settings or CoordinatorSettings(attempts_max=1000),
            store=store,
        )

    def open(self, run: str = "run", **more: Any) -> Client:
        """A script starts."""
        session = Session(opening(run, **more))
        client = Client(self.simulator, run, Host(f"session {run}", session))
        client.host.deliver = client.deliver
        self.simulator.add(client.host)
        self.clients.append(client)
        return client

    def kill(self, client: Client) -> None:
        """A script dies."""
        self.simulator.cut(client.host.name)
        self.clients.remove(client)

    def run_of(self, client: Client) -> Run | None:
        """What the coordinator knows of a client's run."""
        return self.coordinator.books.runs.get(client.run) if self.coordinator is not None else None

    def settled(self, client: Client) -> bool:
        """Everything it asked is answered, and its counts are final."""
        run = self.run_of(client)
        return not client.waiting and run is not None and not run.open and not self.books.pays(run)

    @property
    def books(self) -> Books:
        """What the coordinator knows."""
        assert self.coordinator is not None
        return self.coordinator.books

    def finish(self, limit_s: float = 600.0) -> None:
        """Run until every client's every request is answered."""
        self.simulator.run(lambda: all(self.settled(client) for client in self.clients), limit_s)

    def counts(self, client: Client) -> RunCounts:
        """What a client's run cost."""
        run = self.run_of(client)
        assert run is not None
        return run.record.counts
