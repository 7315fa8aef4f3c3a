"""Searches drawn from a seed: the machines, the settings, the trials, and when they are asked for, let go and killed.

    swarm = Swarm(seed)
    swarm.open("run")
    swarm.run()

All of it happens within the first minute, and beside it goes wrong what a fault plan says. Then everything heals. It
must not know what must hold in the end.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from hive.actors.coordinator import CoordinatorSettings
from hive.actors.faults import TROUBLE_S, FaultPlan, Faults, FaultyStore
from hive.actors.messages import Collect, CurveQuery, Pin, StatusQuery, Told, ToldTime
from hive.actors.simulator import Simulator, Weather
from hive.planner.sequences import Constant, MultiStep, Piecewise
from hive.planner.space import Config
from hive.simulation.clients import Client, Cluster
from hive.simulation.jobs import World
from hive.simulation.trouble import Trouble
from hive.simulation.values import ValuesModel, score_or_no_number
from hive.storage.records import StandingRecord

__all__ = ["CONFIGS", "RUNGS", "RestartedSearch", "Search", "Swarm", "told"]

HEALED_S = 400.0
"""Once everything is healed, everything is answered within so many seconds."""

CONFIGS: list[Config] = [{"lr": MultiStep(0.1, [m], 0.1)} for m in (3, 5, 7, 9)]
"""Four that share their beginnings."""

RUNGS = (2, 4, 8)
"""The steps at which a `Search` compares its trials."""

TRIALS_MAX = 8
"""A `Search` tries no more."""

STEPS_MAX = 14
"""No trial is asked for further than that."""


class Swarm:
    """A cluster with drawn runs and drawn trouble.

    Args:
        seed: of everything.
        world: what training does; drawn unless it is given.
        plan: what goes wrong; drawn unless it is given, and then harmless.
        simulator: makes the simulator.
    """

    def __init__(
        self,
        seed: int,
        world: World | None = None,
        plan: FaultPlan | None = None,
        simulator: Callable[[int, Weather], Simulator] = Simulator,
    ) -> None:
        self.random = random.Random(seed)
        self.plan = plan or FaultPlan.drawn(seed, harmless=True)
        self.faults = Faults(self.plan.storm)
        self.store = FaultyStore()
        self.cluster = Cluster(
            devices=self.random.randint(1, 3),
            nodes=self.random.randint(1, 2),
            world=world or self.world(),
            settings=self.settings(),
            simulator=simulator(seed, self.faults),
            store=self.store,
        )
        self.trouble = Trouble(self.cluster, self.store, self.plan, self.faults)
        self.pool = [self.config() for _ in range(6)]
        self.configs: dict[tuple[str, int], Config] = {}

    @property
    def tame(self) -> bool:
        """Whether nothing goes wrong."""
        return self.plan.tame

    def world(self) -> World:
        """How fast training is, and what it leaves on its way."""
        draw = self.random.choice
        step_s = draw([0.01, 0.3, 1.0])
        every_s = step_s * draw([math.inf, 2, 3])
        model = ValuesModel(step_s, partial(score_or_no_number, no_number=self.plan.no_number))
        return World(model, checkpoint_every_s=every_s, eval_every=draw([None, None, 1]))

    def settings(self) -> CoordinatorSettings:
        """How patient the coordinator is, and how many files it may keep."""
        draw = self.random.choice
        return CoordinatorSettings(
            lease_s=draw([3, 10]),
            hang_s=draw([86_400.0, 15.0]),
            session_lease_s=draw([4, 20]),
            attempts_max=self.plan.attempts_max,
            checkpoint_bytes_max=draw([0, 0, 300, 900]),  # of 100 each
        )

    def config(self) -> Config:
        """One whose values change up to three times."""
        milestones = sorted(self.random.sample(range(1, 12), self.random.randint(0, 3)))
        momentum = self.random.choice([Constant(0.9), Piecewise([0.5, 0.9], [self.random.randint(1, 6)])])
        return {"lr": MultiStep(0.1, milestones, 0.1), "momentum": momentum}

    # -- what is asked --------------------------------------------------------------------------------------------

    def open(self, run: str, *, plan_key: str = "key", merge: bool = True) -> Client:
        """A run that asks for one to three lots of trials at drawn moments, and may announce these and others."""
        metric = self.random.choice(["", "score"])  # the best of whose states is pinned
        client = self.cluster.open(run, plan_key=plan_key, merge=merge, metric=metric)
        trials = range(self.random.randint(1, 5))
        self.configs |= {(run, trial): self.random.choice(self.pool) for trial in trials}
        announced = [(trial, self.configs.get((run, trial)) or self.random.choice(self.pool)) for trial in range(8)]
        if self.random.random() < 0.5:
            self.sometime(lambda: client.announce(*announced))
        for _ in range(self.random.randint(1, 3)):
            chosen = self.random.sample(trials, self.random.randint(1, len(trials)))
            requests = [(trial, self.configs[run, trial], self.random.randint(1, STEPS_MAX)) for trial in chosen]
            client.waiting |= {(trial, step): 0 for trial, _, step in requests}
            self.sometime(lambda requests=requests: client.ask(*requests))  # type: ignore[misc]
        return client

    def sometime(self, happen: Callable[[], object]) -> None:
        """Let something happen while things go wrong."""
        self.cluster.simulator.later(self.random.random() * TROUBLE_S * 0.9, happen)

    def collect(self) -> None:
        """A person collects garbage."""
        self.cluster.simulator.send("person", "coordinator", Collect())

    def look(self) -> None:
        """A person looks how things stand, at a curve, and pins a state."""
        send, states = self.cluster.simulator.send, list(self.store.scan(StandingRecord))
        send("person", "coordinator", StatusQuery(trees=True))
        if states:
            state = self.random.choice(states)
            send("person", "aggregator", CurveQuery(state.plan, state.node))
            send("person", "coordinator", Pin(state.digest, keep=self.random.random() < 0.7, by="somebody"))

    # -- time -----------------------------------------------------------------------------------------------------

    def go_wrong(self) -> None:
        """The first minute."""
        for _ in range(self.random.randint(0, 3)):
            self.sometime(self.collect)
        for _ in range(self.random.randint(0, 2)):
            self.sometime(self.look)
        self.trouble.begin()
        self.cluster.simulator.run_for(TROUBLE_S)
        self.trouble.heal()

    def run(self) -> None:
        """All of it, until everything is answered."""
        self.go_wrong()
        self.cluster.finish(limit_s=HEALED_S)


@dataclass
class Search:
    """One execution of a script that promotes every second trial of a rung as soon as it can, and asks for the time.

    What it asks for depends on the order of its answers.

    Attributes:
        asked: what it asked for, in order; None for the time.
    """

    client: Client
    asked: list[tuple[int, int] | None] = field(default_factory=list)
    rungs: dict[int, list[Told]] = field(default_factory=dict)
    promoted: set[tuple[int, int]] = field(default_factory=set)
    first: int = 0

    @property
    def over(self) -> bool:
        """Everything is answered, the time too."""
        return len(self.client.journal) == len(self.asked)

    def begin(self, trials: int) -> None:
        """Ask for the first rung."""
        self.client.on_told, self.client.on_time = self.on_told, self.on_time
        self.first = trials
        self.ask(*[(trial, RUNGS[0]) for trial in range(trials)])

    def ask(self, *requests: tuple[int, int]) -> None:
        """Ask for trials at steps."""
        self.asked += requests
        self.client.ask(*[(trial, CONFIGS[trial % len(CONFIGS)], step) for trial, step in requests])

    def on_told(self, told: Told) -> None:
        """Promote whoever is among the better half by now; a trial that failed, or measured no number, ranks last."""
        rung = self.rungs.setdefault(told.step, [])
        rung.append(told)
        above = next((step for step in RUNGS if step > told.step), None)
        if above is None:
            self.asked.append(None)
            self.client.ask_time()
            return
        ranked = sorted(rung, key=lambda t: (rank(t), t.trial))
        for best in ranked[: len(rung) // 2]:
            if best.error is None and (best.trial, above) not in self.promoted:
                self.promoted.add((best.trial, above))
                self.ask((best.trial, above))

    def on_time(self, time: float) -> None:
        """What it does with the time is to try one more trial, if the second is even."""
        if int(time) % 2 == 0 and self.first < TRIALS_MAX:
            self.ask((self.first, RUNGS[0]))
            self.first += 1


def rank(told: Told) -> float:
    """Where a trial stands among others: less is better."""
    score = (told.metrics or {}).get("score", math.inf)
    return score if math.isfinite(score) else math.inf


Entry = tuple[object, ...]
"""What a journal says, without the run's name and number."""


