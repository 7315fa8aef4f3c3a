"""All actors together on a network that drops, repeats, delays and reorders, with crashes of everything.

Each swarm is drawn from one seed: the faults, the devices, the trials, and when what crashes. A fifth of them are tame.
After a minute of virtual time everything heals, and then everything must be answered, right, and counted.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from hive.actors.coordinator import CoordinatorSettings
from hive.actors.faults import TROUBLE_S, Storm
from hive.actors.messages import CurveQuery, Curves, Told
from hive.actors.session import Session
from hive.actors.simulator import BEGAN
from hive.planner.sequences import Constant
from hive.planner.stage_tree import build
from hive.simulation.clients import Client, Cluster
from hive.simulation.jobs import World
from hive.simulation.swarm import CONFIGS
from hive.simulation.swarm import Swarm as DrawnSwarm
from hive.simulation.values import ValuesModel, expected_digest
from hive.storage.records import StandingRecord
from tests.actors.clients import assert_adds_up

seeds = st.integers(0, 2**32)
third = settings(max_examples=max(1, settings().max_examples // 3))


class Swarm(DrawnSwarm):
    """A drawn swarm, and what must hold in it."""

    def run(self) -> None:
        self.cluster.simulator.after_turn = self.check_paths
        super().run()

    def check_paths(self, name: str) -> None:
        """After each turn of the coordinator: what it would grant is what a tree made anew says."""
        if name == "coordinator":
            for plan in self.cluster.books.plans.values():
                tree = build(plan.tree)
                assert plan.paths.ready == sum(stage.ready for stage in tree)
                assert sorted(plan.paths.all.stages()) == sorted((stage.place, stage.start) for stage in tree)
            for record in self.cluster.store.scan(StandingRecord):
                file = record.checkpoint
                assert file is None or file.name in self.cluster.world.checkpoints, "what a record names is there"
            assert self.cluster.coordinator is not None
            upkeep = self.cluster.coordinator.upkeep
            enough = not 0 < upkeep.bytes_max < upkeep.bytes
            assert enough or upkeep.size(upkeep.fixed()) == upkeep.bytes, "what is too much must stay"

    def assert_answered(self) -> None:
        """Every client was told, of every trial, the state that training it alone comes to; and the counts add up."""
        for client in self.cluster.clients:
            assert not client.refused
            for answer in client.answers:
                assert answer.error is None
                assert answer.digest == expected_digest(self.configs[client.run, answer.trial], answer.step)
            assert_adds_up(self.cluster.counts(client))

    def assert_counted(self) -> None:
        """What the runs count is what was trained: all of it where nothing was lost, else at most that."""
        counts = [self.cluster.counts(client) for client in self.cluster.clients]
        counted = sum(count.steps_run for count in counts)
        if self.tame:
            assert sum(count.failure for count in counts) == 0
            assert counted == self.cluster.world.trained
        else:
            assert counted <= self.cluster.world.trained


@third
@given(seeds)
def test_files_that_no_record_names_are_gone_once_somebody_collects(seed: int) -> None:
    swarm = Swarm(seed)
    swarm.open("run")
    swarm.run()
    simulator = swarm.cluster.simulator
    simulator.run(lambda: not swarm.cluster.busy() and not swarm.cluster.books.leases.leases)
    swarm.collect()
    simulator.run_for(5.0)
    assert set(swarm.cluster.world.checkpoints) == {
        record.checkpoint.name for record in swarm.cluster.store.scan(StandingRecord) if record.checkpoint is not None
    }


@given(seeds)
def test_everything_is_answered_and_counted_in_spite_of_all_that_goes_wrong(seed: int) -> None:
    swarm = Swarm(seed)
    for number in range(swarm.random.randint(1, 3)):
        swarm.open(f"run{number}")
    swarm.run()
    swarm.assert_answered()
    swarm.assert_counted()


@third
@given(seeds)
def test_plans_and_lanes_share_the_trainers_and_nothing_else(seed: int) -> None:
    swarm = Swarm(seed)
    merged, lanes = swarm.open("merged"), swarm.open("lanes", plan_key="other", merge=False)
    swarm.run()
    swarm.assert_answered()
    swarm.assert_counted()
    counts = swarm.cluster.counts(lanes)
    assert counts.steps_distinct == counts.steps_asked
    assert counts.steps_reused == 0
    assert swarm.cluster.counts(merged).steps_reused == 0


@third
@given(seeds)
def test_released_and_closed_runs_leave_nothing_running_and_others_their_answers(seed: int) -> None:
    swarm = Swarm(seed)
    stays, leaves, closes = (swarm.open(f"run{number}") for number in range(3))

    def let_go() -> None:
        leaves.release(*range(5))

    swarm.cluster.simulator.later(TROUBLE_S, let_go)
    swarm.cluster.simulator.later(TROUBLE_S, closes.close)
    swarm.run()
    swarm.cluster.simulator.run_for(30.0)
    assert not swarm.cluster.busy()
    assert not swarm.cluster.books.leases.leases
    assert not stays.waiting
    assert swarm.cluster.run_of(closes) is not None
    for client in (stays, leaves, closes):
        for answer in client.answers:
            assert answer.digest == expected_digest(swarm.configs[client.run, answer.trial], answer.step)


@third
@given(seeds)
def test_user_code_that_raises_fails_the_same_requests_whatever_else_goes_wrong(seed: int) -> None:
    def raises(where: str, values: dict[str, object], step: int) -> str | None:
        return "Boom" if where == "train" and values["lr"] == 0.01 and step >= 6 else None

    swarm = Swarm(seed, World(ValuesModel(0.2), raises=raises))
    client = swarm.open("run")
    swarm.run()
    for answer in client.answers:
        config = swarm.configs["run", answer.trial]
        doomed = any(config["lr"](step) == 0.01 for step in range(6, answer.step))
        assert answer.error == ("Boom" if doomed else None)


@third
@given(seeds)
def test_what_is_asked_together_is_trained_once_whenever_the_trainers_come(seed: int) -> None:
    draw = random.Random(seed)
    cluster = Cluster(
        seed, devices=draw.randint(1, 3), nodes=0, world=World(ValuesModel(draw.choice([0.01, 0.3, 1.0])))
    )
    swarm = Swarm(seed, World())
    client = cluster.open()
    client.ask(*[(trial, config, draw.randint(1, 14)) for trial, config in enumerate(swarm.pool)])
    for number in range(2):
        cluster.simulator.later(draw.random() * 10, lambda number=number: cluster.start_node(f"node{number}"))  # type: ignore[misc]
    cluster.finish()
    counts = cluster.counts(client)
    assert counts.late_branch == 0
    assert cluster.world.trained == counts.steps_run == counts.steps_distinct


# -- one thing at a time ----------------------------------------------------------------------------------------------


def asked_all(cluster: Cluster, run: str = "run", steps: int = 10) -> Client:
    client = cluster.open(run)
    client.ask(*[(trial, config, steps) for trial, config in enumerate(CONFIGS)])
    return client


def test_same_seed_gives_the_same_messages_at_the_same_times() -> None:
    said = []
    for _ in range(2):
        cluster = Cluster(5, weather=Storm(0.2, 0.2, 0.3, 5.0, BEGAN + 30.0))
        asked_all(cluster)
        cluster.finish()
        said.append((cluster.simulator.now, cluster.simulator.sent))
    assert said[0] == said[1]


def test_without_faults_each_distinct_step_is_trained_once() -> None:
    cluster = Cluster()
    client = asked_all(cluster)
    cluster.finish()
    counts = cluster.counts(client)
    distinct = 9 + 1 + (10 - 3) + (10 - 5) + (10 - 7)
    assert (counts.steps_asked, counts.steps_distinct, counts.steps_run) == (40, distinct, distinct)
    assert cluster.world.trained == distinct


def test_second_run_of_the_same_trials_trains_nothing_and_is_told_the_same() -> None:
    cluster = Cluster()
    first = asked_all(cluster)
    cluster.finish()
    second = asked_all(cluster, "second")
    cluster.finish()
    assert {(a.trial, a.digest) for a in second.answers} == {(a.trial, a.digest) for a in first.answers}
    counts = cluster.counts(second)
    assert (counts.steps_run, counts.steps_reused) == (0, counts.steps_distinct)


def test_coordinator_may_crash_at_every_single_turn() -> None:
    """Every turn of a small run in turn, before its commit and after it."""
    for before_commit in (True, False):
        turns, finished = 0, False
        while not finished:
            cluster = Cluster(devices=1)
            cluster.simulator.after_turn = crash_at(cluster, turns, before_commit)
            client = cluster.open()
            client.ask((0, CONFIGS[0], 5), (1, CONFIGS[1], 7))
            cluster.finish()
            assert {(a.trial, a.step, a.error) for a in client.answers} == {(0, 5, None), (1, 7, None)}
            assert_adds_up(cluster.counts(client))
            finished = cluster.crashes == 0
            turns += 1
        assert turns > 10


def crash_at(cluster: Cluster, turn: int, before_commit: bool) -> Callable[[str], None]:
    """Crash the coordinator in its turn of that number, from 0."""
    count = 0

    def after_turn(name: str) -> None:
        nonlocal count
        if name == "coordinator":
            if count == turn:
                cluster.simulator.crash_next["coordinator"] = 0 if before_commit else 1
            count += 1

    return after_turn


def test_tuner_that_asks_on_from_each_answer_is_served_through_crashes() -> None:
    cluster = Cluster(3, weather=Storm(0.2, 0.2, 0.2, 3.0, BEGAN + 60.0))
    client = cluster.open()

    def go_on(told: Told) -> None:
        if told.step < 12:
            client.ask((told.trial, CONFIGS[told.trial], told.step + 3))

    client.on_told = go_on
    client.ask(*[(trial, config, 3) for trial, config in enumerate(CONFIGS)])
    for after_s in (2.0, 5.0, 9.0):
        cluster.simulator.later(after_s, cluster.crash_coordinator)
    cluster.finish()
    assert sorted((a.trial, a.step) for a in client.answers) == [(t, s) for t in range(4) for s in (3, 6, 9, 12)]
    assert_adds_up(cluster.counts(client))


def test_run_whose_session_falls_silent_is_paused_and_resumed_when_it_speaks() -> None:
    cluster = Cluster(settings=CoordinatorSettings(session_lease_s=5.0), world=World(ValuesModel(1.0)))
    client = asked_all(cluster, steps=30)
    cluster.simulator.run_for(10.0)
    silent = cluster.simulator.hosts.pop(client.host.name)
    cluster.simulator.run_for(20.0)
    assert not cluster.busy()
    trained = cluster.world.trained
    cluster.simulator.run_for(20.0)
    assert cluster.world.trained == trained
    cluster.simulator.hosts[silent.name] = silent
    assert isinstance(silent.actor, Session)
    cluster.simulator.carry_out(silent, silent.actor.start(cluster.simulator.now))
    cluster.finish()
    assert len(client.answers) == 4
    assert_adds_up(cluster.counts(client))
    assert cluster.counts(client).failure == 0


def test_trainer_that_dies_again_and_again_fails_its_requests_with_its_last_words() -> None:
    cluster = Cluster(settings=CoordinatorSettings(attempts_max=3), world=World(ValuesModel(1.0)))
    client = cluster.open()
    client.ask((0, CONFIGS[0], 10))
    for _ in range(3):
        cluster.simulator.run(lambda: bool(cluster.busy()))
        cluster.kill_trainer(cluster.busy()[0], code=-9, tail="out of memory")
        cluster.simulator.run(lambda: not cluster.busy())
    cluster.finish()
    (answer,) = client.answers
    assert answer.error is not None
    assert "3 times" in answer.error
    assert "out of memory" in answer.error
    assert answer.metrics is None


def test_trainer_that_starts_and_dies_is_told_with_its_exit() -> None:
    cluster = Cluster(settings=CoordinatorSettings(attempts_max=2))
    cluster.broken = lambda order: -4
    client = asked_all(cluster)
    cluster.finish()
    assert all(answer.error and "signal 4" in answer.error for answer in client.answers)
    assert len(client.answers) == 4


def test_class_that_cannot_be_imported_is_told_to_all_who_wait() -> None:
    cluster = Cluster()
    cluster.broken = lambda order: "ImportError: toy"
    client = asked_all(cluster)
    cluster.finish()
    assert [answer.error for answer in client.answers] == ["ImportError: toy"] * 4
    cluster.simulator.run_for(5.0)
    assert not cluster.trainers()


def test_node_manager_that_comes_back_has_new_trainers_that_go_on() -> None:
    cluster = Cluster(world=World(ValuesModel(0.6)))
    client = asked_all(cluster, steps=30)
    cluster.simulator.run_for(12.0)
    cluster.kill_node("node0")
    cluster.simulator.later(3.0, lambda: cluster.start_node("node0"))
    cluster.finish()
    counts = cluster.counts(client)
    assert 0 < counts.failure <= cluster.world.trained - counts.steps_distinct
    assert_adds_up(counts)
    assert [answer.error for answer in client.answers] == [None] * 4


def test_dead_node_manager_s_trainers_get_no_more_batches() -> None:
    cluster = Cluster(nodes=2, devices=1, settings=CoordinatorSettings(lease_s=5.0, attempts_max=2))
    first = asked_all(cluster)
    cluster.finish()
    cluster.kill_node("node1")
    cluster.simulator.run_for(10.0)
    second = cluster.open("second")
    second.ask((0, {"lr": Constant(5)}, 5), (1, {"lr": Constant(6)}, 5))
    cluster.finish(limit_s=4.0)  # less than a lease lasts: nobody waited for the dead
    assert [answer.error for answer in first.answers + second.answers] == [None] * 6
    assert cluster.counts(second).failure == 0


def test_metrics_that_are_not_a_number_come_through_the_wire_and_the_store() -> None:
    cluster = Cluster(world=World(ValuesModel(measure=lambda digest: {"score": math.nan})))
    client = asked_all(cluster)
    cluster.finish()
    cluster.crash_coordinator()
    again = asked_all(cluster, "again")
    cluster.finish()
    assert all(answer.metrics and math.isnan(answer.metrics["score"]) for answer in client.answers + again.answers)


def test_state_that_was_trained_through_is_measured_afterwards_without_a_step() -> None:
    cluster = Cluster()
    client = cluster.open()
    client.ask((0, CONFIGS[0], 10))
    cluster.finish()
    trained = cluster.world.trained
    client.ask((0, CONFIGS[0], 3))  # where its rate drops: reached as a boundary
    client.ask((1, CONFIGS[1], 3))  # the same place
    cluster.finish()
    assert client.told(1, 3).digest == expected_digest(CONFIGS[0], 3)
    counts = cluster.counts(client)
    assert_adds_up(counts)
    assert cluster.world.trained - trained == counts.late_branch


def test_curves_reach_the_aggregator() -> None:
    cluster = Cluster(world=World(eval_every=2))
    client = cluster.open()
    client.ask((0, {"lr": Constant(1)}, 6))
    cluster.finish()
    cluster.simulator.run_for(3.0)
    cluster.simulator.send("someone", "aggregator", CurveQuery("key-1", 0))
    cluster.simulator.run_for(1.0)
    (curves,) = [message for _, _, message in cluster.simulator.sent if isinstance(message, Curves)]
    assert [(p.step, p.kind) for p in curves.points if p.kind == "eval"] == [(2, "eval"), (4, "eval"), (6, "eval")]
    assert [p.step for p in curves.points if p.kind == "train"] == [1, 2, 3, 4, 5, 6]
