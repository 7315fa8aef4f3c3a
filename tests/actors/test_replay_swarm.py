"""A search whose script is killed again and again, in a swarm: it is told the same again, and goes on from there.

The search is asynchronous: each answer decides at once who goes on. What it asks for depends on the order of its
answers, which depends on faults and crashes; so a second search alone would hardly ever be told the same.
"""

from __future__ import annotations

from hypothesis import given

from hive.simulation.clients import Cluster
from hive.simulation.jobs import World
from hive.simulation.swarm import CONFIGS, RestartedSearch, Search, told
from hive.simulation.values import ValuesModel, expected_digest
from tests.actors.clients import assert_adds_up
from tests.actors.test_swarm import Swarm, crash_at, seeds, third


def killed_in(swarm: Swarm) -> RestartedSearch:
    """Run a swarm, and in it a script that is killed up to five times."""
    killed = RestartedSearch(swarm)
    for _ in range(swarm.random.randint(1, 5)):
        swarm.sometime(killed.kill)
    swarm.run()
    swarm.cluster.simulator.run(lambda: killed.over)
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