def told(client: Client) -> list[Entry]:
    """What a client was told, in order."""
    return [
        (entry.time,) if isinstance(entry, ToldTime) else (entry.trial, entry.step, entry.digest, entry.error)
        for entry in client.journal
    ]


class RestartedSearch:
    """A `Search` whose script is started again a drawn time after it was killed.

    Attributes:
        journals: what it was told until it was killed, each time.
        runs: the names of all its executions.
        search: the one that lives; None for none.
    """

    def __init__(self, swarm: Swarm) -> None:
        self.swarm, self.cluster, self.random = swarm, swarm.cluster, swarm.random
        self.trials = self.random.randint(3, 6)
        self.journals: list[list[Entry]] = []
        self.runs: list[str] = []
        self.search: Search | None = None
        self.start()
        swarm.trouble.scripts.append(self)

    def start(self) -> None:
        """Start the script."""
        self.runs.append(f"search{len(self.runs)}")
        self.search = Search(self.cluster.open(self.runs[-1], study="search"))
        self.search.begin(self.trials)
        self.swarm.configs |= {(self.runs[-1], trial): CONFIGS[trial % len(CONFIGS)] for trial in range(TRIALS_MAX)}

    def kill(self) -> bool:
        """Kill the script; whether it lived."""
        if self.search is None:
            return False
        self.journals.append(told(self.search.client))
        self.cluster.kill(self.search.client)
        self.search = None
        self.cluster.simulator.later(self.random.random() * 6, self.start)
        return True

    @property
    def over(self) -> bool:
        """It lives, and has all that it asked for."""
        return self.search is not None and self.search.over
