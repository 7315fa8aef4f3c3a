"""A search whose script is killed again and again, in a swarm: it is told the same again, and goes on from there.

The search is asynchronous: each answer decides at once who goes on. What it asks for depends on the order of its
answers, which depends on faults and crashes; so a second search alone would hardly ever be told the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given

from hive.actors.messages import Told, ToldTime
from hive.simulation.jobs import ValuesModel, World, expected_digest
from tests.actors.clients import Client, Cluster, assert_adds_up
from tests.actors.test_swarm import CONFIGS, Swarm, crash_at, seeds, third

RUNGS = (2, 4, 8)


@dataclass
class Search:
    """One execution of a script that promotes every second trial of a rung as soon as it can, and asks for the time.

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
        self.client.on_told, self.client.on_time = self.on_told, self.on_time
        self.first = trials
        self.ask(*[(trial, RUNGS[0]) for trial in range(trials)])

    def ask(self, *requests: tuple[int, int]) -> None:
        self.asked += requests
        self.client.ask(*[(trial, CONFIGS[trial % len(CONFIGS)], step) for trial, step in requests])

    def on_told(self, told: Told) -> None:
        rung = self.rungs.setdefault(told.step, [])
        rung.append(told)
        above = next((step for step in RUNGS if step > told.step), None)
        if above is None:
            self.asked.append(None)
            self.client.ask_time()
            return
        ranked = sorted(rung, key=lambda t: ((t.metrics or {})["score"], t.trial))
        for best in ranked[: len(rung) // 2]:
            if (best.trial, above) not in self.promoted:
                self.promoted.add((best.trial, above))
                self.ask((best.trial, above))

    def on_time(self, time: float) -> None:
        """What it does with the time is to try one more trial, if the second is even."""
        if int(time) % 2 == 0 and self.first < 8:
            self.ask((self.first, RUNGS[0]))
            self.first += 1


def told(client: Client) -> list[tuple[object, ...]]:
    """A journal without the run's name and numbers."""
    return [
        (entry.time,) if isinstance(entry, ToldTime) else (entry.trial, entry.step, entry.digest, entry.error)
        for entry in client.journal
    ]


class Killed:
    """A script, killed at drawn moments, and started again a drawn time later.

    Attributes:
        journals: what it was told, or would have been told next, whenever it was killed.
    """

    def __init__(self, swarm: Swarm) -> None:
        self.swarm, self.cluster = swarm, swarm.cluster
        self.random = swarm.random
        self.trials = self.random.randint(3, 6)
        self.journals: list[list[tuple[object, ...]]] = []
        self.runs: list[str] = []
        self.search: Search | None = None
        self.start()

    def start(self) -> None:
        self.runs.append(f"search{len(self.runs)}")
        self.search = Search(self.cluster.open(self.runs[-1], study="search"))
        self.search.begin(self.trials)

    def kill(self) -> None:
        if self.search is None:
            return
        self.journals.append(told(self.search.client))
        self.cluster.kill(self.search.client)
        self.search = None
        self.cluster.simulator.later(self.random.random() * 6, self.start)


def killed_in(swarm: Swarm) -> Killed:
    """Run a swarm, and in it a script that is killed up to five times."""
    killed = Killed(swarm)
    for _ in range(swarm.random.randint(1, 5)):
        swarm.sometime(killed.kill)
    swarm.run()
    swarm.cluster.simulator.run(lambda: killed.search is not None and killed.search.over)
    swarm.cluster.finish()
    return killed


@third
@given(seeds)
def test_killed_search_is_told_the_same_again_and_goes_on(seed: int) -> None:
    swarm = Swarm(seed)
    killed = killed_in(swarm)
    assert killed.search is not None
    client = killed.search.client
    for journal in killed.journals:
        assert told(client)[: len(journal)] == journal
    for answer in client.answers:
        assert answer.digest == expected_digest(CONFIGS[answer.trial % len(CONFIGS)], answer.step)
    books = swarm.cluster.books
    for name in killed.runs:
        if name in books.runs:
            assert books.runs[name].record.closed == (name != client.run)
    assert_adds_up(swarm.cluster.counts(client))
    assert not client.refused


@third
@given(seeds)
def test_killed_search_trains_no_step_twice_that_was_not_lost(seed: int) -> None:
    swarm = Swarm(seed)
    killed = killed_in(swarm)
    swarm.cluster.simulator.run_for(5.0)
    books = swarm.cluster.books
    counts = [books.runs[name].record.counts for name in killed.runs if name in books.runs]
    distinct = sum(plan.tree.trained_steps() for plan in books.plans.values())
    repeated = sum(count.late_branch + count.failure + count.evicted for count in counts)
    assert sum(count.steps_run for count in counts) == distinct + repeated
    if swarm.tame:
        assert swarm.cluster.world.trained == distinct + sum(count.late_branch + count.evicted for count in counts)


def test_coordinator_may_crash_at_every_single_turn_of_a_replay() -> None:
    for before_commit in (True, False):
        turns, finished = 0, False
        while not finished:
            cluster = Cluster(devices=1, world=World(ValuesModel(0.05)))
            search = Search(cluster.open("first", study="search"))
            search.begin(4)
            cluster.simulator.run(lambda client=search.client: len(client.journal) >= 5)  # type: ignore[misc]
            journal = told(search.client)
            cluster.kill(search.client)
            cluster.simulator.after_turn = crash_at(cluster, turns, before_commit)
            again = Search(cluster.open("again", study="search"))
            again.begin(4)
            cluster.simulator.run(lambda search=again: search.over)  # type: ignore[misc]
            assert told(again.client)[: len(journal)] == journal
            assert_adds_up(cluster.counts(again.client))
            finished = cluster.crashes == 0
            turns += 1
        assert turns > 10
